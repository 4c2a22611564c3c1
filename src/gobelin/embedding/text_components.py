"""The spelling of training texts, as the encoders `characters` and `words` start from it."""

from __future__ import annotations

import numpy as np

from gobelin.data.files import BadCell
from gobelin.data.texts import text_values
from gobelin.embedding.encoders import TrainingCells
from gobelin.networks.ngrams import components


def components_of(
    cells: TrainingCells, hashes: int, width: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """`components` of the texts of these cells. A cell over the budget is set aside later, with the
    reason."""
    texts, groups = [], []
    for cell, group in cells.present():
        try:
            texts.append(" ".join(text_values(cell)))
        except BadCell:
            continue
        groups.append(group)
    return components(texts, np.array(groups, np.int64), cells.least_groups, hashes, width)


def rare_buckets(rare: tuple[int, int]) -> dict[str, tuple[int, int, str]]:
    """As `LeavesOut.rare`."""
    return {"": (*rare, "buckets of n-grams")} if rare[0] else {}
