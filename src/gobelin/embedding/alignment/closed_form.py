"""The closed form of a shared space: what all fields have in common, and what every two fields have
in common, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from gobelin.embedding.alignment.correlation import (
    Basis,
    Products,
    many_sets,
    present_blocks,
    products,
    two_sets,
)
from gobelin.embedding.alignment.projection import (
    FieldMap,
    ProjectionPart,
    arrays,
    side_by_side,
    unit,
)
from gobelin.embedding.features import Embeddings

Pair = tuple[str, str]  # two fields
JointMaps = Sequence[dict[str, np.ndarray]]  # {field: [K_f, joint]} of each kind of basis

PAIR_RIDGES = (0.1, 0.3, 1.0, 3.0)  # shrinkage of a pair's own part; held-back rows choose one
# components of each field in a pair's own part: fewer than in the joint parts, which regularises it
PAIR_COMPONENTS = 256
# weights of the joint part of the features and of that of waves; held-back rows choose
JOINT_WEIGHTS = (np.array([1.0, 1.0]), np.array([0.0, 2.0]), np.array([2.0, 0.0]))
PAIR_WEIGHT = 2.0  # a pair's own part counts as much as both joint parts together
MOST_PAIRS_WIDTH = 2048  # of all pairs' own parts together
JUDGED_ROWS = 2000  # held-back rows, at most, that a choice is judged by


class ClosedForm:
    """The closed form on N training rows.

    bases: those of the features as they are and, where the settings ask for them, those of waves.
    joint: width of the part that all fields share. pairs: width of every two fields' own part.
    width: D of the space."""

    def __init__(
        self,
        train: Embeddings,
        bases: Sequence[dict[str, Basis]],
        joint: int,
        pairs: int,
        width: int,
    ) -> None:
        self.train, self.bases, self.joint, self.width = train, bases, joint, width
        self.joint_weights = np.ones(len(bases))
        count = max(len(train.fields) * (len(train.fields) - 1) // 2, 1)
        self.pairs = min(pairs, MOST_PAIRS_WIDTH // count)

    def products(self, usable: np.ndarray) -> list[Products]:
        """The mean products of every two fields, for each kind of basis. usable: bool [N, F]."""
        return [products(self.train, bases, usable) for bases in self.bases]

    def joints(self, means: Sequence[Products], shrinkage: float, power: float) -> JointMaps:
        """The maps of the part that all fields share, {field: [K_f, joint]}, for each kind of
        basis. means: as `products` gives them."""
        return [
            many_sets(bases, mean, shrinkage, self.joint, power)
            for bases, mean in zip(self.bases, means, strict=True)
        ]

    def choose(
        self,
        means: Sequence[Products],
        joints: Sequence[JointMaps],
        held_back: Sequence[np.ndarray],
        groups: np.ndarray,
    ) -> dict[Pair, float]:
        """The choices with which held-back rows are retrieved best, in both directions: first how
        much each joint part counts (stored in this object), then the shrinkage of every two fields'
        own part. A pair that is retrieved as well without one is left out.

        means (of the features as they are), joints: one a turn, each learned without the rows of
        held_back (bool [N]) of that turn. groups: int [N]."""
        fields = self.train.fields
        pairs = [p for p in combinations(fields, 2) if all(p in mean for mean in means)]
        turns = list(zip(means, joints, held_back, strict=True))
        cosines = {p: [self._cosines(p, joint, held) for _, joint, held in turns] for p in pairs}
        if len(self.bases) > 1 and pairs:
            scores = [
                sum(_retrieval(c @ weights, groups[rows]) for p in pairs for c, rows in cosines[p])
                for weights in JOINT_WEIGHTS
            ]
            self.joint_weights = JOINT_WEIGHTS[int(np.argmax(scores))]
        ridges = {}
        for pair in pairs if self.pairs else ():
            turn_scores = [
                self._pair_scores(pair, mean, joint_cosines, rows, groups)
                for (mean, _, _), (joint_cosines, rows) in zip(turns, cosines[pair], strict=True)
            ]
            best = int(np.argmax(np.sum(turn_scores, 0)))
            if best:  # 0 is the score without an own part
                ridges[pair] = PAIR_RIDGES[best - 1]
        return ridges

    def _cosines(
        self, pair: Pair, joints: JointMaps, held_back: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The cosines of n held-back rows in the joint part of each kind of basis, [n, n, kinds],
        and the rows, int [n]."""
        columns = [self.train.fields.index(f) for f in pair]
        usable = held_back & self.train.present[:, columns].all(1)
        rows = np.flatnonzero(usable)[:JUDGED_ROWS]
        cosines = []
        for bases, maps in zip(self.bases, joints, strict=True):
            left, right = (
                unit(bases[f](np.asarray(self.train.features[f][rows])) @ maps[f]) for f in pair
            )
            cosines.append(left @ right.T)
        return np.stack(cosines, -1), rows

    def _pair_scores(
        self,
        pair: Pair,
        means: Products,
        joint_cosines: np.ndarray,
        rows: np.ndarray,
        groups: np.ndarray,
    ) -> np.ndarray:
        """float64 [1 + ridges]: summed reciprocal ranks in both directions, without a part of the
        pair's own, then with one of each ridge. joint_cosines: [n, n, kinds]."""
        a, b = (self.bases[0][f] for f in pair)
        x, y = (self.bases[0][f](np.asarray(self.train.features[f][rows])) for f in pair)
        joint = joint_cosines @ self.joint_weights  # [n, n]
        scores = [_retrieval(joint, groups[rows])]
        for ridge in PAIR_RIDGES:
            left, right = two_sets(a, b, means[pair], ridge, self.pairs, PAIR_COMPONENTS)
            own = unit(x @ left) @ unit(y @ right).T  # [n, n]
            scores.append(_retrieval(joint + PAIR_WEIGHT * own, groups[rows]))
        return np.array(scores)

    def maps(
        self, means: Products, joints: JointMaps, ridges: dict[Pair, float]
    ) -> dict[str, FieldMap]:
        """{field: its map}. means: those of the features as they are."""
        fields, bases = self.train.fields, self.bases[0]
        # The parts of the space in their order: a pair of fields, or the kind of a joint part.
        names: list[Pair | int] = []
        parts: dict[str, list[tuple[Pair | int, ProjectionPart]]] = {f: [] for f in fields}
        for kind, (kind_bases, joint_maps) in enumerate(zip(self.bases, joints, strict=True)):
            names.append(kind)
            for f, joint_map in joint_maps.items():
                part = ProjectionPart(kind_bases[f], joint_map, float(self.joint_weights[kind]))
                parts[f].append((kind, part))
            for (a, b), ridge in ridges.items() if kind == 0 else ():
                names.append((a, b))
                pair_maps = two_sets(
                    bases[a], bases[b], means[a, b], ridge, self.pairs, PAIR_COMPONENTS
                )
                for f, pair_map in zip((a, b), pair_maps, strict=True):
                    parts[f].append(((a, b), ProjectionPart(bases[f], pair_map, PAIR_WEIGHT)))
        widths = [self.joint if isinstance(n, int) else self.pairs for n in names]
        edges = np.cumsum([0, *widths])
        columns = {n: np.arange(edges[i], edges[i + 1]) for i, n in enumerate(names)}
        # the columns of the whole that a field has parts in
        own_columns = {f: np.concatenate([columns[n] for n, _ in parts[f]]) for f in fields}
        maps: dict[str, FieldMap] = {f: arrays([p for _, p in parts[f]]) for f in fields}
        total = int(edges[-1])
        if total != self.width or any(len(own_columns[f]) != self.width for f in fields):
            cut = self._principal_directions(maps, own_columns, total).astype(np.float32)
            maps = {f: {**field_map, "whole": cut[own_columns[f]]} for f, field_map in maps.items()}
        return maps

    def _principal_directions(
        self,
        maps: Mapping[str, FieldMap],
        own_columns: dict[str, np.ndarray],
        total: int,
    ) -> np.ndarray:
        """float64 [total, D]: the principal directions (not centred) of all fields' vectors, the
        strongest first."""
        squares = np.zeros((total, total))
        for f, field_map in maps.items():
            for block in present_blocks(self.train, f):
                z = side_by_side(field_map, block)  # [n, H]
                squares[np.ix_(own_columns[f], own_columns[f])] += z.T @ z
        _, vectors = np.linalg.eigh(squares)
        out = np.zeros((total, self.width))
        top = vectors[:, ::-1][:, : self.width]
        out[:, : top.shape[1]] = top
        return out


def reciprocal_ranks(cosines: Tensor, groups: np.ndarray) -> Tensor:
    """float32 [n]: one over the rank of column i for row i of cosines [n, n]; a tie counts against
    it. Columns of the row's own group (groups: int [n]) do not count against it."""
    other = torch.from_numpy(groups[:, None] != groups[None])
    ranks = 1 + ((cosines >= cosines.diagonal()[:, None]) & other).sum(1)
    return 1.0 / ranks


def _retrieval(cosines: np.ndarray, groups: np.ndarray) -> float:
    """The summed reciprocal ranks in both directions."""
    return sum(
        float(reciprocal_ranks(torch.from_numpy(c), groups).sum()) for c in (cosines, cosines.T)
    )
