"""The spelling of training texts, as the encoders `characters` and `words` start from it."""

from __future__ import annotations

import numpy as np

from gobelin.data.files import BadCell
from gobelin.data.texts import joined
from gobelin.embedding.encoders import TrainingCells
from gobelin.networks.text.ngrams import components


def components_of(
    cells: TrainingCells, hashes: int, width: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """`components` of the texts of these cells."""
    texts, groups = texts_of(cells)
    return components(texts, groups, cells.least_groups, hashes, width)


def texts_of(cells: TrainingCells) -> tuple[list[str], np.ndarray]:
    """The text of every present cell, and the number of its group, int64 [n]. A cell over the
    budget is set aside later, with the reason."""
    texts, groups = [], []
    for cell, group in cells.present():
        try:
            texts.append(joined(cell))
        except BadCell:
            continue
        groups.append(group)
    return texts, np.array(groups, np.int64)


def rare_buckets(rare: tuple[int, int]) -> dict[str, tuple[int, int, str]]:
    """As `LeavesOut.rare`."""
    return {"": (*rare, "buckets of n-grams")} if rare[0] else {}
