"""Folds in the order of time: every row is scored by a predictor that learned from earlier rows.

The rows are cut into blocks that follow each other in time. A block is scored by a predictor of the
blocks before it, less those rows whose answer overlaps its time (`data.split.purging`). The first
block is only learned from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.split.purging import TimeOrder

NOT_SCORED = -1  # fold of the rows of the first block


def time_folds(
    order: TimeOrder, rows: np.ndarray, groups: Sequence[str], folds: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """int [n], the fold of each of these rows, and for each fold the rows to learn from, bool [n].

    A group is in one block, and so are rows of one time. rows: int [n]. groups: N names. Raises
    GobelinError where nothing is left to learn from.
    """
    times = order.times[rows]
    if not np.isfinite(times).all():
        raise GobelinError(
            f"fit: {int((~np.isfinite(times)).sum())} labelled training rows have no time, and the"
            " split is by time. Fill it in, or leave the rows out."
        )
    last: dict[str, float] = {}
    for row, time in zip(rows.tolist(), times.tolist(), strict=True):
        last[groups[row]] = max(time, last.get(groups[row], time))
    latest = np.array([last[groups[row]] for row in rows.tolist()])
    moments, place, counts = np.unique(latest, return_inverse=True, return_counts=True)
    blocks = min(folds + 1, len(moments))
    middle = (counts.cumsum() - counts / 2) / len(rows)  # of each moment, as a share of the rows
    block = np.minimum((middle * blocks).astype(int), blocks - 1)[place]
    fold = np.full(len(rows), NOT_SCORED)
    subsets: list[np.ndarray] = []
    for number in np.unique(block)[1:]:
        held = block == number
        start = times[held].min()
        learned = (block < number) & (times <= start - order.gap)
        if learned.any():
            fold[held] = len(subsets)
            subsets.append(learned)
    if not subsets:
        raise GobelinError(
            f"fit: of {len(rows)} training rows none lies {order.gap:g} before the others, so none"
            " can be scored by earlier ones. Lower split.purge and split.embargo, or add rows."
        )
    return fold, subsets
