"""Images in cells: opened with any kind of colours, made square, written.

Conversions are reported, so that they can be counted: CMYK, palette, alpha over a given colour, 16
bits in a given range. An image that can't be opened raises `BadCell`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.data.fields import Cell, Field
from gobelin.data.files import BadCell, cell_bytes, content_key

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"BM", b"II*\0", b"MM\0*")
MAX_PIXELS = 100_000_000


@settings_class
class Opening:
    """How images are opened."""

    background: tuple[Annotated[int, setting(ge=0, le=255)], ...] = setting(
        default=(255, 255, 255),
        min_length=3,
        max_length=3,
        description="Red, green and blue under transparent pixels.",
    )
    low: int = setting(default=0, description="16-bit value that becomes 0.")
    high: int = setting(default=65535, description="16-bit value that becomes 255.")
    max_pixels: int = setting(
        default=MAX_PIXELS, ge=1, description="Largest image in pixels. Larger ones are set aside."
    )

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}")


def open_image(
    value: str | bytes, root: Path, settings: Opening, side: int = 0
) -> tuple[Image.Image, str]:
    """An RGB or grey ('L') image, upright, and the conversion ('' for none). Raises BadCell.

    value: path below `root`, or the bytes of a file. side: of the square in pixels that the image
    will be resized to, 0 = unknown. A JPEG of eight times that side is read at 1/2, 1/4 or 1/8 of
    its size; the format allows that at a fraction of the cost.
    """
    data = cell_bytes(value, root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data))
            if image.width * image.height > settings.max_pixels:
                raise BadCell(f"is too large ({image.width} x {image.height} pixels)")
            if side and image.mode in ("RGB", "L"):
                image.draft(image.mode, (4 * side, 4 * side))
            image.load()
            image = ImageOps.exif_transpose(image)
    except BadCell:
        raise
    except Image.DecompressionBombError as error:
        raise BadCell("is too large") from error
    except UnidentifiedImageError as error:
        raise BadCell("is not an image") from error
    except Exception as error:  # Pillow's decoders raise many kinds of errors on a damaged file
        raise BadCell(f"is damaged ({str(error)[:60] or type(error).__name__})") from error
    return _plain_colours(image, settings)


def _plain_colours(image: Image.Image, settings: Opening) -> tuple[Image.Image, str]:
    """The image as RGB or grey, and the conversion ('' for none)."""
    if image.mode in ("RGB", "L"):
        if "transparency" not in image.info:
            return image, ""
        image = image.convert("RGBA")
    if image.mode.startswith("I") or image.mode == "F":
        values = (np.asarray(image, np.float64) - settings.low) * (
            255.0 / (settings.high - settings.low)
        )
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8), "L"), "16 bits"
    if image.mode == "1":
        return image.convert("L"), "1 bit"
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa"):
        source = "palette" if image.mode.startswith("P") else "alpha"
        rgba = image.convert("RGBA")
        composed = Image.alpha_composite(
            Image.new("RGBA", rgba.size, (*settings.background, 255)), rgba
        ).convert("RGB")
        invisible = bool((np.asarray(rgba)[..., 3] < 255).any()) and composed.getextrema() == tuple(
            (c, c) for c in settings.background
        )
        return composed, f"{source}, nothing seen of it on the background" if invisible else source
    return image.convert("RGB"), image.mode


def squared(
    image: Image.Image, size: int, background: tuple[int, ...] = (255, 255, 255)
) -> np.ndarray:
    """uint8 [size, size, 3]: the image padded to a square with the background, then resized (area
    average; bilinear where it is enlarged).
    """
    image = image.convert("RGB")
    if max(image.size) ** 2 > MAX_PIXELS:  # a long thin image would be a bomb once padded
        image.thumbnail((int(MAX_PIXELS**0.5),) * 2, Image.Resampling.BOX)
    if image.width != image.height:
        image = ImageOps.pad(
            image, (max(image.size),) * 2, color=background, method=Image.Resampling.BOX
        )
    if image.size != (size, size):
        smaller = image.width > size
        image = image.resize(
            (size, size), Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
        )
    return np.asarray(image, np.uint8)


def fitted(
    image: Image.Image, size: tuple[int, int, int], background: tuple[int, ...] = (255, 255, 255)
) -> np.ndarray:
    """uint8 [H, W, C]: the whole image, padded with the background to this shape and resized. size:
    H, W, C, with C = 1, 3 or 4.
    """
    height, width, channels = size
    if height == width:
        pixels = squared(image, height, background)
    else:
        whole = ImageOps.pad(
            image.convert("RGB"), (width, height), color=background, method=Image.Resampling.BOX
        )
        pixels = np.asarray(whole, np.uint8)
    if channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"), np.uint8)[..., None]
    return (
        pixels
        if channels == 3
        else np.concatenate([pixels, np.full((height, width, 1), 255, np.uint8)], axis=2)
    )


def png_bytes(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, C] (C = 1, 3 or 4) as the bytes of a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        out, "PNG", compress_level=1
    )
    return out.getvalue()


def image_share(values: Sequence[Any]) -> float:
    """The share of the values that look like images, by suffix (paths) or by signature (bytes)."""
    items = [p for v in values for p in (v if isinstance(v, list) else [v])]
    image_like = [
        (
            v.startswith(IMAGE_SIGNATURES) or v[8:12] == b"WEBP"
            if isinstance(v, bytes)
            else isinstance(v, str) and Path(v).suffix.lower() in IMAGE_SUFFIXES
        )
        for v in items
    ]
    return float(np.mean(image_like)) if image_like else 0.0


def image_values(cell: Cell) -> list[str | bytes]:
    """The images of a cell: one a column, or several where a value is a list."""
    return [v for value in cell.values() for v in (value if isinstance(value, list) else [value])]


def image_key(cell: Cell, root: Path) -> bytes:
    """A hash of the contents of a cell's images, 16 bytes. Raises BadCell."""
    return bytes.fromhex(fingerprint(*[content_key(v, root) for v in image_values(cell)]))[:16]


def decode_images(cell: Cell, root: Path, settings: Opening, size: int) -> tuple[np.ndarray, str]:
    """uint8 [k, size, size, 3] for the k images of a cell, and the first conversion ('' for none).
    Raises BadCell.
    """
    opened = [open_image(v, root, settings, size) for v in image_values(cell)]
    return np.stack([squared(i, size, settings.background) for i, _ in opened]), next(
        (c for _, c in opened if c), ""
    )


class Squares:
    """`key` and `decode` of encoders that get each image as a square of `side` pixels."""

    opening: Opening
    side: int

    def key(self, cell: Cell, root: Path) -> bytes:
        return image_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """uint8 [k, side, side, 3] for the k images of the cell, and the conversion. Raises
        BadCell.
        """
        return decode_images(cell, root, self.opening, self.side)


def image_query(text: str, field: Field) -> Cell:
    """A path given as a query, as a cell of the field. Raises GobelinError."""
    path = Path(text)
    if not path.is_file():
        raise GobelinError(f"--image {text}: no such file. Give the path of an image.")
    try:
        data = path.read_bytes()
        open_image(data, path.parent, Opening())
    except (BadCell, OSError) as error:
        raise GobelinError(f"--image {text}: {error}. Give the path of an image.") from error
    return {field.columns[0]: data}
