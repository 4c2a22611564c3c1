"""Intermediate fusion: each field becomes a vector and says how much it counts; the weighted sum of
those there is scored.

The weights are a softmax over the fields that are there (attention pooling, Ilse et al. 2018), so a
field can yield to a surer one, row by row."""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Join, Pooled
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Gated(Neural):
    """width: of the vectors. The others are those of `Neural`."""

    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, {"width": (1, 65536)})

    @property
    def join(self) -> Join:
        return Pooled(self.width, gated=True)
