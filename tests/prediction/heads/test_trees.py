"""Trees as arrays against the estimators of scikit-learn that grew them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import ensemble

from gobelin.core.softmax import softmax
from gobelin.prediction.heads import trees
from gobelin.prediction.heads.cuts import short_cuts
from gobelin.prediction.heads.members import GROWERS
from gobelin.prediction.heads.trees import Trees

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6))
X[RNG.random(X.shape) < 0.2] = np.nan
NUMBER = np.nan_to_num(X[:, 0]) * 3 + (np.nan_to_num(X[:, 1]) > 0) + RNG.normal(size=300)
WEIGHTS = RNG.integers(1, 4, 300).astype(float)
NUMBER -= np.average(NUMBER, weights=WEIGHTS)  # what scikit-learn's boosting starts from
FRESH = np.where(RNG.random((200, 6)) < 0.3, np.nan, RNG.normal(size=(200, 6)))


def of_scikit_learn(name: str, numeric: bool) -> Any:  # noqa: ANN401
    """The estimator with the settings of `trees`."""
    kind = "Regressor" if numeric else "Classifier"
    if name != "forest":
        shape = trees.SMALL if name == "boosted" else trees.LARGE
        return getattr(ensemble, f"HistGradientBoosting{kind}")(
            max_iter=20,
            learning_rate=shape.rate or trees.FASTEST,
            max_leaf_nodes=shape.leaves,
            min_samples_leaf=shape.least_leaf,
            max_features=trees.SHARE_OF_COLUMNS,
            early_stopping=False,
            random_state=3,
        )
    return getattr(ensemble, f"ExtraTrees{kind}")(
        20,
        min_samples_leaf=trees.LEAST_FOREST_LEAF,
        max_features=trees.SHARE_OF_COLUMNS,
        random_state=3,
    )


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("name", GROWERS)
def test_arrays_say_what_the_estimator_says(name: str, classes: int) -> None:
    answers = NUMBER if classes == 1 else np.digitize(NUMBER, [-1, 1, 2][: classes - 1])
    grown = GROWERS[name](X, answers, WEIGHTS, classes, 20, 3)
    theirs = of_scikit_learn(name, classes == 1).fit(X, answers, WEIGHTS)
    own = grown.sums(FRESH)
    if classes == 1:
        assert np.allclose(own[:, 0], theirs.predict(FRESH))
    else:
        p = own if name == "forest" else softmax(own, axis=1)
        assert np.allclose(p, theirs.predict_proba(FRESH), atol=1e-7)
    again = Trees(**grown.arrays()).checked(6, classes)
    assert np.array_equal(again.sums(FRESH), own)


@pytest.mark.parametrize("count", [60, 160])
def test_a_cut_of_a_wide_table_tries_twenty_columns(count: int) -> None:
    wide, answers = np.tile(X, count // 6 + 1)[:, :count], (NUMBER > 0).astype(int)
    own = trees.forest(wide, answers, WEIGHTS, 2, 20, 3).sums(wide)
    probabilities = {}
    for tried in (18, 20, 48):  # 0.3 of 60, the most, 0.3 of 160
        theirs = ensemble.ExtraTreesClassifier(
            20, min_samples_leaf=trees.LEAST_FOREST_LEAF, max_features=tried, random_state=3
        )
        probabilities[tried] = theirs.fit(wide, answers, WEIGHTS).predict_proba(wide)
    alike = [tried for tried, p in probabilities.items() if np.allclose(own, p)]
    assert alike == [18 if count == 60 else 20]


@pytest.mark.parametrize("name", GROWERS)
def test_a_class_without_rows_is_rare(name: str) -> None:
    answers = np.where(NUMBER > 0, 3, 1)
    sums = GROWERS[name](X, answers, WEIGHTS, 5, 20, 3).sums(FRESH)
    p = sums if name == "forest" else softmax(sums, axis=1)
    assert (p[:, [0, 2, 4]] < 0.01).all() and np.allclose(p.sum(1), 1)


def test_inner_nodes_hold_no_value_of_their_rows() -> None:
    grown = trees.forest(X, (NUMBER > 0).astype(int), WEIGHTS, 2, 5, 0)
    assert not grown.value[grown.feature >= 0].any()


CHANGES: dict[str, Callable[[Trees], Trees]] = {
    "a loop": lambda t: replace(t, left=np.zeros_like(t.left)),
    "a child beyond the table": lambda t: replace(t, right=t.right + len(t.right)),
    "a column that is not there": lambda t: replace(t, feature=t.feature + 6),
    "a root beyond the table": lambda t: replace(t, start=t.start + len(t.feature)),
    "a class that is not there": lambda t: replace(t, output=t.output + 9),
    "a table cut off": lambda t: replace(t, threshold=t.threshold[:-1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stranger_s_table_that_leads_nowhere_is_refused(change: str) -> None:
    grown = trees.boosted(X, NUMBER, WEIGHTS, 1, 5, 0)
    with pytest.raises(ValueError, match="points outside"):
        CHANGES[change](grown).checked(6, 1)


@pytest.mark.parametrize("name", GROWERS)
def test_each_label_is_told_as_by_trees_of_its_own(name: str) -> None:
    """Boosted trees of each label are those of scikit-learn; the forest shares its cuts. A label
    that no row has is rare."""
    held = np.stack([NUMBER > 0, X[:, 0] > 0.3, np.zeros(len(X))], 1).astype(int)
    grown = GROWERS[name](X, held, WEIGHTS, 3, 20, 3)
    own = grown.sums(FRESH)
    p = 1 / (1 + np.exp(-own)) if name != "forest" else own
    assert (p[:, 2] < 0.01).all()
    if name != "forest":
        for c in range(2):
            theirs = of_scikit_learn(name, False).fit(X, held[:, c], WEIGHTS)
            assert np.allclose(p[:, c], theirs.predict_proba(FRESH)[:, 1], atol=1e-7)
    else:
        theirs = of_scikit_learn(name, True).fit(X, held, WEIGHTS)
        assert np.allclose(p, theirs.predict(FRESH))
    assert np.array_equal(Trees(**grown.arrays()).checked(6, 3).sums(FRESH), own)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e12, -3.0])
@pytest.mark.parametrize("name", GROWERS)
def test_a_short_cut_divides_the_rows_as_before_and_tells_no_value(name: str, scale: float) -> None:
    """Halfway between two rows' values, a cut and one of them give the other. Oracles: the answers
    on the rows themselves, and every value between two neighbours with fewer digits, by search."""
    x = X * scale
    few = trees.few_values(x, WEIGHTS, 40)
    grown = GROWERS[name](few, NUMBER, WEIGHTS, 1, 20, 3)
    short = short_cuts(grown, x, np.arange(len(x)), 1)
    assert np.array_equal(short.sums(x), grown.sums(x))
    solved = before = whole = 0
    for at in np.flatnonzero(grown.feature >= 0):
        if np.isinf(grown.threshold[at]):  # missing values against all others
            whole += 1
            continue
        values = np.unique(x[:, grown.feature[at]])
        pairs = np.unique(few[:, grown.feature[at]])
        middles = (pairs[1:] + pairs[:-1]) / 2
        cut, was = float(short.threshold[at]), float(grown.threshold[at])
        solved += bool(np.isclose(middles, cut, rtol=1e-13, atol=0).any())
        before += bool(np.isclose(middles, was, rtol=1e-13, atol=0).any())
        low = values[values <= was].max()
        high = values[values > was].min()
        assert low < cut < high
        for places in range(-60, 60):  # no coarser grid has a point there
            step = 2.0**places
            if (np.floor(low / step) + 1) * step < high:
                coarser = step
        assert cut / coarser == round(cut / coarser)
    cuts = (short.feature >= 0).sum() - whole
    assert solved == 0 and before == cuts * (name != "forest")


def test_cuts_between_equal_neighbours_and_at_the_ends_stay_in_place() -> None:
    """Values one float apart, zeros, and a cut beyond all rows, as another column's rows make."""
    close = np.array([1.0, np.nextafter(1.0, 2), -0.0, 5.0])[:, None]
    for low, high in ((1.0, np.nextafter(1.0, 2)), (-0.0, 1.0), (5.0, 9.0), (-9.0, 0.0)):
        tree = Trees(
            np.array([0, -1, -1], np.int32),
            np.array([(low + high) / 2, 0.0, 0.0]),
            *(np.array([k, 0, 0], np.int32) for k in (1, 2)),
            np.zeros(3, np.uint8),
            np.array([[0.0], [1.0], [2.0]]),
            np.zeros(1, np.int32),
            np.zeros(1, np.int32),
            np.zeros(1),
        )
        short = short_cuts(tree, close, np.arange(4), 1)
        assert np.array_equal(short.sums(close), tree.sums(close))


@pytest.mark.parametrize("name", GROWERS)
def test_leaves_are_multiples_of_a_step_and_right_on_average(name: str) -> None:
    shape = {"boosted": trees.SMALL, "deep": trees.LARGE}.get(name)
    times = 20 / 0.5 if shape is None else 1 / (0.5 * (shape.rate or trees.FASTEST))
    exact = GROWERS[name](X, NUMBER, WEIGHTS, 1, 20, 3)
    grown = GROWERS[name](X, NUMBER, WEIGHTS, 1, 20, 3, step=0.5)
    steps = grown.value * times
    assert np.allclose(steps, np.round(steps))
    first = slice(0, exact.start[1])  # the same cuts: no leaf was rounded before
    assert np.array_equal(exact.feature[first], grown.feature[first])
    assert 0 < np.abs(exact.value[first] - grown.value[first]).max() <= 1 / times
    assert abs(grown.base[0]) == 0
    off = grown.sums(X)[:, 0] - exact.sums(X)[:, 0]
    assert abs(off.mean()) < 0.1 and off.std() < 0.2 * NUMBER.std()
