"""The independent parts of a paired difference's error: test units, and trained models.

Small classes: each class gets kappa = 2/C imaginary units, half of them won and half lost (Bonett &
Price 2012 for one class, spread over C terms as Price & Bonett 2004 do). Their size is the root
mean square of the units' non-zero differences and one whole flip. So no variance is zero, not even
of two perfect or identical arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gobelin.core.errors import GobelinError

Metric = Literal["balanced_accuracy", "accuracy", "rmse"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ErrorPart:
    """One independent part of the error of a difference."""

    name: str
    variance: float  # V
    degrees: float  # degrees of freedom
    interaction: float = 0.0  # I, the share of V that the part of the units contains too


@dataclass(frozen=True)
class UnitClassCells:
    """The P pairs (unit, class) that occur, ordered by unit, and the rows of each pair.

    U units, C classes. A pair is called a cell.
    """

    row: Ints  # [N] rows that count, ordered by cell
    start: Ints  # [P] where each cell's rows start in `row`
    first: Ints  # [U] where each unit's cells start
    label: Ints  # [P] class, 0..C-1
    size: Floats  # [P] rows
    class_rows: Floats  # [C]
    class_units: Floats  # [C]
    left_out: tuple[int, ...]  # classes with fewer than two units

    @classmethod
    def of(cls, labels: Ints, units: Ints) -> UnitClassCells:
        """The cells of labels [N] and units [N]. GobelinError if no class has two units."""
        names, label = np.unique(labels, return_inverse=True)
        unit = np.unique(units, return_inverse=True)[1]
        pairs = np.unique(unit * len(names) + label)
        enough = np.bincount(pairs % len(names), minlength=len(names)) >= 2
        if not enough.any():
            raise GobelinError(
                f"compare: no class has two test units in {len(labels)} rows. Give more test rows."
            )
        many = int(enough.sum())
        keep = np.flatnonzero(enough[label])
        label = (np.cumsum(enough) - 1)[label[keep]]
        key = unit[keep] * many + label
        order = np.argsort(key, kind="stable")
        pairs, start, size = np.unique(key[order], return_index=True, return_counts=True)
        return cls(
            row=keep[order],
            start=start,
            first=np.flatnonzero(np.diff(pairs // many, prepend=-1)),
            label=pairs % many,
            size=size.astype(np.float64),
            class_rows=np.bincount(label, minlength=many).astype(np.float64),
            class_units=np.bincount(pairs % many, minlength=many).astype(np.float64),
            left_out=tuple(int(name) for name in names[~enough]),
        )

    @property
    def units(self) -> int:
        return len(self.first)

    @property
    def kappa(self) -> float:
        """Imaginary units per class: two in all (Price & Bonett 2004)."""
        return 2.0 / len(self.class_rows)

    @property
    def pairs_of_units(self) -> Floats:
        """(U_c + kappa)(U_c + kappa - 1) per class [C]. A sum of squares over units, divided by it,
        is a variance."""
        counted = self.class_units + self.kappa
        return counted * (counted - 1)

    def class_means(self, share: Floats) -> Floats:
        """Means over the rows of each class [K, C], from the cells' means [K, P]."""
        order = np.argsort(self.label, kind="stable")
        starts = np.searchsorted(self.label[order], np.arange(len(self.class_rows)))
        return np.add.reduceat((share * self.size)[..., order], starts, axis=-1) / self.class_rows

    def pull(self, share: Floats) -> Floats:
        """The change of the metric that each cell causes [K, P], with the small-sample factor, from
        the cells' means [K, P]."""
        factor = (
            self.class_units / np.sqrt(self.pairs_of_units) / self.class_rows / len(self.class_rows)
        )
        return (share - self.class_means(share)[..., self.label]) * (self.size * factor[self.label])

    def per_unit(self, pull: Floats) -> Floats:
        """[K, P] summed to [K, U]."""
        return pull if self.units == len(self.size) else np.add.reduceat(pull, self.first, axis=-1)


def shares(scores: Floats, cells: UnitClassCells, metric: Metric) -> tuple[Floats, Floats]:
    """The metric [R, G, S], higher is better, and its linear share in each cell [R, G, S, P].

    scores [R, G, S, N]. balanced_accuracy (and accuracy, with one class): the mean of the class
    means. rmse: sqrt(m) with m the mean square; its derivative 1 / (2 sqrt(m)) turns a cell's mean
    square into its share (the delta method).
    """
    sums = scores[..., cells.row] ** (2 if metric == "rmse" else 1)
    if len(cells.start) < len(cells.row):
        sums = np.add.reduceat(sums, cells.start, axis=-1)
    share = sums / cells.size
    score = cells.class_means(share).mean(-1)
    if metric != "rmse":
        return score, share
    root = np.sqrt(score)
    return -root, -share / (2 * np.where(root > 0, root, 1.0))[..., None]


def whole_flip(baseline: Floats, cells: UnitClassCells, metric: Metric) -> float:
    """The largest difference that one unit is expected to make: 1 for a hit, the size of its share
    for rmse."""
    if metric != "rmse":
        return 1.0
    return float(np.sqrt((shares(baseline, cells, metric)[1].mean((0, 1, 2)) ** 2).mean()))


def unit_part(share: Floats, cells: UnitClassCells, flip: float) -> ErrorPart:
    """Vu from the differences of the cells' shares [P], averaged over all models.

    V_c = (sum_u pull^2 + kappa h^2 w_c^2) / ((U_c + kappa)(U_c + kappa - 1)) with w_c = 1/C (Bonett
    & Price 2012). Degrees of freedom after Satterthwaite 1946. flip: see `whole_flip`.
    """
    pull = cells.pull(share)
    different = np.abs(share) > 1e-12
    h_squared = (flip**2 + float((share**2).sum())) / (1 + int(different.sum()))
    imaginary = cells.kappa * h_squared / cells.pairs_of_units / len(cells.class_rows) ** 2
    per_class = np.bincount(cells.label, pull**2) + imaginary
    degrees = per_class.sum() ** 2 / (per_class**2 / (cells.class_units - 1 + cells.kappa)).sum()
    variance = float((cells.per_unit(pull) ** 2).sum() + imaginary.sum())
    return ErrorPart("test units", variance, float(degrees))


def model_part(name: str, theta: Floats, share: Floats, cells: UnitClassCells) -> ErrorPart:
    """V_k and I_k of K models: theta, the metric's differences [K]; share, the differences of the
    cells' shares [K, P]."""
    many = len(theta)
    pull = cells.per_unit(cells.pull(share))
    interaction = float(((pull - pull.mean(0)) ** 2).sum()) / (many * (many - 1))
    return ErrorPart(name, float(theta.var(ddof=1)) / many, many - 1, interaction)
