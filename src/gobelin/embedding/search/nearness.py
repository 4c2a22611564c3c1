"""How near rows are to a query, on one scale for all pairs of fields.

Cosines of two pairs of fields can't be compared: .5 between two captions is common, .5 between a
caption and a table is rare. So a score tells how rare a cosine is among *unrelated* rows of that
pair of fields (`Scale`): the share of them that is as near, as a standard normal score. The share
is that of the Beta distribution with their mean and deviation. It is exact for directions drawn at
random (Muller 1959; (1 - cosine) / 2 is Beta((D - 1) / 2, (D - 1) / 2)), and unlike a count of
standard deviations it has no ceiling: of two pictures in one field that are nearly the same, the
cosine ends at 1, and the score keeps rising up to there.

A query is compared with every field that a row has, and the row's score is the log of the mean of
exp(score): between the mean, which forgets a row that one field alone finds, and the best, which
trusts one field too much. `benchmarks/found_again.py` measures it.

What this cannot show: that two things belong together. A score of 3 says that unrelated rows are
seldom so near; among many rows some always are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from gobelin.data.coarse import coarse, coarse_scale, coarseness

MOST_COMPARED = 2000  # rows of a field whose pairs give its mean and deviation
LEAST_PAIRS = 20  # fewer unrelated pairs tell nothing of a pair of fields
SHARPNESS = 1.0  # of the mean over fields: 0 is the plain mean, infinity the best field
FINEST = 1e-3  # step of the scale, at least
NORMAL = NormalDist()
SAME = 1 - 1e-5  # cosine from which on two vectors of one field are those of equal cells
WIDEST = 0.95  # variance of a Beta distribution, of the largest that its mean allows
LOGITS = np.linspace(-16, 16, 4001)  # of (1 - cosine) / 2, where the distribution is computed


@dataclass(frozen=True)
class Scale:
    """Cosines of unrelated rows, for every ordered pair of F fields.

    mean, deviation: float64 [F, F], of the cosine of the first field of one row and the second
    field of another one."""

    mean: np.ndarray
    deviation: np.ndarray

    @staticmethod
    def of(
        vectors: np.ndarray,
        present: np.ndarray,
        groups: Sequence[str],
        rng: np.random.Generator,
        least_groups: int = 1,
    ) -> Scale:
        """From the vectors of training rows, rounded (`data.coarse`): a saved run may hold it, and
        exact numbers would tell of single rows. Every group counts once.

        vectors: float32 [N, F, D], it may be memory-mapped. present: bool [N, F]; other rows have
        no part in it. groups: N names; rows of one group are related. A pair of fields with hardly
        a row gets what a random direction would have."""
        count, width = present.shape[1], vectors.shape[2]
        group = np.unique(list(groups), return_inverse=True)[1]
        chosen = []
        for field in range(count):
            rows = np.flatnonzero(present[:, field])
            many = len(rows) > MOST_COMPARED
            chosen.append(np.sort(rng.choice(rows, MOST_COMPARED, False)) if many else rows)
        mean = np.zeros((count, count))
        deviation = np.full((count, count), width**-0.5)
        for a in range(count):
            for b in range(count):
                apart = group[chosen[a]][:, None] != group[chosen[b]][None]
                groups_here = min(len(np.unique(group[chosen[k]])) for k in (a, b))
                if apart.sum() < LEAST_PAIRS or groups_here < least_groups:
                    continue
                cosines = (vectors[chosen[a], a] @ vectors[chosen[b], b].T)[apart]
                shares = np.outer(_shares(group[chosen[a]]), _shares(group[chosen[b]]))[apart]
                exact = np.average(cosines.astype(np.float64), weights=shares)
                spread = np.sqrt(np.average((cosines - exact) ** 2, weights=shares))
                step = max(coarseness(groups_here, least_groups) * spread, FINEST)
                mean[a, b] = coarse(exact, step)
                deviation[a, b] = max(coarse_scale(spread), FINEST)
        return Scale(mean, deviation)

    def scores(self, cosines: np.ndarray, fields: Sequence[int]) -> np.ndarray:
        """float64 [n, F]: the best score of a query in each field of n rows.

        cosines: [n, F, A], of A vectors of the query. fields: the A fields that they belong to."""
        best = np.full(cosines.shape[:2], -np.inf)
        # nearer than that, the rounding of a product decides
        cosines = np.minimum(np.asarray(cosines, np.float64), SAME)
        for k, a in enumerate(fields):
            for b in range(len(self.mean)):
                known, scores = rarities(float(self.mean[a, b]), float(self.deviation[a, b]))
                best[:, b] = np.maximum(best[:, b], np.interp(cosines[:, b, k], known, scores))
        return best

    def to_json(self) -> dict[str, list[list[float]]]:
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @staticmethod
    def from_json(values: dict[str, list[list[float]]]) -> Scale:
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for other values."""
        mean, deviation = (np.array(values[k], np.float64) for k in ("mean", "deviation"))
        square = mean.ndim == 2 and mean.shape[0] == mean.shape[1] == len(deviation)
        if not square or mean.shape != deviation.shape or not (deviation > 0).all():
            raise ValueError("the scale of search is none")
        return Scale(mean, deviation)


