"""Cuts of trees that tell no value of few groups.

Halfway between the values of two rows, a cut would tell one of them to who knows the other. So it
is the number of fewest binary digits that divides the rows. Where two values are nearly equal, as
those of one patient's many rows are, that number is nearly both. So a cut is no finer than the
power of two below an eighth of the stretch in which enough groups have values. It may then divide a
few rows otherwise than the tree that was grown.

What this cannot show: that nothing follows from many cuts together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gobelin.prediction.heads.trees import Trees

DIGITS = 56  # binary ones that a float64 may need
PARTS = 8.0  # of a stretch with enough groups: a cut is no finer, but for the power of two below


def short_cuts(trees: Trees, x: np.ndarray, group: np.ndarray, least_groups: int) -> Trees:
    """The same trees with each cut at the number of fewest binary digits that divides the rows of
    x [n, K] as before, or near it where that tells of fewer than `least_groups` groups. group: int
    [n]."""
    threshold = trees.threshold.copy()
    for k in np.unique(trees.feature[trees.feature >= 0]):
        known = np.flatnonzero(~np.isnan(x[:, k]))
        known = known[np.argsort(x[known, k], kind="stable")]
        values, of = x[known, k].astype(np.float64), group[known]
        cuts = np.flatnonzero(trees.feature == k)
        grown, back = np.unique(threshold[cuts], return_inverse=True)
        above = np.searchsorted(values, grown, "right")
        inside = (above > 0) & (above < len(values))
        finest = _finest(values, of, above[inside], least_groups)
        grown[inside] = _shortest(values[above[inside] - 1], values[above[inside]], finest)
        threshold[cuts] = grown[back]
    return replace(trees, threshold=threshold)


def _finest(values: np.ndarray, group: np.ndarray, above: np.ndarray, least: int) -> np.ndarray:
    """The finest step of each cut: a power of two, or 0 where single rows may be told. values: [n],
    rising. group: int [n]. above: int [k], the place of the first value above a cut."""
    if least == 1:
        return np.zeros(len(above))
    n, stretch = len(values), np.zeros(len(above))
    wanted, reach = np.arange(len(above)), (least + 1) // 2
    while len(wanted):
        start, end = np.maximum(above - reach, 0), np.minimum(above + reach, n)
        stretch[wanted] = values[end[wanted] - 1] - values[start[wanted]]
        few = [len(np.unique(group[start[k] : end[k]])) < least for k in wanted]
        wanted, reach = wanted[few] if reach < n else wanted[:0], 2 * reach
    return np.exp2(np.floor(np.log2(stretch / PARTS)))


def _shortest(low: np.ndarray, high: np.ndarray, finest: np.ndarray) -> np.ndarray:
    """The multiple of the largest power of two that has one between low and high, low < high; of
    `finest` the nearest to both where only a finer one has, and low itself where no float lies
    between."""
    step = np.exp2(np.ceil(np.log2(np.maximum(abs(low), abs(high)))))
    safe = np.where(finest > 0, finest, 1.0)
    out = np.where(finest > 0, np.round((low / 2 + high / 2) / safe) * safe, low)
    wanted = np.ones(len(low), bool)
    for _ in range(DIGITS):
        tried = (np.floor(low / step) + 1) * step
        found = wanted & (low < tried) & (tried < high) & (step >= finest)
        out[found], wanted = tried[found], wanted & ~found
        step /= 2
    return out
