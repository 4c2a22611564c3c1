"""Quantiles of numbers that tell of no single row: means of parts of the sorted values.

In each part stand enough groups, in the first and the last too (microaggregation, Domingo-Ferrer &
Mateo-Sanz 2002). Parts share no value, and each mean is rounded (`gobelin.data.coarse`): one large
value among small ones would be the mean, up to scale, and the means of two runs would differ by the
row that one of them lacks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gobelin.data.coarse import middle_of, spread_of

SCALE_PARTS = 64  # of the sorted training features, whose means give median and spread
MOST_SPREADS = 5.0  # a feature further than this from its median counts as this


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
    means = [middle_of(*part, least_groups) for part in parts]
    return np.maximum.accumulate(means).tolist()  # each is rounded to a step of its own


def middle_and_scale(
    x: np.ndarray, group: np.ndarray, means: list[float], least_groups: int
) -> tuple[float, float]:
    """The median and the robust spread (the distance of the quartiles over 1.349), read between
    the `part_means` of x [n]; a rounded standard deviation where the quartiles are equal, 1 where
    too few groups have another value. group: int [n]."""
    if not means:
        return 0.0, 1.0
    low, middle, high = (float(q) for q in np.quantile(means, [0.25, 0.5, 0.75]))
    return middle, (high - low) / 1.349 or spread_of(x, group, middle, least_groups) or 1.0


def _parts(x: np.ndarray, count: int) -> list[np.ndarray]:
    """x [n] cut into parts whose sizes differ by one at most, the larger ones spread evenly."""
    return np.split(x, np.arange(1, count) * len(x) // count)


def feature_scales(
    rows: Sequence[np.ndarray], groups: np.ndarray, width: int, least_groups: int
) -> np.ndarray:
    """float64 [2, width]: the median of every number over the rows and its robust spread, read from
    `part_means`; 1 where it never changes, and where too few groups have the column."""
    if not rows:
        return np.stack([np.zeros(width), np.ones(width)])
    found = []
    for x in np.stack(rows).T:
        means = part_means(x, groups, SCALE_PARTS, least_groups)
        middle, scale = middle_and_scale(x, groups, means, least_groups)
        found.append((middle, scale if scale > 1e-9 else 1.0))
    return np.array(found).T


def in_spreads(features: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """float32 [n, D]: features [n, D] less their medians, over their spreads, at most
    `MOST_SPREADS`; 0 where one is nan. scales: [2, D], as `feature_scales` gives them."""
    scaled = np.clip((features - scales[0]) / scales[1], -MOST_SPREADS, MOST_SPREADS)
    return np.nan_to_num(scaled).astype(np.float32)
