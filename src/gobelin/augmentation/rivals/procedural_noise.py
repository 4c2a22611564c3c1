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
from gobelin.core.machine import numpy_generator
from gobelin.data.images import png_bytes


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
        def cloud(k: int, cell: str | bytes) -> bytes:
            return png_bytes(
                self.cloud(source.size, numpy_generator(source.seed, "procedural_noise", k))
            )

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
