"""Fréchet distance between Gaussians fitted to real and generated features; lower is better.

It is 0 for equal means and covariances.

d^2 = |m - m_w|^2 + Tr(C + C_w - 2 (C C_w)^(1/2)) (Heusel et al. 2017, eq. 6), in float64, in one
pass over the rows. It is too large for finite samples, the more so the fewer they are (Chong &
Forsyth 2020, section 3). A second value leaves out the part of this bias that falls as 1/n.

What this cannot show: anything beyond mean and covariance (two sets can differ in every image and
score 0); whether single images look right, or whether they were copied: the training set itself
scores best. Numbers of two feature nets, resizes or n can't be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from gobelin.core.config import setting, settings_class
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.quality.metrics import (
    ROWS_AT_ONCE,
    FeatureComparison,
    Rows,
    TooFew,
    chunks,
    same_width,
)

# largest proven error of the eigenvalue method, relative to the distance; above it singular values
# are computed, which are slower
LARGEST_ERROR = 1e-6


@dataclass(frozen=True)
class GaussianMoments:
    """Of n rows: mean float64 [D], and scatter float64 [D, D], the sum of outer products of
    deviations from the mean.
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> GaussianMoments:
        x = rows.astype(np.float64)
        if not len(x):
            return cls(0, np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1])))
        mean = x.mean(0)
        x -= mean
        return cls(len(x), mean, x.T @ x)

    def join(self, other: GaussianMoments) -> GaussianMoments:
        """Moments of both sets of rows together (Chan, Golub & LeVeque 1983, eq. 2.1)."""
        n = self.n + other.n
        if not n:
            return self
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(step, step) * (self.n * other.n / n)
        return GaussianMoments(n, self.mean + step * (other.n / n), scatter)

    def covariance(self) -> np.ndarray:
        """Unbiased, [D, D]."""
        return self.scatter / (self.n - 1)


@settings_class
class Frechet:
    """Settings of the jackknife that takes off the bias and gives the interval."""

    groups: int = setting(
        default=20,
        ge=3,
        le=1000,
        description="Groups of rows that remove the bias and give the interval.",
    )
    seed: int = setting(default=0, description="Seed of the random groups.")

    def measure(self, comparison: FeatureComparison) -> tuple[Finding, ...]:
        """frechet_distance, the number of reference tools, and frechet_distance_corrected with its
        interval.
        """
        comparison.check("frechet")
        real = grouped(comparison.real, self.groups, self.seed)
        generated = grouped(comparison.generated, self.groups, self.seed)
        floors = grouped(comparison.floor, self.groups, self.seed) if comparison.floor else None
        out, sizes = [], [together(parts).n for parts in (real, generated)]
        for name, function, note in (
            ("frechet_distance", _plain, "too large by a part that falls as 1/n"),
            (
                "frechet_distance_corrected",
                jackknifed,
                "without the part of the bias that falls as 1/n; may be negative",
            ),
        ):
            try:
                score = function(real, generated)
            except TooFew as reason:
                out.append(comparison.no_number(name, reason, "lower"))
                continue
            note = f"{note}; against {sizes[0]} real images"
            floor = None
            if floors:
                try:
                    floor = function(real, floors).value
                    note += f", their floor from {together(floors).n} others"
                except TooFew as reason:
                    note += f", no floor: {reason.n} held-out images are too few"
            out.append(comparison.finding(name, score, floor, "lower", note, n=sizes[1]))
        return tuple(out)


def distance(real: Rows, generated: Rows) -> float:
    """The Fréchet distance of two sets of rows [N, D] and [M, D], each of more than D rows; d^2 of
    eq. 6. Raises TooFew.

    What this cannot show: the distance for infinitely many rows; for n rows it is too large, see
    `corrected`.
    """
    return _plain([moments(real)], [moments(generated)]).value


def corrected(
    real: Rows, generated: Rows, groups: int = 20, seed: int = 0, level: float = 0.95
) -> Interval:
    """The distance without the part of its bias that falls as 1/n, with an interval. Raises TooFew.

    The jackknife of Quenouille 1956 over G groups: one group of real and one of generated rows are
    left out at a time. Chong & Forsyth 2020 fit a line over 1/n to distances of random subsets and
    read it at 1/n = 0; this is that line through all rows and all but one group, which removes the
    bias of both sets.

    What this cannot show: the bias that falls as 1/n^2, which matters where n is a few D only. A
    small negative value means 'no difference from 0 is shown'.
    """
    return jackknifed(grouped(real, groups, seed), grouped(generated, groups, seed), level)


def moments(rows: Rows) -> GaussianMoments:
    """Moments of all rows [N, D], in one pass."""
    return together(grouped(rows, 1, 0))


