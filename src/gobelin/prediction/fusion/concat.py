"""Early fusion: the fields' features side by side with their presence, and one head over all.

An absent field is zeros *and* says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Join, SideBySide
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Concat(Neural):
    """hidden: width of a hidden layer, 0 for a linear head. The others are those of `Neural`."""

    hidden: int = 0
    rate: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, {"hidden": (0, 65536)})

    @property
    def join(self) -> Join:
        return SideBySide(self.hidden)
