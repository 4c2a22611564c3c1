"""The range of pixels that are no bytes: 12 and 16 bits, signed and large whole numbers, floats.

Nothing in such a file says which value is black and which is white. The range is the middle 99.8 %
of the pixels, so that no single one sets it: those of training images (`data.training_range`), or
of an image alone.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SAMPLED = 64  # pixels a side of an image that tell its range
OUTSIDE = 0.001  # share of the pixels that may lie below the range, and above it
BEYOND = "outside the range"  # of training rows; begins the note of such an image
ROWS = 2**18  # pixels that are converted at once


def is_wide(image: Image.Image) -> bool:
    """Whether the pixels are no bytes, but 16 or 32 bits or floats."""
    return image.mode.startswith("I") or image.mode == "F"


def has_deep_colours(image: Image.Image) -> bool:
    """Whether an image that is opened and not yet read has 16 bits a colour. Pillow keeps 8."""
    tiles = getattr(image, "tile", ())  # of an image from a file
    return not is_wide(image) and any(";16" in str(tile[3]) for tile in tiles)


def upper_bits(image: Image.Image) -> str:
    """A note on an image whose colours had 16 bits, of which the upper 8 were kept."""
    ends = np.asarray(image.getextrema()).ravel()
    dark = ", and less than half of the range is used" if ends.max() < 128 else ""
    return f"16 bits a colour, of which 8 are kept{dark}"


def samples(image: Image.Image) -> np.ndarray:
    """float64 [n]: finite pixels of a wide image, evenly chosen, SAMPLED a side at most."""
    size = min(image.width, SAMPLED), min(image.height, SAMPLED)
    values = np.asarray(image.resize(size, Image.Resampling.NEAREST), np.float64).ravel()
    return values[np.isfinite(values)]


def span(values: np.ndarray) -> tuple[float, float]:
    """The quantiles below and above which a thousandth of the values lie; the least and the largest
    value where these are equal. values: [n], n > 0.
    """
    low, high = map(float, np.quantile(values, (OUTSIDE, 1 - OUTSIDE)))
    return (low, high) if low < high else (float(values.min()), float(values.max()))


def shades(image: Image.Image, low: float | None, high: float | None) -> tuple[Image.Image, str]:
    """'L' of a wide image by this range, and what was done. Its own range is used where an end is
    not given, and where unequal pixels would all have one shade.
    """
    name = {"F": "floats", "I": "whole numbers"}.get(image.mode, "16 bits")
    why = ""
    if low is not None and high is not None:
        out, why = _stretched(image, low, high), f"{BEYOND} {low:g} to {high:g}: "
        least, most = out.getextrema()
        if least != most:
            return out, f"{name}, range {low:g} to {high:g}"
    own_low, own_high = _own_span(image)
    if own_low == own_high:
        equal = out if why else _stretched(image, own_low - 1, own_high + 1)
        return equal, f"{name}, all pixels equal"
    return _stretched(image, own_low, own_high), f"{name}, {why}range of the image itself"


def _own_span(image: Image.Image) -> tuple[float, float]:
    """The range of an image alone."""
    found = samples(image)
    low, high = span(found) if found.size else (0.0, 0.0)
    if low < high:
        return low, high
    whole = np.asarray(image).ravel()  # few pixels may differ, or none
    whole = whole[np.isfinite(whole)]
    return (float(whole.min()), float(whole.max())) if whole.size else (0.0, 0.0)


def _stretched(image: Image.Image, low: float, high: float) -> Image.Image:
    """'L' of a wide image: `low` is black, and so is what is no number; `high` is white."""
    out = Image.new("L", image.size)
    rows = max(1, ROWS // image.width)
    for top in range(0, image.height, rows):  # in strips, as a conversion takes several copies
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        values = (np.asarray(strip, np.float64) - low) * (255.0 / (high - low))
        values = np.clip(np.nan_to_num(values, nan=0.0), 0, 255).astype(np.uint8)
        out.paste(Image.fromarray(values, "L"), (0, top))
    return out
