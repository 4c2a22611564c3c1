"""Training images in the place of generated ones.

A generator that only copies training images of a class is worth no more than this.
"""

from __future__ import annotations

import numpy as np

from gobelin.augmentation.rivals import Arm, RivalInput, repeated_rows
from gobelin.core.config import settings_class
from gobelin.core.machine import numpy_generator


@settings_class
class Copies:
    """Each row has the fields of its parent and the image of a random training row of its class."""

    def arm(self, source: RivalInput) -> Arm:
        classes = (
            np.zeros(len(source.train), np.int64) if source.classes is None else source.classes
        )
        has_image = np.array([v is not None for v in source.train.values(source.column)])
        candidates = {
            c: np.flatnonzero((classes == c) & has_image) for c in np.unique(classes[source.plan])
        }
        images_of = []
        for k, parent in enumerate(source.plan):
            of_class, rng = candidates[classes[parent]], numpy_generator(source.seed, "copies", k)
            images_of.append(int(rng.choice(of_class)) if len(of_class) else int(parent))
        return repeated_rows(source, "copies", images_of)
