"""Real images reduced to the generator's size and back, in the place of generated ones.

Without this baseline, blur would be mistaken for content.
"""

from __future__ import annotations

from gobelin.augmentation.rivals import Arm, Material, in_place
from gobelin.core.config import settings_class
from gobelin.data.images import Opening, open_image, png_bytes, squared


@settings_class
class GeneratorSize:
    """No settings: the rows are the parents of the made images, one by one."""

    def arm(self, material: Material) -> Arm:
        def small(k: int, cell: str | bytes) -> bytes:
            return png_bytes(
                squared(open_image(cell, material.train.root, Opening())[0], material.size)
            )

        return in_place(material, "generator_size", small, size=material.size)
