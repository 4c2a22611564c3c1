"""How well one column tells the class: a small tree that is fitted on folds of the rows.

The tree is that of Breiman et al. 1984 (Gini, two rows in a leaf at least), of two features: the
order of the column's values, and whether a cell is missing. Its answers are those of
`DecisionTreeClassifier` of scikit-learn, which takes a second to load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LEAST_LEAF = 2  # rows of a leaf


def stratified_folds(label: np.ndarray, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places of the rows to learn from and of those held out, of each fold. Every class is spread
    over the folds as it comes (`StratifiedKFold` of scikit-learn). label: int [n]."""
    _, first, which = np.unique(label, return_index=True, return_inverse=True)
    class_number = first.argsort().argsort()[which]  # by the first row of each
    ordered = np.sort(class_number)
    of_row = np.empty(len(label), np.int64)
    for k in range(len(first)):
        shares = [int((ordered[fold::folds] == k).sum()) for fold in range(folds)]
        of_row[class_number == k] = np.repeat(np.arange(folds), shares)
    return [(np.flatnonzero(of_row != k), np.flatnonzero(of_row == k)) for k in range(folds)]


def answers(
    place: np.ndarray, missing: np.ndarray, label: np.ndarray, train: np.ndarray, held: np.ndarray
) -> np.ndarray | None:
    """int [h]: the class that a tree of the rows `train` [t] answers for each of the rows `held`
    [h]; None where a split by value and one by missing cells are as good: scikit-learn draws one.

    place: int [n], the place of the row's value among all values. missing: bool [n]. label: int
    [n]."""
    out = np.empty(len(held), label.dtype)
    counted = np.eye(int(label.max()) + 1)[label]
    inside = train[np.argsort(place[train], kind="stable")]
    todo = [(inside, np.arange(len(held)))]
    while todo:
        rows, asked = todo.pop()
        if not len(asked):
            continue
        counts = counted[rows].sum(0)
        splits: list[NodeSplit] = []
        if len(rows) >= 2 * LEAST_LEAF and counts.max() < len(rows):
            splits = list(_splits(place[rows], missing[rows], counted[rows]))
        if not splits:
            out[asked] = counts.argmax()
            continue
        best = max(splits, key=lambda split: split.purity)
        both = np.concatenate([rows, held[asked]])
        left = best.left(place[both], missing[both])
        for other in splits:
            if other.purity == best.purity:
                parted = other.left(place[both], missing[both])
                if not ((parted == left).all() or (parted != left).all()):
                    return None
        left, asked_left = left[: len(rows)], left[len(rows) :]
        todo += [(rows[left], asked[asked_left]), (rows[~left], asked[~asked_left])]
    return out


@dataclass(frozen=True)
class NodeSplit:
    """How rows are parted. purity: how good it is. cut: the highest place to the left; None for a
    split by missing cells."""

    purity: float
    cut: float | None

    def left(self, place: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """bool [n]: the rows to the left."""
        return ~missing if self.cut is None else place <= self.cut


def _splits(place: np.ndarray, missing: np.ndarray, counted: np.ndarray) -> Iterator[NodeSplit]:
    """The best split by value, and that by missing cells, of rows in the order of their values.
    counted: [n, C], 1 at a row's class."""
    size = len(place)
    before = np.cumsum(counted, axis=0)
    total = before[-1]
    cuts = LEAST_LEAF + np.flatnonzero(
        place[LEAST_LEAF : size - LEAST_LEAF + 1] != place[LEAST_LEAF - 1 : size - LEAST_LEAF]
    )  # rows to the left of each cut
    if len(cuts):
        left = before[cuts - 1]
        pure = -_mixed(total - left, size - cuts) - _mixed(left, cuts)
        at = cuts[int(pure.argmax())]
        yield NodeSplit(float(pure.max()), (place[at - 1] + place[at]) / 2)
    absent = int(missing.sum())
    if LEAST_LEAF <= absent <= size - LEAST_LEAF:
        left = counted[missing].sum(0)
        yield NodeSplit(float(-_mixed(left, absent) - _mixed(total - left, size - absent)), None)


def _mixed(counts: np.ndarray, rows: np.ndarray | int) -> np.ndarray:
    """[...]: the rows of a part times their Gini impurity, rounded as scikit-learn rounds it.
    counts: [..., C]."""
    return np.asarray(rows * (1 - (counts**2).sum(-1) / (rows * rows)))
