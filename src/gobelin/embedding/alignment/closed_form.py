"""The closed form of a shared space: what all fields have in common, and what every two of them
have, side by side."""

from __future__ import annotations

from collections.abc import Sequence
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
from gobelin.embedding.alignment.projection import Part, arrays, side_by_side, unit
from gobelin.embedding.features import Embeddings

PAIR_RIDGES = (0.1, 0.3, 1.0, 3.0)  # of two fields alone, as shrinkage
PAIR_COMPONENTS = (
    256  # of each field, in a pair's own part: fewer than in the joint ones regularises it
)
SHARES = (
    np.array([1.0, 1.0]),
    np.array([0.0, 2.0]),
    np.array([2.0, 0.0]),
)  # of features as they are, of likenesses
PAIRS_SHARE = 2.0  # a pair's own part counts as much as both joint parts together
MOST = 2048  # the widths of all pairs' parts together
WATCHED = 2000  # held-back rows that training is stopped by, at most


class Closed:
    """The closed form on training rows: bases of features as they are and, where there are
    landmarks, of likenesses.

    joint, pairs: widths of the parts of all fields and of every two; width: of the space."""

    def __init__(
        self,
        train: Embeddings,
        sides: Sequence[dict[str, Basis]],
        joint: int,
        pairs: int,
        width: int,
    ) -> None:
        self.train, self.sides, self.joint, self.width = train, sides, joint, width
        self.shares = np.ones(len(sides))
        self.pairs = min(pairs, MOST // max(len(train.fields) * (len(train.fields) - 1) // 2, 1))

    def products(self, usable: np.ndarray) -> list[Products]:
        """Of each side. usable: bool [N, F]."""
        return [products(self.train, bases, usable) for bases in self.sides]

    def joints(
        self, seen: Sequence[Products], shrinkage: float, power: float
    ) -> list[dict[str, np.ndarray]]:
        """The maps of the part that all fields share, {field: [K_f, joint]} of each side."""
        return [
            many_sets(b, found, shrinkage, self.joint, power)
            for b, found in zip(self.sides, seen, strict=True)
        ]

    def choose(
        self,
        seen: Sequence[Products],
        joints: Sequence[Sequence[dict[str, np.ndarray]]],
        parts: Sequence[np.ndarray],
        names: np.ndarray,
    ) -> dict[tuple[str, str], float]:
        """What rows held back in turn are found best with, from both sides: how much each joint
        part counts (kept here), then the shrinkage of every two fields' own part; none for a pair
        that is found as well without.

        seen, joints: of each turn, without the rows in parts (bool [N]). names: of the groups."""
        pairs = [p for p in combinations(self.train.fields, 2) if all(p in one for one in seen)]
        turns = list(zip(seen, joints, parts, strict=True))
        cosines = {p: [self._cosines(p, *one[1:]) for one in turns] for p in pairs}
        if len(self.sides) > 1 and pairs:
            found = [
                sum(_found(c @ s, names[rows]) for p in pairs for c, rows in cosines[p])
                for s in SHARES
            ]
            self.shares = SHARES[int(np.argmax(found))]
        out = {}
        for pair in pairs if self.pairs else ():
            scores = [
                self._scores(pair, one[0], *own, names)
                for one, own in zip(turns, cosines[pair], strict=True)
            ]
            best = int(np.argmax(np.sum(scores, 0)))
            if best:
                out[pair] = PAIR_RIDGES[best - 1]
        return out

    def _cosines(
        self, pair: tuple[str, str], joints: Sequence[dict[str, np.ndarray]], held: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The cosines of held-back rows in every side's joint part, [n, n, sides], and which
        rows."""
        there = held & self.train.present[:, [self.train.fields.index(f) for f in pair]].all(1)
        rows = np.flatnonzero(there)[:WATCHED]
        cosines = []
        for side, last in zip(self.sides, joints, strict=True):
            left, right = (
                unit(side[f](np.asarray(self.train.features[f][rows])) @ last[f]) for f in pair
            )
            cosines.append(left @ right.T)
        return np.stack(cosines, -1), rows

    def _scores(
        self,
        pair: tuple[str, str],
        seen: Products,
        cosines: np.ndarray,
        rows: np.ndarray,
        names: np.ndarray,
    ) -> np.ndarray:
        """Summed reciprocal ranks from both sides: without an own part, then with each ridge."""
        a, b = (self.sides[0][f] for f in pair)
        x, y = (self.sides[0][f](np.asarray(self.train.features[f][rows])) for f in pair)
        joint = cosines @ self.shares
        scores = [_found(joint, names[rows])]
        for ridge in PAIR_RIDGES:
            ends = two_sets(a, b, seen[pair], ridge, self.pairs, PAIR_COMPONENTS)
            scores.append(
                _found(joint + PAIRS_SHARE * unit(x @ ends[0]) @ unit(y @ ends[1]).T, names[rows])
            )
        return np.array(scores)

    def weights(
        self,
        seen: Products,
        joints: Sequence[dict[str, np.ndarray]],
        ridges: dict[tuple[str, str], float],
    ) -> dict[str, np.ndarray]:
        """{field/...}: the arrays of every field's map (`projection`). seen: of features as they
        are."""
        fields, bases = self.train.fields, self.sides[0]
        names: list[
            tuple[str, str] | int
        ] = []  # of the parts in their order: a pair, or the joint part of a side
        parts: dict[str, list[tuple[tuple[str, str] | int, Part]]] = {f: [] for f in fields}
        for k, (side, lasts) in enumerate(zip(self.sides, joints, strict=True)):
            names.append(k)
            for f, last in lasts.items():
                parts[f].append((k, Part(side[f], last, float(self.shares[k]))))
            for (a, b), ridge in ridges.items() if k == 0 else ():
                names.append((a, b))
                ends = two_sets(bases[a], bases[b], seen[a, b], ridge, self.pairs, PAIR_COMPONENTS)
                for f, last in zip((a, b), ends, strict=True):
                    parts[f].append(((a, b), Part(bases[f], last, PAIRS_SHARE)))
        widths = [self.joint if isinstance(n, int) else self.pairs for n in names]
        edges = np.cumsum([0, *widths])
        place = {n: np.arange(edges[i], edges[i + 1]) for i, n in enumerate(names)}
        at = {f: np.concatenate([place[n] for n, _ in parts[f]]) for f in fields}
        maps = {f: arrays([p for _, p in parts[f]]) for f in fields}
        if edges[-1] != self.width or any(len(at[f]) != self.width for f in fields):
            cut = self._cut(maps, at, int(edges[-1])).astype(np.float32)
            maps = {f: one | {"whole": cut[at[f]]} for f, one in maps.items()}
        return {f"{f}/{k}": v for f, one in maps.items() for k, v in one.items()}

    def _cut(
        self, maps: dict[str, dict[str, np.ndarray]], at: dict[str, np.ndarray], total: int
    ) -> np.ndarray:
        """[total, D]: the principal directions (not centred) of all fields' vectors, the strongest
        first."""
        squares = np.zeros((total, total))
        for f, w in maps.items():
            for block in present_blocks(self.train, f):
                z = side_by_side(w, block)
                squares[np.ix_(at[f], at[f])] += z.T @ z
        values, vectors = np.linalg.eigh(squares)
        out = np.zeros((total, self.width))
        top = vectors[:, ::-1][:, : self.width]
        out[:, : top.shape[1]] = top
        return out


def reciprocal_ranks(cosines: Tensor, names: np.ndarray) -> Tensor:
    """[n]: one over the place of row i among the columns of [n, n], those of its own group (names)
    not counted."""
    other = torch.from_numpy(names[:, None] != names[None])
    ranks = 1 + ((cosines >= cosines.diagonal()[:, None]) & other).sum(1)
    return 1.0 / ranks


def _found(cosines: np.ndarray, names: np.ndarray) -> float:
    """The summed reciprocal ranks from both sides."""
    return sum(
        float(reciprocal_ranks(torch.from_numpy(c), names).sum()) for c in (cosines, cosines.T)
    )
