"""Real images or volumes reduced to the generator's size and back, in the place of generated ones.

Without this baseline, blur would be mistaken for content.
"""

from __future__ import annotations

from gobelin.augmentation.rivals import Arm, RivalInput, replaced_images
from gobelin.core.config import settings_class
from gobelin.data.media import medium


@settings_class
class GeneratorSize:
    """The rows are the parents of the generated images, one by one."""

    def arm(self, source: RivalInput) -> Arm:
        opening, of_kind = source.train.opening(source.column), medium(source.kind)

        def small(k: int, cell: str | bytes) -> bytes:
            return of_kind.cell(of_kind.opened(cell, source.train.root, opening, source.size))

        return replaced_images(source, "generator_size", small, size=source.size)
