"""Intermediate fusion: each field becomes a vector of one width, and the mean over the present
fields is scored."""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Join, Pooled
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Mean(Neural):
    """The mean of the fields' vectors. The other settings are those of `Neural`."""

    width: int = 64  # of the vectors

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, {"width": (1, 65536)})

    @property
    def join(self) -> Join:
        return Pooled(self.width, gated=False)
