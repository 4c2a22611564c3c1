"""What a predictor tells of the weights of rows: the mean weight of each class, rounded.

Logits are moved by how much each class weighs. Of a class that one row has, an exact mean is that
row's weight; of two predictors that differ by a row, the difference tells it.

What this cannot show: what the weights of a head have learned of a row's weight.
"""

from __future__ import annotations

import numpy as np

from gobelin.data.coarse import coarse
from gobelin.data.fields import Target

RARE_STEP = 1.0  # of the logarithm of the mean weight of a class that few groups have


def told_weights(
    target: Target, rows: np.ndarray, weights: np.ndarray, group: np.ndarray, least_groups: int
) -> np.ndarray:
    """float64 [n]: the mean weight of each row's class beside that of all rows, its logarithm
    rounded to twice what any group moves it; 1 where all rows weigh alike. 0 of a row without
    weight. The weights themselves where the target has no classes.

    rows: int [n]. weights, group: [n], of these rows."""
    used = weights > 0
    if least_groups == 1 or not target.exclusive or not used.any():
        return weights.astype(np.float64)
    label, of = target.values[rows][used], np.unique(group[used], return_inverse=True)[1]
    shape = (len(target.classes), int(of.max()) + 1)
    counts, sums = np.zeros(shape), np.zeros(shape)  # of the rows of each class and group
    np.add.at(counts, (label, of), 1)
    np.add.at(sums, (label, of), weights[used])
    rare = (counts > 0).sum(1) < least_groups
    usual = ~rare if not rare.all() else np.ones(len(rare), bool)
    mean, moved = _log_means(counts, sums)
    whole, moved_whole = _log_means(*(x[usual].sum(0, keepdims=True) for x in (counts, sums)))
    step = 2 * np.maximum(moved, moved_whole)
    step = np.where(rare, np.maximum(step, RARE_STEP), step)
    out = np.zeros(len(weights))
    out[used] = np.exp(coarse(mean - whole, step))[label]
    return out


def _log_means(counts: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithm of the mean weight of each class [C], 0 of a class without rows, and how far
    one group moves it at most. counts, sums: of rows and weights [C, G]."""

    def logs(count: np.ndarray, total: np.ndarray) -> np.ndarray:
        some = count > 0
        return np.where(some, np.log(np.where(some, total, 1) / np.where(some, count, 1)), 0.0)

    all_counts, all_sums = counts.sum(1, keepdims=True), sums.sum(1, keepdims=True)
    mean = logs(all_counts, all_sums)
    left = all_counts - counts
    without = logs(left, np.maximum(all_sums - sums, 1e-300))
    moved = np.where(left > 0, np.abs(without - mean), 0.0).max(1)
    return mean[:, 0], np.where(moved > 1e-9, moved, 0.0)  # less is rounding
