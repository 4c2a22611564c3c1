"""The spelling of training texts, as the encoders `characters` and `words` start from it."""

from __future__ import annotations

import numpy as np

from gobelin.data.texts import text_values
from gobelin.embedding.encoders import TrainingCells
from gobelin.networks.ngrams import components


def components_of(
    cells: TrainingCells, hashes: int, width: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """`components` of the texts of these cells."""
    present = list(cells.present())
    texts = [" ".join(text_values(cell)) for cell, _ in present]
    groups = np.array([group for _, group in present], np.int64)
    return components(texts, groups, cells.least_groups, hashes, width)


def rare_buckets(rare: tuple[int, int]) -> dict[str, tuple[int, int, str]]:
    """As `LeavesOut.rare`."""
    return {"": (*rare, "buckets of n-grams")} if rare[0] else {}
