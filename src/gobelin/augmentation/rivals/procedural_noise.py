"""Clouds of random numbers in the place of generated images.

An image that shows nothing must not help. The rows keep their parents' other fields and their
class, so what this arm gains over the real rows is not the picture's.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from PIL import Image

from gobelin.augmentation.rivals import Arm, RivalInput, replaced_images
from gobelin.core.config import setting, settings_class
from gobelin.core.lazy import ndimage
from gobelin.core.machine import numpy_generator
from gobelin.data.media import medium


@settings_class
class ProceduralNoise:
    """Settings."""

    octaves: int = setting(
        default=4,
        ge=1,
        le=16,
        description="Grids of random colours, each twice as fine as the last.",
    )

    def arm(self, source: RivalInput) -> Arm:
        of_kind = medium(source.kind)
        drawn = self.cloud if of_kind.dimensions == 2 else self.volume_cloud

        def cloud(k: int, cell: str | bytes) -> bytes:
            rng = numpy_generator(source.seed, "procedural_noise", k)
            return of_kind.cell(drawn(source.size, rng))

        return replaced_images(source, "procedural_noise", cloud, settings=asdict(self))

    def cloud(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """uint8 [size, size, 3], from 0 to 255 in every channel."""
        total = np.zeros((size, size, 3))
        for octave in range(self.octaves):
            grid = rng.random((2 ** (octave + 1), 2 ** (octave + 1), 3))
            planes = [
                Image.fromarray(grid[..., c].astype(np.float32)).resize(
                    (size, size), Image.Resampling.BICUBIC
                )
                for c in range(3)
            ]
            total += np.stack([np.asarray(p) for p in planes], 2) / 2**octave
        low, high = total.min((0, 1)), total.max((0, 1))
        return ((total - low) / np.maximum(high - low, 1e-9) * 255).round().astype(np.uint8)

    def volume_cloud(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """uint8 [size, size, size, 1], from 0 to 255."""
        total = np.zeros((size, size, size))
        for octave in range(self.octaves):
            side = 2 ** (octave + 1)
            grid = rng.random((side, side, side))
            total += ndimage.zoom(grid, size / side, order=1, mode="nearest") / 2**octave
        total = (total - total.min()) / max(float(np.ptp(total)), 1e-9)
        return (total * 255).round().astype(np.uint8)[..., None]
