"""What fields share, in closed form, from sums over blocks of rows: memory depends on widths and
never on the count of rows.

A field is taken as it is or lifted onto its likeness to landmarks (the Nyström map of a Gaussian
kernel, Williams & Seeger 2001), reduced to principal components, and joined with the others by
canonical correlations of many sets (Kettenring 1971), or of two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from scipy.linalg import eigh

from gobelin.core.machine import numpy_generator
from gobelin.embedding.features import Embeddings

# rows that are read at once; memory depends on it and on widths
FEATURE_ROWS_AT_ONCE = 4096
Map = Callable[[np.ndarray], np.ndarray]


def present_blocks(rows: Embeddings, field: str) -> Iterator[np.ndarray]:
    """float32 [n, D_f]: the features of a field where it is present, a block of rows at a time."""
    present = np.flatnonzero(rows.present[:, rows.fields.index(field)])
    for start in range(0, len(present), FEATURE_ROWS_AT_ONCE):
        yield np.asarray(rows.features[field][present[start : start + FEATURE_ROWS_AT_ONCE]])


def principal(
    rows: Embeddings, field: str, count: int, mapped: Map = np.asarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal components of a field over the n rows where it is present: mean [D_f], directions
    [D_f, K], variances [K], all float64.

    K is `count`, or fewer where the rows or the width allow no more. mapped: a map [n, D_f] ->
    [n, M] of the features that comes first; then M stands for D_f above."""
    n, width = int(rows.present[:, rows.fields.index(field)].sum()), rows.features[field].shape[1]
    blocks = (mapped(b).astype(np.float64) for b in present_blocks(rows, field))
    first = next(blocks, None)
    if first is None:  # a field that no row has: one row of zeros
        first, n = np.zeros((1, mapped(np.zeros((1, width), np.float32)).shape[1])), 1
    if n < first.shape[1]:
        # A wide field: the directions lie among the rows, and D_f x D_f would take minutes.
        x = np.concatenate([first, *blocks])
        mean = x.mean(0)
        _, spread, directions = np.linalg.svd(x - mean, full_matrices=False)
        values, vectors = spread**2 / n, directions.T
    else:
        # Sums of squares about a point near the mean lose no digits.
        about = first.mean(0)
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
    """The Nyström map of a Gaussian kernel: k(x, l) = exp(-|(x - l) / scale|^2 / bandwidth) for M
    landmarks l, which are training rows.

    landmarks: float32 [M, D_f]. scale: float32 [D_f], the root of a column's variance plus the
    columns' mean variance. bandwidth: the median of the landmarks' squared distances (Gretton et
    al. 2012, section 8). root: float64 [M, R], U / sqrt(values) of the kernel among landmarks, so
    that products of mapped rows are the kernel."""

    landmarks: np.ndarray
    scale: np.ndarray
    bandwidth: float
    root: np.ndarray

    @staticmethod
    def fit(rows: Embeddings, field: str, count: int, seed: int) -> Lift:
        present = np.flatnonzero(rows.present[:, rows.fields.index(field)])
        chosen = np.sort(numpy_generator(seed, "landmarks", field).permutation(present)[:count])
        points = rows.features[field][chosen].astype(np.float64)
        variance = points.var(0)
        scale = np.sqrt(variance + variance.mean() + 1e-12)
        squared = _squared_distances(points / scale, points / scale)  # [M, M]
        upper = squared[np.triu_indices(len(points), 1)]
        bandwidth = float(np.median(upper)) if len(upper) else 1.0
        bandwidth = bandwidth if bandwidth > 1e-9 else 1.0
        values, vectors = np.linalg.eigh(np.exp(-squared / bandwidth))
        strong = values > 1e-6 * values[-1]  # the others would divide by nearly 0
        return Lift(
            points.astype(np.float32),
            scale.astype(np.float32),
            bandwidth,
            vectors[:, strong] / np.sqrt(values[strong]),
        )

    def kernel(self, x: np.ndarray) -> np.ndarray:
        """[n, D_f] -> float32 [n, M]."""
        return likeness(x, self.landmarks, self.scale, self.bandwidth)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[n, D_f] -> float64 [n, R]."""
        return self.kernel(x) @ self.root


def likeness(
    x: np.ndarray, landmarks: np.ndarray, scale: np.ndarray, bandwidth: float
) -> np.ndarray:
    """float32 [n, M]: the kernel of `Lift` between x [n, D_f] and landmarks [M, D_f]."""
    squared = _squared_distances(x / scale, landmarks / scale)
    return np.exp(-squared / bandwidth).astype(np.float32)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[n, m], of a [n, D] and b [m, D]."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)


@dataclass(frozen=True)
class Basis:
    """Features [n, D_f] of a field -> components [n, K]: (phi(x) - mean) @ directions. phi is the
    likeness to M landmarks (see `Lift`), or x itself.

    mean: float32 [D_f or M]. directions: float32 [D_f or M, K]. variances: float64 [K], of the
    components over the rows that it was fitted on."""

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    lift: Lift | None = None

    @staticmethod
    def fit(rows: Embeddings, field: str, components: int, landmarks: int, seed: int) -> Basis:
        lifts = landmarks > 0 and int(rows.present[:, rows.fields.index(field)].sum()) > 2
        lift = Lift.fit(rows, field, landmarks, seed) if lifts else None
        mean, directions, variances = principal(rows, field, components, lift or np.asarray)
        if lift is not None:
            # Mean and directions of the mapped rows, written for the kernel itself; the columns of
            # `root` are orthogonal.
            mean, directions = lift.root @ (mean / (lift.root**2).sum(0)), lift.root @ directions
        return Basis(mean.astype(np.float32), directions.astype(np.float32), variances, lift)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        phi = x if self.lift is None else self.lift.kernel(x)
        return ((phi - self.mean) @ self.directions).astype(np.float32)

    def scale(self, shrinkage: float, most: int | None = None) -> np.ndarray:
        """float64 [K]: factors that whiten the components (the first `most`), regularised. Each is
        divided by the root of its variance plus `shrinkage` times their mean variance, so weak
        directions stay weak."""
        variances = self.variances[:most]
        return 1 / np.sqrt(variances + shrinkage * variances.mean() + 1e-12)


Products = dict[tuple[str, str], np.ndarray]


def products(rows: Embeddings, bases: dict[str, Basis], usable: np.ndarray) -> Products:
    """{(a, b): float64 [K_a, K_b]}, a before b: the mean products of the components of every two
    fields that share three rows.

    usable: bool [N, F]: the cells that count."""
    fields, pairs = rows.fields, list(combinations(range(len(rows.fields)), 2))
    sizes = [bases[f].directions.shape[1] for f in fields]
    sums = {(a, b): np.zeros((sizes[a], sizes[b])) for a, b in pairs}
    for start in range(0, len(rows), FEATURE_ROWS_AT_ONCE) if pairs else ():
        block = np.arange(start, min(start + FEATURE_ROWS_AT_ONCE, len(rows)))
        components = [bases[f](rows.features[f][block]).astype(np.float64) for f in fields]
        for a, b in pairs:
            both = usable[block, a] & usable[block, b]
            sums[a, b] += components[a][both].T @ components[b][both]
    counts = {(a, b): int((usable[:, a] & usable[:, b]).sum()) for a, b in pairs}
    return {
        (fields[a], fields[b]): total / counts[a, b]
        for (a, b), total in sums.items()
        if counts[a, b] > 2
    }


def many_sets(
    bases: dict[str, Basis], means: Products, shrinkage: float, width: int, power: float
) -> dict[str, np.ndarray]:
    """Maps [K_f, width] of components that maximise the summed correlations of all pairs of fields
    (Kettenring 1971, SUMCOR).

    means: as `products` gives them. A direction is weighted by its strength to the `power`: 0
    counts all alike, 1 trusts the strongest. The strength is the excess of its eigenvalue over 1,
    as a share of the strongest's."""
    scales = {f: basis.scale(shrinkage) for f, basis in bases.items()}
    edges = dict(zip(bases, np.cumsum([0, *(len(s) for s in scales.values())]), strict=False))
    total = sum(len(s) for s in scales.values())  # K of all fields together
    block = {f: slice(edges[f], edges[f] + len(scales[f])) for f in bases}
    # Correlations of all whitened components, [total, total]: the identity within a field.
    joint = np.eye(total)
    for (a, b), mean in means.items():
        joint[block[a], block[b]] = mean * scales[a][:, None] * scales[b]
        joint[block[b], block[a]] = joint[block[a], block[b]].T
    values, vectors = eigh(joint, subset_by_index=(max(0, total - width), total - 1))
    strength = np.clip(values[::-1] - 1, 0, None)  # zero where no pair of fields shares anything
    share = (strength / max(strength.max(), 1e-12)) ** power * (strength > 1e-9)
    directions = np.zeros((total, width))
    directions[:, : len(values)] = vectors[:, ::-1] * share
    maps = {f: directions[block[f]] for f in bases}
    # A field that meets no other in any row (an image folder has but one field): its own principal
    # components.
    alone = {f: np.eye(*m.shape) for f, m in maps.items() if np.abs(m).max(initial=0) < 1e-9}
    return {f: scales[f][:, None] * m for f, m in (maps | alone).items()}


def two_sets(
    a: Basis, b: Basis, mean: np.ndarray, shrinkage: float, width: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Maps [K_a, width] and [K_b, width] of components to the canonical correlations of two fields
    alone (Hotelling 1936), with a ridge (Vinod 1976). Each correlation is weighted by its strength,
    as a share of the strongest's.

    mean: [K_a, K_b], as `products` gives it. most: components of either field that are used."""
    left_scale, right_scale = a.scale(shrinkage, most), b.scale(shrinkage, most)
    whitened = mean[: len(left_scale), : len(right_scale)] * left_scale[:, None] * right_scale
    u, strength, v = np.linalg.svd(whitened, full_matrices=False)
    share = strength[:width] / max(float(strength[0]), 1e-12)
    left, right = (np.zeros((basis.directions.shape[1], width)) for basis in (a, b))
    for out, scale, vectors in ((left, left_scale, u), (right, right_scale, v.T)):
        out[: len(scale), : len(share)] = scale[:, None] * vectors[:, :width] * share
    return left, right
