"""What fields share, in closed form, from sums over blocks of rows: memory depends on widths and
never on the count of rows.

A field is taken as it is or as random waves (Fourier features of a Gaussian kernel, Rahimi & Recht
2007), reduced to principal components, and joined with the others by canonical correlations of many
sets (Kettenring 1971), or of two. Waves are drawn from a seed. They know the variance of each
column and no row; the landmarks of a Nyström map would be rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations

import numpy as np

from gobelin.core.lazy import linalg, sparse
from gobelin.core.machine import numpy_generator
from gobelin.data.coarse import coarse, coarse_scale, coarseness
from gobelin.embedding.features import Embeddings

# rows that are read at once; memory depends on it and on widths
FEATURE_ROWS_AT_ONCE = 4096
# share of a direction's variance above which few groups make it (the dominance rule of statistical
# offices, Hundepool et al. 2012, section 4.2.2)
DOMINANCE = 0.9
NEARLY = 0.95  # cosine from which a direction is nearly a row
FAR = 3.0  # times a distance: beyond it a row is an outlier
BUCKETS = 4096  # of groups, whose shares are summed
FEWEST_WAVES = 8  # fewer make no kernel
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

    Every group counts once, however many rows it has. The mean is `coarse`. K is `count`, or fewer.
    There are three directions for four different rows at most: n - 1 would span
    the rows themselves, and a row would follow from a part of it. A direction that is nearly a row
    of too few groups is left out, and outliers are pulled in. Of a field that too few groups have
    nothing is learned. mapped: a map [n, D_f] -> [n, M] of the features that comes first; then M
    stands for D_f above."""
    there = rows.present[:, rows.fields.index(field)]
    n, width = int(there.sum()), rows.features[field].shape[1]
    if not n or not rows.enough(there):
        zeros = np.zeros(mapped(np.zeros((1, width), np.float32)).shape[1])
        return zeros, zeros[:, None], np.zeros(1)
    pulled, share = pulled_in(rows, field), group_shares(rows, field)
    blocks = (mapped(pulled(b)).astype(np.float64) for b in present_blocks(rows, field))
    first = next(blocks)
    if n < first.shape[1]:
        # A wide field: the directions lie among the rows, and D_f x D_f would take minutes.
        x = np.concatenate([first, *blocks])
        mean = share @ x
        variance = share @ (x - mean) ** 2
        weighted = (x - mean) * np.sqrt(share)[:, None]
        _, spread, directions = np.linalg.svd(weighted, full_matrices=False)
        values, vectors = spread**2, directions.T
    else:
        # Sums of squares about a point near the mean lose no digits.
        about, start = first.mean(0), 0
        total, squares = np.zeros_like(about), np.zeros((len(about), len(about)))
        for block in chain([first], blocks):
            moved, part = block - about, share[start : start + len(block)]
            total += part @ moved
            squares += (moved * part[:, None]).T @ moved
            start += len(block)
        mean, squares = about + total, squares - np.outer(total, total)
        variance = np.clip(np.diag(squares), 0, None)
        values, vectors = np.linalg.eigh(squares)
    most = n - 1
    if rows.least_groups > 1:
        different = {hash(x.tobytes()) for block in present_blocks(rows, field) for x in block}
        most = min(most, 3 * len(different) // 4)
    top = np.argsort(-values)[: min(count, len(values), max(most, 1))]
    if rows.least_groups > 1:
        few = _made_by_few(rows, field, lambda x: mapped(pulled(x)) - mean, vectors[:, top])
        top = top[~few]
    values, vectors = np.clip(values[top], 0, None), vectors[:, top]
    mean = coarse(mean, _coarseness(rows, field) * np.sqrt(variance))
    if not len(top):
        return mean, np.zeros((len(mean), 1)), np.zeros(1)
    return mean, vectors, values


def group_shares(rows: Embeddings, field: str) -> np.ndarray:
    """float64 [n]: the share of each row where the field is present. Every group has the same, so
    that a mean isn't that of one group with many rows. Without groups to protect, every row has."""
    group = rows.group_numbers[rows.present[:, rows.fields.index(field)]]
    if rows.least_groups == 1:
        return np.full(len(group), 1 / len(group))
    size = np.bincount(group)
    return 1 / (size[group] * np.count_nonzero(size))


def _coarseness(rows: Embeddings, field: str) -> float:
    """`data.coarse.coarseness` of the groups that have the field."""
    group = rows.group_numbers[rows.present[:, rows.fields.index(field)]]
    return coarseness(len(np.unique(group)), rows.least_groups)


def pulled_in(rows: Embeddings, field: str) -> Map:
    """A map that leaves features [n, D_f] as they are, but for outliers: a row that lies further
    from the middle than `FAR` times the row of the `least_groups`-th farthest group is moved to
    that distance. Otherwise a mean would be the outlier, up to scale."""
    if rows.least_groups == 1:
        return np.asarray
    group = rows.group_numbers[rows.present[:, rows.fields.index(field)]]
    farthest, start = np.zeros(int(group.max()) + 1), 0
    middle = _middle(next(present_blocks(rows, field)), group)
    for block in present_blocks(rows, field):
        far = np.linalg.norm(block - middle, axis=1)
        np.maximum.at(farthest, group[start : start + len(block)], far)
        start += len(block)
    most = FAR * float(np.sort(farthest[np.unique(group)])[-rows.least_groups])

    def pulled(x: np.ndarray) -> np.ndarray:
        far = np.linalg.norm(x - middle, axis=1)
        if not (far > most).any():
            return x
        shorter = np.minimum(1, most / np.maximum(far, 1e-30))[:, None]
        return (middle + (x - middle) * shorter).astype(x.dtype)

    return pulled


def _middle(block: np.ndarray, group: np.ndarray) -> np.ndarray:
    """[D_f]: the median of the groups' means over a block of rows, of each column. group: int, of
    these rows first."""
    _, place, size = np.unique(group[: len(block)], return_inverse=True, return_counts=True)
    members = sparse.csr_matrix(
        (1 / size[place], (place, np.arange(len(block)))), (len(size), len(block))
    )
    return np.median(members @ block, axis=0)


def _made_by_few(rows: Embeddings, field: str, moved: Map, directions: np.ndarray) -> np.ndarray:
    """bool [K]: whether a direction, of [D, K], is nearly a row, and most of the variance along it
    comes from `least_groups` - 1 groups. Many groups share a bucket, which makes their share no
    smaller. moved: a map of features [n, D_f] to their differences from the mean [n, D]."""
    bucket = rows.group_numbers[rows.present[:, rows.fields.index(field)]] % BUCKETS
    squares, start = np.zeros((int(bucket.max()) + 1, directions.shape[1])), 0
    nearest = np.zeros(directions.shape[1])
    for block in present_blocks(rows, field):
        x, n = moved(block), len(block)
        scores = x @ directions
        length = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
        nearest = np.maximum(nearest, np.abs(scores / length).max(0))
        place = (bucket[start : start + n], np.arange(n))
        squares += sparse.csr_matrix((np.ones(n), place), (len(squares), n)) @ scores**2
        start += n
    few = np.sort(squares, axis=0)[::-1][: rows.least_groups - 1].sum(0)
    return (nearest > NEARLY) & (few > DOMINANCE * squares.sum(0))


def random_waves(rows: Embeddings, field: str, count: int, seed: int) -> np.ndarray:
    """float32 [D_f, M]: M frequencies whose features (`waved`) have the Gaussian kernel
    exp(-|(x - y) / scale|^2 / bandwidth) as their products, about.

    scale: of a column, the root of its variance plus the columns' mean variance. bandwidth: the
    mean of the rows' squared distances after it. Frequencies are orthogonal, D_f at a time, which
    makes the error smaller (Yu et al. 2016, section 3)."""
    pulled, share, start = pulled_in(rows, field), group_shares(rows, field), 0
    about = pulled(next(present_blocks(rows, field))).mean(0, dtype=np.float64)
    total, squares = np.zeros_like(about), np.zeros_like(about)
    for block in present_blocks(rows, field):
        moved, part = pulled(block) - about, share[start : start + len(block)]
        total, squares, start = total + part @ moved, squares + part @ moved**2, start + len(block)
    variance = np.maximum(squares - total**2, 0)
    if _coarseness(rows, field):
        variance = coarse_scale(variance)
    spread = variance + variance.mean() + 1e-12
    bandwidth = max(2 * float((variance / spread).sum()), 1e-9)
    width, rng = len(variance), numpy_generator(seed, "waves", field)
    waves: list[np.ndarray] = []
    for start in range(0, count, width):
        directions, _ = np.linalg.qr(rng.normal(size=(width, min(width, count - start))))
        waves.append(directions * np.sqrt(rng.chisquare(width, directions.shape[1])))
    scaled = np.concatenate(waves, 1) * np.sqrt(2 / bandwidth) / np.sqrt(spread)[:, None]
    return scaled.astype(np.float32)


def waved(x: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """float32 [n, 2 M]: cosines and sines of x [n, D_f] along M waves [D_f, M]; the product of two
    rows is about the kernel of `random_waves`."""
    angle = x @ waves
    both = np.concatenate([np.cos(angle), np.sin(angle)], 1)
    return (both / np.sqrt(waves.shape[1])).astype(np.float32)


def _most_waves(rows: Embeddings, field: str, waves: int) -> int:
    """The number of waves that tells of no single row; 0 where that is too few to be of use.

    What is kept are means over the rows of 2 M features. From as many as the rows have numbers, the
    rows can be solved for; so there are `least_groups` times fewer."""
    there = rows.present[:, rows.fields.index(field)]
    if there.sum() <= 2 or not rows.enough(there):
        return 0
    if rows.least_groups == 1:
        return waves
    groups = len(np.unique(rows.group_numbers[there]))
    most = groups * rows.features[field].shape[1] // (2 * rows.least_groups)
    return min(waves, most) if most >= FEWEST_WAVES else 0


@dataclass(frozen=True)
class Basis:
    """Features [n, D_f] of a field -> components [n, K]: (phi(x) - mean) @ directions. phi is x
    itself, or its features of M waves.

    mean: float32 [D_f or 2 M]. directions: float32 [D_f or 2 M, K]. variances: float64 [K], of the
    components over the rows that it was fitted on. waves: float32 [D_f, M], or None."""

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    waves: np.ndarray | None = None

    @staticmethod
    def fit(rows: Embeddings, field: str, components: int, waves: int, seed: int) -> Basis:
        count = _most_waves(rows, field, waves)
        drawn = random_waves(rows, field, count, seed) if count else None
        mapped: Map = np.asarray if drawn is None else partial(waved, waves=drawn)
        mean, directions, variances = principal(rows, field, components, mapped)
        return Basis(mean.astype(np.float32), directions.astype(np.float32), variances, drawn)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        phi = x if self.waves is None else waved(x, self.waves)
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
    fields that three rows share, and enough groups.

    usable: bool [N, F]: the cells that count."""
    fields, pairs = rows.fields, list(combinations(range(len(rows.fields)), 2))
    sizes = [bases[f].directions.shape[1] for f in fields]
    sums = {(a, b): np.zeros((sizes[a], sizes[b])) for a, b in pairs}
    for start in range(0, len(rows), FEATURE_ROWS_AT_ONCE) if pairs else ():
        block = np.arange(start, min(start + FEATURE_ROWS_AT_ONCE, len(rows)))
        components = [bases[f](rows.features[f][block]).astype(np.float64) for f in fields]
        for a, b in pairs:
            shared = usable[block, a] & usable[block, b]
            sums[a, b] += components[a][shared].T @ components[b][shared]
    both = {(a, b): usable[:, a] & usable[:, b] for a, b in pairs}
    return {
        (fields[a], fields[b]): total / both[a, b].sum()
        for (a, b), total in sums.items()
        if both[a, b].sum() > 2 and rows.enough(both[a, b])
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
    values, vectors = linalg.eigh(joint, subset_by_index=(max(0, total - width), total - 1))
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
