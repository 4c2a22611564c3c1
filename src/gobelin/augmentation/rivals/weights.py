"""Heavier training rows in the place of generated images.

Each row counts once more for every image that was to be generated from it.
"""

from __future__ import annotations

import numpy as np

from gobelin.augmentation.rivals import Arm, RivalInput
from gobelin.core.config import settings_class


@settings_class
class Weights:
    """No row is added."""

    def arm(self, source: RivalInput) -> Arm:
        train = source.train.with_ids()
        has_image = np.array([isinstance(v, str | bytes) for v in train.values(source.column)])
        more = np.bincount(source.plan, minlength=len(train)) * has_image
        return Arm("weights", train, (1 + more).astype(np.float32))
