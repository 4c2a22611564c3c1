"""Quantiles of numbers that tell of no single row: means of parts of the sorted values.

In each part stand enough groups, in the first and the last too (microaggregation, Domingo-Ferrer &
Mateo-Sanz 2002). Parts share no value, so no two means differ by one.
"""

from __future__ import annotations

import math

import numpy as np


def part_means(x: np.ndarray, group: np.ndarray, most: int, least_groups: int) -> list[float]:
    """The means of parts of equal size of the values x [n], in rising order: `most` parts, or as
    many as leave enough groups in each; none where all are too few. In a mean all groups count
    alike. group: int [n]."""
    order = np.lexsort((group, x))
    x, group = x[order], group[order]
    count = min(most, len(x) // least_groups)
    while count and min(len(np.unique(g)) for g in _parts(group, count)) < least_groups:
        count = count * 9 // 10  # a group with many values fills parts alone
    if not count:
        return []
    parts = zip(_parts(x, count), _parts(group, count), strict=True)
    return [_mean_of_groups(*part) for part in parts]


def middle_and_scale(x: np.ndarray, means: list[float]) -> tuple[float, float]:
    """The median and the robust spread (the distance of the quartiles over 1.349), read between
    the `part_means` of x; the standard deviation where the quartiles are equal, 1 where all
    values are."""
    if not means:
        return 0.0, 1.0
    low, middle, high = (float(q) for q in np.quantile(means, [0.25, 0.5, 0.75]))
    peak = float(np.abs(x).max()) or 1.0  # squares of large numbers overflow
    return middle, (high - low) / 1.349 or float(np.sort(x / peak).std()) * peak or 1.0


def _parts(x: np.ndarray, count: int) -> list[np.ndarray]:
    """x [n] cut into parts whose sizes differ by one at most, the larger ones spread evenly."""
    return np.split(x, np.arange(1, count) * len(x) // count)


def _mean_of_groups(x: np.ndarray, group: np.ndarray) -> float:
    """The mean of the groups' means. x, group: [n]."""
    of = np.unique(group, return_inverse=True)[1]
    means = np.bincount(of, x) / np.bincount(of)
    # an exact sum doesn't depend on the order of groups; rounding leaves equal values equal
    return float(np.clip(math.fsum(means) / len(means), x[0], x[-1]))
