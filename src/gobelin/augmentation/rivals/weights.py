"""Heavier training rows in the place of generated images.

Each row counts once more for every image that was to be generated from it.
"""

from __future__ import annotations

import numpy as np

from gobelin.augmentation.rivals import Arm, Material
from gobelin.core.config import settings_class


@settings_class
class Weights:
    """No settings; no row is added."""

    def arm(self, material: Material) -> Arm:
        train = material.train.with_ids()
        there = np.array([isinstance(v, str | bytes) for v in train.values(material.column)])
        more = np.bincount(material.plan, minlength=len(train)) * there
        return Arm("weights", train, (1 + more).astype(np.float32))