def _shares(group: np.ndarray) -> np.ndarray:
    """float64 [n]: of each row, so that every group has the same. group: int [n]."""
    _, of, size = np.unique(group, return_inverse=True, return_counts=True)
    return 1 / size[of]


def rarities(mean: float, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Cosines, float64 [m], ascending, and the scores that they have among unrelated rows, whose
    cosines have this mean and deviation.

    x = (1 - cosine) / 2 is Beta(a, b), a and b by its moments. Of the logit u of x, the density is
    x^a (1 - x)^b; between two nodes its log is taken as a straight line, before the first one it
    is that of x^a. All in logs, as the tails are what is asked for."""
    middle = min(max((1 - mean) / 2, FINEST), 1 - FINEST)
    most = middle * (1 - middle)
    total = most / min(deviation**2 / 4, WIDEST * most) - 1
    a, b = middle * total, (1 - middle) * total
    log_x, log_rest = -np.logaddexp(0, -LOGITS), -np.logaddexp(0, LOGITS)
    density = a * log_x + b * log_rest
    change = np.maximum(np.abs(np.diff(density)), 1e-9)
    area = np.maximum(density[1:], density[:-1]) + np.log(-np.expm1(-change) / change)
    area += math.log(LOGITS[1] - LOGITS[0])
    below = np.logaddexp.accumulate(np.concatenate([[density[0] - math.log(a)], area]))
    above = np.logaddexp.accumulate(np.concatenate([[density[-1] - math.log(b)], area[::-1]]))[::-1]
    whole = np.logaddexp(below, above)  # at every node the same
    rare, common = _normal_of(below - whole), -_normal_of(above - whole)
    scores = np.where(below < above, rare, common)
    return 1 - 2 * np.exp(log_x)[::-1], scores[::-1]


@cache
def _upper_tail() -> tuple[np.ndarray, np.ndarray]:
    """Standard normal scores from 0 up, float64 [m], and the logs of the shares above them."""
    scores = np.concatenate([np.arange(0, 10, 0.01), np.arange(10, 300, 0.1)])
    near = np.minimum(scores, 30)  # erfc is 0 beyond 38
    shares = np.array([math.log(math.erfc(s / math.sqrt(2)) / 2) for s in near])
    far = np.maximum(scores, 30)  # the first two terms of the asymptotic series
    beyond = -(far**2) / 2 - np.log(far * math.sqrt(2 * math.pi)) + np.log1p(-1 / far**2)
    return scores, np.where(scores < 30, shares, beyond)


def _normal_of(log_shares: np.ndarray) -> np.ndarray:
    """The scores from 0 up with these logs of shares above them; 0 for a share over a half."""
    scores, known = _upper_tail()
    return np.interp(-log_shares, -known, scores)


def over_fields(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [n]: one score a row, from its fields that are present; -inf where none is.

    scores: [n, F]. present: bool [n, F]."""
    top = np.where(present, scores, -np.inf).max(1)
    some = np.isfinite(top)
    shift = np.where(some, top, 0.0)[:, None]  # so that exp does not overflow
    powers = np.exp(SHARPNESS * np.where(present, scores - shift, 0.0)) * present
    mean = powers.sum(1) / np.maximum(present.sum(1), 1)
    out = np.full(len(scores), -np.inf)
    out[some] = shift[some, 0] + np.log(mean[some]) / SHARPNESS
    return out


def normal_scores(values: np.ndarray) -> np.ndarray:
    """float64 [n]: each value's share of values that are as large, as a standard normal score, so
    that it can stand beside other scores. Equal values have equal scores."""
    ordered = np.sort(values)
    as_large = len(values) - np.searchsorted(ordered, values, "left")
    # exact at both ends; between the others a straight line is near enough
    ends = np.geomspace(1, len(values), 1000).round()
    few = np.unique(np.concatenate([ends, len(values) + 1 - ends]))
    known = [-NORMAL.inv_cdf(share) for share in few / (len(values) + 1)]
    return np.interp(as_large, few, known)


def lifted(scores: np.ndarray, equal: np.ndarray, closeness: np.ndarray | float = 0) -> np.ndarray:
    """The scores, with those of rows whose cell is equal above all others.

    scores: float64 [n]. equal: bool [n]. closeness: in 0 .. 1, what orders equal rows."""
    if not equal.any():
        return scores
    finite = scores[np.isfinite(scores)]
    top = float(finite.max()) if len(finite) else 0.0
    return np.where(equal, top + closeness, scores)
