"""Early fusion: one head over the features of all fields side by side, and over their presence.

An absent field is zeros, and its presence is 0.
"""

from __future__ import annotations

from gobelin.core.config import setting, settings_class
from gobelin.prediction.heads.joins import Join, SideBySide
from gobelin.prediction.heads.neural import Neural


@settings_class
class Concat(Neural):
    """One head over all fields. The other settings are those of `Neural`."""

    hidden: int = setting(
        default=0, ge=0, le=65536, description="Width of a hidden layer. 0 for a linear head."
    )
    rate: float = setting(default=0.02, ge=1e-9, le=10, description="Learning rate at the start.")

    @property
    def join(self) -> Join:
        return SideBySide(self.hidden)
