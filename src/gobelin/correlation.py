"""What fields share, in closed form, from sums over blocks of rows: memory depends on widths and never on the count of rows.

A field is lifted onto its likeness to landmarks (the Nyström map of a Gaussian kernel, Williams & Seeger 2001), reduced to
principal components, and joined with the others by canonical correlations of many sets (Kettenring 1971).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from gobelin.embedding import Embeddings
from gobelin.runtime import numpy_generator

BLOCK = 4096
Map = Callable[[np.ndarray], np.ndarray]


def present_blocks(rows: Embeddings, field: str) -> Iterator[np.ndarray]:
    """float32 [n, D_f]: the features of a field where it is present, a block of rows at a time."""
    there = np.flatnonzero(rows.present[:, rows.fields.index(field)])
    for start in range(0, len(there), BLOCK):
        yield np.asarray(rows.features[field][there[start : start + BLOCK]])


def principal(rows: Embeddings, field: str, count: int, mapped: Map = np.asarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal components of a field over the rows where it is present: mean [D_f], directions [D_f, K], variances [K].

    K is `count`, or fewer where the rows or the width allow no more. mapped: what is done to the features first."""
    n, width = int(rows.present[:, rows.fields.index(field)].sum()), rows.features[field].shape[1]
    blocks = (mapped(b).astype(np.float64) for b in present_blocks(rows, field))
    first = next(blocks, None)
    if first is None:
        first, n = np.zeros((1, mapped(np.zeros((1, width), np.float32)).shape[1])), 1
    if n < first.shape[1]:  # a wide table: the directions lie among the rows, and D_f x D_f would take minutes
        x = np.concatenate([first, *blocks])
        mean = x.mean(0)
        _, spread, directions = np.linalg.svd(x - mean, full_matrices=False)
        values, vectors = spread**2 / n, directions.T
    else:
        about = first.mean(0)  # sums of squares about a point near the mean lose no digits
        total, squares = np.zeros_like(about), np.zeros((len(about), len(about)))
        for block in chain([first], blocks):
            moved = block - about
            total += moved.sum(0)
            squares += moved.T @ moved
        mean = about + total / n
        values, vectors = np.linalg.eigh(squares / n - np.outer(total, total) / n**2)
    top = np.argsort(-values)[: min(count, len(values), max(n - 1, 1))]
    return mean, vectors[:, top], np.clip(values[top], 0, None)


@dataclass(frozen=True)
class Lift:
    """k(x, l) = exp(-|(x - l) / scale|^2 / bandwidth) for M landmarks l, which are training rows. scale: the root of a column's
    variance plus the columns' mean variance. bandwidth: the median of the landmarks' squared distances (Gretton et al. 2012,
    section 8). root: [M, R], U / sqrt(values) of the landmarks' own kernel, so that products of mapped rows are the kernel."""

    landmarks: np.ndarray
    scale: np.ndarray
    bandwidth: float
    root: np.ndarray

    @staticmethod
    def fit(rows: Embeddings, field: str, count: int, seed: int) -> Lift:
        there = np.flatnonzero(rows.present[:, rows.fields.index(field)])
        chosen = np.sort(numpy_generator(seed, "landmarks", field).permutation(there)[:count])
        points = rows.features[field][chosen].astype(np.float64)
        variance = points.var(0)
        scale = np.sqrt(variance + variance.mean() + 1e-12)
        apart = _apart(points / scale, points / scale)
        upper = apart[np.triu_indices(len(points), 1)]
        bandwidth = float(np.median(upper)) if len(upper) else 1.0
        bandwidth = bandwidth if bandwidth > 1e-9 else 1.0
        values, vectors = np.linalg.eigh(np.exp(-apart / bandwidth))
        kept = values > 1e-6 * values[-1]
        return Lift(points.astype(np.float32), scale.astype(np.float32), bandwidth, vectors[:, kept] / np.sqrt(values[kept]))

    def kernel(self, x: np.ndarray) -> np.ndarray:
        """[n, D_f] -> float32 [n, M]."""
        return likeness(x, self.landmarks, self.scale, self.bandwidth)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.kernel(x) @ self.root


