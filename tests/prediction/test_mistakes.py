"""Confusion and worst mistakes against plain loops over what `predict` writes of a row."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gobelin.data.fields import Target
from gobelin.prediction import mistakes
from gobelin.prediction.predictor import Predictions

CLASSES = ("a", "b", "c")
NONE = np.zeros(0)


def drawn(kind: str, n: int = 200, seed: int = 0) -> tuple[Predictions, Target]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([1, 1, 1], n)
    truth = rng.integers(0, 3, n)
    sets = None
    if kind == "labels":
        p, truth = rng.random((n, 3)), rng.integers(0, 2, (n, 3))
        sets = p >= np.array([0.3, 0.5, 0.7])
    ids, present = tuple(map(str, range(n))), np.ones((n, 1), bool)
    found = Predictions(ids, CLASSES, p, NONE, NONE, NONE, ("x",), present, kind, sets)
    return found, Target("y", kind, truth, CLASSES, np.ones(3, bool))


def written(predictions: Predictions) -> list[dict[str, object]]:
    return predictions.rows()


@pytest.mark.parametrize("kind", ["class", "ordinal"])
def test_confusion_counts_every_pair_of_truth_and_written_prediction(kind: str) -> None:
    predictions, target = drawn(kind)
    found, rows = mistakes.confusion(predictions, target), written(predictions)
    for (t, truth), (p, said) in product(enumerate(CLASSES), enumerate(CLASSES)):
        count = sum(
            CLASSES[target.values[k]] == truth and row["prediction"] == said
            for k, row in enumerate(rows)
        )
        assert found[t, p] == count
    right = sum(CLASSES[target.values[k]] == row["prediction"] for k, row in enumerate(rows))
    assert mistakes.right_rows(predictions, target).sum() == right == np.trace(found)


def test_a_class_that_is_chosen_against_the_odds_is_told() -> None:
    """A rare class may get a row that it has 5 % of, where classes count equally."""
    p = np.array([[0.93, 0.05, 0.02], [0.2, 0.7, 0.1]])
    weighed = np.array([[0.4, 0.6, 0.0], [0.2, 0.7, 0.1]])
    ids, there = ("0", "1"), np.ones((2, 1), bool)
    found = Predictions(ids, CLASSES, p, NONE, NONE, NONE, ("x",), there, weighed=weighed)
    target = Target("y", "class", np.array([0, 0]), CLASSES, np.ones(3, bool))
    told = {m.row: m.detail for m in mistakes.worst(found, target)}
    assert told[0].endswith("93.0 % for the truth; classes count equally, so a rare one needs less")
    assert told[1].endswith("20.0 % for the truth")


def test_the_worst_mistakes_gave_the_truth_the_smallest_probability() -> None:
    predictions, target = drawn("class")
    wrong = []
    for k, row in enumerate(written(predictions)):
        truth = CLASSES[target.values[k]]
        if row["prediction"] != truth:
            wrong.append((row[f"p_{truth}"], k, truth, row["prediction"]))
    found = mistakes.worst(predictions, target, 7)
    assert [(m.row, m.truth, m.predicted) for m in found] == [
        (k, truth, said) for _, k, truth, said in sorted(wrong)[:7]
    ]
    p, k, _, said = min(wrong)
    sure = written(predictions)[k][f"p_{said}"]
    assert f"{100 * sure:.1f} % for it" in found[0].detail
    assert f"{100 * p:.1f} %" in found[0].detail or p < 0.0005


def test_levels_that_are_further_off_are_worse() -> None:
    predictions, target = drawn("ordinal")
    keys = []
    for k, row in enumerate(written(predictions)):
        truth = CLASSES[target.values[k]]
        off = abs(CLASSES.index(str(row["prediction"])) - CLASSES.index(truth))
        if off:
            keys.append((-off, row[f"p_{truth}"], k))
    found = mistakes.worst(predictions, target, 20)
    assert [m.row for m in found] == [k for *_, k in sorted(keys)[:20]]
    assert found[0].detail.startswith("2 levels off")


def test_the_worst_errors_of_numbers_are_the_largest() -> None:
    rng = np.random.default_rng(1)
    truth, said = rng.normal(size=50), rng.normal(size=50)
    truth[3], said[3] = 2.5, 99.0
    truth[7] = said[7]
    present = np.ones((50, 1), bool)
    ids = tuple(map(str, range(50)))
    predictions = Predictions(
        ids, (), np.zeros((50, 0)), said, said - 1, said + 1, ("x",), present, "number"
    )
    found = mistakes.worst(predictions, Target("y", "number", truth), 50)
    errors = [
        abs(float(row["prediction"]) - t)
        for row, t in zip(written(predictions), truth, strict=True)
    ]
    assert [m.row for m in found] == [int(k) for k in np.argsort(errors)[::-1] if errors[k] > 0]
    assert (found[0].row, found[0].truth, found[0].predicted) == (3, "2.5", "99")
    assert "off by 96.5" in found[0].detail and "98 to 100" in found[0].detail
    assert len(found) == 49  # the row without any error is none of them


def test_rows_with_more_wrong_labels_are_worse() -> None:
    predictions, target = drawn("labels")
    keys = []
    for k, row in enumerate(written(predictions)):
        said = set(str(row["prediction"]).split("|")) - {""}
        has = {c for c, held in zip(CLASSES, target.values[k], strict=True) if held}
        loss = sum(
            -np.log(
                predictions.probabilities[k, c]
                if name in has
                else 1 - predictions.probabilities[k, c]
            )
            for c, name in enumerate(CLASSES)
        )
        keys.append((-len(has ^ said), -loss, k, has - said, said - has))
    wrong = sorted(key for key in keys if key[0])[:10]
    found = mistakes.worst(predictions, target, 10)
    assert [m.row for m in found] == [key[2] for key in wrong]
    for mistake, (*_, missed, added) in zip(found, wrong, strict=True):
        assert all(name in mistake.detail for name in missed | added)
    table = mistakes.label_errors(predictions, target)
    for c, name in enumerate(CLASSES):
        rows = [
            (bool(target.values[k, c]), name in str(row["prediction"]).split("|"))
            for k, row in enumerate(written(predictions))
        ]
        assert table[c].tolist() == [
            sum(has for has, _ in rows),
            sum(has and not said for has, said in rows),
            sum(not has for has, _ in rows),
            sum(said and not has for has, said in rows),
        ]


def test_a_perfect_predictor_makes_no_mistake() -> None:
    predictions, target = drawn("class", 20)
    p = np.eye(3)[target.values]
    perfect = Predictions(
        predictions.ids, CLASSES, p, NONE, NONE, NONE, ("x",), np.ones((20, 1), bool)
    )
    assert mistakes.worst(perfect, target) == []
    assert mistakes.confusion(perfect, target).sum() == 20
