"""The mean of values that follow each other in time, with an interval that allows for their
dependence: the stationary bootstrap of Politis & Romano (1994).

What this cannot show: anything about a time unlike the one that was seen. With fewer than about 30
values the interval is too short.
"""

from __future__ import annotations

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.evidence.intervals import Interval

DRAWS = 2000
LEAST_VALUES = 10
METHOD = "stationary bootstrap (Politis & Romano 1994), mean block of {} values"


def block_length(n: int) -> int:
    """The mean length of a block where none is named: the cube root of n, the rate of the best one
    (Hall, Horowitz & Jing 1995)."""
    return max(1, round(n ** (1 / 3)))


def stationary_draws(n: int, block: float, draws: int, seed: int) -> np.ndarray:
    """int64 [draws, n]: places in 0 .. n - 1. Blocks start anywhere, go around the end, and their
    length is geometric with this mean (Politis & Romano 1994, section 2)."""
    rng = numpy_generator(seed, "stationary bootstrap")
    fresh = rng.random((draws, n)) < 1 / block
    fresh[:, 0] = True
    starts = rng.integers(0, n, (draws, n))
    # the place at which each value's block began
    began = np.maximum.accumulate(np.where(fresh, np.arange(n), 0), axis=1)
    places = np.take_along_axis(starts, began, 1) + np.arange(n) - began
    return np.asarray(places % n)


def mean_over_time(values: np.ndarray, block: int = 0, seed: int = 0) -> Interval:
    """The mean of values [n] in the order of time, with a 95 % interval. block: mean length of a
    block, 0 for `block_length`. Under ten values there is no interval."""
    n = len(values)
    value = float(values.mean()) if n else float("nan")
    block = block or block_length(n)
    if n < LEAST_VALUES:
        return Interval(value, float("nan"), float("nan"), 0.95, f"none, n = {n}", n)
    means = values[stationary_draws(n, block, DRAWS, seed)].mean(1)
    # as Student's t widens a normal interval of n values
    from scipy.stats import norm, t

    spread = float(t.ppf(0.975, max(n / block - 1, 1)) / norm.ppf(0.975))
    low, high = (value + spread * (float(q) - value) for q in np.quantile(means, [0.025, 0.975]))
    return Interval(value, low, high, 0.95, METHOD.format(block), n)
