"""Diversity: the Vendi score of generated images over that of real ones.

The score is an effective count of different images. It is exp(-sum_i l_i log l_i) of the
eigenvalues l of K / n, with K the cosine similarities of all pairs (Friedman & Dieng 2023, eq. 2):
n where all images are orthogonal, 1 where all are equal. K / n and the D x D matrix of second
moments of the normed features have the same eigenvalues (section 3.3 there). So the score is exact,
in one pass, with memory for one such matrix a group. A ratio of 1 means as diverse as the real
images; below 1 is less.

What this cannot show: whether images look right, or are those that were requested. Noise is
diverse and may score above 1. The score of a set grows with its size while n is a few D, so the
ratio is fair where both sets are about equally large.
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

LEAST_VENDI_IMAGES = 50  # real ones, and generated ones


@settings_class
class Vendi:
    """Settings of the interval, a jackknife over groups of rows."""

    groups: int = setting(
        default=10, ge=3, le=1000, description="Groups of rows that give the interval."
    )
    seed: int = setting(default=0, description="Seed of the random groups.")

    def measure(self, comparison: FeatureComparison) -> tuple[Finding, ...]:
        """diversity: the Vendi score of generated images over that of real ones."""
        comparison.check("vendi")
        real = second_moments(comparison.real, self.groups, self.seed)
        generated = second_moments(comparison.generated, self.groups, self.seed)
        try:
            diversity = ratio(real, generated)
        except TooFew as reason:
            return (comparison.no_number("diversity", reason, "higher"),)
        note = (
            f"Vendi score {score(generated.total):.4g} of {generated.n} generated images over"
            f" {score(real.total):.4g} of {real.n} real images"
        )
        floor = None
        if comparison.floor:
            try:
                floor_moments = second_moments(comparison.floor, self.groups, self.seed)
                floor = ratio(real, floor_moments).value
            except TooFew as reason:
                note += f", no floor: {reason.n} held-out images are too few"
        return (comparison.finding("diversity", diversity, floor, "higher", note, n=generated.n),)


@dataclass(frozen=True)
class SecondMoments:
    """Second moments of G groups of rows.

    counts: int64 [G]. sums: float64 [G, D, D], sums of outer products of normed rows.
    """

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
        """Second moments of all rows but one group's, [D, D], trace 1."""
        return (self.sums.sum(0) - self.sums[group]) / (self.n - self.counts[group])


def second_moments(rows: Rows, groups: int = 10, seed: int = 0) -> SecondMoments:
    """Of rows [N, D], in one pass. Each group gets one of each G successive rows, at random."""
    rng = np.random.default_rng(seed)
    counts, sums = np.zeros(groups, np.int64), np.zeros((groups, 0, 0))
    for block in chunks(rows, ROWS_AT_ONCE // groups * groups or groups):
        x = block.astype(np.float64)
        length = np.sqrt((x * x).sum(1, keepdims=True))
        # a row of zeros has no direction: it counts as pointing a little in every direction
        x = np.where(length > 0, x / np.where(length > 0, length, 1), 1 / np.sqrt(x.shape[1]))
        if not sums.size:
            sums = np.zeros((groups, x.shape[1], x.shape[1]))
        runs = -(-len(x) // groups)
        group = rng.permuted(np.tile(np.arange(groups), (runs, 1)), axis=1).reshape(-1)[: len(x)]
        for g in range(groups):
            members = x[group == g]
            counts[g] += len(members)
            sums[g] += members.T @ members
    return SecondMoments(counts, sums)


def score(second: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of second moments [D, D] of trace 1 (eq. 2)."""
    values = np.maximum(linalg.eigvalsh(second, check_finite=False), 0)
    return float(np.exp(special.entr(values).sum()))


def ratio(real: SecondMoments, generated: SecondMoments, level: float = 0.95) -> Interval:
    """The score of generated rows over that of real rows. Raises TooFew.

    The interval is the jackknife of the logarithm, with one group of generated and one of real
    rows left out at a time (Tukey 1958), and t with G - 1 degrees of freedom.

    What this cannot show: the part of both scores that grows with n, which is left in.
    """
    groups, least = len(real.counts), min(real.n, generated.n)
    if least < max(LEAST_VENDI_IMAGES, 2 * groups):
        raise TooFew("vendi", least, max(LEAST_VENDI_IMAGES, 2 * groups))
    same_width(real.sums.shape[1], generated.sums.shape[1])
    value = np.log(score(generated.total) / score(real.total))
    left = np.array(
        [np.log(score(generated.without(g)) / score(real.without(g))) for g in range(groups)]
    )
    error = np.sqrt((groups - 1) / groups * ((left - left.mean()) ** 2).sum())
    half = float(special.stdtrit(groups - 1, 0.5 + level / 2)) * error
    low, middle, high = (float(np.exp(v)) for v in (value - half, value, value + half))
    return Interval(middle, low, high, level, f"jackknife over {groups} groups (Tukey 1958)", least)
