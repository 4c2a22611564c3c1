"""Can it be told who was trained on? Scores of training and held-out rows, and what they give away.

A row's score is high where it looks trained on. From generated images alone: how much nearer a row
lies to them than to any other real row, in several spaces. The other real row says how common such
rows are. So the score of a row is calibrated by rows like it, and no reference model is needed
(after the three-sample test of Meehan, Chaudhuri & Dasgupta 2020, and the calibration by difficulty
of Watson et al. 2022). Training and held-out rows are treated alike in all of this. If none of them
were trained on, exchanging them would change nothing, and the tests are exact.

What this cannot show: what a stronger attack would find, such as one with many reference models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import special
from gobelin.core.neighbours import nearest
from gobelin.evidence.intervals import Interval, exact, proportion
from gobelin.evidence.separation import (
    area_under_curve,
    exponential_scores,
    permuted,
    placements,
    unit_means,
)

TINY = 1e-6  # in units of the median distance; keeps logarithms finite where images are equal
DECIMALS = 9  # of a score: equal images stay equal
GUESSED = (1.0, 1 / 4, 1 / 16)  # shares of the pairs on which a bound of epsilon may rest
EPSILON_LEVEL = 0.95
TOP = 1 / 32  # share of all rows that count as the highest
SURE, LIKELY = 0.05, 0.80  # p value and power of the number of rows that a test needs

Space = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RealRows:
    """N rows, of training and held out, in every space."""

    features: Mapping[str, np.ndarray]  # {space: float [N, D]}
    apart: Mapping[str, np.ndarray]  # {space: float [N], the distance to the nearest other group}

    @staticmethod
    def of(features: Mapping[str, np.ndarray], groups: np.ndarray) -> RealRows:
        """groups: int [N]."""
        apart = {name: nearest(x, x, groups)[0] for name, x in features.items()}
        return RealRows(features, apart)

    def scores(self, generated: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{space: float [N]}: the logarithm of the distance to the nearest other real row over that
        to the nearest generated image. generated: {space: float [M, D]}, M > 0.
        """
        out = {}
        for name, x in self.features.items():
            distance, apart = nearest(x, generated[name])[0], self.apart[name]
            least = max(TINY * float(np.median(distance)), 1e-300)
            ratio = np.maximum(apart, least) / np.maximum(distance, least)
            out[name] = np.round(np.log(ratio), DECIMALS)
        return out