def grouped(rows: Rows, groups: int, seed: int) -> list[GaussianMoments]:
    """The moments of G groups of rows [N, D], in one pass; memory for G times [D, D].

    Each group gets one of each G successive rows, at random. So it does not matter if rows stand in
    the order of their classes.
    """
    rng = np.random.default_rng(seed)
    groups_so_far: list[GaussianMoments] = []
    for block in chunks(rows, max(1, ROWS_AT_ONCE // groups) * groups):
        runs = -(-len(block) // groups)
        turn = rng.permuted(np.tile(np.arange(groups), (runs, 1)), axis=1).reshape(-1)[: len(block)]
        parts = [
            GaussianMoments.of(block[turn == g] if groups > 1 else block) for g in range(groups)
        ]
        groups_so_far = (
            [a.join(b) for a, b in zip(groups_so_far, parts, strict=True)]
            if groups_so_far
            else parts
        )
    return groups_so_far or [GaussianMoments(0, np.zeros(0), np.zeros((0, 0)))] * groups


def together(parts: list[GaussianMoments]) -> GaussianMoments:
    """Moments of the rows of all parts."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.join(part)
    return whole


def jackknifed(
    real: list[GaussianMoments], generated: list[GaussianMoments], level: float = 0.95
) -> Interval:
    """F = G F_all - (G - 1) mean_g F_(-g), se^2 = (G - 1)/G sum_g (F_(-g) - mean)^2 (Tukey 1958),
    and t with G - 1 degrees of freedom. Raises TooFew.
    """
    count = len(real)
    width = max(len(real[0].mean), len(generated[0].mean))
    least = min(together(real).n, together(generated).n)
    if least < _needed(width, count):
        raise TooFew("frechet", least, _needed(width, count))
    whole = _between(together(real), together(generated))
    left_out = zip(_without_each(real), _without_each(generated), strict=True)
    without_one = np.array([_between(a, b) for a, b in left_out])
    value = count * whole - (count - 1) * float(without_one.mean())
    error = float(np.sqrt((count - 1) / count * ((without_one - without_one.mean()) ** 2).sum()))
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

    Fast way: Tr (A B)^(1/2) is the sum of the roots of the eigenvalues of L' B L, with A = L L'.
    The root of a small eigenvalue loses digits. Slow way, where that could matter: the roots are
    the singular values of F' G for any factors A = F F', B = G G', and keep their digits.
    """
    step = mean_a - mean_b
    apart = float(step @ step + np.trace(covariance_a) + np.trace(covariance_b))
    shared, error = by_eigenvalues(covariance_a, covariance_b)
    if not 2 * error <= LARGEST_ERROR * max(apart - 2 * shared, 1e-3 * apart):
        shared = linalg.svdvals(
            _factor(covariance_a).T @ _factor(covariance_b), check_finite=False
        ).sum()
    return apart - 2 * float(shared)


def by_eigenvalues(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Tr (A B)^(1/2) of covariances [D, D], and a bound of its error, infinite where A is singular.

    The error of an eigenvalue is e, about 2^-53 sqrt(D) |A| |B| (Higham 2002, section 2.8, on how
    rounding errors add up). The norms of both count and not the norm of their product, which is
    small where they stretch in different directions. The error of its root is at most e / root,
    and at most the root of e.
    """
    # a is symmetric, so a.T is the same matrix, in the memory order of LAPACK
    lower, failed = linalg.lapack.dpotrf(a.T, lower=1, clean=0)
    if failed:
        return 0.0, np.inf
    product, _ = linalg.lapack.dsygst(b.T, lower, itype=2, lower=1)
    values = linalg.eigvalsh(product, lower=True, overwrite_a=True, check_finite=False)
    error_of_value = 2.0**-53 * np.sqrt(len(a)) * np.linalg.norm(a) * np.linalg.norm(b)
    roots = np.sqrt(np.maximum(values, 0))
    errors = np.minimum(error_of_value / np.maximum(roots, 1e-300), np.sqrt(error_of_value))
    return float(roots.sum()), float(errors.sum())


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F [D, rank] with F F' = covariance [D, D]: Cholesky with pivots, which ends where only
    rounding errors are left (Higham 2002, section 10.3).
    """
    lower, pivots, rank, _ = linalg.lapack.dpstrf(covariance, lower=1)
    out = np.zeros((len(lower), rank))
    out[pivots - 1] = np.tril(lower)[:, :rank]
    return out


def _plain(real: list[GaussianMoments], generated: list[GaussianMoments]) -> Interval:
    """The distance as an interval without bounds. Raises TooFew."""
    a, b = together(real), together(generated)
    if min(a.n, b.n) <= len(a.mean):
        raise TooFew("frechet", min(a.n, b.n), max(len(a.mean), len(b.mean)) + 1)
    value = max(0.0, _between(a, b))
    return Interval(value, np.nan, np.nan, 0.95, "Heusel et al. 2017, eq. 6", min(a.n, b.n))


def _between(a: GaussianMoments, b: GaussianMoments) -> float:
    same_width(len(a.mean), len(b.mean))
    return gaussians(a.mean, a.covariance(), b.mean, b.covariance())


def _needed(width: int, groups: int) -> int:
    """Least count of rows for `corrected`: twice the width D, and more than D rows when the largest
    group is left out.
    """
    return max(2 * width, groups * -(-(width + 2) // (groups - 1)), 2 * groups)


def _without_each(parts: list[GaussianMoments]) -> list[GaussianMoments]:
    """For each part the moments of all others: the parts before it joined with those after it."""
    nothing = GaussianMoments.of(np.zeros((0, len(parts[0].mean))))
    before, after = [nothing], [nothing]
    for part in parts[:-1]:
        before.append(before[-1].join(part))
    for part in parts[:0:-1]:
        after.append(after[-1].join(part))
    return [a.join(b) for a, b in zip(before, reversed(after), strict=True)]
