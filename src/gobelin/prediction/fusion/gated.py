"""Intermediate fusion: a weighted sum of the present fields' vectors is scored.

The weights are a softmax over the present fields (attention pooling, Ilse et al. 2018), so that in
each row a clear field can count more than an unclear one.
"""

from __future__ import annotations

from gobelin.core.config import setting, settings_class
from gobelin.prediction.heads.joins import Join, Pooled
from gobelin.prediction.heads.neural import Neural


@settings_class
class Gated(Neural):
    """A weighted mean of the fields' vectors. The other settings are those of `Neural`."""

    width: int = setting(default=64, ge=1, le=65536, description="Length of each field's vector.")

    @property
    def join(self) -> Join:
        return Pooled(self.width, gated=True)
