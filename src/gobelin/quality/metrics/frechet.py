"""Fréchet distance between Gaussians fitted to real and made features: lower is better, 0 for equal
means and covariances.

d^2 = |m - m_w|^2 + Tr(C + C_w - 2 (C C_w)^(1/2)) (Heusel et al. 2017, eq. 6), in float64, in one
pass over the rows. Finite samples make it too large, the more so the fewer they are (Chong &
Forsyth 2020, section 3); beside it stands a value with the part that falls as 1/n taken off.

What this cannot show: anything beyond mean and covariance (two sets can differ in every image and
score 0), whether single images look right, or whether they were copied: the training set itself
scores best. Numbers of two feature nets, resizes or n can't be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from gobelin.core.config import within
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.quality.metrics import Comparison, Rows, TooFew, chunks, same_width

BLOCK = 4096
# relative, of a distance: what eigenvalues may be proven to cost before singular values are taken
DIGITS = 1e-6


@dataclass(frozen=True)
class Moments:
    """n rows: their mean [D] and scatter [D, D], the sum of outer products of deviations from the
    mean."""

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Moments:
        x = rows.astype(np.float64)
        if not len(x):
            return cls(0, np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1])))
        mean = x.mean(0)
        x -= mean
        return cls(len(x), mean, x.T @ x)

    def join(self, other: Moments) -> Moments:
        """Both sets of rows (Chan, Golub & LeVeque 1983, eq. 2.1)."""
        n = self.n + other.n
        if not n:
            return self
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(step, step) * (self.n * other.n / n)
        return Moments(n, self.mean + step * (other.n / n), scatter)

    def covariance(self) -> np.ndarray:
        """Unbiased, [D, D]."""
        return self.scatter / (self.n - 1)


@dataclass(frozen=True)
class Frechet:
    """groups: into how many the rows are cut to take off the bias and to find the interval. seed:
    of that cut."""

    groups: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        within(self, {"groups": (3, 1000)})

    def measure(self, comparison: Comparison) -> tuple[Finding, ...]:
        """frechet_distance, as reference tools print it, and frechet_distance_corrected with its
        interval."""
        comparison.check("frechet")
        real = grouped(comparison.real, self.groups, self.seed)
        made = grouped(comparison.made, self.groups, self.seed)
        floors = grouped(comparison.floor, self.groups, self.seed) if comparison.floor else None
        out, sizes = [], [together(parts).n for parts in (real, made)]
        for name, score, note in (
            ("frechet_distance", _plain, "too large by a part that falls as 1/n"),
            (
                "frechet_distance_corrected",
                jackknifed,
                "without the part of the bias that falls as 1/n; may be negative",
            ),
        ):
            try:
                found = score(real, made)
            except TooFew as why:
                out.append(comparison.silence(name, why, "lower"))
                continue
            note = f"{note}; against {sizes[0]} real images"
            floor = None
            if floors:
                try:
                    floor = score(real, floors).value
                    note += f", their floor from {together(floors).n} others"
                except TooFew as why:
                    note += f", no floor: {why.n} held-out images are too few"
            out.append(comparison.number(name, found, floor, "lower", note, n=sizes[1]))
        return tuple(out)


def distance(real: Rows, made: Rows) -> float:
    """The Fréchet distance of two sets of rows [N, D] and [M, D], each of more than D rows.
    Squared, as eq. 6 has it.

    What this cannot show: the distance at endless rows; at n rows it is too large, see `corrected`.
    """
    return _plain([moments(real)], [moments(made)]).value


def corrected(
    real: Rows, made: Rows, groups: int = 20, seed: int = 0, level: float = 0.95
) -> Interval:
    """The distance without the part of its bias that falls as 1/n, and its interval: the jackknife
    of Quenouille 1956 over G groups, one group of real and one of made rows left out at a time.

    Chong & Forsyth 2020 fit a line over 1/n to distances of random subsets and read it at 1/n = 0;
    this is that line through all rows and all but one group, which removes the bias of both sets.

    What this cannot show: the bias that falls as 1/n^2, felt where n is a few D only; a small
    negative value means 'not told apart from 0'."""
    return jackknifed(grouped(real, groups, seed), grouped(made, groups, seed), level)


def moments(rows: Rows) -> Moments:
    """Of all rows, in one pass."""
    return together(grouped(rows, 1, 0))


def grouped(rows: Rows, groups: int, seed: int) -> list[Moments]:
    """The moments of G groups of rows, in one pass; memory for G times [D, D].

    Of each G successive rows every group gets one, at random, so rows that stand in the order of
    their classes don't matter."""
    rng = np.random.default_rng(seed)
    found: list[Moments] = []
    for block in chunks(rows, max(1, BLOCK // groups) * groups):
        runs = -(-len(block) // groups)
        turn = rng.permuted(np.tile(np.arange(groups), (runs, 1)), axis=1).reshape(-1)[: len(block)]
        parts = [Moments.of(block[turn == g] if groups > 1 else block) for g in range(groups)]
        found = [a.join(b) for a, b in zip(found, parts, strict=True)] if found else parts
    return found or [Moments(0, np.zeros(0), np.zeros((0, 0)))] * groups


def together(parts: list[Moments]) -> Moments:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.join(part)
    return whole


def jackknifed(real: list[Moments], made: list[Moments], level: float = 0.95) -> Interval:
    """F = G F_all - (G - 1) mean_g F_(-g), se^2 = (G - 1)/G sum_g (F_(-g) - mean)^2 (Tukey 1958), t
    with G - 1 degrees."""
    count = len(real)
    width = max(len(real[0].mean), len(made[0].mean))
    least = min(together(real).n, together(made).n)
    if least < _needed(width, count):
        raise TooFew("frechet", least, _needed(width, count))
    whole = _between(together(real), together(made))
    others = zip(_without_each(real), _without_each(made), strict=True)
    left = np.array([_between(a, b) for a, b in others])
    value = count * whole - (count - 1) * float(left.mean())
    error = float(np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum()))
    half = float(special.stdtrit(count - 1, 0.5 + level / 2)) * error
    return Interval(
        value,
        value - half,
        value + half,
        level,
        f"jackknife over {count} groups (Quenouille 1956)",
        least,
    )


def gaussians(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """Heusel et al. 2017, eq. 6, of means [D] and covariances [D, D], singular ones too.

    Tr (A B)^(1/2) is the sum of the roots of the eigenvalues of L' B L, with A = L L', which is the
    fast way. The root of a small eigenvalue loses digits; where that could matter the slow way is
    taken: the roots are the singular values of F' G for any factors A = F F', B = G G', and so they
    keep them."""
    step = mean_a - mean_b
    apart = float(step @ step + np.trace(covariance_a) + np.trace(covariance_b))
    shared, error = by_eigenvalues(covariance_a, covariance_b)
    if not 2 * error <= DIGITS * max(apart - 2 * shared, 1e-3 * apart):
        shared = linalg.svdvals(
            _factor(covariance_a).T @ _factor(covariance_b), check_finite=False
        ).sum()
    return apart - 2 * float(shared)


def by_eigenvalues(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Tr (A B)^(1/2) and how wrong it may be; the latter is infinite where A is singular.

    An eigenvalue is off by d, about 2^-53 sqrt(D) |A| |B| (Higham 2002, section 2.8, on how
    rounding adds up; the sizes of both and not of their product, which is small where they stretch
    in different directions), and its root by at most d / root, and by at most the root of d."""
    lower, failed = linalg.lapack.dpotrf(
        a.T, lower=1, clean=0
    )  # symmetric, so its transpose is it, in LAPACK's order
    if failed:
        return 0.0, np.inf
    product, _ = linalg.lapack.dsygst(b.T, lower, itype=2, lower=1)
    values = linalg.eigvalsh(product, lower=True, overwrite_a=True, check_finite=False)
    off = 2.0**-53 * np.sqrt(len(a)) * np.linalg.norm(a) * np.linalg.norm(b)
    roots = np.sqrt(np.maximum(values, 0))
    errors = np.minimum(off / np.maximum(roots, 1e-300), np.sqrt(off))
    return float(roots.sum()), float(errors.sum())


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F [D, rank] with F F' = covariance: Cholesky with pivots, which ends where only rounding
    errors are left (Higham 2002, section 10.3)."""
    lower, pivots, rank, _ = linalg.lapack.dpstrf(covariance, lower=1)
    out = np.zeros((len(lower), rank))
    out[pivots - 1] = np.tril(lower)[:, :rank]
    return out


def _plain(real: list[Moments], made: list[Moments]) -> Interval:
    """The distance alone; an interval without bounds."""
    a, b = together(real), together(made)
    if min(a.n, b.n) <= len(a.mean):
        raise TooFew("frechet", min(a.n, b.n), max(len(a.mean), len(b.mean)) + 1)
    value = max(0.0, _between(a, b))
    return Interval(value, np.nan, np.nan, 0.95, "Heusel et al. 2017, eq. 6", min(a.n, b.n))


def _between(a: Moments, b: Moments) -> float:
    same_width(len(a.mean), len(b.mean))
    return gaussians(a.mean, a.covariance(), b.mean, b.covariance())


def _needed(width: int, groups: int) -> int:
    """Rows for `corrected`: twice the width, and more than the width when the largest group is left
    out."""
    return max(2 * width, groups * -(-(width + 2) // (groups - 1)), 2 * groups)


def _without_each(parts: list[Moments]) -> list[Moments]:
    """All but one, for each: what stands before it joined with what stands after it."""
    nothing = Moments.of(np.zeros((0, len(parts[0].mean))))
    before, after = [nothing], [nothing]
    for part in parts[:-1]:
        before.append(before[-1].join(part))
    for part in parts[:0:-1]:
        after.append(after[-1].join(part))
    return [a.join(b) for a, b in zip(before, reversed(after), strict=True)]
