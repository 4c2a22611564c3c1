"""A DICOM file as a picture, in the order of the standard (PS3.3 C.11): modality LUT, then the VOI
LUT or window of the file, then the inversion of MONOCHROME1.

Where the file names no window, the values of the modality become shades by the range of training
rows, as those of every image whose pixels are no bytes.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from PIL import Image

from gobelin.data.budget import decoding
from gobelin.data.dicom.files import (
    frames_of,
    modality_pixels,
    needed_bytes,
    number,
    padding,
    pydicom,
    quiet,
    read,
    rescaled,
    stored,
    value,
)
from gobelin.data.files import BadCell, afford
from gobelin.data.values.narrow import float32

TAGS = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames")
HUGE = 1e30  # a value outside every window


@quiet()
def picture(
    data: bytes, window: bool, max_pixels: int, stack: ExitStack
) -> tuple[Image.Image, bool, str]:
    """The first frame: RGB or grey ('L'), or 'F' where its range is still to be chosen; whether
    black and white are still to be swapped; and what was done. Raises BadCell.

    window: whether the user chose one, which then counts in place of that of the file. The memory
    that it takes is reserved in `stack`.
    """
    head = read(data, TAGS)
    needed = len(data) + needed_bytes(head)
    rows, columns = (int(number(head, name) or 0) for name in ("Rows", "Columns"))
    if rows * columns > max_pixels:
        raise BadCell(
            f"is too large ({columns} x {rows} pixels; opening.max_pixels allows {max_pixels})"
        )
    afford("cell_mb", needed)
    stack.enter_context(decoding(needed))
    found = read(data)
    frames = frames_of(found)
    note = f"DICOM, the first of {frames} frames" if frames > 1 else "DICOM"
    raw = stored(found)[:1]
    inverted = value(found, "PhotometricInterpretation") == "MONOCHROME1"
    if raw.shape[3] > 1:
        pixels = modality_pixels(found)
        colours = np.clip(np.rint(pixels.values[0]), 0, 255).astype(np.uint8)
        return Image.fromarray(colours[..., :3]), False, ", ".join((note, *pixels.notes))
    if not window and (grey := shades(raw[0, ..., 0], found)) is not None:
        return Image.fromarray(255 - grey if inverted else grey), False, note
    values = float32(rescaled(raw, found))
    values[padding(raw, found) & np.ones(raw.shape, bool)] = np.nan
    return Image.fromarray(values[0, ..., 0]), inverted, note


def shades(raw: np.ndarray, data: Any) -> np.ndarray | None:  # noqa: ANN401 - of pydicom
    """uint8 [H, W] before the inversion of MONOCHROME1, by the file's own VOI LUT or window; None
    where it has none and its values are no bytes. raw: stored values [H, W]. Raises BadCell.
    """
    values = rescaled(raw[None, ..., None], data)[0, ..., 0]
    window = value(data, "WindowWidth") is not None and value(data, "WindowCenter") is not None
    if not window and not value(data, "VOILUTSequence"):
        plain = values.dtype == np.uint8 and (number(data, "BitsStored") or 8) == 8
        return values if plain else None
    try:
        shown, low, high = voi(values, data)
    except Exception as error:  # of pydicom, for a window that can't be
        raise BadCell(f"has a damaged window or VOI LUT ({type(error).__name__})") from error
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.rint(np.clip((shown - low) * scale, 0, 255)).astype(np.uint8)


def voi(values: np.ndarray, data: Any) -> tuple[np.ndarray, float, float]:  # noqa: ANN401
    """The values after the VOI LUT or window, and the ends of their range."""
    processing = pydicom().pixels
    if table := value(data, "VOILUTSequence"):
        return (
            looked_up(values, table[0], data),
            0.0,
            float(2 ** int(table[0].LUTDescriptor[2]) - 1),
        )
    with np.errstate(over="ignore"):
        low, high = processing.apply_windowing(np.array([-HUGE, HUGE]), data)
        return processing.apply_windowing(values, data), float(low), float(high)


def looked_up(values: np.ndarray, item: Any, data: Any) -> np.ndarray:  # noqa: ANN401
    """float64, as `values`: each by the table of an item of a VOI LUT sequence (PS3.3 C.11.2.1.1).
    pydicom 3.0 takes the wrong entries of a table of bytes with over 256 of them.
    """
    count, first = int(item.LUTDescriptor[0]) or 2**16, int(item.LUTDescriptor[1])
    entries = item.LUTData
    if isinstance(entries, bytes):
        order = "<" if data.original_encoding[1] else ">"
        kind = "u1" if len(entries) < 2 * count else f"{order}u2"
        entries = np.frombuffer(entries, kind)
    table = np.asarray(entries, np.float64)[:count]
    return table[np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)]