def likeness(x: np.ndarray, landmarks: np.ndarray, scale: np.ndarray, bandwidth: float) -> np.ndarray:
    """float32 [n, M], as `Lift` says."""
    return np.exp(-_apart(x / scale, landmarks / scale) / bandwidth).astype(np.float32)


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances [n, m]."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)


@dataclass(frozen=True)
class Basis:
    """Features of a field -> whitened components [n, K]: (phi(x) - mean) @ whiten, phi the likeness to landmarks or x itself.

    Whitening is regularised: each component is divided by the root of its variance plus a ridge, so weak directions stay weak.
    """

    mean: np.ndarray
    whiten: np.ndarray
    lift: Lift | None = None

    @staticmethod
    def fit(rows: Embeddings, field: str, components: int, shrinkage: float, landmarks: int, seed: int) -> Basis:
        lifts = landmarks > 0 and int(rows.present[:, rows.fields.index(field)].sum()) > 2
        lift = Lift.fit(rows, field, landmarks, seed) if lifts else None
        mean, directions, variances = principal(rows, field, components, lift or np.asarray)
        whiten = directions / np.sqrt(variances + shrinkage * variances.mean() + 1e-12)
        if lift is None:
            return Basis(mean.astype(np.float32), whiten.astype(np.float32))
        middle = lift.root @ (mean / (lift.root**2).sum(0))  # as likenesses: root's columns are orthogonal
        return Basis(middle.astype(np.float32), (lift.root @ whiten).astype(np.float32), lift)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        seen = x if self.lift is None else self.lift.kernel(x)
        return ((seen - self.mean) @ self.whiten).astype(np.float32)

    def weights(self, last: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of this map followed by `last` [K, D]."""
        found = {"mean": self.mean, "projection": (self.whiten @ last).astype(np.float32)}
        if self.lift is not None:
            found |= {"landmarks": self.lift.landmarks, "scale": self.lift.scale}
            found["bandwidth"] = np.array([self.lift.bandwidth], np.float32)
        return found


def many_sets(rows: Embeddings, bases: dict[str, Basis], usable: np.ndarray, width: int, power: float) -> list[np.ndarray]:
    """Projections [K_f, width] that maximise the summed correlations of all pairs of fields (Kettenring 1971, SUMCOR).

    usable: bool [N, F]: which cells may teach. A direction is weighted by its strength (what its eigenvalue has over 1, of the
    strongest's) to the `power`: 0 counts all alike, 1 trusts the strongest."""
    fields = rows.fields
    edges = np.concatenate([[0], np.cumsum([bases[f].whiten.shape[1] for f in fields])])
    joint, pairs = np.eye(edges[-1]), list(combinations(range(len(fields)), 2))
    sums = {(a, b): np.zeros((edges[a + 1] - edges[a], edges[b + 1] - edges[b])) for a, b in pairs}
    for start in range(0, len(rows), BLOCK):
        part = np.arange(start, min(start + BLOCK, len(rows)))
        seen = [bases[f](rows.features[f][part]).astype(np.float64) for f in fields]
        for a, b in pairs:
            both = usable[part, a] & usable[part, b]
            sums[a, b] += seen[a][both].T @ seen[b][both]
    for a, b in pairs:
        n = int((usable[:, a] & usable[:, b]).sum())
        if n > 2:
            joint[edges[a] : edges[a + 1], edges[b] : edges[b + 1]] = sums[a, b] / n
            joint[edges[b] : edges[b + 1], edges[a] : edges[a + 1]] = sums[a, b].T / n
    values, vectors = np.linalg.eigh(joint)
    top = np.argsort(-values)[:width]
    strength = np.clip(values[top] - 1, 0, None)  # zero where no pair of fields shares anything
    share = (strength / max(strength.max(), 1e-12)) ** power * (strength > 1e-9)
    full = np.zeros((edges[-1], width))
    full[:, : len(top)] = vectors[:, top] * share
    blocks: Sequence[np.ndarray] = [full[edges[k] : edges[k + 1]] for k in range(len(fields))]
    # a field that meets no other in any row (an image folder has but one): its own principal components
    return [block if np.abs(block).max(initial=0) > 1e-9 else np.eye(*block.shape) for block in blocks]
