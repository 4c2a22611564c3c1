"""Intermediate fusion: each field is a token, and present fields attend to each other.

Vaswani et al. 2017. It can learn facts that only two fields together tell.
"""

from __future__ import annotations

from gobelin.core.config import setting, settings_class
from gobelin.prediction.heads.joins import Attended, Join
from gobelin.prediction.heads.neural import Neural


@settings_class
class Attention(Neural):
    """A transformer over the fields' tokens. The other settings are those of `Neural`."""

    width: int = setting(
        default=64, ge=1, le=65536, description="Length of a token. A multiple of heads."
    )
    heads: int = setting(default=4, ge=1, le=256, description="Attention heads of a block.")
    depth: int = setting(default=2, ge=1, le=64, description="Number of blocks.")
    rate: float = setting(default=0.003, ge=1e-9, le=10, description="Learning rate at the start.")

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width}, a multiple of heads = {self.heads} was expected"
            )

    @property
    def join(self) -> Join:
        return Attended(self.width, self.heads, self.depth)
