"""Images in cells: opened with any kind of colours, made square, written.

Conversions are reported, so that they can be counted: CMYK, palette, alpha over a given colour, 16
bits in a given range. An image that can't be opened raises `BadCell`.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, first_line
from gobelin.data.budget import decoding
from gobelin.data.dicom.files import is_dicom
from gobelin.data.dicom.pictures import picture
from gobelin.data.fields import Cell, Field
from gobelin.data.files import (
    HEAD,
    BadCell,
    afford,
    cell_bytes,
    cell_key,
    file_bytes,
    file_values,
)
from gobelin.data.image.formats import unidentified
from gobelin.data.image.headers import (
    TooCostly,
    check_scans,
    decoded_bytes,
    full_bytes,
    opened,
)
from gobelin.data.image.pixel_range import has_deep_colours, is_wide, shades, upper_bits
from gobelin.data.image.svg import as_png, is_svg

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
SAMPLE_FORMAT, SIGNED = 339, 2  # tag of a TIFF, and one of its values
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
MAX_PIXELS = 100_000_000
FIRST_PAGE = "the first of several pages or frames"
DEEP = "gobelin_deep"  # in an opened image's information: whether its colours had 16 bits
PAGES = "gobelin_pages"  # and whether it has several pages or frames, of which the first is read
DRAWING = "gobelin_drawing"  # and how it was drawn; '' for an image of pixels
NEGATIVE = "gobelin_negative"  # whether 0 is white; Pillow turns bytes, and no wider pixels
STRIP = 2**18  # pixels whose colours are converted at once


@settings_class
class Opening:
    """How images are opened."""

    background: tuple[Annotated[int, setting(ge=0, le=255)], ...] = setting(
        default=(255, 255, 255),
        min_length=3,
        max_length=3,
        description="Red, green and blue under transparent pixels.",
    )
    low: int | float | None = setting(
        default=None,
        description="Value of 16-bit and float images that becomes black. Empty: by training rows.",
    )
    high: int | float | None = setting(
        default=None,
        description="Value of 16-bit and float images that becomes white. Empty: by training rows.",
    )
    max_pixels: int = setting(
        default=MAX_PIXELS,
        ge=1,
        le=178_956_970,  # Pillow opens no larger one
        description="Largest image in pixels. Larger ones are set aside.",
    )

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}")


@contextmanager
def upright(data: bytes, settings: Opening, side: int = 0) -> Iterator[Image.Image]:
    """The image in its own colours, upright. Its memory counts as taken until the block ends.
    side: see `open_image`. Raises BadCell.
    """
    with ExitStack() as stack:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if is_dicom(data[:HEAD]):
                    chosen = settings.low is not None and settings.high is not None
                    image, negative, note = picture(data, chosen, settings.max_pixels, stack)
                    image.info |= {NEGATIVE: negative, DRAWING: note}
                else:
                    image = _loaded(data, settings, side, stack)
        except (BadCell, GobelinError):
            raise
        except TooCostly as error:
            raise BadCell(str(error)) from error
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise BadCell(f"is too large (over {most} pixels, the most of Pillow)") from error
        except UnidentifiedImageError as error:
            raise BadCell(f"is {unidentified(data[:HEAD])}") from error
        except Exception as error:  # Pillow's decoders raise many kinds of errors on damaged files
            raise BadCell(f"is damaged ({first_line(error, 60)})") from error
        yield image


def _loaded(data: bytes, settings: Opening, side: int, stack: ExitStack) -> Image.Image:
    """As `upright`, of every format but DICOM."""
    drawing = ""
    if is_svg(data[:HEAD]):
        data, drawing = as_png(data)
    image = _within_budget(data, settings, side, stack)
    if image.mode == "L" and SIGNED in _tag(image, SAMPLE_FORMAT):
        raise BadCell("has signed bytes as pixels; convert them to 16 bits")
    deep, pages = has_deep_colours(image), bool(getattr(image, "is_animated", False))
    image.load()
    negative = is_wide(image) and WHITE_IS_ZERO in _tag(image, PHOTOMETRIC)
    image.info |= {DEEP: deep, PAGES: pages, NEGATIVE: negative, DRAWING: drawing}
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _tag(image: Image.Image, tag: int) -> tuple[int, ...]:
    """The values of a tag of a TIFF; none for other files."""
    value = getattr(image, "tag_v2", {}).get(tag, ())
    return value if isinstance(value, tuple) else (value,)


@contextmanager
def decoded(
    value: str | bytes, root: Path, settings: Opening, side: int = 0
) -> Iterator[tuple[Image.Image, str]]:
    """As `open_image`. The memory of the image counts as taken until the block ends."""
    with upright(cell_bytes(value, root), settings, side) as image:
        pages = FIRST_PAGE if image.info.get(PAGES) else ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain, conversion = _plain_colours(image, settings)
        yield plain, ", ".join(filter(None, (image.info.get(DRAWING), conversion, pages)))


def open_image(
    value: str | bytes, root: Path, settings: Opening, side: int = 0
) -> tuple[Image.Image, str]:
    """An RGB or grey ('L') image, upright, and the conversion ('' for none). Raises BadCell.

    value: path below `root`, or the bytes of a file. side: of the square in pixels that the image
    will be resized to, 0 = unknown. A JPEG of eight times that side is read at 1/2, 1/4 or 1/8 of
    its size; the format allows that at a fraction of the cost.
    """
    with decoded(value, root, settings, side) as (image, conversion):
        return image, conversion


def _within_budget(data: bytes, settings: Opening, side: int, stack: ExitStack) -> Image.Image:
    """The image with its header read, after the memory that it needs was found to be within the
    budget and was reserved in `stack`. Raises BadCell.
    """
    image = opened(data)
    check_scans(data)
    if image.width * image.height > settings.max_pixels:
        raise BadCell(
            f"is too large ({image.width} x {image.height} pixels; opening.max_pixels allows"
            f" {settings.max_pixels})"
        )
    needed = len(data) + full_bytes(image)
    if side and image.mode in ("RGB", "L"):
        image.draft(image.mode, (4 * side, 4 * side))
    needed += decoded_bytes(image, MAX_PIXELS)
    afford("cell_mb", needed)
    stack.enter_context(decoding(needed))
    return image


def _plain_colours(image: Image.Image, settings: Opening) -> tuple[Image.Image, str]:
    """The image as RGB or grey, and the conversion ('' for none)."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image, upper_bits(image) if image.info.get(DEEP) else ""
    if image.mode == "1":
        return image.convert("L"), "1 bit"
    if is_wide(image):
        grey, conversion = shades(image, settings.low, settings.high)
        return ImageOps.invert(grey) if image.info.get(NEGATIVE) else grey, conversion
    out = Image.new("RGB", image.size)
    rows = max(1, STRIP // image.width)  # in strips, as a conversion takes several copies
    transparent, shown = False, False
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        plain, alpha = _on_background(strip, settings)
        transparent |= alpha
        shown |= plain.getextrema() != tuple((c, c) for c in settings.background)
        out.paste(plain, (0, top))
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa", "RGB", "L"):
        source = "palette" if image.mode.startswith("P") else "alpha"
        nothing = transparent and not shown
        return out, f"{source}, nothing seen of it on the background" if nothing else source
    return out, image.mode


def _on_background(strip: Image.Image, settings: Opening) -> tuple[Image.Image, bool]:
    """'RGB' over the background, and whether a pixel is transparent."""
    if strip.mode not in ("P", "PA", "LA", "La", "RGBA", "RGBa", "RGB", "L"):
        return strip.convert("RGB"), False
    rgba = strip.convert("RGBA")
    background = Image.new("RGBA", rgba.size, (*settings.background, 255))
    plain = Image.alpha_composite(background, rgba).convert("RGB")
    return plain, int(np.asarray(rgba.getchannel("A")).min()) < 255


def squared(
    image: Image.Image, size: int, background: tuple[int, ...] = (255, 255, 255)
) -> np.ndarray:
    """uint8 [size, size, 3]: the image padded to a square with the background, then resized (area
    average; bilinear where it is enlarged).
    """
    image = image if image.mode == "RGB" else image.convert("RGB")
    if max(image.size) ** 2 > MAX_PIXELS:  # a long thin image would be a bomb once padded
        image = image.copy()
        image.thumbnail((int(MAX_PIXELS**0.5),) * 2, Image.Resampling.BOX)
    if image.width != image.height:
        whole = Image.new("RGB", (max(image.size),) * 2, background)
        left, top = (round((max(image.size) - side) * 0.5) for side in image.size)
        whole.paste(image, (left, top))
        image = whole
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


def decode_images(cell: Cell, root: Path, settings: Opening, size: int) -> tuple[np.ndarray, str]:
    """uint8 [k, size, size, 3] for the k images of a cell, and the first conversion ('' for none).
    Raises BadCell.
    """
    values = file_values(cell)
    afford("cell_mb", 3 * size * size * len(values))
    pixels = np.empty((len(values), size, size, 3), np.uint8)
    conversions = []
    for k, value in enumerate(values):  # one at a time, so that one is in memory
        with decoded(value, root, settings, size) as (image, conversion):
            pixels[k] = squared(image, size, settings.background)
        conversions.append(conversion)
    return pixels, next((c for c in conversions if c), "")


class Squares:
    """`key` and `decode` of encoders that get each image as a square of `side` pixels."""

    opening: Opening
    side: int

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """uint8 [k, side, side, 3] for the k images of the cell, and the conversion. Raises
        BadCell.
        """
        return decode_images(cell, root, self.opening, self.side)


def image_query(text: str, field: Field) -> Cell:
    """A path given as a query, as a cell of the field. Raises GobelinError."""
    path = Path(text)
    try:
        data = file_bytes(path)
        open_image(data, path.parent, Opening())
    except BadCell as error:
        raise GobelinError(f"--image {text}: {error}. Give the path of an image.") from error
    return {field.columns[0]: data}
