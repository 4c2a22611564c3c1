"""Are made images likely, and is every kind of real image among them? Precision, recall, density,
coverage.

Each image's ball reaches to its k-th nearest neighbour in its own set. Precision: the share of made
images in a real ball; recall: of real images in a made ball (Kynkäänniemi et al. 2019, eq. 1-2,
closed balls). Density: how many real balls a made image lies in, over k; coverage: the share of
real balls that hold a made image (Naeem et al. 2020, eq. 3-4; open balls, as in their program). All
features are held in memory, distances come in blocks.

What this cannot show: whether an image looks right, or was copied: the training set itself scores
best. One outlier's ball can hold many images (precision and recall), k and the numbers of images
move every value, and the intervals take the balls as given."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gobelin.core.config import within
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, mean, proportion
from gobelin.quality.metrics import Comparison, Rows, TooFew, matrix, same_width

PAIRS = 2**21
SIDE = 2048
GROUP = 16
PIECES = 3  # numbers of a coarse type that hold a square to more than float32's digits
STEP = {
    torch.bfloat16: 2.0**-8 + 2.0**-15,
    torch.float32: 2.0**-23,
}  # what rounding changes in a result, relative, at most
NAMES = (("precision", "share"), ("recall", "share"), ("density", ""), ("coverage", "share"))


@dataclass(frozen=True)
class Coverage:
    """nearest: k, which neighbour's distance is the radius of a ball."""

    nearest: int = 5

    def __post_init__(self) -> None:
        within(self, {"nearest": (1, 1000)})

    def measure(self, comparison: Comparison) -> tuple[Finding, ...]:
        """precision, recall, density and coverage, with intervals that take the balls as given."""
        comparison.check("coverage")
        real = matrix(comparison.real)
        made = matrix(comparison.made)
        note = f"k = {self.nearest}, {len(real)} real and {len(made)} made images"
        try:
            found = scores(real, made, self.nearest)
        except TooFew as why:
            return tuple(comparison.silence(name, why, "higher", unit) for name, unit in NAMES)
        floor: dict[str, Interval] = {}
        if comparison.floor:
            try:
                floor = scores(real, matrix(comparison.floor), self.nearest)
            except TooFew as why:
                note += f", no floor: {why.n} held-out images are too few"
        return tuple(
            comparison.number(
                name,
                found[name],
                floor[name].value if floor else None,
                "higher",
                note,
                unit,
                len(made),
            )
            for name, unit in NAMES
        )


@dataclass(frozen=True)
class Counts:
    """in_real [M]: how many closed real balls hold each made row; open_real [M]: open ones. in_made
    [N]: how many closed made balls hold each real row. holds [N]: how many made rows each open real
    ball holds."""

    in_real: np.ndarray
    open_real: np.ndarray
    in_made: np.ndarray
    holds: np.ndarray


def scores(real: Rows, made: Rows, nearest: int = 5) -> dict[str, Interval]:
    """precision, recall, density, coverage of rows [N, D] and [M, D], with intervals over made rows
    (precision, density) or real rows (recall, coverage).

    What this cannot show: how the values move with other real images; the intervals take the balls
    as given."""
    found = counts(matrix(real), matrix(made), nearest)
    return {
        "precision": proportion(found.in_real > 0),
        "recall": proportion(found.in_made > 0),
        "density": mean(found.open_real / nearest),
        "coverage": proportion(found.holds > 0),
    }


