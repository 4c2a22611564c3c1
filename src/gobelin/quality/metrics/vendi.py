"""How many different images are there, in effect? Diversity: the Vendi score of made images over
that of real ones.

The Vendi score is exp(-sum_i l_i log l_i) of the eigenvalues l of K / n, K the cosine similarities
of all pairs (Friedman & Dieng 2023, eq. 2): n where all images are orthogonal, 1 where all are
equal. K / n and the D x D matrix of second moments of the normed features share their eigenvalues
(section 3.3 there), so it is computed in one pass, in memory for one such matrix a group, and is
exact. A ratio of 1 means as diverse as the real images, below 1 less.

What this cannot show: whether images look right or are those wanted: noise is diverse, and may
score above 1. The score of a set grows with its size while n is a few D, so the ratio is fair where
both sets are about equally large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from gobelin.core.config import within
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.quality.metrics import Comparison, Rows, TooFew, chunks, same_width

LEAST, BLOCK = 50, 4096


@dataclass(frozen=True)
class Vendi:
    """groups: into how many the rows are cut to find the interval. seed: of that cut."""

    groups: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        within(self, {"groups": (3, 1000)})

    def measure(self, comparison: Comparison) -> tuple[Finding, ...]:
        """diversity: the Vendi score of made images over that of real ones."""
        comparison.check("vendi")
        real = moments(comparison.real, self.groups, self.seed)
        made = moments(comparison.made, self.groups, self.seed)
        try:
            found = ratio(real, made)
        except TooFew as why:
            return (comparison.silence("diversity", why, "higher"),)
        note = (
            f"Vendi score {score(made.total):.4g} of {made.n} made over {score(real.total):.4g} of"
            f" {real.n} real images"
        )
        floor = None
        if comparison.floor:
            try:
                floor = ratio(real, moments(comparison.floor, self.groups, self.seed)).value
            except TooFew as why:
                note += f", no floor: {why.n} held-out images are too few"
        return (comparison.number("diversity", found, floor, "higher", note, n=made.n),)


@dataclass(frozen=True)
class Moments:
    """counts [G] and sums of outer products of normed rows [G, D, D], of G groups of rows."""

    counts: np.ndarray
    sums: np.ndarray

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @property
    def total(self) -> np.ndarray:
        """Second moments of all rows, [D, D], trace 1."""
        return self.sums.sum(0) / max(1, self.n)

    def without(self, group: int) -> np.ndarray:
        return (self.sums.sum(0) - self.sums[group]) / (self.n - self.counts[group])


def moments(rows: Rows, groups: int = 10, seed: int = 0) -> Moments:
    """In one pass. Of each G successive rows every group gets one, at random. A row of zeros, which
    points nowhere, counts as pointing everywhere a little alike."""
    rng = np.random.default_rng(seed)
    counts, sums = np.zeros(groups, np.int64), np.zeros((groups, 0, 0))
    for block in chunks(rows, BLOCK // groups * groups or groups):
        x = block.astype(np.float64)
        length = np.sqrt((x * x).sum(1, keepdims=True))
        x = np.where(length > 0, x / np.where(length > 0, length, 1), 1 / np.sqrt(x.shape[1]))
        if not sums.size:
            sums = np.zeros((groups, x.shape[1], x.shape[1]))
        runs = -(-len(x) // groups)
        turn = rng.permuted(np.tile(np.arange(groups), (runs, 1)), axis=1).reshape(-1)[: len(x)]
        for g in range(groups):
            own = x[turn == g]
            counts[g] += len(own)
            sums[g] += own.T @ own
    return Moments(counts, sums)


def score(second: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of second moments [D, D] of trace 1."""
    values = np.maximum(linalg.eigvalsh(second, check_finite=False), 0)
    return float(np.exp(special.entr(values).sum()))


def ratio(real: Moments, made: Moments, level: float = 0.95) -> Interval:
    """The made score over the real one; its interval is the jackknife of the logarithm over groups,
    one group of made and one of real rows left out at a time (Tukey 1958), t with G - 1 degrees.

    What this cannot show: the part of both scores that grows with n, which is left in."""
    groups, least = len(real.counts), min(real.n, made.n)
    if least < max(LEAST, 2 * groups):
        raise TooFew("vendi", least, max(LEAST, 2 * groups))
    same_width(real.sums.shape[1], made.sums.shape[1])
    value = np.log(score(made.total) / score(real.total))
    left = np.array(
        [np.log(score(made.without(g)) / score(real.without(g))) for g in range(groups)]
    )
    error = np.sqrt((groups - 1) / groups * ((left - left.mean()) ** 2).sum())
    half = float(special.stdtrit(groups - 1, 0.5 + level / 2)) * error
    low, middle, high = (float(np.exp(v)) for v in (value - half, value, value + half))
    return Interval(middle, low, high, level, f"jackknife over {groups} groups (Tukey 1958)", least)
