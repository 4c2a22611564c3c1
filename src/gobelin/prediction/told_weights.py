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
    classes, groups = len(target.classes), int(of.max()) + 1
    pairs, back = np.unique(label * groups + of, return_inverse=True)  # of a class and a group
    counts, sums = np.bincount(back).astype(np.float64), np.bincount(back, weights[used])
    place = pairs // groups
    rare = np.bincount(place, minlength=classes) < least_groups
    usual = ~rare if not rare.all() else np.ones(classes, bool)
    mean, moved = _log_means(counts, sums, place, classes)
    some = usual[label]
    of, back = np.unique(of[some], return_inverse=True)
    counts, sums = np.bincount(back).astype(np.float64), np.bincount(back, weights[used][some])
    whole, moved_whole = _log_means(counts, sums, np.zeros(len(of), np.int64), 1)
    step = 2 * np.maximum(moved, moved_whole)
    step = np.where(rare, np.maximum(step, RARE_STEP), step)
    out = np.zeros(len(weights))
    out[used] = np.exp(coarse(mean - whole, step))[label]
    return out


def _log_means(
    counts: np.ndarray, sums: np.ndarray, place: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The logarithm of the mean weight of each class [C], 0 of a class without rows, and how far
    one group moves it at most. counts, sums: of the rows and weights of a group [P] in the class
    `place` [P]."""

    def logs(count: np.ndarray, total: np.ndarray) -> np.ndarray:
        some = count > 0
        return np.where(some, np.log(np.where(some, total, 1) / np.where(some, count, 1)), 0.0)

    all_counts, all_sums = (np.bincount(place, x, classes) for x in (counts, sums))
    mean, moved = logs(all_counts, all_sums), np.zeros(classes)
    left = all_counts[place] - counts
    without = logs(left, np.maximum(all_sums[place] - sums, 1e-300))
    np.maximum.at(moved, place, np.where(left > 0, np.abs(without - mean[place]), 0.0))
    return mean, np.where(moved > 1e-9, moved, 0.0)  # less is rounding
