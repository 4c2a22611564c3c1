"""Early fusion: one head over the features of all fields side by side, and over their presence.

An absent field is zeros, and its presence is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Join, SideBySide
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Concat(Neural):
    """One head over all fields. The other settings are those of `Neural`."""

    hidden: int = 0  # width of a hidden layer; 0 for a linear head
    rate: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, {"hidden": (0, 65536)})

    @property
    def join(self) -> Join:
        return SideBySide(self.hidden)
