"""How near rows are to a query, on one scale for all pairs of fields.

Cosines of two pairs of fields can't be compared: .5 between two captions is common, .5 between a
caption and a table is rare. So each is counted from the mean of *unrelated* rows of that pair of
fields, in their standard deviations (`Scale`). A query is compared with every field that a row has,
and the row's score is the log of the mean of exp(score / 2), times 2: between the mean, which
forgets a row that one field alone finds, and the best, which trusts one field too much.
`benchmarks/search.py` measures it.

What this cannot show: that two things belong together. A score of 3 says that unrelated rows are
seldom so near; among many rows some always are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from gobelin.data.coarse import coarse, coarse_scale, coarseness

MOST_COMPARED = 2000  # rows of a field whose pairs give its mean and deviation
LEAST_PAIRS = 20  # fewer unrelated pairs tell nothing of a pair of fields
SHARPNESS = 0.5  # of the mean over fields: 0 is the plain mean, infinity the best field
FINEST = 1e-3  # step of the scale, at least
NORMAL = NormalDist()
SAME = 1 - 1e-5  # cosine from which on two vectors of one field are those of equal cells


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
        a = list(fields)
        scores = (cosines - self.mean[a].T[None]) / self.deviation[a].T[None]
        return np.asarray(scores.max(2), np.float64)

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
