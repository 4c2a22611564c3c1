"""Baseline methods for search between two fields without a shared space: closed forms for one
ordered pair of fields alone.

Ridge regression from one field's features to the other's (Hoerl & Kennard 1970): the query is
predicted in the pool's features, and the cosine ranks the pool. And regularised canonical
correlations of the two fields (Vinod 1976). The penalty is the one with which cross-fitted training
rows are retrieved best.

What this cannot show: that a shared space is worth nothing where it loses to them; it serves all
pairs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from gobelin.core.machine import numpy_generator
from gobelin.embedding.alignment.closed_form import reciprocal_ranks
from gobelin.embedding.alignment.projection import unit
from gobelin.embedding.features import Embeddings

# shares of the mean variance of a direction; cross-fitted training rows choose one
BASELINE_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
CHOICE_FOLDS = 4  # of the cross-fitting that chooses the penalty
MOST_TRAINING_ROWS = 5000  # more are drawn down to this count
CCA_COMPONENTS = 256  # principal components of each field, at most
CCA_WIDTH = 128  # canonical correlations, at most
# (features [n, D_a], features [m, D_b]) -> unit vectors [n, D] and [m, D] to compare
PairMap = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Method = Callable[[float], PairMap]  # given a penalty


@dataclass(frozen=True)
class Side:
    """N training rows of one field, and their singular value decomposition, all float64."""

    rows: np.ndarray  # [N, D]
    mean: np.ndarray  # [D]
    left: np.ndarray  # [N, K]
    spread: np.ndarray  # [K], singular values, the largest first
    directions: np.ndarray  # [D, K]

    @staticmethod
    def of(rows: np.ndarray) -> Side:
        """By the eigenvectors of the smaller product of the centred rows with themselves, which is
        much faster than a singular value decomposition."""
        mean = rows.mean(0)
        x = rows - mean
        wide = len(x) < x.shape[1]
        values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
        nonzero = np.flatnonzero(values > 1e-10 * max(float(values[-1]), 1e-30))[::-1]
        spread, vectors = np.sqrt(values[nonzero]), vectors[:, nonzero]
        if wide:
            return Side(rows, mean, vectors, spread, x.T @ vectors / spread)
        return Side(rows, mean, x @ vectors / spread, spread, vectors)


def ridge(a: Side, b: Side) -> Method:
    """Ridge regression from field a to the unit vectors of field b."""
    mean_b = b.rows.mean(0)
    aim = a.left.T @ unit(b.rows - mean_b)  # [K, D_b]

    def with_penalty(penalty: float) -> PairMap:
        share = a.spread / (a.spread**2 + penalty * (a.spread**2).mean() + 1e-12)  # [K]
        inner = share[:, None] * aim
        return lambda x, y: (unit((x - a.mean) @ a.directions @ inner), unit(y - mean_b))

    return with_penalty


def correlations(a: Side, b: Side) -> Method:
    """Canonical correlations of principal components of both fields, with a ridge."""

    def scaled(side: Side, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Whitened components [N, K], and the factors [K] that whiten them."""
        variance = side.spread[:CCA_COMPONENTS] ** 2 / len(side.rows)
        scale = 1 / np.sqrt(variance + penalty * variance.mean() + 1e-12)
        components = side.left[:, :CCA_COMPONENTS] * side.spread[:CCA_COMPONENTS]
        return components * scale, scale

    def with_penalty(penalty: float) -> PairMap:
        (x_a, scale_a), (x_b, scale_b) = scaled(a, penalty), scaled(b, penalty)
        u, strength, v = np.linalg.svd(x_a.T @ x_b / len(x_a), full_matrices=False)
        # each correlation is weighted by its strength, as a share of the strongest's
        share = strength[:CCA_WIDTH] / max(float(strength[0]), 1e-12)
        map_a = a.directions[:, :CCA_COMPONENTS] * scale_a @ (u[:, :CCA_WIDTH] * share)
        map_b = b.directions[:, :CCA_COMPONENTS] * scale_b @ (v[:CCA_WIDTH].T * share)
        return lambda x, y: (unit((x - a.mean) @ map_a), unit((y - b.mean) @ map_b))

    return with_penalty


METHODS = {"ridge": ridge, "canonical correlations": correlations}


@dataclass(frozen=True)
class RecallBaselines:
    """All baseline methods, fitted on N training rows when a pair of fields is asked for.

    groups: N names; rows of one group share a fold, and each is a right answer for the others.
    sides: cache of decompositions, {(field, rows as bytes): side}."""

    train: Embeddings
    groups: Sequence[str]
    seed: int = 0
    sides: dict[tuple[str, bytes], Side] = field(default_factory=dict)

    def fit(self, a: str, b: str) -> dict[str, PairMap]:
        """{method: its map} for queries of field a and a pool of field b, from rows that have
        both."""
        train = self.train
        both = np.flatnonzero(
            train.present[:, train.fields.index(a)] & train.present[:, train.fields.index(b)]
        )
        drawn = numpy_generator(self.seed, "baselines").permutation(both)[:MOST_TRAINING_ROWS]
        rows = np.sort(drawn)
        group = np.unique([self.groups[int(k)] for k in rows], return_inverse=True)[1]
        shuffled = numpy_generator(self.seed, "folds").permutation(group.max() + 1)
        fold = shuffled[group] % CHOICE_FOLDS
        x, y = (train.features[f][rows].astype(np.float64) for f in (a, b))
        scores = {name: np.zeros(len(BASELINE_PENALTIES)) for name in METHODS}
        for f in range(CHOICE_FOLDS):
            held = fold == f
            if held.all() or not held.any():
                continue
            left, right = self._side(a, rows[~held]), self._side(b, rows[~held])
            for name, method in METHODS.items():
                with_penalty = method(left, right)
                for k, penalty in enumerate(BASELINE_PENALTIES):
                    queries, pool = with_penalty(penalty)(x[held], y[held])
                    cosines = torch.from_numpy(queries @ pool.T)
                    scores[name][k] += float(reciprocal_ranks(cosines, group[held]).sum())
        left, right = self._side(a, rows), self._side(b, rows)
        return {
            name: method(left, right)(BASELINE_PENALTIES[int(np.argmax(scores[name]))])
            for name, method in METHODS.items()
        }

    def methods(
        self, fresh: Embeddings
    ) -> Callable[[str, str, np.ndarray], dict[str, tuple[np.ndarray, np.ndarray]]]:
        """The `other_methods` of `recall.recall`: for two fields and rows of `fresh`, {method:
        (queries, pool)}."""

        def of(a: str, b: str, rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
            return {
                name: pair_map(fresh.features[a][rows], fresh.features[b][rows])
                for name, pair_map in self.fit(a, b).items()
            }

        return of

    def _side(self, name: str, rows: np.ndarray) -> Side:
        key = (name, rows.tobytes())
        if key not in self.sides:
            self.sides[key] = Side.of(self.train.features[name][rows].astype(np.float64))
        return self.sides[key]
