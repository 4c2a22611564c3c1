"""Intermediate fusion: each field is a token, and the tokens that are there attend to each other
(Vaswani et al. 2017).

It can learn what only a pair of fields tells."""

from __future__ import annotations

from dataclasses import dataclass

from gobelin.core.config import within
from gobelin.prediction.heads.joins import Attended, Join
from gobelin.prediction.heads.neural import Neural


@dataclass(frozen=True)
class Attention(Neural):
    """width: of a token. heads, depth: of the transformer. The others are those of `Neural`."""

    width: int = 64
    heads: int = 4
    depth: int = 2
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
