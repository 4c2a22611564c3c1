"""Intermediate fusion: each field becomes a vector and says how much it counts; the weighted sum of
those there is scored.

The weights are a softmax over the fields that are there (attention pooling, Ilse et al. 2018), so a
field can yield to a surer one, row by row."""

from __future__ import annotations

from gobelin.core.config import setting, settings_class
from gobelin.prediction.heads.joins import Join, Pooled
from gobelin.prediction.heads.neural import Neural


@settings_class
class Gated(Neural):
    """Settings."""

    width: int = setting(default=64, ge=1, le=65536, description="Length of each field's vector.")

    @property
    def join(self) -> Join:
        return Pooled(self.width, gated=True)
