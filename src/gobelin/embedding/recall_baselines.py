"""What search between two fields is worth without a shared space: closed forms for one ordered pair
of fields alone.

Ridge regression from one field's features to the other's (Hoerl & Kennard 1970), found by the
cosine with what was predicted, and regularised canonical correlations of the two (Vinod 1976).
Their penalty is the one with which cross-fitted training rows are found best.

What this cannot show: that a shared space is worth nothing where it loses to them; it serves all
pairs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from gobelin.core.machine import numpy_generator
from gobelin.embedding.alignment.closed_form import reciprocal_ranks
from gobelin.embedding.alignment.projection import unit
from gobelin.embedding.features import Embeddings

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # shares of the mean variance of a direction
FOLDS, MOST, WIDTH, KEPT = 4, 5000, 128, 256
Mapped = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Method = Callable[[float], Mapped]  # given a penalty


@dataclass(frozen=True)
class Side:
    """Rows of one field, [n, D], as mean, left [n, K], spread [K] and directions [D, K] of their
    singular values."""

    rows: np.ndarray
    mean: np.ndarray
    left: np.ndarray
    spread: np.ndarray
    directions: np.ndarray

    @staticmethod
    def of(rows: np.ndarray) -> Side:
        """By the eigenvectors of the smaller product of the rows with themselves, which is much
        faster than a decomposition."""
        mean = rows.mean(0)
        x = rows - mean
        values, vectors = np.linalg.eigh(x @ x.T if len(x) < x.shape[1] else x.T @ x)
        kept = np.flatnonzero(values > 1e-10 * max(float(values[-1]), 1e-30))[::-1]
        spread, vectors = np.sqrt(values[kept]), vectors[:, kept]
        if len(x) < x.shape[1]:
            return Side(rows, mean, vectors, spread, x.T @ vectors / spread)
        return Side(rows, mean, x @ vectors / spread, spread, vectors)


def ridge(a: Side, b: Side) -> Method:
    """Given a penalty, a map of fresh features of both fields to unit vectors that are compared."""
    goal = b.rows.mean(0)
    aim = a.left.T @ unit(b.rows - goal)

    def mapped(penalty: float) -> Mapped:
        share = a.spread / (a.spread**2 + penalty * (a.spread**2).mean() + 1e-12)
        inner = share[:, None] * aim
        return lambda x, y: (unit((x - a.mean) @ a.directions @ inner), unit(y - goal))

    return mapped


def correlations(a: Side, b: Side) -> Method:
    """The same by canonical correlations of at most 256 principal components each, with a ridge,
    128 kept."""
    cut = [
        (
            s.mean,
            s.directions[:, :KEPT],
            s.spread[:KEPT] ** 2 / len(s.rows),
            s.left[:, :KEPT] * s.spread[:KEPT],
        )
        for s in (a, b)
    ]

    def mapped(penalty: float) -> Mapped:
        scales = [
            1 / np.sqrt(variance + penalty * variance.mean() + 1e-12) for _, _, variance, _ in cut
        ]
        one, two = (
            components * scale for (_, _, _, components), scale in zip(cut, scales, strict=True)
        )
        left, strength, right = np.linalg.svd(one.T @ two / len(one), full_matrices=False)
        kept = strength[:WIDTH] / max(float(strength[0]), 1e-12)
        ends = (left[:, :WIDTH] * kept, right[:WIDTH].T * kept)
        maps = [(c[0], c[1] * scale @ end) for c, scale, end in zip(cut, scales, ends, strict=True)]
        return lambda x, y: (
            unit((x - maps[0][0]) @ maps[0][1]),
            unit((y - maps[1][0]) @ maps[1][1]),
        )

    return mapped


METHODS = {"ridge": ridge, "canonical correlations": correlations}


@dataclass(frozen=True)
class Baselines:
    """All methods on these training rows. groups [N]: rows of one group share a fold, each a right
    answer to the others."""

    train: Embeddings
    groups: Sequence[str]
    seed: int = 0
    sides: dict[tuple[str, bytes], Side] = field(default_factory=dict)  # what was decomposed before

    def of(self, a: str, b: str) -> dict[str, Mapped]:
        """For queries of field a and a pool of field b; of more than 5,000 rows that have both,
        5,000 drawn ones."""
        train = self.train
        both = np.flatnonzero(
            train.present[:, train.fields.index(a)] & train.present[:, train.fields.index(b)]
        )
        both = np.sort(numpy_generator(self.seed, "baselines").permutation(both)[:MOST])
        names = np.unique([self.groups[int(k)] for k in both], return_inverse=True)[1]
        fold = numpy_generator(self.seed, "folds").permutation(names.max() + 1)[names] % FOLDS
        x, y = (train.features[f][both].astype(np.float64) for f in (a, b))
        scores = {name: np.zeros(len(PENALTIES)) for name in METHODS}
        for held in (fold == f for f in range(FOLDS)):
            if held.all() or not held.any():
                continue
            left, right = self._side(a, both[~held]), self._side(b, both[~held])
            for name, method in METHODS.items():
                given = method(left, right)
                for k, penalty in enumerate(PENALTIES):
                    queries, pool = given(penalty)(x[held], y[held])
                    scores[name][k] += float(
                        reciprocal_ranks(torch.from_numpy(queries @ pool.T), names[held]).sum()
                    )
        left, right = self._side(a, both), self._side(b, both)
        return {
            name: method(left, right)(PENALTIES[int(np.argmax(scores[name]))])
            for name, method in METHODS.items()
        }

    def rivals(
        self, fresh: Embeddings
    ) -> Callable[[str, str, np.ndarray], dict[str, tuple[np.ndarray, np.ndarray]]]:
        """As `search.recall` asks for them: given two fields and rows of `fresh`, the queries and
        the pool of every method."""

        def of(a: str, b: str, rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
            return {
                name: one(fresh.features[a][rows], fresh.features[b][rows])
                for name, one in self.of(a, b).items()
            }

        return of

    def _side(self, name: str, rows: np.ndarray) -> Side:
        key = (name, rows.tobytes())
        if key not in self.sides:
            self.sides[key] = Side.of(self.train.features[name][rows].astype(np.float64))
        return self.sides[key]
