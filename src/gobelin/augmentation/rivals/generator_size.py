"""Real images reduced to the generator's size and back, in the place of generated ones.

Without this baseline, blur would be mistaken for content.
"""

from __future__ import annotations

from gobelin.augmentation.rivals import Arm, RivalInput, replaced_images
from gobelin.core.config import settings_class
from gobelin.data.images import open_image, png_bytes, squared


@settings_class
class GeneratorSize:
    """The rows are the parents of the generated images, one by one."""

    def arm(self, source: RivalInput) -> Arm:
        opening = source.train.opening(source.column)

        def small(k: int, cell: str | bytes) -> bytes:
            return png_bytes(squared(open_image(cell, source.train.root, opening)[0], source.size))

        return replaced_images(source, "generator_size", small, size=source.size)
