"""Intervals of single scores, Holm's adjustment and a sign-flip test.

The paired comparison of two training sets is in `gobelin.evidence.comparison`, its verdict in
`gobelin.evidence.verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gobelin.core.errors import GobelinError
from gobelin.core.lazy import special
from gobelin.evidence.findings import Finding
from gobelin.evidence.variance import Floats


@dataclass(frozen=True)
class Interval:
    """A score with its confidence interval."""

    value: float
    low: float  # lower end of the interval; nan: there is no interval
    high: float  # upper end
    level: float  # coverage of the interval, in 0..1
    method: str  # how the interval was computed, with its paper
    n: int  # independent units of evidence

    def finding(
        self,
        name: str,
        *,
        scope: Mapping[str, str] | None = None,
        comparator: str = "",
        unit: str = "",
        better: str = "",
        chance: float | None = None,
        floor: float | None = None,
        note: str = "",
        source: str = "",
    ) -> Finding:
        """The score as a finding; see `Finding` for the arguments."""
        return Finding(
            name=name,
            scope=dict(scope or {}),
            comparator=comparator,
            value=self.value,
            low=self.low,
            high=self.high,
            level=self.level,
            method=self.method,
            unit=unit,
            better=better,
            chance=chance,
            floor=floor,
            n=self.n,
            note=note,
            source=source,
        )


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """The interval of a proportion: every p that a normal test against the observed share does not
    reject (Wilson 1927).

    `successes` in 0..n and `n` > 0 may be fractional (an effective number of units). Raises
    ValueError otherwise.

    What this cannot show: anything about rows that were drawn in another way. Several rows of one
    patient do not count as several independent rows.
    """
    _check_count(successes, n)
    z = float(special.ndtri(0.5 + level / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes <= 0 else centre - half
    high = 1.0 if successes >= n else centre + half
    return Interval(share, max(0.0, low), min(1.0, high), level, "Wilson 1927", round(n))


def exact(successes: float, n: float, level: float = 0.95) -> Interval:
    """The exact interval of a proportion: every p for which so few successes, and so many, are both
    no rarer than (1 - level) / 2 (Clopper & Pearson 1934). It never covers less than it says.

    `successes` in 0..n and `n` > 0 may be fractional (an effective number of units). Raises
    ValueError otherwise.

    What this cannot show: see `wilson`.
    """
    _check_count(successes, n)
    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(special.betaincinv(successes, n - successes + 1, tail))
    high = (
        1.0 if successes >= n else float(special.betaincinv(successes + 1, n - successes, 1 - tail))
    )
    return Interval(successes / n, low, high, level, "Clopper & Pearson 1934", round(n))


def proportion(
    hits: ArrayLike,
    units: ArrayLike | None = None,
    level: float = 0.95,
    of: Callable[[float, float, float], Interval] = wilson,
) -> Interval:
    """The share of hits. Rows of one unit are treated as dependent.

    hits [N] in 0..1, units [N]. of: the interval of a share, `wilson` or `exact`. It is computed at
    the effective sample size n* = p (1 - p) / V, with V the variance between units (Korn & Graubard
    1998). If all rows agree, V is 0 and n* is the number of units. Raises GobelinError without
    rows.

    What this cannot show: anything about units unlike these. With fewer than five units it shows
    hardly anything.
    """
    values = _vector(hits)
    groups, sums, sizes = _unit_sums(values, units)
    effective = _effective_size(sums, sizes, level)
    share = of(min(max(values.mean(), 0.0), 1.0) * effective, effective, level)
    at = "" if groups == len(values) else " at Korn & Graubard 1998 effective size"
    method = share.method + at
    return Interval(share.value, share.low, share.high, level, method, groups)


def balanced_accuracy(
    hits: ArrayLike, classes: ArrayLike, units: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """The mean over classes of the share of hits within the class.

    hits [..., N] (averaged over the first axes, e.g. seeds), classes [N], units [N]. Each class has
    its `proportion` interval (l_c, u_c). MOVER joins them: L = p - sqrt(sum w_c^2 (p_c - l_c)^2)
    with w_c = 1/C (Zou & Donner 2008). So the lower bound of a perfect score is below 1.

    What this cannot show: how another training run would score (`comparison.compare` does), and
    classes that are absent.
    """
    values = np.asarray(hits, dtype=np.float64)
    values = values.reshape(-1, values.shape[-1]).mean(0)
    labels = np.asarray(classes)
    present = np.unique(labels)
    groups = None if units is None else np.asarray(units)
    by_class = [
        proportion(values[rows], None if groups is None else groups[rows], level)
        for rows in (np.flatnonzero(labels == label) for label in present)
    ]
    weight = 1 / len(present)
    value = weight * sum(share.value for share in by_class)
    low = value - weight * math.sqrt(sum((share.value - share.low) ** 2 for share in by_class))
    high = value + weight * math.sqrt(sum((share.high - share.value) ** 2 for share in by_class))
    n = len(values) if groups is None else len(np.unique(groups))
    return Interval(
        value, max(0.0, low), min(1.0, high), level, "MOVER (Zou & Donner 2008) over Wilson 1927", n
    )


def mean(values: ArrayLike, units: ArrayLike | None = None, level: float = 0.95) -> Interval:
    """The mean of values [N], with rows of one unit dependent.

    The interval is t with U - 1 degrees of freedom on the linearised sums of the U units:
    V = U/(U-1) sum_u (s_u - m n_u)^2 / N^2 (Cameron & Miller 2015, the sandwich for a mean). With
    one unit there is no interval.

    What this cannot show: a heavy tail that these units happened to miss.
    """
    data = _vector(values)
    groups, sums, sizes = _unit_sums(data, units)
    centre = float(data.mean())
    if groups < 2:
        return Interval(centre, math.nan, math.nan, level, "one unit: no interval", groups)
    variance = groups / (groups - 1) * float(((sums - centre * sizes) ** 2).sum()) / len(data) ** 2
    half = float(special.stdtrit(groups - 1, 0.5 + level / 2)) * math.sqrt(variance)
    return Interval(
        centre, centre - half, centre + half, level, "t over units (Cameron & Miller 2015)", groups
    )


def recall_at(
    ranks: ArrayLike, k: int, units: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """The share of queries whose right answer has rank 1..k. ranks [N], 1 is best.

    What this cannot show: recall in another gallery. Recall falls as the gallery grows.
    """
    return proportion(_vector(ranks) <= k, units, level)


def median_rank(
    ranks: ArrayLike,
    units: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The median of ranks [N].

    Independent rows: an interval by order statistics (Thompson 1936). Rows in units: a percentile
    bootstrap over units with `draws` draws, which is too short under about 20 units.

    What this cannot show: see `recall_at`.
    """
    data = np.sort(_vector(ranks))
    value = float(np.median(data))
    if units is not None and len(np.unique(np.asarray(units))) < len(data):
        low, high = _bootstrap_median(
            _vector(ranks), np.asarray(units), level, draws, np.random.default_rng(seed)
        )
        return Interval(
            value,
            low,
            high,
            level,
            "bootstrap over units (Efron 1979)",
            len(np.unique(np.asarray(units))),
        )
    from scipy import stats

    below = int(stats.binom.ppf((1 - level) / 2, len(data), 0.5))
    below = below - 1 if stats.binom.cdf(below, len(data), 0.5) > (1 - level) / 2 else below
    edge = max(below, 0)
    method = (
        "order statistics (Thompson 1936)" if below >= 0 else "range: too few ranks for the level"
    )
    return Interval(
        value, float(data[edge]), float(data[len(data) - 1 - edge]), level, method, len(data)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values (Holm 1979). Reject those <= alpha; then the chance of any false rejection
    is <= alpha.

    What this cannot show: it adjusts for the tests that it gets, not for tests that were tried and
    left out.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def detectable_effect(standard_error: float, level: float = 0.95, power: float = 0.80) -> float:
    """The smallest true effect that is detected with probability `power`:
    (z_{1-alpha/2} + z_power) se (Lehr 1992 for 5 % and 80 %).

    What this cannot show: whether there is an effect of that size.
    """
    return float(special.ndtri(0.5 + level / 2) + special.ndtri(power)) * standard_error


def sign_flip(differences: ArrayLike, draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p value of 'the differences [U] are symmetric about 0' (Fisher 1935).

    Used as a cross-check only. It tries all 2^U signs if U <= 12, else `draws` random ones and the
    observed ones (Phipson & Smyth 2010).

    What this cannot show: a mean difference, because it tests symmetry. It ignores the variance
    between training seeds and between generator seeds.
    """
    d = _vector(differences)
    observed = abs(d.sum()) * (1 - 1e-12)
    if len(d) <= 12:
        signs = 1 - 2 * ((np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1)
        return float((np.abs(signs @ d) >= observed).mean())
    rng = np.random.default_rng(seed)
    reached = sum(
        int(
            (
                np.abs((2 * rng.integers(0, 2, (min(500, draws - k), len(d))) - 1) @ d) >= observed
            ).sum()
        )
        for k in range(0, draws, 500)
    )
    return (reached + 1) / (draws + 1)


def _bootstrap_median(
    data: Floats, units: NDArray[Any], level: float, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile bounds of the weighted median under multinomial weights of units (Efron 1979)."""
    unit = np.unique(units, return_inverse=True)[1]
    order = np.argsort(data, kind="stable")
    count = unit.max() + 1
    medians = np.empty(draws)
    for k in range(draws):
        weight = np.cumsum(rng.multinomial(count, np.full(count, 1 / count))[unit[order]])
        medians[k] = data[order[np.searchsorted(weight, weight[-1] / 2)]]
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _effective_size(sums: Floats, sizes: Floats, level: float) -> float:
    """The effective sample size n* (Korn & Graubard 1998) from sums [U] and sizes [U] of units."""
    groups, rows = len(sums), sizes.sum()
    share = sums.sum() / rows
    variance = float(((sums - share * sizes) ** 2).sum()) / rows**2
    if share * (1 - share) <= 1e-12 or variance <= 1e-18 or groups < 2:
        return float(groups)
    effective = min(share * (1 - share) / variance, rows)
    if groups == rows:
        return float(effective)
    shrink = special.ndtri(0.5 + level / 2) / special.stdtrit(groups - 1, 0.5 + level / 2)
    return float(max(1.0, effective * shrink**2 * (groups - 1) / groups))


def _unit_sums(values: Floats, units: ArrayLike | None) -> tuple[int, NDArray[Any], Floats]:
    """The number of units, their sums [U] and their sizes [U]."""
    if units is None:
        return len(values), values, np.ones(len(values))
    unit = np.unique(np.asarray(units), return_inverse=True)[1]
    sizes = np.bincount(unit).astype(np.float64)
    return len(sizes), np.bincount(unit, values), sizes


def _vector(values: ArrayLike) -> Floats:
    data = np.asarray(values, dtype=np.float64).ravel()
    if not len(data):
        raise GobelinError("evidence: there are no rows to judge. Give at least one row.")
    return data


def _check_count(successes: float, n: float) -> None:
    if not 0 <= successes <= n or n <= 0:
        raise ValueError(
            f"a proportion needs 0 <= successes <= n and n > 0, found {successes} of {n}"
        )
