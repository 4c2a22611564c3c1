"""Images: uint8 [H, W, C], square at the generator's size, written as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import settings_class
from gobelin.data.fields import Cell
from gobelin.data.image.headers import opened
from gobelin.data.image.images import (
    Opening,
    decode_images,
    fitted,
    open_image,
    png_bytes,
    squared,
)
from gobelin.data.media import AnyOpening
from gobelin.data.provenance.marks import marked_png


@settings_class
class Image:
    """The medium of columns of images."""

    kind: ClassVar[str] = "image"
    plural: ClassVar[str] = "images"
    unit: ClassVar[str] = "pixels"
    dimensions: ClassVar[int] = 2
    suffix: ClassVar[str] = ".png"

    def shape(self, size: int) -> tuple[int, ...]:
        return size, size, 3

    def opened(self, value: str | bytes, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        return squared(open_image(value, root, _opening(opening))[0], size)

    def decoded(self, cell: Cell, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        return decode_images(cell, root, _opening(opening), size)[0]

    def source(
        self,
        data: bytes,
        shape: tuple[int, ...],
        opening: AnyOpening | None = None,
        name: str = "",
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """The sides of the file are its width and height."""
        image = open_image(data, Path(), _opening(opening))[0]
        height, width, channels = shape
        return fitted(image, (height, width, channels)), image.size

    def cell(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None = None,
        extent: float | None = None,
    ) -> bytes:
        return png_bytes(array) if lineage is None else marked_png(array, lineage)

    def marked(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None,
        trained: bool = True,
        extent: float | None = None,
    ) -> bytes:
        return marked_png(array, lineage, trained)

    def extent(self, cells: Sequence[Cell], root: Path, opening: AnyOpening) -> float | None:
        return None

    def array(self, data: bytes) -> np.ndarray:
        with opened(data) as picture:
            pixels = np.asarray(picture)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def picture(self, array: np.ndarray) -> np.ndarray:
        if array.shape[2] == 3:
            return array
        return np.repeat(array, 3, 2) if array.shape[2] == 1 else array[..., :3]

    def views(self, array: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        return {}


def _opening(opening: AnyOpening | None) -> Opening:
    return opening if isinstance(opening, Opening) else Opening()
