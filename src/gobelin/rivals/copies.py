"""The training images themselves in the place of made ones: a generator that only copies is worth no more than this."""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.rivals import Arm, Material, in_place


@dataclass(frozen=True)
class Copies:
    """No settings: the rows are the parents of the made images, one by one, so scarce classes are repeated as the plan says
    (random oversampling)."""

    def arm(self, material: Material) -> Arm:
        return in_place(material, "copies", lambda k, cell: cell)
