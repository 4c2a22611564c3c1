"""Intermediate fusion: each field becomes a vector with a weight; the weighted sum over the present
fields is scored.

The weights are a softmax over the present fields (attention pooling, Ilse et al. 2018), so that in
each row a clear field can count more than an unclear one.
"""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Join, Pooled
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Gated(Neural):
    """A weighted mean of the fields' vectors. The other settings are those of `Neural`."""

    width: int = 64  # of the vectors

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, {"width": (1, 65536)})

    @property
    def join(self) -> Join:
        return Pooled(self.width, gated=True)