def counts(real: np.ndarray, made: np.ndarray, nearest: int = 5) -> Counts:
    """Which rows lie in which balls: coarse products bound every distance, and each pair whose
    answer their rounding could change is computed again in float64, so the counts are those of
    float64 and equal rows have equal distances."""
    if min(len(real), len(made)) <= nearest:
        raise TooFew("coverage", min(len(real), len(made)), nearest + 1)
    same_width(real.shape[1], made.shape[1])
    centre = real.mean(0, dtype=np.float64)
    far = max(
        float(np.abs(rows - centre).max(initial=0)) for s in (real, made) for rows in _parts(s)
    )
    scale = 2.0 ** np.frexp(far)[1]
    kind = _arithmetic()
    x, y = _Rounded.of(real, centre, scale, kind), _Rounded.of(made, centre, scale, kind)
    radii_x, radii_y = _radii(x, nearest), _radii(y, nearest)
    out = Counts(*(np.zeros(n, np.int64) for n in (len(y), len(y), len(x), len(x))))
    for rows in _sides(y):
        for columns in _sides(x):
            block = y.against(rows, x, columns)
            i, j, ball = _inside(y, x, rows, columns, block, radii_x[columns], False)
            out.in_real[:] += np.bincount(i[ball <= 0], minlength=len(y))
            out.open_real[:] += np.bincount(i[ball < 0], minlength=len(y))
            out.holds[:] += np.bincount(j[ball < 0], minlength=len(x))
            _, j, ball = _inside(y, x, rows, columns, block, radii_y[rows], True)
            out.in_made[:] += np.bincount(j[ball <= 0], minlength=len(x))
    return out


