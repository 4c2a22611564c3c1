"""Are made images likely, and is every kind of real image among them? Precision, recall, density, coverage.

Each image's ball reaches to its k-th nearest neighbour in its own set. Precision: the share of made images in a real ball;
recall: of real images in a made ball (Kynkäänniemi et al. 2019, eq. 1-2, closed balls). Density: how many real balls a made
image lies in, over k; coverage: the share of real balls that hold a made image (Naeem et al. 2020, eq. 3-4; open balls, as in
their program). All features are held in memory, distances come in blocks.

What this cannot show: whether an image looks right, or was copied: the training set itself scores best. One outlier's ball can
hold many images (precision and recall), k and the numbers of images move every value, and the intervals take the balls as
given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gobelin.config import within
from gobelin.evidence import Finding, Interval, mean, proportion
from gobelin.metrics import Comparison, Rows, TooFew, matrix, same_width

PAIRS = 2**21
HALF_STEP = 2.0**-24
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
            comparison.number(name, found[name], floor[name].value if floor else None, "higher", note, unit, len(made))
            for name, unit in NAMES
        )


@dataclass(frozen=True)
class Counts:
    """in_real [M]: how many closed real balls hold each made row; open_real [M]: open ones. in_made [N]: how many closed made
    balls hold each real row. holds [N]: how many made rows each open real ball holds."""

    in_real: np.ndarray
    open_real: np.ndarray
    in_made: np.ndarray
    holds: np.ndarray


def scores(real: Rows, made: Rows, nearest: int = 5) -> dict[str, Interval]:
    """precision, recall, density, coverage of rows [N, D] and [M, D], with intervals over made rows (precision, density) or
    real rows (recall, coverage).

    What this cannot show: how the values move with other real images; the intervals take the balls as given.
    """
    found = counts(matrix(real), matrix(made), nearest)
    return {
        "precision": proportion(found.in_real > 0),
        "recall": proportion(found.in_made > 0),
        "density": mean(found.open_real / nearest),
        "coverage": proportion(found.holds > 0),
    }


def counts(real: np.ndarray, made: np.ndarray, nearest: int = 5) -> Counts:
    """Which rows lie in which balls: float32 products name the candidates, and every pair whose answer their rounding could
    change is computed again in float64, so equal rows have equal distances."""
    if min(len(real), len(made)) <= nearest:
        raise TooFew("coverage", min(len(real), len(made)), nearest + 1)
    same_width(real.shape[1], made.shape[1])
    centre = real.mean(0, dtype=np.float64)
    scale = max(float(np.abs(rows - centre).max(initial=0)) for rows in (real, made)) or 1.0
    x, y = _Prepared.of(real, centre, scale), _Prepared.of(made, centre, scale)
    radii_x, radii_y = _radii(x, nearest), _radii(y, nearest)
    out = Counts(*(np.zeros(n, np.int64) for n in (len(y), len(y), len(x), len(x))))
    for rows, columns, low in _bounds(y, x):
        i, j, ball = _inside(y, x, rows, columns, low, radii_x[None, columns])
        np.add.at(out.in_real, i[ball <= 0], 1)
        np.add.at(out.open_real, i[ball < 0], 1)
        np.add.at(out.holds, j[ball < 0], 1)
        i, j, ball = _inside(y, x, rows, columns, low, radii_y[rows, None])
        np.add.at(out.in_made, j[ball <= 0], 1)
    return out


@dataclass(frozen=True)
class _Prepared:
    """rows [N, D] as they came, scale their unit below; near [N, D + 2] float32 and slack [N] bound squared distances.

    A float32 product of D + 2 terms, of rows rounded to float32, is wrong by at most (D + 16) 2^-24 times the sum of the terms'
    sizes (Higham 2002, eq. 3.5), under 2 (|a|^2 + |b|^2) here; half of that slack belongs to each row. Two small parts more
    stand for what is lost by underflow, and by taking the centre from rows far away from 0.
    """

    rows: np.ndarray
    scale: float
    near: np.ndarray
    slack: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, centre: np.ndarray, scale: float) -> _Prepared:
        centred = (rows - centre) / scale
        squares = np.einsum("ij,ij->i", centred, centred)
        raw = ((rows / scale) ** 2).sum(1)
        slack = 2 * (rows.shape[1] + 16) * HALF_STEP * squares + 2.0**-80 * raw + 2.0**-100
        near = np.concatenate([centred, (squares - slack)[:, None], np.ones((len(rows), 1))], 1).astype(np.float32)
        return cls(rows, scale, near, slack)

    def __len__(self) -> int:
        return len(self.rows)

    def exact(self, rows: np.ndarray, other: _Prepared, others: np.ndarray) -> np.ndarray:
        """Squared distances of pairs, [P], in units of the scale, in float64 by differences: the same for the same two rows
        wherever they stand."""
        out = np.empty(len(rows))
        step = max(1, PAIRS // max(1, self.rows.shape[1]))
        for s in range(0, len(rows), step):
            d = (self.rows[rows[s : s + step]].astype(np.float64) - other.rows[others[s : s + step]]) / self.scale
            out[s : s + step] = (d * d).sum(1)
        return out


def _bounds(a: _Prepared, b: _Prepared) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Blocks of rows of a, of b, and a float32 number [n, m] that the squared distance of each pair isn't below."""
    side = 1024
    for i in range(0, len(a), side):
        rows = slice(i, min(i + side, len(a)))
        left = a.near[rows] * np.float32(-2)
        left[:, -2:] = a.near[rows][:, :-3:-1]
        for j in range(0, len(b), side):
            columns = slice(j, min(j + side, len(b)))
            yield rows, columns, left @ b.near[columns].T


def _inside(
    a: _Prepared, b: _Prepared, rows: slice, columns: slice, low: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs that may lie within a squared radius (broadcast over the block): rows of a, rows of b, and squared distance
    minus squared radius, exact in its sign."""
    i, j = np.nonzero(low <= _up(radii))
    limit = np.broadcast_to(radii, low.shape)[i, j]
    gap = low[i, j] - limit
    i, j = i + rows.start, j + columns.start
    # low is under the true square by at most twice the slack: what is still inside at that distance needs no second look.
    unsure = np.flatnonzero(gap + 2.1 * (a.slack[i] + b.slack[j]) >= 0)
    gap[unsure] = a.exact(i[unsure], b, j[unsure]) - limit[unsure]
    return i, j, gap


def _radii(x: _Prepared, nearest: int) -> np.ndarray:
    """The squared distance of each row to its k-th nearest other row, [N], exact, in units of the scale."""
    out = np.empty(len(x))
    side = max(1, min(1024, PAIRS // len(x)))
    slack = (2.1 * x.slack).astype(np.float32)
    for s in range(0, len(x), side):
        block = x.near[s : s + side]
        left = block * np.float32(-2)
        left[:, -2:] = block[:, :-3:-1]
        low = left @ x.near.T
        low[np.arange(len(block)), np.arange(s, s + len(block))] = np.inf
        # k rows have a true square of at most kth; whoever is among the k nearest has a lower bound that is not above it.
        high = low + slack
        high.partition(nearest - 1, axis=1)
        kth = high[:, nearest - 1] + 2.1 * x.slack[s : s + len(block)]
        i, j = np.nonzero(low <= _up(kth)[:, None])
        found = x.exact(i + s, x, j)
        order = np.lexsort((found, i))
        out[s : s + len(block)] = found[order][np.searchsorted(i, np.arange(len(block))) + nearest - 1]
    return out


def _up(values: np.ndarray) -> np.ndarray:
    """float32, not below the values."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))