def joined(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """float [N]: the mean over spaces. A ratio of distances has no unit, so every space counts
    alike."""
    return np.mean(list(scores.values()), axis=0)


@dataclass(frozen=True)
class Attack:
    """Scores of N rows, and which of them were trained on. A row whose score is nan is not
    compared."""

    scores: np.ndarray  # float [N], higher: looks trained on
    member: np.ndarray  # bool [N]
    groups: np.ndarray  # int [N]; a group is trained on as a whole, or held out

    @property
    def compared(self) -> np.ndarray:
        """bool [N]"""
        return ~np.isnan(self.scores)

    @property
    def held(self) -> int:
        """The number of held-out rows that are compared."""
        return int((self.compared & ~self.member).sum())

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Scores of members and others, groups of members and others."""
        inside, outside = self.compared & self.member, self.compared & ~self.member
        return (
            self.scores[inside],
            self.scores[outside],
            self.groups[inside],
            self.groups[outside],
        )

    def area(self, level: float = 0.95) -> Interval:
        """How often a training row has a higher score than a held-out row; chance is one half."""
        return area_under_curve(*self._parts(), level)

    def limit(self, rate: float) -> float | None:
        """The score that at most this share of new held-out rows exceeds (by rank; conformal, Vovk
        et al. 2005). None where there are too few held-out rows."""
        held = np.sort(self._parts()[1])[::-1]
        rank = int(rate * len(held) + 1e-9)
        return float(held[rank - 1]) if rank else None

    def found(self, rate: float) -> Interval | None:
        """The share of training rows above `limit`, with its exact interval at the effective
        number of groups. None where there are too few held-out rows.

        What this cannot show: the error of the limit itself, which is a rank among held-out rows.
        """
        limit, (inside, _, groups, _) = self.limit(rate), self._parts()
        return None if limit is None else proportion(inside > limit, groups, of=exact)

    def p_value(self, draws: int, rng: np.random.Generator) -> float:
        """Of 'training groups could be exchanged with held-out groups', over the whole set (dataset
        inference: Dubiński et al. 2025, with exchanges in place of their t test).

        Three questions are asked at once: are scores a little higher everywhere (ranks), more so
        among high ones (exponential scores), or are a few the highest of all (the first 1/32)?
        """
        scores, member, groups = (x[self.compared] for x in (self.scores, self.member, self.groups))
        ranks = placements(scores, scores)
        highest = (ranks > 1 - TOP).astype(np.float64)
        asked = (ranks, exponential_scores(scores), highest)
        inside, outside = (
            np.stack([unit_means(values[kind], groups[kind]) for values in asked])
            for kind in (member, ~member)
        )
        return permuted(inside, outside, draws, rng)

    def groups_needed(self) -> float | None:
        """Groups of each kind with which four of five tests of the ranks find this difference at
        5 %. None where training groups do not have the higher scores.

        By the normal approximation, n = 2 (z_0.95 + z_0.80)^2 / d^2 with the standardised
        difference d.
        """
        inside, outside, own, others = self._parts()
        every = np.concatenate([inside, outside])
        inside, outside = (
            unit_means(placements(scores, every), groups)
            for scores, groups in ((inside, own), (outside, others))
        )
        if min(len(inside), len(outside)) < 2:
            return None
        spread = math.sqrt((inside.var(ddof=1) + outside.var(ddof=1)) / 2)
        effect = (inside.mean() - outside.mean()) / max(spread, 1e-12)
        if effect <= 0:
            return None
        z = float(special.ndtri(1 - SURE) + special.ndtri(LIKELY))
        return float(max(2.0, math.ceil(2 * (z / effect) ** 2)))

    def epsilon(self, rng: np.random.Generator) -> tuple[float, int]:
        """A lower bound of epsilon, and the number of pairs that it rests on.

        Training and held-out groups are paired at random. In each pair the attack guesses which was
        trained on; it guesses only the pairs whose scores differ most. If the training were
        epsilon-differentially private for the exchange of one group, the number of right guesses of
        r would at most be that of Binomial(r, 1 / (1 + exp(-epsilon))) (Steinke, Nasr & Jagielski
        2023, one training run, delta = 0). The largest epsilon that is refuted at 95 % by any of
        three numbers of guesses (Bonferroni) is the bound.

        What this cannot show: an upper bound. Adding or removing a group counts as half of an
        exchange, so for that the bound is half as large.
        """
        inside, outside, own, others = self._parts()
        pairs = min(len(np.unique(own)), len(np.unique(others)))
        best = (
            rng.permutation(_highest(scores, units))[:pairs]
            for scores, units in ((inside, own), (outside, others))
        )
        ahead = np.subtract(*best)
        ahead = ahead[np.argsort(-np.abs(ahead), kind="stable")]
        bound, tail = 0.0, (1 - EPSILON_LEVEL) / len(GUESSED)
        for share in GUESSED:
            guesses = max(1, int(share * pairs))
            right = int((ahead[:guesses] > 0).sum())  # a tie is a wrong guess
            if right:
                low = float(special.betaincinv(right, guesses - right + 1, tail))
                bound = max(bound, float(special.logit(low)))
        return bound, pairs


def _highest(scores: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The highest score of every unit."""
    place = np.unique(units, return_inverse=True)[1]
    out = np.full(place.max() + 1, -np.inf)
    np.maximum.at(out, place, scores)
    return out
