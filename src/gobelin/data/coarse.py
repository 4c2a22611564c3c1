"""Means and scales that are rounded so that they tell of no single row.

A saved run holds means. Of two exact means over n and n + 1 groups, the difference times n is the
row of the group that came. So a mean is rounded to a step that no single group can move it by.
Steps are powers of two, and scales are powers of the root of two. An exact step would tell an exact
standard deviation, and the difference of two exact ones tells a row, too. Every group counts once,
however many rows it has.

Of counts, many stand side by side (of each n-gram one), and all those of a group would fall by one
when it leaves. So whether a count is rounded up or down is drawn (stochastic rounding, Forsythe
1950), from a hash of the data: other data draw anew, and what one group moves is lost among it.

What this cannot show: that nothing follows from many roundings together. This is weaker than
differential privacy.
"""

from __future__ import annotations

import math

import numpy as np

from gobelin.core.machine import numpy_generator

LEAST_GROUPS = 5  # groups of training rows that have a value before it is kept, by default
SMALLEST = 1e-300  # of a positive scale; zero stays zero


def coarseness(groups: int, least_groups: int) -> float:
    """The step to which a mean over so many groups is rounded, in standard deviations; 0 where
    single rows may be told (least_groups = 1).

    One group that lies a standard deviation away moves a mean by 1 / groups of it. The step is 2
    `least_groups` times as much, at most half a standard deviation."""
    return 0.0 if least_groups == 1 else min(2 * least_groups / max(groups, 1), 0.5)


def coarse(values: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """The values, rounded to multiples of the power of two that is nearest to `step`; those with a
    step of 0 stay. A zero has no sign, which would tell on which side it lay. values and step
    broadcast."""
    power = np.exp2(np.round(np.log2(np.maximum(step, SMALLEST))))
    return np.where(np.asarray(step) > SMALLEST, np.round(values / power) * power + 0.0, values)


def coarse_scale(values: np.ndarray | float) -> np.ndarray:
    """Positive values, rounded to powers of the root of two; 0 stays."""
    logs = np.log2(np.maximum(values, SMALLEST))
    return np.where(np.asarray(values) > SMALLEST, np.exp2(np.round(2 * logs) / 2), values)


def coarse_counts(counts: np.ndarray, least_groups: int, data: str) -> np.ndarray:
    """Counts of groups [n], each drawn to be the next `least_groups` times a power of two below it
    or above it, so that the logarithm is right on average; counts under `least_groups` become it.
    data: a hash of what was counted. As they are where single rows may be told."""
    if least_groups == 1:
        return np.asarray(counts, np.float64)
    power = np.log2(np.maximum(counts, least_groups) / least_groups)
    drawn = numpy_generator(0, "counts", data).uniform(-0.5, 0.5, power.shape)
    return least_groups * np.exp2(np.maximum(np.round(power + drawn), 0))


def coarse_mean(x: np.ndarray, group: np.ndarray, least_groups: int) -> np.ndarray:
    """float64 [D]: the mean of the groups' means of x [n, D], each column rounded. group: int
    [n]."""
    means = group_means(x, group)
    step = coarseness(len(means), least_groups) * means.std(0)
    return coarse(means.mean(0), step)


def rows_of_groups(group: np.ndarray, least_groups: int) -> int:
    """So many rows are never those of fewer than `least_groups` groups: one more than the largest
    `least_groups` - 1 groups have together. group: int [n]."""
    sizes = np.sort(np.unique(group, return_counts=True)[1])[::-1]
    return 1 + int(sizes[: least_groups - 1].sum())


def coarse_up(values: np.ndarray) -> np.ndarray:
    """Numbers of 0 or more, each rounded up to four binary digits, so by an eighth at most; inf
    stays. For a quantile that is one row's: what it bounds stays bounded."""
    fraction, power = np.frexp(np.asarray(values, np.float64))
    return np.ldexp(np.ceil(fraction * 16) / 16, power)


def coarse_down(values: np.ndarray) -> np.ndarray:
    """The same, rounded down."""
    fraction, power = np.frexp(np.asarray(values, np.float64))
    return np.ldexp(np.floor(fraction * 16) / 16, power)


def group_means(x: np.ndarray, group: np.ndarray) -> np.ndarray:
    """float64 [G, D]: the mean of each group's rows of x [n, D]. group: int [n]."""
    order = np.argsort(group, kind="stable")
    _, start, size = np.unique(group[order], return_index=True, return_counts=True)
    sums: np.ndarray = np.add.reduceat(np.asarray(x, np.float64)[order], start, axis=0)
    return sums / size[:, None]


def middle_of(x: np.ndarray, group: np.ndarray, least_groups: int) -> float:
    """The mean of the groups' means of x [n] (group: int [n]), rounded so that no single group
    moves it by more than half a step. Of many groups, the `least_groups` - 1 lowest and highest
    count as the next one inside (a winsorised mean): a rounded mean would still tell how large one
    very large value is."""
    if x.min() == x.max():
        return float(x[0])  # a value that all groups share is no one's
    unit = 2.0 ** math.floor(math.log2(np.abs(x).max()))  # so that nothing overflows
    means = _means(x / unit, group)
    gap, most = 0.0, least_groups - 1  # gap: by which the ends move when one group leaves
    if most and len(means) > 2 * least_groups:
        low, high = means[most], means[-1 - most]
        gap = most * float(max(means[most + 1] - low, high - means[-2 - most]))
        means = np.clip(means, low, high)
    middle = math.fsum(means) / len(means)  # an exact sum doesn't depend on the order of groups
    if most:
        spread, reach = float(np.std(means)), float(means[-1] - means[0])
        step = max(2 * least_groups * spread, 2 * (reach + gap)) / len(means)
        middle = float(coarse(np.array(middle), step))
    return middle * unit


def spread_of(x: np.ndarray, group: np.ndarray, middle: float, least_groups: int) -> float:
    """The root of the mean over the groups of their mean squared distance from `middle`, rounded; 0
    where fewer than `least_groups` groups have another value. The `least_groups` - 1 farthest count
    as the next one. x: [n]. group: int [n]."""
    if len(np.unique(group[x != middle])) < least_groups:
        return 0.0
    far = np.abs(x - middle)
    order, most = np.argsort(far, kind="stable"), float(far.max())  # sums don't depend on rows
    squares = _means((far[order] / most) ** 2, group[order])  # of shares, as squares may overflow
    squares = np.minimum(squares, squares[-least_groups])
    spread = math.sqrt(math.fsum(squares) / len(squares)) * most
    return spread if least_groups == 1 else float(coarse_scale(spread))


def _means(x: np.ndarray, group: np.ndarray) -> np.ndarray:
    """float64 [G]: the mean of each group, in rising order."""
    of = np.unique(group, return_inverse=True)[1]
    return np.sort(np.bincount(of, x) / np.bincount(of))
