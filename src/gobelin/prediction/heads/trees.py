"""Trees as plain arrays: boosted ones (Ke et al. 2017) and forests of random cuts (extremely
randomised trees, Geurts et al. 2006).

scikit-learn grows them. What is kept is a table of nodes, which needs nothing but numpy to answer
and holds no row: columns have few different values before a tree sees them, and a leaf has several
rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gobelin.core.machine import numpy_generator

LEAST_FOREST_LEAF = 2  # rows of a leaf of a forest; every tree of it sees all rows
WORK, FASTEST = 6.0, 0.15  # of boosting: rounds times learning rate; the largest rate
SHARE_OF_COLUMNS, MOST_TRIED = 0.3, 20  # columns that a cut may choose from: the fewer of both
MOST_WALKS = 2**18  # pairs of a row and a tree that go down at a time
ARRAYS = ("feature", "threshold", "left", "right", "missing_left", "value", "start", "output")


@dataclass(frozen=True)
class Shape:
    """Of boosted trees. rate: of learning; None: such that all rounds together learn `WORK`."""

    leaves: int  # at most
    least_leaf: int  # rows of a leaf
    rate: float | None


SMALL, LARGE = Shape(8, 5, None), Shape(24, 10, 0.1)


@dataclass(frozen=True, eq=False)
class Trees:
    """M nodes of T trees, one tree after the other.

    feature: int32 [M], the column that a node looks at; -1 in a leaf. threshold: float64 [M]; a
    smaller or equal value goes left. left, right: int32 [M], numbers of nodes. missing_left: uint8
    [M]. value: float64 [M, V], what a leaf adds. start: int32 [T], the root of each tree. output:
    int32 [T], the class that a tree with V = 1 adds to. base: float64 [outputs], what all rows
    start from."""

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    start: np.ndarray
    output: np.ndarray
    base: np.ndarray

    def sums(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, outputs]: the sum of the leaves that each row of x [n, K] falls into, nan for
        a missing value, and the base."""
        out = np.tile(self.base, (len(x), 1))
        if not len(x):
            return out
        together = max(1, MOST_WALKS // len(x))
        for first in range(0, len(self.start), together):
            trees = slice(first, first + together)
            leaves = self._leaves(x, self.start[trees])
            for nodes, output in zip(leaves, self.output[trees], strict=True):
                if self.value.shape[1] == 1:
                    out[:, output] += self.value[nodes, 0]
                else:
                    out += self.value[nodes]
        return out

    def _leaves(self, x: np.ndarray, roots: np.ndarray) -> np.ndarray:
        """int [T, n]: the leaf of each tree that each row falls into. All walk down together."""
        node = np.repeat(roots, len(x))
        row = np.tile(np.arange(len(x)), len(roots))
        walking = np.flatnonzero(self.feature[node] >= 0)
        while len(walking):
            at = node[walking]
            seen = x[row[walking], self.feature[at]]
            goes_left = np.where(
                np.isnan(seen), self.missing_left[at] == 1, seen <= self.threshold[at]
            )
            node[walking] = below = np.where(goes_left, self.left[at], self.right[at])
            walking = walking[self.feature[below] >= 0]
        return node.reshape(len(roots), len(x))

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name; `Trees(**arrays)` is the inverse."""
        return {name: getattr(self, name) for name in (*ARRAYS, "base")}

    def checked(self, columns: int, outputs: int) -> Trees:
        """The same. Raises ValueError where a node points outside: a model can be a stranger's."""
        nodes, trees = len(self.feature), len(self.start)
        lengths = {len(getattr(self, name)) for name in ARRAYS[:6]}
        inner = np.flatnonzero(self.feature >= 0)
        # a child stands after its node, so that every walk ends
        ahead = (self.left[inner] > inner) & (self.right[inner] > inner)
        inside = (self.left[inner] < nodes) & (self.right[inner] < nodes)
        good = (
            lengths == {nodes}
            and len(self.output) == trees
            and (self.feature < columns).all()
            and (ahead & inside).all()
            and ((self.start >= 0) & (self.start < nodes)).all()
            and ((self.output >= 0) & (self.output < outputs)).all()
            and self.value.shape[1] in (1, outputs)
            and self.base.shape == (outputs,)
        )
        if not good:
            raise ValueError("trees: a node points outside of its table")
        return self


def boosted(
    x: np.ndarray,
    answers: np.ndarray,
    weights: np.ndarray,
    outputs: int,
    rounds: int,
    seed: int,
    least_leaf: int = 1,
    step: float = 0.0,
    shape: Shape = SMALL,
) -> Trees:
    """Boosted trees; `Trees.sums` are logits, or numbers.

    x: [n, K], nan for a missing value. answers: int [n] of classes 0 .. outputs - 1, or numbers
    where outputs is 1, or labels int [n, outputs], of which each has trees of its own. A class that
    no row has gets the logit of one row in n + C. Numbers start from 0, which is a rounded mean
    (`middle_and_spread`): of the exact means of two models that differ by a row, the difference
    tells its answer. least_leaf: rows that a leaf needs, if more than that of the shape. step: to
    which the mean of a leaf of numbers is rounded before the next tree grows, or 0."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    numeric = outputs == 1
    if answers.ndim == 2:
        return _boosted_labels(x, answers, weights, rounds, seed, shape)
    grower: Any = HistGradientBoostingClassifier
    if numeric:
        grower = partial(HistGradientBoostingRegressor, loss=_rounded_error(weights, step, seed))
    fitted = grower(
        max_iter=rounds,
        learning_rate=min(WORK / rounds, FASTEST) if shape.rate is None else shape.rate,
        max_leaf_nodes=shape.leaves,
        min_samples_leaf=max(shape.least_leaf, least_leaf),
        max_features=_share_tried(x.shape[1]),
        early_stopping=False,
        random_state=seed % 2**32,
    ).fit(x, answers, weights)
    known = np.zeros(1, int) if numeric else fitted.classes_
    base = np.full(outputs, 0.0 if numeric else -np.log(len(x) + outputs))
    grown = [one for round_ in fitted._predictors for one in round_]
    start = np.ravel(fitted._baseline_prediction)
    if not numeric and len(known) == 2:  # one logit, that of the second class
        tables = [_table(one.nodes, half) for one in grown for half in (-0.5, 0.5)]
        base[known] = start[0] * np.array([-0.5, 0.5])
        output = np.tile(known, len(grown))
    else:
        tables = [_table(one.nodes, 1.0) for one in grown]
        base[known] = start
        output = np.tile(known, len(fitted._predictors))
    return _joined(tables, output, base)


def _rounded_error(weights: np.ndarray, step: float, seed: int) -> Any:  # noqa: ANN401
    """A loss of scikit-learn: the squared error, with which boosting starts from 0, and the mean of
    a leaf is rounded (`_drawn`). weights: [n]."""
    from sklearn._loss.loss import HalfSquaredError

    rng, asked = numpy_generator(seed, "leaves"), iter([False])

    class RoundedError(HalfSquaredError):  # type: ignore[misc]
        differentiable = not step  # where it isn't, each leaf is asked for anew

        def fit_intercept_only(
            self, y_true: np.ndarray, sample_weight: np.ndarray | None = None
        ) -> np.ndarray:
            of_leaf = next(asked, True)  # the first mean is that of all rows
            mean = np.average(y_true, weights=sample_weight)
            return _drawn(mean, step, rng) if of_leaf else np.zeros((), y_true.dtype)

    return RoundedError(sample_weight=weights)


def _drawn(means: np.ndarray, step: float, rng: np.random.Generator) -> np.ndarray:
    """Each mean as the multiple of `step` below or above it, so that it is right on average
    (stochastic rounding, Forsythe 1950). Cuts can be the same in two models that differ by a row;
    then the difference of two exact means of a leaf tells the row's answer."""
    return np.asarray(np.floor(means / step + rng.random(np.shape(means))) * step)


def forest(
    x: np.ndarray,
    answers: np.ndarray,
    weights: np.ndarray,
    outputs: int,
    trees: int,
    seed: int,
    least_leaf: int = 1,
    step: float = 0.0,
) -> Trees:
    """Trees of random cuts; `Trees.sums` are probabilities, or numbers. As `boosted`."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    # the mean of 0 and 1 in a leaf is the probability of a label
    numeric = outputs == 1 or answers.ndim == 2
    answers = answers.squeeze(1) if answers.ndim == 2 and outputs == 1 else answers
    grower = ExtraTreesRegressor if numeric else ExtraTreesClassifier
    fitted = grower(
        trees,
        min_samples_leaf=max(LEAST_FOREST_LEAF, least_leaf),
        max_features=_share_tried(x.shape[1]),
        random_state=seed % 2**32,
    ).fit(x, answers, weights)
    known = np.arange(outputs) if numeric else fitted.classes_
    tables, rng = [], numpy_generator(seed, "leaves")
    for one in fitted.estimators_:
        tree = one.tree_
        value = np.zeros((tree.node_count, outputs))
        shares = tree.value[:, :, 0] if numeric else tree.value[:, 0, :]
        shares = _drawn(shares, step, rng) if step else shares
        if not numeric:
            shares = shares / np.maximum(shares.sum(1, keepdims=True), 1e-300)
        value[:, known] = shares / trees
        leaf = tree.children_left < 0
        missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count, np.uint8))
        tables.append(
            {
                "feature": np.where(leaf, -1, tree.feature),
                "threshold": tree.threshold,
                "left": tree.children_left,
                "right": tree.children_right,
                "missing_left": missing,
                "value": value,
            }
        )
    return _joined(tables, np.zeros(len(tables), int), np.zeros(outputs))


def _share_tried(columns: int) -> float:
    """The share of so many columns that a cut may choose from."""
    return min(SHARE_OF_COLUMNS, MOST_TRIED / columns)


def _boosted_labels(
    x: np.ndarray, held: np.ndarray, weights: np.ndarray, rounds: int, seed: int, shape: Shape
) -> Trees:
    """Trees of each label, one label after the other. held: int [n, C]."""
    parts, bases = [], np.zeros(held.shape[1])
    for c in range(held.shape[1]):
        if len(np.unique(held[:, c])) < 2:
            bases[c] = (2 * held[0, c] - 1) * np.log(len(x) + 1)
            continue
        one = boosted(x, held[:, c], weights, 2, rounds, seed, shape=shape)
        # of the two logits, minus and plus the same
        bases[c] = one.base[1] - one.base[0]
        own = np.flatnonzero(one.output == 1)
        ends = np.append(one.start, len(one.feature))
        for t in own:
            nodes = slice(ends[t], ends[t + 1])
            shift = ends[t]
            parts.append(
                (
                    {
                        "feature": one.feature[nodes],
                        "threshold": one.threshold[nodes],
                        "left": one.left[nodes] - shift,
                        "right": one.right[nodes] - shift,
                        "missing_left": one.missing_left[nodes],
                        "value": 2 * one.value[nodes],
                    },
                    c,
                )
            )
    if not parts:
        return constant(bases)
    return _joined([table for table, _ in parts], np.array([c for _, c in parts]), bases)


def constant(base: np.ndarray) -> Trees:
    """No tree: the same sums [outputs] for every row."""
    whole, none = np.zeros(0, np.int32), np.zeros(0)
    value = np.zeros((0, 1))
    return Trees(whole, none, whole, whole, np.zeros(0, np.uint8), value, whole, whole, base)


def _table(nodes: np.ndarray, factor: float) -> dict[str, np.ndarray]:
    """The nodes of one tree of scikit-learn's boosting, whose leaves count `factor` times."""
    leaf = nodes["is_leaf"] == 1
    return {
        "feature": np.where(leaf, -1, nodes["feature_idx"].astype(np.int64)),
        "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
        "left": nodes["left"].astype(np.int64),
        "right": nodes["right"].astype(np.int64),
        "missing_left": nodes["missing_go_to_left"],
        "value": factor * np.where(leaf, nodes["value"], 0.0)[:, None],
    }


def _joined(tables: Sequence[Mapping[str, Any]], output: np.ndarray, base: np.ndarray) -> Trees:
    """One table of all trees."""
    sizes = [len(table["feature"]) for table in tables]
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def all_of(name: str, shift: bool = False) -> np.ndarray:
        parts = [
            table[name] + (first if shift else 0)
            for table, first in zip(tables, start, strict=True)
        ]
        return np.concatenate(parts)

    feature = all_of("feature").astype(np.int32)
    leaf = feature < 0
    left, right = (np.where(leaf, -1, all_of(n, True)).astype(np.int32) for n in ("left", "right"))
    value = np.where(leaf[:, None], all_of("value"), 0.0)  # inner nodes say nothing of their rows
    return Trees(
        feature,
        np.where(leaf, 0.0, all_of("threshold")),
        left,
        right,
        all_of("missing_left").astype(np.uint8),
        value,
        start.astype(np.int32),
        output.astype(np.int32),
        base,
    )


def few_values(x: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """x [n, K] with at most `count` different values in each column: each value becomes the nearest
    of the column's weighted quantiles.

    scikit-learn splits halfway between two of them, so that a value and what it becomes are always
    on the same side. Its own quantiles of weighted rows take longer than the trees."""
    out, weights = x.copy(), weights.astype(np.float64)
    shares = (np.arange(count) + 0.5) / count
    for k in range(x.shape[1]):
        counted = ~np.isnan(x[:, k]) & (weights > 0)
        values = x[counted, k]
        order = np.argsort(values, kind="stable")
        if len(np.unique(values)) <= count:
            continue
        below = weights[counted][order].cumsum()
        kept = np.unique(values[order][np.searchsorted(below, shares * below[-1])])
        halfway = (kept[1:].astype(np.float64) + kept[:-1]) / 2
        present = ~np.isnan(x[:, k])
        out[present, k] = kept[np.searchsorted(halfway, x[present, k].astype(np.float64))]
    return out
