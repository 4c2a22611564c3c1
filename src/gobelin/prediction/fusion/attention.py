"""Intermediate fusion: each field is a token, and the tokens of present fields attend to each other
(Vaswani et al. 2017).

It can learn facts that only two fields together tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Attended, Join
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Attention(Neural):
    """A transformer over the fields' tokens. The other settings are those of `Neural`."""

    width: int = 64  # of a token, a multiple of heads
    heads: int = 4  # attention heads of a block
    depth: int = 2  # blocks
    rate: float = 0.003

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, {"width": (1, 65536), "heads": (1, 256), "depth": (1, 64)})
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width}, a multiple of heads = {self.heads} was expected"
            )

    @property
    def join(self) -> Join:
        return Attended(self.width, self.heads, self.depth)
