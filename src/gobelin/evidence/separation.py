"""Are the scores of one kind of rows higher than those of another? Rows come in units, such as the
images of a patient; units are independent, rows of one unit are not.

What this cannot show: why scores differ. If the two kinds of units were not drawn at random from
one population, they may differ for any reason.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gobelin.core.lazy import special
from gobelin.evidence.intervals import Interval, exact
from gobelin.evidence.variance import Floats

Units = NDArray[np.int64]
BLOCK = 1_000_000  # numbers of permutations that are drawn at once


def area_under_curve(
    high: ArrayLike, low: ArrayLike, high_units: Units, low_units: Units, level: float = 0.95
) -> Interval:
    """How often a row of the first kind has the higher score; ties count one half.

    high [n], low [m]: scores; high_units [n], low_units [m]. The variance is that of clustered
    placements (Obuchowski 1997, equations 4 and 5; without clusters DeLong, DeLong &
    Clarke-Pearson 1988), with no unit in both kinds. The interval is t on the logit scale, with one
    degree of freedom less than the smaller number of units. Where the placements do not vary (a
    perfect score), it is the exact interval of the area at the smaller number of units.

    What this cannot show: whether a few rows stand out. Their share at few false alarms does.
    """
    one, other = (np.asarray(values, np.float64) for values in (high, low))
    area = placements(one, other)
    value = float(area.mean())
    counts = [len(np.unique(units)) for units in (high_units, low_units)]
    variance = _variance(area, high_units, value) + _variance(
        1 - placements(other, one), low_units, value
    )
    few, n, method = min(counts), sum(counts), "Obuchowski 1997 on the logit scale"
    if few < 2 or variance < 1e-12 or not 0 < value < 1:
        bounds = exact(value * few, few, level)
        return Interval(value, bounds.low, bounds.high, level, bounds.method, n)
    centre = math.log(value / (1 - value))
    half = math.sqrt(variance) / (value * (1 - value))
    half *= float(special.stdtrit(few - 1, 0.5 + level / 2))
    below, above = (float(special.expit(centre + side * half)) for side in (-1, 1))
    return Interval(value, below, above, level, method, n)


def placements(scores: Floats, others: Floats) -> Floats:
    """[n]: the share of the other scores [m] that lies below each score; ties count one half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return below / (2 * len(ordered))


def exponential_scores(values: ArrayLike) -> Floats:
    """[N] -> [N], mean 1: the expected sizes of N ordered exponential numbers, by rank (Savage
    1956). The highest values weigh most, so that a few rows far up are seen. Ties share the mean of
    their scores.
    """
    data = np.asarray(values, np.float64)
    n = len(data)
    order = np.cumsum(1 / np.arange(n, 0, -1))  # of the lowest, the second lowest ...
    _, rank, counts = np.unique(data, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    sums = np.concatenate([[0.0], np.cumsum(order)])
    return ((sums[ends] - sums[ends - counts]) / counts)[rank]


def permuted(high: Floats, low: Floats, draws: int, rng: np.random.Generator) -> float:
    """One-sided p value of 'these units could be exchanged'.

    high [K, a], low [K, b]: K numbers of every unit, higher for the first kind where it differs.
    Each of the K rows is brought to mean 0 and spread 1 over all units. The largest of the K means
    of the first kind is compared with that of `draws` random exchanges (max-T, Westfall & Young
    1993; with the observed exchange, Phipson & Smyth 2010). So K questions cost no false alarm
    more than one.

    What this cannot show: anything without exchangeable units; see above.
    """
    both, a = np.concatenate([high, low], axis=1), high.shape[1]
    both = both - both.mean(1, keepdims=True)
    both /= np.maximum(both.std(1, keepdims=True), 1e-12)
    n, observed = both.shape[1], both[:, :a].mean(1).max()
    if a in (0, n):
        return 1.0
    reached, step = 0, max(1, BLOCK // n)
    for start in range(0, draws, step):
        keys = rng.random((min(step, draws - start), n))
        chosen = np.argpartition(keys, a - 1, axis=1)[:, :a]
        largest = both[:, chosen].mean(2).max(0)
        reached += int((largest >= observed - 1e-9).sum())
    return (reached + 1) / (draws + 1)


def unit_means(values: Floats, units: Units) -> Floats:
    """[N] and [N] -> [U]: the mean of every unit, in the order of their numbers."""
    place = np.unique(units, return_inverse=True)[1]
    return np.bincount(place, values) / np.bincount(place)


def _variance(area: Floats, units: Units, value: float) -> float:
    """The part of one kind of rows: their placements [n], units [n]; value: the area."""
    place = np.unique(units, return_inverse=True)[1]
    sums = np.bincount(place, area - value)
    if len(sums) < 2:
        return 0.0
    return float(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(area) ** 2
