"""Training images in the place of generated ones.

A generator that only copies training images of a class is worth no more than this.
"""

from __future__ import annotations

import numpy as np

from gobelin.augmentation.rivals import Arm, Material, again
from gobelin.core.config import settings_class
from gobelin.core.machine import numpy_generator


@settings_class
class Copies:
    """No settings: each row keeps its parent's other fields and shows the image of a training row
    of its class, drawn by the seed."""

    def arm(self, material: Material) -> Arm:
        classes = (
            np.zeros(len(material.train), np.int64)
            if material.classes is None
            else material.classes
        )
        there = np.array([v is not None for v in material.train.values(material.column)])
        able = {
            c: np.flatnonzero((classes == c) & there) for c in np.unique(classes[material.plan])
        }
        shown = []
        for k, parent in enumerate(material.plan):
            own, rng = able[classes[parent]], numpy_generator(material.seed, "copies", k)
            shown.append(int(rng.choice(own)) if len(own) else int(parent))
        return again(material, "copies", shown)