@dataclass(frozen=True)
class _Rounded:
    """rows [N, D] as they came, scale their unit below, a power of 2; left, right [N, K]: the rows
    rounded to a coarse type of number, with their squares beside them, so that one product gives
    squared distances; rounding [N]: how far each row moved; raised [N]: what was added to its
    square.

    With h a rounded row and r the length of what its rounding took away, |x - y| is within r_x +
    r_y of |h_x - h_y|. Products of coarse numbers are exact in float32 and are added there: K of
    them, in any order, are wrong by at most K 2^-24 times the sum of their sizes (Higham 2002, eq.
    3.5), at most 2 (|h_x|^2 + |h_y|^2) here; twice that is allowed for. Raising each square by its
    half of it makes the product no smaller than the true square and at most 2 (raised_x + raised_y)
    larger; what is then lost is the rounding of the result, `STEP` of it. Small parts more stand
    for underflow, and for a centre that was taken from rows far away from 0."""

    rows: np.ndarray
    scale: float
    left: torch.Tensor
    right: torch.Tensor
    rounding: np.ndarray
    raised: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, centre: np.ndarray, scale: float, kind: torch.dtype) -> _Rounded:
        n, d = rows.shape
        width = -(-(d + 2 * PIECES) // 32) * 32
        near = torch.zeros((n, width), dtype=kind)
        rounding, raised = np.empty(n), np.empty(n)
        start = 0
        for part in _parts(rows):
            here = slice(start, start + len(part))
            centred = (part - centre) / scale
            near[here, :d] = torch.from_numpy(centred)
            kept = near[here, :d].double().numpy()
            centred -= kept
            squares = np.einsum("ij,ij->i", kept, kept)
            far = np.sqrt(np.einsum("ij,ij->i", part, part, dtype=np.float64)) / scale
            rounding[here] = (
                np.sqrt(np.einsum("ij,ij->i", centred, centred)) * (1 + 2.0**-20)
                + 2.0**-48 * far
                + 2.0**-100
            )
            raised[here] = 4 * (width + 16) * 2.0**-24 * squares + 2.0**-100
            left = torch.from_numpy(squares + raised[here])
            for k in range(PIECES):
                near[here, d + k] = left
                left = left - near[here, d + k].double()
            start += len(part)
        other = torch.zeros_like(near)
        other[:, :d] = near[:, :d] * -2
        other[:, d : d + PIECES] = 1
        other[:, d + PIECES : d + 2 * PIECES] = near[:, d : d + PIECES]
        near[:, d + PIECES : d + 2 * PIECES] = 1
        return cls(rows, scale, other, near, rounding, raised)

    def __len__(self) -> int:
        return len(self.rows)

    def against(self, rows: slice, other: _Rounded, columns: slice) -> np.ndarray:
        """Squared distances as `_bits` [n, m]: whole numbers in the order of what they stand
        for."""
        return _bits(self.left[rows] @ other.right[columns].T)

    def bounds(
        self, i: np.ndarray, other: _Rounded, j: np.ndarray, bits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest distance that each pair can have, [P] each, in units of the
        scale."""
        square = _value(bits)
        move = self.rounding[i] + other.rounding[j]
        step = STEP[self.left.dtype]
        low = (
            np.sqrt(np.maximum(square * (1 - step) - 2 * (self.raised[i] + other.raised[j]), 0))
            * (1 - 2.0**-40)
            - move
        )
        return low, np.sqrt(np.maximum(square, 0) * (1 + step)) * (1 + 2.0**-40) + move

    def exact(self, rows: np.ndarray, other: _Rounded, others: np.ndarray) -> np.ndarray:
        """Squared distances of pairs, [P], in units of the scale, in float64 by differences: the
        same for the same two rows wherever they stand."""
        out = np.empty(len(rows))
        step = max(1, PAIRS // max(1, self.rows.shape[1]))
        for s in range(0, len(rows), step):
            d = self.rows[rows[s : s + step]].astype(np.float64)
            d -= other.rows[others[s : s + step]]
            d *= 1 / self.scale
            out[s : s + step] = np.einsum("ij,ij->i", d, d)
        return out


def _inside(
    a: _Rounded,
    b: _Rounded,
    rows: slice,
    columns: slice,
    block: np.ndarray,
    radii: np.ndarray,
    of_rows: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that may lie within a squared radius, of each row or of each column of the block:
    rows of a, rows of b, and squared distance minus squared radius, exact in its sign."""
    reach = np.sqrt(radii) * (1 + 2.0**-40)
    own, others = (
        (a.rounding[rows], b.rounding[columns])
        if of_rows
        else (b.rounding[columns], a.rounding[rows])
    )
    most = _threshold(
        reach + own + others.max(), a.raised[rows].max() + b.raised[columns].max(), a.left.dtype
    )
    i, j = _where(block <= (most[:, None] if of_rows else most))
    here = i if of_rows else j
    limit, reach, bits = radii[here], reach[here], block[i, j]
    i, j = i + rows.start, j + columns.start
    low, high = a.bounds(i, b, j, bits)
    gap = np.where(high < reach * (1 - 2.0**-39), -1.0, 1.0)
    unsure = np.flatnonzero((low <= reach) & (gap > 0))
    gap[unsure] = a.exact(i[unsure], b, j[unsure]) - limit[unsure]
    return i, j, gap


def _radii(x: _Rounded, nearest: int) -> np.ndarray:
    """The squared distance of each row to its k-th nearest other row, [N], exact, in units of the
    scale. Each pair once."""
    found = _Nearest(x, nearest)
    for rows in _sides(x):
        for columns in _sides(x):
            if columns.start < rows.start:
                continue
            block = x.against(rows, x, columns)
            if rows == columns:
                np.fill_diagonal(block, _bits(torch.tensor([torch.inf], dtype=x.left.dtype))[0])
            else:
                found.add(columns, rows, block.T)
            found.add(rows, columns, block)
    return found.finish()[:, -1]


class _Nearest:
    """The k nearest rows of each row, from blocks of coarse squares: what may be among them is kept
    and decided at the end, or when much of it has come together."""

    def __init__(self, x: _Rounded, nearest: int) -> None:
        self.x, self.nearest = x, nearest
        self.coarse = np.full(
            (len(x), nearest), np.inf
        )  # upper bounds of the k least coarse squares so far
        self.exact = np.full(
            (len(x), nearest), np.inf
        )  # the k least exact squares so far, in order
        self.kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.most = x.rounding.max(), x.raised.max()

    def add(self, rows: slice, columns: slice, block: np.ndarray) -> None:
        """block [n, m]: the k least of the minima of groups of columns aren't below the k least of
        all."""
        whole = block.shape[1] // GROUP * GROUP
        least = [self.coarse[rows], _value(_minima(block[:, :whole])), _value(block[:, whole:])]
        self.coarse[rows] = np.partition(np.concatenate(least, 1), self.nearest - 1, axis=1)[
            :, : self.nearest
        ]
        i, j = _where(block <= self.limit(rows)[:, None])
        self.kept.append((i + rows.start, j + columns.start, block[i, j]))
        if sum(len(one[0]) for one in self.kept) > 2 * PAIRS:
            self.finish()

    def limit(self, rows: slice) -> np.ndarray:
        """As bits: no row whose coarse square is above it can be among the k nearest. None can
        where k copies were found."""
        step = STEP[self.x.left.dtype]
        kth = np.minimum(
            np.sqrt(self.coarse[rows].max(1) * (1 + step)) + self.x.rounding[rows] + self.most[0],
            np.sqrt(self.exact[rows, -1]) * (1 + 2.0**-40),
        )
        out = _threshold(
            kth + self.x.rounding[rows] + self.most[0], 2 * self.most[1], self.x.left.dtype
        )
        return np.where(self.exact[rows, -1] == 0, np.iinfo(out.dtype).min, out)

    def finish(self) -> np.ndarray:
        """float64 [N, k], in order, of all that was added."""
        i, j, bits = (np.concatenate(parts) for parts in zip(*self.kept, strict=True))
        chosen = bits <= self.limit(slice(None))[i]
        i, j, bits = i[chosen], j[chosen], bits[chosen]
        low, high = self.x.bounds(i, self.x, j, bits)
        kth = _least(len(self.x), self.nearest, i, high, self.exact**0.5 * (1 + 2.0**-40))[:, -1]
        chosen = low <= kth[i]
        i, j = i[chosen], j[chosen]
        self.exact = _least(len(self.x), self.nearest, i, self.x.exact(i, self.x, j), self.exact)
        self.kept = [(i[:0], j[:0], bits[:0])]
        return self.exact


def _least(
    n: int, nearest: int, i: np.ndarray, values: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """The k least of values [P] of each row i [P] and of those before [N, k], in order, [N, k]."""
    i = np.concatenate([np.repeat(np.arange(n), nearest), i])
    values = np.concatenate([before.reshape(-1), values])
    order = np.lexsort((values, i))
    return values[order][np.searchsorted(i[order], np.arange(n))[:, None] + np.arange(nearest)]


def _minima(block: np.ndarray) -> np.ndarray:
    """The least of each group of columns, [n, m / GROUP]; a group is every so many-th column, or of
    a transposed block a run of them, which is how each lies in memory."""
    n, m = block.shape
    if block.flags.c_contiguous:
        return block.reshape(n, GROUP, m // GROUP).min(1)
    return block.T.reshape(m // GROUP, GROUP, n).min(1).T


def _where(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """np.nonzero of a table, of which few are set, several times as fast: in the order in which it
    lies in memory."""
    if mask.flags.c_contiguous:
        i, j = np.divmod(np.flatnonzero(mask), mask.shape[1])
        return i, j
    j, i = _where(mask.T)
    return i, j


def _arithmetic() -> torch.dtype:
    """bfloat16 where the processor multiplies it and adds in float32 as the bounds suppose, else
    float32."""
    able = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
        or getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    )
    return torch.bfloat16 if able and _adds_in_float32() else torch.float32


@functools.cache
def _adds_in_float32() -> bool:
    """Whether 4096 products of 1 and then little ones, which bfloat16 sums would lose, come out as
    float32 sums do."""
    one = torch.ones((32, 4096), dtype=torch.bfloat16)
    one[:, 2048:] = 2.0**-7
    return bool(((one @ torch.ones_like(one).T).double() == 2064).all())


def _bits(values: torch.Tensor) -> np.ndarray:
    """Numbers as whole numbers of their width, in the same order from 0 up; a number below 0 is
    below all of them."""
    return values.view(torch.int16 if values.dtype == torch.bfloat16 else torch.int32).numpy()


def _value(bits: np.ndarray) -> np.ndarray:
    """float64, what the bits stand for."""
    wide = bits.astype(np.int32) << 16 if bits.dtype == np.int16 else bits
    return np.ascontiguousarray(wide).view(np.float32).astype(np.float64)


def _threshold(distance: np.ndarray, raised: float, kind: torch.dtype) -> np.ndarray:
    """As bits: the coarse square of a pair at no more than this distance of its rounded rows isn't
    above it."""
    most = (distance**2 * (1 + 2.0**-40) + 2 * raised) * (1 + 2 * STEP[kind])
    bits = _bits(torch.from_numpy(np.minimum(most, 2.0**100)).to(kind))
    return bits + bits.dtype.type(1)


def _sides(x: _Rounded) -> list[slice]:
    return [slice(s, min(s + SIDE, len(x))) for s in range(0, len(x), SIDE)]


def _parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[s : s + 1024] for s in range(0, len(rows), 1024))
