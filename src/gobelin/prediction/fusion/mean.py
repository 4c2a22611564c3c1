"""Intermediate fusion: each field becomes a vector of one width, and the mean of those that are
there is scored."""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Join, Pooled
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Mean(Neural):
    """width: of the vectors. The others are those of `Neural`."""

    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, {"width": (1, 65536)})

    @property
    def join(self) -> Join:
        return Pooled(self.width, gated=False)
