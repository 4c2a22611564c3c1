"""Which rows lie within which distances: found with coarse numbers, decided exactly.

Products of rows rounded to bfloat16 (or float32) bound every distance. A pair whose answer the
rounding could change is computed again in float64. So the answers are those of float64 distances
by differences, equal rows have equal distances, and almost all work is one fast matrix product.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

PAIRS_AT_ONCE = 2**21  # numbers of pairs that are computed exactly at once
BLOCK_SIDE = 2048  # rows and columns of a block of coarse squares
GROUP_COLUMNS = 16  # columns of a block whose minimum stands for them
PIECES = 3  # coarse numbers that hold a square to more than float32's digits
# largest relative change of a result by rounding it to the type
ROUNDING = {torch.bfloat16: 2.0**-8 + 2.0**-15, torch.float32: 2.0**-23}


@dataclass(frozen=True)
class RoundedRows:
    """Rows prepared so that one product of coarse numbers gives squared distances with bounds.

    rows: [N, D] as they came. scale: the unit of all that follows, a power of 2. left, right: [N,
    K], the rows rounded to a coarse type, with their squares beside them. rounding: [N], how far
    each row moved. raised: [N], what was added to its square.

    With h a rounded row and r the length of what its rounding took away, |x - y| is within r_x +
    r_y of |h_x - h_y|. Products of coarse numbers are exact in float32 and are added there. K of
    them, in any order, are wrong by at most K 2^-24 times the sum of their sizes (Higham 2002, eq.
    3.5), at most 2 (|h_x|^2 + |h_y|^2) here; twice that is allowed for. Each square is raised by
    its half of it. So the product is no smaller than the true square, and at most 2 (raised_x +
    raised_y) larger. What is then lost is the rounding of the result, `ROUNDING` of it. Small
    additions allow for underflow, and for a centre that was taken from rows far away from 0.
    """

    rows: np.ndarray
    scale: float
    left: torch.Tensor
    right: torch.Tensor
    rounding: np.ndarray
    raised: np.ndarray

    @classmethod
    def of(
        cls, rows: np.ndarray, centre: np.ndarray, scale: float, kind: torch.dtype
    ) -> RoundedRows:
        """rows [N, D] less the centre [D], in units of the scale, rounded to `kind`."""
        n, d = rows.shape
        width = -(-(d + 2 * PIECES) // 32) * 32  # K
        right = torch.zeros((n, width), dtype=kind)
        rounding, raised = np.empty(n), np.empty(n)
        start = 0
        for part in parts(rows):
            block = slice(start, start + len(part))
            centred = (part - centre) / scale
            right[block, :d] = torch.from_numpy(centred)
            rounded = right[block, :d].double().numpy()
            centred -= rounded  # what rounding took away
            squares = np.einsum("ij,ij->i", rounded, rounded)
            far = np.sqrt(np.einsum("ij,ij->i", part, part, dtype=np.float64)) / scale
            rounding[block] = (
                np.sqrt(np.einsum("ij,ij->i", centred, centred)) * (1 + 2.0**-20)
                + 2.0**-48 * far
                + 2.0**-100
            )
            raised[block] = 4 * (width + 16) * 2.0**-24 * squares + 2.0**-100
            rest = torch.from_numpy(squares + raised[block])
            for k in range(PIECES):  # the square as a sum of coarse numbers
                right[block, d + k] = rest
                rest = rest - right[block, d + k].double()
            start += len(part)
        # left . right = -2 h_x . h_y + 1 * square_y + square_x * 1
        left = torch.zeros_like(right)
        left[:, :d] = right[:, :d] * -2
        left[:, d : d + PIECES] = 1
        left[:, d + PIECES : d + 2 * PIECES] = right[:, d : d + PIECES]
        right[:, d + PIECES : d + 2 * PIECES] = 1
        return cls(rows, scale, left, right, rounding, raised)

    def __len__(self) -> int:
        return len(self.rows)

    def against(self, rows: slice, other: RoundedRows, columns: slice) -> np.ndarray:
        """Coarse squared distances [n, m] as `_bits`: whole numbers in the same order."""
        return _bits(self.left[rows] @ other.right[columns].T)

    def bounds(
        self, i: np.ndarray, other: RoundedRows, j: np.ndarray, bits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest distance that each of P pairs can have, [P] each, in units of
        the scale. i, j: row numbers [P]. bits: their coarse squares [P].
        """
        square = _value(bits)
        move = self.rounding[i] + other.rounding[j]
        step = ROUNDING[self.left.dtype]
        low = (
            np.sqrt(np.maximum(square * (1 - step) - 2 * (self.raised[i] + other.raised[j]), 0))
            * (1 - 2.0**-40)
            - move
        )
        return low, np.sqrt(np.maximum(square, 0) * (1 + step)) * (1 + 2.0**-40) + move

    def exact(self, i: np.ndarray, other: RoundedRows, j: np.ndarray) -> np.ndarray:
        """Squared distances of P pairs, [P], in units of the scale, in float64 by differences: the
        same for the same two rows wherever they stand.
        """
        out = np.empty(len(i))
        step = max(1, PAIRS_AT_ONCE // max(1, self.rows.shape[1]))
        for s in range(0, len(i), step):
            d = self.rows[i[s : s + step]].astype(np.float64)
            d -= other.rows[j[s : s + step]]
            d *= 1 / self.scale
            out[s : s + step] = np.einsum("ij,ij->i", d, d)
        return out


def pairs_within(
    a: RoundedRows,
    b: RoundedRows,
    rows: slice,
    columns: slice,
    block: np.ndarray,
    radii: np.ndarray,
    of_rows: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of a block that may lie within a squared radius of each row, or of each column.

    block: coarse squares of `rows` of a and `columns` of b. radii: squared, one a row (of_rows) or
    one a column. Returns rows of a [P], rows of b [P], and squared distance minus squared radius
    [P], exact in its sign.
    """
    reach = np.sqrt(radii) * (1 + 2.0**-40)
    centre_rounding, other_rounding = (
        (a.rounding[rows], b.rounding[columns])
        if of_rows
        else (b.rounding[columns], a.rounding[rows])
    )
    most = _threshold(
        reach + centre_rounding + other_rounding.max(),
        a.raised[rows].max() + b.raised[columns].max(),
        a.left.dtype,
    )
    i, j = _where(block <= (most[:, None] if of_rows else most))
    centre = i if of_rows else j
    limit, reach, bits = radii[centre], reach[centre], block[i, j]
    i, j = i + rows.start, j + columns.start
    low, high = a.bounds(i, b, j, bits)
    gap = np.where(high < reach * (1 - 2.0**-39), -1.0, 1.0)  # surely inside, or not
    unsure = np.flatnonzero((low <= reach) & (gap > 0))
    gap[unsure] = a.exact(i[unsure], b, j[unsure]) - limit[unsure]
    return i, j, gap


def radii(x: RoundedRows, nearest: int) -> np.ndarray:
    """The squared distance of each row to its k-th nearest other row, [N], exact, in units of the
    scale. Each pair is computed once. nearest: k.
    """
    search = _NearestSearch(x, nearest)
    for rows in blocks(x):
        for columns in blocks(x):
            if columns.start < rows.start:
                continue
            block = x.against(rows, x, columns)
            if rows == columns:  # a row is not its own neighbour
                np.fill_diagonal(block, _bits(torch.tensor([torch.inf], dtype=x.left.dtype))[0])
            else:
                search.add(columns, rows, block.T)
            search.add(rows, columns, block)
    return search.finish()[:, -1]


class _NearestSearch:
    """The k nearest rows of each row, from blocks of coarse squares.

    Pairs that may be among them are collected. They are decided exactly at the end, and before
    that whenever many have come together.
    """

    def __init__(self, x: RoundedRows, nearest: int) -> None:
        self.x, self.nearest = x, nearest
        # upper bounds of the k least coarse squares so far, [N, k]
        self.coarse = np.full((len(x), nearest), np.inf)
        # the k least exact squares so far, in order, [N, k]
        self.exact = np.full((len(x), nearest), np.inf)
        self.candidates: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # i, j, bits
        self.most = x.rounding.max(), x.raised.max()

    def add(self, rows: slice, columns: slice, block: np.ndarray) -> None:
        """block [n, m]: coarse squares of these rows and columns."""
        # the k least minima of groups of columns aren't below the k least of all columns
        whole = block.shape[1] // GROUP_COLUMNS * GROUP_COLUMNS
        least = [self.coarse[rows], _value(_minima(block[:, :whole])), _value(block[:, whole:])]
        self.coarse[rows] = np.partition(np.concatenate(least, 1), self.nearest - 1, axis=1)[
            :, : self.nearest
        ]
        i, j = _where(block <= self.limit(rows)[:, None])
        self.candidates.append((i + rows.start, j + columns.start, block[i, j]))
        if sum(len(i) for i, _, _ in self.candidates) > 2 * PAIRS_AT_ONCE:
            self.finish()

    def limit(self, rows: slice) -> np.ndarray:
        """As bits, one a row: a pair whose coarse square is above it can't be among the k nearest.
        Where k copies of a row were found, no pair can.
        """
        step = ROUNDING[self.x.left.dtype]
        kth = np.minimum(
            np.sqrt(self.coarse[rows].max(1) * (1 + step)) + self.x.rounding[rows] + self.most[0],
            np.sqrt(self.exact[rows, -1]) * (1 + 2.0**-40),
        )
        out = _threshold(
            kth + self.x.rounding[rows] + self.most[0], 2 * self.most[1], self.x.left.dtype
        )
        return np.where(self.exact[rows, -1] == 0, np.iinfo(out.dtype).min, out)

    def finish(self) -> np.ndarray:
        """Decide all candidates: the k least exact squares, float64 [N, k], in order."""
        i, j, bits = (np.concatenate(columns) for columns in zip(*self.candidates, strict=True))
        possible = bits <= self.limit(slice(None))[i]
        i, j, bits = i[possible], j[possible], bits[possible]
        low, high = self.x.bounds(i, self.x, j, bits)
        kth = _least(len(self.x), self.nearest, i, high, self.exact**0.5 * (1 + 2.0**-40))[:, -1]
        possible = low <= kth[i]
        i, j = i[possible], j[possible]
        self.exact = _least(len(self.x), self.nearest, i, self.x.exact(i, self.x, j), self.exact)
        self.candidates = [(i[:0], j[:0], bits[:0])]
        return self.exact


def _least(
    n: int, nearest: int, i: np.ndarray, values: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """For each of n rows the k least, in order, [n, k], of `before` [n, k] and of those values [P]
    whose row number i [P] it is.
    """
    i = np.concatenate([np.repeat(np.arange(n), nearest), i])
    values = np.concatenate([before.reshape(-1), values])
    order = np.lexsort((values, i))
    return values[order][np.searchsorted(i[order], np.arange(n))[:, None] + np.arange(nearest)]


def _minima(block: np.ndarray) -> np.ndarray:
    """The least of each group of columns, [n, m / GROUP_COLUMNS].

    A group is what lies together in memory: every m / GROUP_COLUMNS-th column, or successive
    columns of a transposed block.
    """
    n, m = block.shape
    if block.flags.c_contiguous:
        return block.reshape(n, GROUP_COLUMNS, m // GROUP_COLUMNS).min(1)
    return block.T.reshape(m // GROUP_COLUMNS, GROUP_COLUMNS, n).min(1).T


def _where(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """np.nonzero of a table with few True cells, in the order of memory: several times as fast."""
    if mask.flags.c_contiguous:
        i, j = np.divmod(np.flatnonzero(mask), mask.shape[1])
        return i, j
    j, i = _where(mask.T)
    return i, j


def coarse_type() -> torch.dtype:
    """bfloat16 where the processor multiplies it and adds in float32, as the bounds suppose; else
    float32.
    """
    able = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
        or getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    )
    return torch.bfloat16 if able and _adds_in_float32() else torch.float32


@functools.cache
def _adds_in_float32() -> bool:
    """Whether the sum of 2048 ones and 2048 small numbers is right; a sum in bfloat16 would lose
    the small ones.
    """
    numbers = torch.ones((32, 4096), dtype=torch.bfloat16)
    numbers[:, 2048:] = 2.0**-7
    return bool(((numbers @ torch.ones_like(numbers).T).double() == 2064).all())


def _bits(values: torch.Tensor) -> np.ndarray:
    """The bits of numbers as whole numbers, in the same order from 0 up; a number below 0 is below
    all of them.
    """
    return values.view(torch.int16 if values.dtype == torch.bfloat16 else torch.int32).numpy()


def _value(bits: np.ndarray) -> np.ndarray:
    """The numbers with these bits, float64."""
    wide = bits.astype(np.int32) << 16 if bits.dtype == np.int16 else bits
    return np.ascontiguousarray(wide).view(np.float32).astype(np.float64)


def _threshold(distance: np.ndarray, raised: float, kind: torch.dtype) -> np.ndarray:
    """As bits: the coarse square of a pair whose rounded rows are at most this distance apart isn't
    above it.
    """
    most = (distance**2 * (1 + 2.0**-40) + 2 * raised) * (1 + 2 * ROUNDING[kind])
    bits = _bits(torch.from_numpy(np.minimum(most, 2.0**100)).to(kind))
    return bits + bits.dtype.type(1)


def blocks(x: RoundedRows) -> list[slice]:
    """Rows in blocks of BLOCK_SIDE, the last one smaller."""
    return [slice(s, min(s + BLOCK_SIDE, len(x))) for s in range(0, len(x), BLOCK_SIDE)]


def parts(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Rows [N, D] in pieces of 1,024, so that a copy in float64 stays small."""
    return (rows[s : s + 1024] for s in range(0, len(rows), 1024))
