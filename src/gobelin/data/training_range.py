"""The range of the pixels or voxels of training rows, kept with an encoder and used for all later
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from gobelin.data.dicom.files import is_dicom
from gobelin.data.fields import Cell
from gobelin.data.files import HEAD, BadCell, cell_bytes, spread
from gobelin.data.image.headers import opened
from gobelin.data.image.images import Opening, upright
from gobelin.data.image.pixel_range import is_wide, span
from gobelin.data.image.pixel_range import samples as pixel_samples
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import BYTE, VolumeOpening, samples

MEASURED_CELLS = 40  # training cells whose extent is looked at, at most
RANGE_CELLS = 200  # training cells whose pixels set the range, at most
OpeningT = TypeVar("OpeningT", bound=Opening | VolumeOpening)
SHARES = np.linspace(0, 1, 2001)  # quantiles that stand for the pixels of a group
DIGITS = 3  # of the ends of the range that are kept


def with_range(
    opening: OpeningT, cells: Iterable[tuple[Cell, int]], least_groups: int, root: Path
) -> OpeningT:
    """The settings with the range of the training images or volumes, where the user gave none and
    their pixels or voxels are no bytes.

    cells: each with the number of its group. least_groups: fewer groups with such files set no
    range.
    """
    if opening.low is not None and opening.high is not None:
        return opening

    def wide(value: str | bytes) -> np.ndarray:
        if isinstance(opening, VolumeOpening):
            return _voxels(value, root, opening)
        return _wide(value, root, opening)

    chosen = list(cells)
    pixels: dict[int, list[np.ndarray]] = {}
    for cell, group in chosen[:: -(-len(chosen) // RANGE_CELLS) or 1]:
        if found := [x for value in spread(cell.values()) if (x := wide(value)).size]:
            pixels.setdefault(group, []).extend(found)
    if len(pixels) < least_groups:
        return opening
    low, high = _span_of_groups([np.concatenate(x) for x in pixels.values()], least_groups)
    low = rounded(low) if opening.low is None else opening.low
    high = rounded(high) if opening.high is None else opening.high
    return replace(opening, low=low, high=high) if low < high else opening


def _span_of_groups(pixels: Sequence[np.ndarray], least_groups: int) -> tuple[float, float]:
    """The range of the pixels of groups, each [n]: the middle 99.8 % of them, each group counted
    once, and no further than `least_groups` groups reach, by the mean of the ends of as many.

    So neither end is one group's value, however many pixels it has and however bright they are.
    """
    if least_groups == 1:
        return span(np.concatenate(pixels))
    low, high = span(np.concatenate([np.quantile(x, SHARES) for x in pixels]))
    lows, highs = np.sort([span(x) for x in pixels], axis=0).T
    first = min(least_groups - 1, len(pixels) - least_groups)  # so many reach further
    near = slice(first, first + least_groups)
    return max(low, float(lows[near].mean())), min(high, float(highs[::-1][near].mean()))


def _wide(value: str | bytes, root: Path, opening: Opening) -> np.ndarray:
    """Some pixels of an image whose pixels are no bytes; none of another one, or a bad one."""
    try:
        data = cell_bytes(value, root)
        if not is_dicom(data[:HEAD]) and not is_wide(opened(data)):
            return np.zeros(0)
        with upright(data, opening) as image:
            return pixel_samples(image) if is_wide(image) else np.zeros(0)
    except Exception:  # a bad cell; it is set aside later, with its reason
        return np.zeros(0)


def _voxels(value: str | bytes, root: Path, opening: VolumeOpening) -> np.ndarray:
    """Some voxels of a volume whose values are no bytes; none of another one, or a bad one."""
    try:
        volume, _ = open_volume(value, root, opening)
    except BadCell:  # it is set aside later, with its reason
        return np.zeros(0)
    return np.zeros(0) if volume.unit == BYTE else samples(volume)


def rounded(value: float) -> float:
    """The number with few digits, so that it tells of no single pixel."""
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short


def lengths(cells: Sequence[Cell], longest: Callable[[Cell], float]) -> list[float]:
    """The longest side of what some cells hold, spread over all of them. longest: opens a cell; one
    that raises BadCell is left out, as it is set aside elsewhere, with its reason."""
    found = []
    for cell in cells[:: -(-len(cells) // MEASURED_CELLS) or 1]:
        with suppress(BadCell):
            found.append(longest(cell))
    return found
