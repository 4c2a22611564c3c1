"""Scores against scikit-learn on planted predictions; bins and subsets against a second
implementation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np
import pytest
from scipy.stats import binomtest, spearmanr
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    recall_score,
    roc_auc_score,
)

from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.calibration import Calibration
from gobelin.prediction.cross_fit import Predict
from gobelin.prediction.evaluation import (
    evaluate,
    reliability,
    reliability_band,
    subsets,
)
from gobelin.prediction.predictor import Predictions

FIELDS = ("image", "text", "table")
CLASSES = ("a", "b", "c")


@dataclass
class Planted:
    """A model that answers what was written beforehand, and less well the fewer fields it is
    shown."""

    probabilities: np.ndarray
    blind: np.ndarray
    settings: Predict = Predict(balance=False)  # noqa: RUF009

    def predict(self, embeddings: Embeddings) -> Predictions:
        index = np.array([int(i) for i in embeddings.ids])
        shown = embeddings.present.sum(1, keepdims=True) / embeddings.present.shape[1]
        p = shown * self.probabilities[index] + (1 - shown) * self.blind[index]
        none = np.zeros(0)
        return Predictions(
            embeddings.ids, CLASSES, p, none, none, none, embeddings.fields, embeddings.present
        )


def planted(
    n: int = 400, seed: int = 0, missing: float = 0.3
) -> tuple[Planted, Embeddings, Target]:
    rng = np.random.default_rng(seed)
    label = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    p = rng.dirichlet([1, 1, 1], n)
    p[np.arange(n), label] += rng.random(n)
    present = rng.random((n, 3)) >= missing
    x = Embeddings(
        FIELDS,
        {f: np.zeros((n, 1), np.float32) for f in FIELDS},
        present,
        tuple(map(str, range(n))),
        "s",
    )
    return (
        Planted(p / p.sum(1, keepdims=True), rng.dirichlet([1, 1, 1], n)),
        x,
        Target("y", "class", label, CLASSES, np.ones(3, bool)),
    )


def test_subsets_are_the_power_set_up_to_six_fields() -> None:
    for n in range(1, 7):
        names = [f"f{k}" for k in range(n)]
        wanted = list(chain.from_iterable(combinations(names, k) for k in range(1, n + 1)))
        assert subsets(names) == wanted and len(wanted) == 2**n - 1
    names = [f"f{k}" for k in range(8)]
    found = subsets(names)
    assert (
        len(found) == len(set(found)) == 8 + 28 + 1
        and found[-1] == tuple(names)
        and found[:8] == [(n,) for n in names]
    )


def test_scores_are_those_of_scikit_learn() -> None:
    model, x, target = planted()
    found, predictions = evaluate(model, x, target, list(x.ids), 1 / 3)
    whole = next(f for f in found if f.name == "balanced_accuracy" and not f.scope)
    assert whole.value == pytest.approx(
        balanced_accuracy_score(target.values, predictions.class_indices)
    )
    assert whole.low < whole.value < whole.high and whole.chance == 1 / 3 and whole.n == 400
    recalls = {f.scope["class"]: f.value for f in found if f.name == "recall"}
    wanted = recall_score(target.values, predictions.class_indices, average=None)
    assert [recalls[c] for c in CLASSES] == pytest.approx(list(wanted))
    gap = next(f for f in found if f.name == "accuracy_minus_confidence")
    assert gap.value == pytest.approx(
        (predictions.class_indices == target.values).mean()
        - predictions.probabilities.max(1).mean()
    )


def test_a_subset_is_judged_on_the_rows_that_have_it_shown_it_alone() -> None:
    model, x, target = planted()
    found, _ = evaluate(model, x, target, list(x.ids), 1 / 3)
    by = {
        f.scope["fields"]: f for f in found if "fields" in f.scope and f.name == "balanced_accuracy"
    }
    assert set(by) == {" + ".join(s) for s in subsets(FIELDS)}
    for chosen in subsets(FIELDS):
        columns = [FIELDS.index(f) for f in chosen]
        rows = [k for k in range(400) if all(x.present[k, c] for c in columns)]
        share = len(chosen) / 3
        read = (share * model.probabilities[rows] + (1 - share) * model.blind[rows]).argmax(1)
        one = by[" + ".join(chosen)]
        assert one.value == pytest.approx(balanced_accuracy_score(target.values[rows], read))
        assert one.n == len(rows) and one.chance == pytest.approx(1 / 3)


def test_a_subset_that_hardly_any_row_has_is_left_out() -> None:
    model, x, target = planted(missing=0.0)
    x.present[9:, 2] = False
    found, _ = evaluate(model, x, target, list(x.ids), 1 / 3)
    named = {f.scope["fields"] for f in found if "fields" in f.scope}
    assert named == {"image", "text", "image + text"}


def test_rows_of_one_group_make_the_interval_wider() -> None:
    model, x, target = planted(missing=0.0)
    model.probabilities = np.repeat(model.probabilities[::10], 10, 0)
    target = Target("y", "class", np.repeat(target.values[::10], 10), CLASSES, np.ones(3, bool))
    alone, grouped = (
        evaluate(model, x, target, g, 1 / 3)[0][0]
        for g in (list(x.ids), [str(k // 10) for k in range(400)])
    )
    assert alone.value == grouped.value and grouped.n == 40
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_numbers_are_judged_by_their_error_and_coverage() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.normal(size=200), rng.normal(size=200)
    half = rng.random(200) * 2

    class Numbers:
        def predict(self, x: Embeddings) -> Predictions:
            return Predictions(
                x.ids, (), np.zeros((200, 0)), said, said - half, said + half, x.fields, x.present
            )

    x = Embeddings(
        ("f",),
        {"f": np.zeros((200, 1), np.float32)},
        np.ones((200, 1), bool),
        tuple(map(str, range(200))),
        "s",
    )
    found = evaluate(Numbers(), x, Target("y", "number", truth), list(x.ids), 0.9)[0]
    error, root, ranks, coverage, width, *_ = found
    assert (
        error.value == pytest.approx(mean_absolute_error(truth, said))
        and error.better == "lower"
        and error.chance == 0.9
    )
    assert root.name == "rmse" and root.value == pytest.approx(
        np.sqrt(((truth - said) ** 2).mean())
    )
    assert ranks.name == "spearman" and ranks.value == pytest.approx(spearmanr(truth, said)[0])
    assert coverage.value == pytest.approx((np.abs(truth - said) <= half).mean())
    assert width.value == pytest.approx(2 * half.mean())


@pytest.mark.parametrize("bins", [1, 4, 8])
def test_reliability_bins_have_equal_counts_in_order_of_confidence(bins: int) -> None:
    model, x, target = planted(n=101, seed=2, missing=0.0)
    predictions = model.predict(x)
    sure, right, sizes = reliability(predictions, target, bins)
    pairs = sorted(
        (max(p), int(np.argmax(p)) == t)
        for p, t in zip(predictions.probabilities, target.values, strict=True)
    )
    start = 0
    assert (
        sum(sizes) == 101
        and max(sizes) - min(sizes) <= 1
        and len(sizes) == bins
        and sure == sorted(sure)
    )
    for mean, share, size in zip(sure, right, sizes, strict=True):
        part = pairs[start : start + size]
        start += size
        assert mean == pytest.approx(np.mean([p for p, _ in part])) and share == pytest.approx(
            np.mean([r for _, r in part])
        )
    assert len(reliability(model.predict(x.rows([0, 1])), target.rows([0, 1]), 8)[0]) == 2


@pytest.mark.parametrize("bins", [1, 5, 8])
def test_the_band_is_the_interval_of_wilson_in_every_bin(bins: int) -> None:
    model, x, target = planted(n=203, seed=4, missing=0.0)
    predictions = model.predict(x)
    _, right, sizes = reliability(predictions, target, bins)
    low, high = reliability_band(predictions, target, list(x.ids), bins)
    for share, size, a, b in zip(right, sizes, low, high, strict=True):
        wilson = binomtest(round(share * size), size).proportion_ci(method="wilson")
        assert (a, b) == pytest.approx((wilson.low, wilson.high), abs=1e-9)


def test_the_band_is_wider_where_rows_belong_together() -> None:
    model, x, target = planted(missing=0.0)
    model.probabilities = np.repeat(model.probabilities[::10], 10, 0)
    target = Target("y", "class", np.repeat(target.values[::10], 10), CLASSES, np.ones(3, bool))
    alone, grouped = (
        np.subtract(*reliability_band(model.predict(x), target, units, 2)[::-1])
        for units in (list(x.ids), [str(k // 10) for k in range(400)])
    )
    assert (grouped > 2 * alone).all()


def test_the_band_of_several_labels_counts_every_label() -> None:
    rng = np.random.default_rng(3)
    p, truth = rng.random((60, 2)), rng.integers(0, 2, (60, 2))
    none, ids = np.zeros(0), tuple(map(str, range(60)))
    predictions = Predictions(ids, ("a", "b"), p, none, none, none, (), np.zeros((60, 0), bool))
    target = Target("y", "labels", truth, ("a", "b"), np.ones(2, bool))
    low, high = reliability_band(predictions, target, ids, 3)
    order = np.argsort(p.ravel(), kind="stable").reshape(3, 40)
    for places, a, b in zip(order, low, high, strict=True):
        share = truth.ravel()[places].mean()
        assert a < share < b


def test_perfectly_calibrated_predictions_lie_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 20_000)
    p = np.stack([sure, 1 - sure], 1)
    label = (rng.random(20_000) > sure).astype(np.int64)
    none = np.zeros(0)
    predictions = Predictions(
        tuple("x" * 20_000), ("a", "b"), p, none, none, none, (), np.zeros((20_000, 0), bool)
    )
    mean, right, _ = reliability(
        predictions, Target("y", "class", label, ("a", "b"), np.ones(2, bool))
    )
    assert np.allclose(mean, right, atol=0.03)


def several(kind: str, n: int = 300, seed: int = 3) -> tuple[Planted, Embeddings, Target]:
    """Planted answers to labels, or to four ordered levels."""
    rng = np.random.default_rng(seed)
    x = Embeddings(
        ("f",),
        {"f": np.zeros((n, 1), np.float32)},
        np.ones((n, 1), bool),
        tuple(map(str, range(n))),
        "s",
    )
    if kind == "labels":
        truth = (rng.random((n, 3)) < [0.5, 0.2, 0.1]).astype(np.int64)
        p = 1 / (1 + np.exp(-(2 * truth - 1 + 1.5 * rng.normal(size=(n, 3)))))
        return Planted(p, p), x, Target("y", "labels", truth, CLASSES, np.array([True, True, True]))
    truth = rng.integers(0, 4, n)
    p = rng.dirichlet([1, 1, 1, 1], n)
    p[np.arange(n), truth] += 0.7
    return (
        Planted(p / p.sum(1, keepdims=True), p),
        x,
        Target("y", "ordinal", truth, tuple("1234"), np.ones(4, bool)),
    )


@dataclass
class Kept(Planted):
    """Answers of a kind, with sets."""

    kind: str = ""
    sets: np.ndarray | None = None

    def predict(self, embeddings: Embeddings) -> Predictions:
        found = super().predict(embeddings)
        index = np.array([int(i) for i in embeddings.ids])
        classes = CLASSES if self.kind == "labels" else tuple("1234")
        return replace(
            found,
            kind=self.kind,
            classes=classes,
            sets=None if self.sets is None else self.sets[index],
        )


def test_labels_are_scored_as_scikit_learn_does() -> None:
    model, x, target = several("labels")
    p, truth = model.probabilities, target.values
    kept = Kept(p, p, kind="labels", sets=p >= 0.5)
    found, _ = evaluate(kept, x, target, list(x.ids), 0.5)
    whole = {f.name: f for f in found if not f.scope}
    assert found[0].name == "macro_auroc" and whole["macro_auroc"].value == pytest.approx(
        roc_auc_score(truth, p)
    )
    assert whole["mean_average_precision"].value == pytest.approx(average_precision_score(truth, p))
    assert whole["macro_f1"].value == pytest.approx(f1_score(truth, p >= 0.5, average="macro"))
    assert whole["brier_score"].value == pytest.approx(
        np.mean([brier_score_loss(truth[:, c], p[:, c]) for c in range(3)])
    )
    assert whole["log_loss"].value == pytest.approx(
        np.mean([log_loss(truth[:, c], p[:, c]) for c in range(3)])
    )
    assert whole["mean_average_precision"].chance == pytest.approx(truth.mean())
    one = next(f for f in found if f.scope == {"class": "b"})
    assert one.value == pytest.approx(roc_auc_score(truth[:, 1], p[:, 1]))


def test_levels_are_scored_by_how_far_they_are_off() -> None:
    model, x, target = several("ordinal")
    p, truth = model.probabilities, target.values
    median = np.array([next(k for k in range(4) if q[: k + 1].sum() >= 0.5) for q in p])
    inside = p >= np.sort(p, axis=1)[:, [2]]  # the two likeliest
    found, _ = evaluate(Kept(p, p, kind="ordinal", sets=inside), x, target, list(x.ids), 1.0)
    whole = {f.name: f for f in found if not f.scope}
    assert found[0].name == "mean_level_error" and found[0].value == pytest.approx(
        np.abs(median - truth).mean()
    )
    assert whole["quadratic_kappa"].value == pytest.approx(
        cohen_kappa_score(truth, median, weights="quadratic")
    )
    assert (
        whole["set_coverage"].value == pytest.approx(inside[np.arange(300), truth].mean())
        and whole["set_size"].value == 2
    )
    assert whole["log_loss"].value == pytest.approx(log_loss(truth, p))
    by = {f.name: f.value for f in found if f.scope == {"fields": "f"}}
    assert by == {
        name: pytest.approx(whole[name].value) for name in ("mean_level_error", "set_coverage")
    }


def test_calibration_is_judged_in_the_mix_that_the_rows_have() -> None:
    """Classes 9 : 1 of N(0, 1) and N(1, 1). Bayes for this mix has no error; Bayes for equal shares
    has, whatever `balance` says."""
    rng = np.random.default_rng(0)
    label = (rng.random(6000) < 0.1).astype(np.int64)
    signal = rng.normal(size=6000) + label
    none, there = np.zeros(0), np.ones((6000, 1), bool)
    target = Target("y", "class", label, ("a", "b"), np.ones(2, bool))
    x = Embeddings(
        ("f",), {"f": np.zeros((6000, 1), np.float32)}, there, tuple(map(str, range(6000))), "s"
    )

    class Two:
        settings = Predict()
        calibration = Calibration("class", mix=(0.0, 0.0))

        def __init__(self, prior: float) -> None:
            self.p = 1 / (1 + np.exp(-(signal - 0.5 + np.log(prior / (1 - prior)))))

        def predict(self, x: Embeddings) -> Predictions:
            q = self.p[[int(i) for i in x.ids]]
            return Predictions(
                x.ids, ("a", "b"), np.stack([1 - q, q], 1), none, none, none, x.fields, x.present
            )

    found = {}
    for prior in (0.1, 0.5):
        model = Two(prior)
        scored = evaluate(model, x, target, list(x.ids), 0.5)[0]
        found[prior] = {f.name: f for f in scored if not f.scope}
        brier = found[prior]["brier_score"].value
        assert brier == pytest.approx(2 * np.mean((model.p - label) ** 2))
    right, wrong = found[0.1], found[0.5]
    assert abs(right["accuracy_minus_confidence"].value) < 0.02
    assert right["log_loss"].high < wrong["log_loss"].low
    share = label.mean()
    guess = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert right["log_loss"].chance == pytest.approx(guess)
