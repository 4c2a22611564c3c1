"""Intermediate fusion: the mean of the present fields' vectors is scored.

All vectors have one width.
"""

from __future__ import annotations

from gobelin.core.config import setting, settings_class
from gobelin.prediction.heads.joins import Join, Pooled
from gobelin.prediction.heads.neural import Neural


@settings_class
class Mean(Neural):
    """The mean of the fields' vectors. The other settings are those of `Neural`."""

    width: int = setting(default=64, ge=1, le=65536, description="Length of each field's vector.")

    @property
    def join(self) -> Join:
        return Pooled(self.width, gated=False)
