"""What is claimed, and how sure it is: Finding, Exhibit, intervals of single scores, tests, Holm.

The paired comparison of two training sets is in `gobelin.comparison`, its verdict in `gobelin.verdict`. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from gobelin.errors import GobelinError

EXHIBIT_KINDS = ("table", "curve", "sheet", "pairs", "forest", "bars")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """One judgement. Reports join findings and draw them; they compute nothing.

    name: what was measured, 'balanced_accuracy'. scope: of what, {'arm': 'flow', 'class': 'melanoma'}.
    comparator: the other side of a difference, '' for a plain score. value, low, high: None where there is none.
    unit: 'share' (printed as per cent), 'points' (a difference of shares, in hundredths), '' or a unit's
    name. better: 'higher', 'lower' or ''.
    chance: what guessing scores. floor: the best that could be seen (real against real). n: units of evidence.
    needed_n: how many would be needed to see the smallest effect. source: the verb and stage that found it.
    """

    name: str
    scope: Mapping[str, str] = field(default_factory=dict)
    comparator: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""
    unit: str = ""
    better: str = ""
    chance: float | None = None
    floor: float | None = None
    verdict: str = ""
    n: int = 0
    needed_n: int | None = None
    note: str = ""
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for one JSON line: a number that is not finite becomes None, numpy's numbers become Python's."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Finding:
        return cls(**_known(cls, row))

    def sentence(self) -> str:
        """The finding in plain words, one line."""
        where = ", ".join(f"{key} {value}" for key, value in self.scope.items())
        subject = self.name.replace("_", " ") + (f" ({where})" if where else "")
        against = f" against {self.comparator}" if self.comparator else ""
        signed = bool(self.comparator)
        parts = [f"{subject}{against}: {self._number(self.value, signed)}"]
        if _finite(self.low) and _finite(self.high):
            bounds = f"{self._number(self.low, signed)} to {self._number(self.high, signed)}"
            parts.append(f"{100 * self.level:.4g} % interval {bounds}")
        marks = (("chance", self.chance), ("floor", self.floor))
        parts += [f"{word} {self._number(mark, False)}" for word, mark in marks if _finite(mark)]
        if self.better:
            parts.append(f"{self.better} is better")
        if self.n:
            parts.append(f"n = {self.n}" + (f", {self.needed_n} needed" if self.needed_n else ""))
        return "; ".join(parts) + "." + "".join(f" {text.rstrip('.')}." for text in (self.verdict, self.note) if text)

    def _number(self, value: float | None, signed: bool) -> str:
        if not _finite(value):
            return "no number"
        sign = "+" if signed else ""
        return printed(value, self.unit, sign)


def printed(value: float, unit: str, sign: str = "") -> str:
    """A number as people read it: shares in per cent, differences of shares in points. sign: '+' shows a plus."""
    if unit in ("share", "points"):
        return f"{100 * value:{sign}.1f} " + ("%" if unit == "share" else "points")
    return f"{value:{sign}.4g} {unit}".rstrip()


@dataclass(frozen=True)
class Exhibit:
    """Something to look at. data: path relative to the run folder. credit: whose pictures or sounds these are."""

    name: str
    kind: str
    data: str
    caption: str = ""
    credit: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EXHIBIT_KINDS:
            raise ValueError(f"exhibit {self.name}: kind {self.kind!r} is not one of {', '.join(EXHIBIT_KINDS)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Exhibit:
        return cls(**_known(cls, row))


@dataclass(frozen=True)
class Interval:
    """A score and where its true value may lie. n: units of evidence. method: how, with its paper."""

    value: float
    low: float
    high: float
    level: float
    method: str
    n: int

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
        return Finding(
            name, dict(scope or {}), comparator, self.value, self.low, self.high, self.level, self.method, unit, better,
            chance, floor, "", self.n, None, note, source,
        )  # fmt: skip


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """A proportion. Wilson 1927: the p whose normal test against the observed share isn't rejected.

    `successes` and `n` may be fractional (an effective number of units).

    What this cannot show: anything about rows that were not drawn like these n; rows of one patient are not n rows.
    """
    _check_count(successes, n)
    z = float(special.ndtri(0.5 + level / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes <= 0 else centre - half
    high = 1.0 if successes >= n else centre + half
    return Interval(share, max(0.0, low), min(1.0, high), level, "Wilson 1927", round(n))


def clopper_pearson(successes: float, n: float, level: float = 0.95) -> Interval:
    """A proportion, exact: never under its level. Clopper & Pearson 1934, as quantiles of the beta distribution.

    What this cannot show: as `wilson`; being never too short, it is longer than needed (97-99 % for small n).
    """
    _check_count(successes, n)
    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(special.betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(special.betaincinv(successes + 1, n - successes, 1 - tail))
    return Interval(successes / n, low, high, level, "Clopper & Pearson 1934", round(n))


def proportion(hits: ArrayLike, units: ArrayLike | None = None, level: float = 0.95) -> Interval:
    """The share of hits [N] in 0..1, rows of one unit counted as the dependent rows that they are.

    Wilson's interval at the effective sample size n* = p (1 - p) / V, V the variance between units
    (Korn & Graubard 1998, with Wilson in the place of Clopper-Pearson); where all rows agree V says
    nothing and n* is the number of units. Without units this is Wilson's interval.

    What this cannot show: anything about units unlike these; with under five units hardly anything.
    """
    values = _vector(hits)
    groups, sums, sizes = _unit_sums(values, units)
    effective = _effective_size(sums, sizes, level)
    found = wilson(min(max(values.mean(), 0.0), 1.0) * effective, effective, level)
    method = found.method if groups == len(values) else "Wilson 1927 at Korn & Graubard 1998 effective size"
    return Interval(found.value, found.low, found.high, level, method, groups)


def balanced_accuracy(hits: ArrayLike, classes: ArrayLike, units: ArrayLike | None = None, level: float = 0.95) -> Interval:
    """The mean over classes of the share of hits within the class. hits [..., N] (averaged over seeds), classes [N].

    Each class has its `proportion` interval (l_c, u_c); they are joined by MOVER, L = p - sqrt(sum w_c^2 (p_c - l_c)^2)
    with w_c = 1/C (Zou & Donner 2008), so a perfect score has an honest lower bound.

    What this cannot show: how another training run would score (`verdict.compare` does); classes that are absent.
    """
    values = np.asarray(hits, dtype=np.float64)
    values = values.reshape(-1, values.shape[-1]).mean(0)
    labels = np.asarray(classes)
    present = np.unique(labels)
    groups = None if units is None else np.asarray(units)
    found = [
        proportion(values[rows], None if groups is None else groups[rows], level)
        for rows in (np.flatnonzero(labels == label) for label in present)
    ]
    weight = 1 / len(present)
    value = weight * sum(one.value for one in found)
    low = value - weight * math.sqrt(sum((one.value - one.low) ** 2 for one in found))
    high = value + weight * math.sqrt(sum((one.high - one.value) ** 2 for one in found))
    n = len(values) if groups is None else len(np.unique(groups))
    return Interval(value, max(0.0, low), min(1.0, high), level, "MOVER (Zou & Donner 2008) over Wilson 1927", n)


def mean(values: ArrayLike, units: ArrayLike | None = None, level: float = 0.95) -> Interval:
    """The mean of values [N], rows of one unit dependent: t with U - 1 degrees on the linearised unit sums.

    V = U/(U-1) sum_u (s_u - m n_u)^2 / N^2 (Cameron & Miller 2015, the sandwich for a mean).

    What this cannot show: the mean of a heavy tail that these units happened to miss.
    """
    data = _vector(values)
    groups, sums, sizes = _unit_sums(data, units)
    centre = float(data.mean())
    if groups < 2:
        return Interval(centre, math.nan, math.nan, level, "one unit: no interval", groups)
    variance = groups / (groups - 1) * float(((sums - centre * sizes) ** 2).sum()) / len(data) ** 2
    half = float(special.stdtrit(groups - 1, 0.5 + level / 2)) * math.sqrt(variance)
    return Interval(centre, centre - half, centre + half, level, "t over units (Cameron & Miller 2015)", groups)


def recall_at(ranks: ArrayLike, k: int, units: ArrayLike | None = None, level: float = 0.95) -> Interval:
    """The share of queries whose right answer has rank 1..k. ranks [N], 1 is best.

    What this cannot show: how hard another gallery is; recall falls as the gallery grows.
    """
    return proportion(_vector(ranks) <= k, units, level)


def median_rank(
    ranks: ArrayLike, units: ArrayLike | None = None, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """The median of ranks [N]. Rows alone: order statistics (Thompson 1936). Rows in units: bootstrap over units.

    What this cannot show: as `recall_at`; with units it is a percentile interval, too short under about 20 units.
    """
    data = np.sort(_vector(ranks))
    value = float(np.median(data))
    if units is not None and len(np.unique(np.asarray(units))) < len(data):
        low, high = _bootstrap_median(_vector(ranks), np.asarray(units), level, draws, np.random.default_rng(seed))
        return Interval(value, low, high, level, "bootstrap over units (Efron 1979)", len(np.unique(np.asarray(units))))
    below = int(stats.binom.ppf((1 - level) / 2, len(data), 0.5))
    below = below - 1 if stats.binom.cdf(below, len(data), 0.5) > (1 - level) / 2 else below
    edge = max(below, 0)
    method = "order statistics (Thompson 1936)" if below >= 0 else "range: too few ranks for the level"
    return Interval(value, float(data[edge]), float(data[len(data) - 1 - edge]), level, method, len(data))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values: reject where <= alpha and the chance of any false rejection is <= alpha. Holm 1979.

    What this cannot show: it adjusts for the tests that it was given, not for those that were tried and left out.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def two_sided(p_above: float) -> float:
    """The two-sided p value of a test whose one-sided p value is `p_above`."""
    return min(1.0, 2 * min(p_above, 1 - p_above))


def detectable_effect(standard_error: float, level: float = 0.95, power: float = 0.80) -> float:
    """The smallest true effect seen with probability `power`: (z_{1-alpha/2} + z_power) se (Lehr 1992 for 5 %, 80 %).

    What this cannot show: whether an effect of that size is there.
    """
    return float(special.ndtri(0.5 + level / 2) + special.ndtri(power)) * standard_error


def sign_flip(differences: ArrayLike, draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p value of 'the differences [U] are symmetric about 0' (Fisher 1935). A cross-check only.

    All 2^U signs where U <= 12, else `draws` random ones, the observed counted among them (Phipson & Smyth 2010).

    What this cannot show: a mean difference; it tests symmetry, and sees neither training nor generator seeds.
    """
    d = _vector(differences)
    observed = abs(d.sum()) * (1 - 1e-12)
    if len(d) <= 12:
        signs = 1 - 2 * ((np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1)
        return float((np.abs(signs @ d) >= observed).mean())
    rng = np.random.default_rng(seed)
    reached = sum(
        int((np.abs((2 * rng.integers(0, 2, (min(500, draws - k), len(d))) - 1) @ d) >= observed).sum())
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
    """n* of Korn & Graubard 1998 from sums [U] and sizes [U] of units."""
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
        raise ValueError(f"a proportion needs 0 <= successes <= n and n > 0, found {successes} of {n}")


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _known(cls: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row, or a clear refusal of fields that this version doesn't know."""
    unknown = sorted(set(row) - {one.name for one in fields(cls)})
    if unknown:
        names = ", ".join(unknown)
        raise GobelinError(f"{cls.__name__}: unknown fields {names}, written by another version. Use that version.")
    return dict(row)
