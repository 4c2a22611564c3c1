"""What search between two fields is worth without a shared space: closed forms for one ordered pair of fields alone.

Ridge regression from one field's features to the other's (Hoerl & Kennard 1970), found by the cosine with what was predicted,
and regularised canonical correlations of the two (Vinod 1976). Their penalty is the one with which cross-fitted training rows
are found best.

What this cannot show: that a shared space is worth nothing where it loses to them; it serves all pairs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from gobelin.align import reciprocal_ranks, unit
from gobelin.embedding import Embeddings
from gobelin.runtime import numpy_generator

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # shares of the mean variance of a direction
FOLDS, MOST, WIDTH, KEPT = 4, 5000, 128, 256
Mapped = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Method = Callable[[float], Mapped]  # given a penalty


def ridge(a: np.ndarray, b: np.ndarray) -> Method:
    """[n, D_a], [n, D_b] -> given a penalty, a map of fresh features to unit vectors that are compared."""
    middle, goal = a.mean(0), b.mean(0)
    left, spread, directions = np.linalg.svd(a - middle, full_matrices=False)
    aim = left.T @ unit(b - goal)

    def mapped(penalty: float) -> Mapped:
        share = spread / (spread**2 + penalty * (spread**2).mean() + 1e-12)
        weights = directions.T @ (share[:, None] * aim)
        return lambda x, y: (unit((x - middle) @ weights), unit(y - goal))

    return mapped


def correlations(a: np.ndarray, b: np.ndarray) -> Method:
    """The same by canonical correlations of at most 256 principal components each, with a ridge, 128 kept."""
    sides = []
    for x in (a, b):
        middle = x.mean(0)
        left, spread, directions = np.linalg.svd(x - middle, full_matrices=False)
        sides.append((middle, directions[:KEPT].T, spread[:KEPT] ** 2 / len(x), left[:, :KEPT] * spread[:KEPT]))

    def mapped(penalty: float) -> Mapped:
        scales = [1 / np.sqrt(variance + penalty * variance.mean() + 1e-12) for _, _, variance, _ in sides]
        (one, two) = ((components * scale) for (_, _, _, components), scale in zip(sides, scales, strict=True))
        left, strength, right = np.linalg.svd(one.T @ two / len(a), full_matrices=False)
        kept = strength[:WIDTH] / max(float(strength[0]), 1e-12)
        ends = (left[:, :WIDTH] * kept, right[:WIDTH].T * kept)
        maps = [(s[0], s[1] * scale @ end) for s, scale, end in zip(sides, scales, ends, strict=True)]
        return lambda x, y: (unit((x - maps[0][0]) @ maps[0][1]), unit((y - maps[1][0]) @ maps[1][1]))

    return mapped


METHODS = {"ridge": ridge, "canonical correlations": correlations}


def fitted(train: Embeddings, groups: Sequence[str], a: str, b: str, seed: int) -> dict[str, Mapped]:
    """Each method for queries of field a and a pool of field b, its penalty chosen by cross-fitting; of more than 5,000 rows
    that have both, 5,000 drawn ones."""
    both = np.flatnonzero(train.present[:, train.fields.index(a)] & train.present[:, train.fields.index(b)])
    both = np.sort(numpy_generator(seed, "baselines").permutation(both)[:MOST])
    x, y = (train.features[f][both].astype(np.float64) for f in (a, b))
    names = np.unique([groups[int(k)] for k in both], return_inverse=True)[1]
    fold = numpy_generator(seed, "folds").permutation(names.max() + 1)[names] % FOLDS
    out = {}
    for name, method in METHODS.items():
        scores = np.zeros(len(PENALTIES))
        for held in (fold == f for f in range(FOLDS)):
            if held.any() and not held.all():
                given = method(x[~held], y[~held])
                for k, penalty in enumerate(PENALTIES):
                    queries, pool = given(penalty)(x[held], y[held])
                    scores[k] += float(reciprocal_ranks(torch.from_numpy(queries @ pool.T), names[held]).sum())
        out[name] = method(x, y)(PENALTIES[int(np.argmax(scores))])
    return out


def rivals(
    train: Embeddings, groups: Sequence[str], fresh: Embeddings, seed: int
) -> Callable[[str, str, np.ndarray], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """As `search.recall` asks for them: given two fields and rows of `fresh`, the queries and the pool of every method."""

    def of(a: str, b: str, rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        maps = fitted(train, groups, a, b, seed)
        return {name: one(fresh.features[a][rows], fresh.features[b][rows]) for name, one in maps.items()}

    return of
