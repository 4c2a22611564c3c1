"""The window of training volumes, kept with an encoder and used for all later rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gobelin.data.fields import Cell
from gobelin.data.files import BadCell, spread
from gobelin.data.image_range import span
from gobelin.data.training_range import rounded
from gobelin.data.volume import BYTE, VolumeOpening, samples
from gobelin.data.volume_files import open_volume

RANGE_CELLS = 20  # training cells whose voxels set the window, at most


def with_window(
    opening: VolumeOpening, cells: Iterable[tuple[Cell, int]], least_groups: int, root: Path
) -> VolumeOpening:
    """The settings with the window of the training volumes, where the user gave none and their
    voxels are no bytes: the middle 99.8 % of some of their voxels.

    cells: each with the number of its group. least_groups: fewer groups with such volumes set no
    window.
    """
    if opening.low is not None and opening.high is not None:
        return opening
    chosen = list(cells)
    voxels: list[np.ndarray] = []
    groups: set[int] = set()
    for cell, group in chosen[:: -(-len(chosen) // RANGE_CELLS) or 1]:
        found = [x for value in spread(cell.values()) if (x := _voxels(value, root, opening)).size]
        voxels += found
        groups |= {group} if found else set()
    if not voxels or len(groups) < least_groups:
        return opening
    low, high = span(np.concatenate(voxels))
    low = rounded(low) if opening.low is None else opening.low
    high = rounded(high) if opening.high is None else opening.high
    return replace(opening, low=low, high=high) if low < high else opening


def _voxels(value: str | bytes, root: Path, opening: VolumeOpening) -> np.ndarray:
    """Some voxels of a volume that holds no bytes; none of another one, or a bad one."""
    try:
        volume, _ = open_volume(value, root, opening)
    except BadCell:  # it is set aside later, with its reason
        return np.zeros(0)
    return np.zeros(0) if volume.unit == BYTE else samples(volume)
