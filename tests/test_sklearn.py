"""scikit-learn's own checks, and the estimators on planted data frames."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.prediction.fusion.concat import Concat
from gobelin.sklearn import MultimodalClassifier, MultimodalRegressor

QUICK: dict[str, Any] = {
    "fusion": Concat(steps=40, rate=0.03),
    "decays": (1e-3,),
    "folds": 2,
    "leave_out": (),
}
BATCHES = (
    "rows come in random batches, so a weight of 2 is not the same random numbers as a row that"
    " appears twice"
)
EXCUSED = {
    "check_sample_weight_equivalence_on_dense_data": BATCHES,
}


@parametrize_with_checks(
    [MultimodalClassifier(**QUICK), MultimodalRegressor(**QUICK)],
    expected_failed_checks=lambda estimator: EXCUSED,
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def planted(n: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """The class is the colour of the picture and stands in the text; either is missing in a third
    of the rows."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    colours = np.array([(230, 30, 30), (30, 230, 30), (30, 30, 230)], np.uint8)
    words = np.array(["a red one", "some green", "the blue thing"])
    noise = rng.integers(0, 25, (n, 8, 8, 3), np.uint8)
    images = [
        Image.fromarray(np.clip(colours[c] + x, 0, 255).astype(np.uint8))
        for c, x in zip(label, noise, strict=True)
    ]
    hidden = rng.integers(0, 3, n)
    frame = pd.DataFrame(
        {
            "picture": [None if h == 0 else i for h, i in zip(hidden, images, strict=True)],
            "said": [
                None if h == 1 else f"{words[c]} {k % 7}"
                for k, (h, c) in enumerate(zip(hidden, label, strict=True))
            ],
            "size": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "owner": [f"o{k % 12}" for k in range(n)],
        }
    )
    return frame, np.array(["red", "green", "blue"])[label]


FRAME, LABEL = planted(120)
PLAIN: dict[str, Any] = {
    **QUICK,
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "schema": {"picture": "image", "said": "text", "owner": "group"},
}


def test_planted_classes_are_read_whatever_is_missing() -> None:
    model = MultimodalClassifier(**PLAIN).fit(FRAME, LABEL)
    others, truth = planted(60, seed=1)
    for gone in ([], ["picture"], ["said"]):
        shown = others.assign(
            **{name: pd.Series([None] * len(others), dtype=object) for name in gone}
        )
        there = shown[["picture", "said"]].notna().any(axis=1).to_numpy()
        assert (model.predict(shown) == truth)[there].mean() > 0.95
    probabilities = model.predict_proba(others)
    assert (
        np.allclose(probabilities.sum(1), 1) and (model.classes_ == ["blue", "green", "red"]).all()
    )
    assert list(model.feature_names_in_) == list(FRAME.columns) and model.n_features_in_ == 4
    assert "owner" not in [c for f in model.embedder_.schema.fields for c in f.columns]


def test_what_a_run_finds_the_estimator_finds(tmp_path: Path) -> None:
    """A run's folder and the estimator, on the same training rows from the same seed: one chain,
    the same probabilities."""
    owner = FRAME["owner"].str[1:].astype(int)
    frame = FRAME.assign(
        colour=LABEL, split=np.where(owner < 8, "train", np.where(owner < 10, "valid", "test"))
    )
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    bench = Workbench(
        frame,
        "colour",
        tmp_path / "run",
        {
            "encoders": PLAIN["encoders"],
            "schema": PLAIN["schema"],
            "leave_out": (),
            "data": {"least_groups": 1},  # as the estimator, which writes no folder for others
            "fusion": {"name": "concat", "settings": {"steps": 40, "rate": 0.03}},
            "predict": {"decays": (1e-3,), "folds": 2, "balance": False},
            "runtime": {"precision": "float32", "threads": 1, "seed": seed},
        },
    )
    bench.fit()
    alone = MultimodalClassifier(**PLAIN).fit(FRAME[owner < 8], LABEL[owner < 8])
    assert np.allclose(bench.predict(FRAME).probabilities, alone.predict_proba(FRAME), atol=1e-4)


def test_it_stands_in_a_grid_a_pipeline_and_a_cross_validation(tmp_path: Path) -> None:
    model = make_pipeline(MultimodalClassifier(**PLAIN, cache=tmp_path))
    scores = cross_val_score(
        model, FRAME, LABEL, cv=GroupKFold(2), groups=FRAME["owner"], scoring="balanced_accuracy"
    )
    assert scores.min() > 0.9 and list(tmp_path.glob("*/*.safetensors"))
    grid = {"multimodalclassifier__fusion": [Concat(steps=1), Concat(steps=40, rate=0.03)]}
    found = GridSearchCV(model, grid, cv=2, error_score="raise").fit(FRAME, LABEL)
    assert found.best_params_["multimodalclassifier__fusion"].steps == 40
    assert model.get_params()["multimodalclassifier__cache"] == tmp_path


def test_a_fitted_one_travels_by_pickle_and_a_clone_is_not_fitted() -> None:
    model = MultimodalClassifier(**PLAIN).fit(FRAME, LABEL)
    there = pickle.loads(pickle.dumps(model))
    assert np.array_equal(there.predict_proba(FRAME), model.predict_proba(FRAME))
    assert not hasattr(clone(model), "model_") and clone(model).get_params() == model.get_params()


def test_a_number_and_its_interval_are_read() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 3))
    y = 10 + 3 * x[:, 0] + rng.normal(size=300)
    model = MultimodalRegressor(fusion=Concat(steps=150), decays=(1e-3,), level=0.8).fit(
        x[:200], y[:200]
    )
    assert model.score(x[200:], y[200:]) > 0.8
    low, high = model.predict_interval(x[200:]).T
    assert (
        0.68 < ((low < y[200:]) & (y[200:] < high)).mean() < 0.92
    )  # 0.8 within 3 standard errors of 100 rows


def test_a_weight_of_nothing_is_a_row_left_out() -> None:
    weights = np.r_[np.ones(80), np.zeros(40)]
    wrong = np.where(weights > 0, LABEL, "red")
    weighed = MultimodalClassifier(**PLAIN).fit(FRAME, wrong, weights)
    left = MultimodalClassifier(**PLAIN).fit(FRAME[:80], LABEL[:80])
    assert np.allclose(weighed.predict_proba(FRAME), left.predict_proba(FRAME), atol=1e-4)


def test_a_picture_that_cannot_be_opened_is_set_aside_and_listed() -> None:
    broken = FRAME.assign(
        picture=[b"\x89PNG broken" if k == 3 else v for k, v in enumerate(FRAME["picture"])]
    )
    model = MultimodalClassifier(**PLAIN).fit(broken, LABEL)
    assert len(model.bad_cells_) == 1 and model.bad_cells_[0].startswith("row 3, column 'picture'")
    with pytest.raises(GobelinError, match="cells can't be used"):
        MultimodalClassifier(**PLAIN, max_bad=0.0).fit(broken, LABEL)


def test_settings_of_the_fusion_are_parameters() -> None:
    """By name and as an object; a clone, a pickle and an equal estimator have them."""
    by_name = MultimodalClassifier(**PLAIN).set_params(fusion="gated", fusion__steps=7)
    assert type(by_name.fusion).__name__ == "Gated" and by_name.fusion.steps == 7
    model = MultimodalClassifier(**PLAIN)
    given = model.fusion
    model.set_params(fusion__steps=7, folds=3)
    assert (model.fusion.steps, model.fusion.rate, model.folds) == (7, 0.03, 3)
    assert given == QUICK["fusion"]  # an object that others hold stays as it is
    parameters = model.get_params()
    assert parameters["fusion__steps"] == 7 and "fusion__steps" not in model.get_params(deep=False)
    for other in (clone(model), pickle.loads(pickle.dumps(model))):
        assert other.get_params() == parameters
    assert MultimodalClassifier().set_params(**parameters).get_params() == parameters
    assert MultimodalClassifier(fusion="concat").get_params()["fusion__hidden"] == 0
    for chosen_later in ("auto", "all"):
        assert not [k for k in MultimodalClassifier(fusion=chosen_later).get_params() if "__" in k]
    named = MultimodalClassifier().set_params(fusion__hidden=8).fusion
    assert type(named).__name__ == "Concat" and named.hidden == 8


def test_a_grid_over_nested_settings_takes_the_planted_one() -> None:
    """One step learns nothing; the grid tells."""
    grid = {
        "model__fusion": ["concat", "mean"],
        "model__fusion__steps": [1, 60],
        "model__fusion__rate": [0.03],
    }
    model = Pipeline([("model", MultimodalClassifier(**PLAIN))])
    found = GridSearchCV(model, grid, cv=2, error_score="raise").fit(FRAME[:80], LABEL[:80])
    assert found.best_params_["model__fusion__steps"] == 60 and found.best_score_ > 0.8
    scores = found.cv_results_["mean_test_score"]
    assert len(set(scores)) > 1
    fitted = found.best_estimator_["model"].model_.predictor.settings
    assert (fitted.steps, fitted.rate) == (60, 0.03)


MISUSE: dict[str, tuple[dict[str, Any], str]] = {
    "typo": ({"fusoin": "concat"}, "no parameter 'fusoin'. Did you mean 'fusion'?"),
    "nested typo": ({"fusion__stesp": 3}, "no parameter 'stesp'. Did you mean 'steps'?"),
    "nested value": ({"fusion__steps": "many"}, "a whole number was expected, found 'many'"),
    "nested in all": ({"fusion": "all", "fusion__steps": 3}, "is no single fusion"),
    "fusion": ({"fusion": "concatt"}, "Did you mean 'concat'?"),
    "a class": ({"fusion": Concat}, "a name or a fusion was expected"),
    "encoders": ({"encoders": "pixels"}, "encoders: is a group of settings, found 'pixels'"),
    "encoder": ({"encoders": {"image": "pixels"}}, "encoders.image: is a group of settings"),
    "schema": ({"schema": ["said"]}, "schema: is a group of settings"),
    "column": ({"schema": {"sid": "text"}}, "schema.sid: X has no such column. Did you mean"),
    "leave_out": ({"leave_out": "sid"}, "leave_out: no field 'sid'. Did you mean 'said'?"),
    "folds": ({"folds": 1}, "MultimodalClassifier.folds: a whole number from 2 to 100"),
    "balance": ({"balance": "yes"}, "MultimodalClassifier.balance: true or false was expected"),
    "metric": ({"metric": "rmse"}, "'y' holds classes, which rmse does not score. Choose balanced"),
    "no metric": ({"metric": "acc"}, "MultimodalClassifier.metric: one of auto, balanced_accuracy"),
    "max_bad": ({"max_bad": 3}, "MultimodalClassifier.max_bad: a number from 0 to 1"),
    "root": ({"root": "/nowhere"}, "root: '/nowhere' is no folder"),
}


@pytest.mark.parametrize("what", MISUSE)
def test_a_wrong_argument_is_one_clear_line(what: str) -> None:
    changed, said = MISUSE[what]
    with pytest.raises((ValueError, GobelinError)) as told:
        MultimodalClassifier(**PLAIN).set_params(**changed).fit(FRAME, LABEL)
    assert said in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ("things.csv", LABEL, "pandas.read_csv"),
        ({"said": ["a"]}, LABEL, "pandas.DataFrame"),
        ([{"said": "a"}] * 120, LABEL, "pandas.DataFrame"),
        (FRAME[:0], LABEL[:0], "X: has no rows"),
        (FRAME[[]], LABEL, "X: has no columns"),
        (FRAME, "colour", "X.pop('colour')"),
        (FRAME, [None, *LABEL[1:]], "y: 1 of 120 labels are missing"),
        (FRAME, pd.array([pd.NA, *LABEL[1:]]), "y: 1 of 120 labels are missing"),
        (FRAME, LABEL[:-1], "X has 120 rows, found 119 labels"),
        (FRAME[["said", "said"]], LABEL, "X: column 'said' appears twice"),
        (FRAME, np.array([1, *LABEL[1:]], object), "y: holds texts and others, such as 1."),
        (np.zeros((120, 4, 4, 3), np.uint8), LABEL, "ndarray [120, 4, 4, 3]. pandas.DataFrame({'"),
        (torch.zeros(120, 3, 4, 4), LABEL, "found Tensor [120, 3, 4, 4]. pandas.DataFrame({'ima"),
        ([np.zeros((4, 2 + k)) for k in range(120)], LABEL, "pandas.DataFrame({'image': list(X)})"),
        ([Image.new("L", (4, 4))] * 120, LABEL, "pandas.DataFrame({'image': X})"),
        (list(FRAME["said"]), LABEL, "numbers [N, columns] were expected, found the text"),
        (FRAME["said"], LABEL, "numbers [N, columns] were expected, found the text"),
        (FRAME[["said"]].to_numpy(), LABEL, "set_output(transform='pandas')"),
        (iter([{"said": "a"}] * 120), LABEL, "pandas.DataFrame(list(X))"),
        (np.zeros(120, [("a", float), ("b", float)]), LABEL, "ndarray [120]. pandas.DataFrame(X)"),
    ],
    ids=map(str, range(20)),
)
def test_wrong_rows_and_labels_are_one_clear_line(x: Any, y: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError)) as told:
        MultimodalClassifier(**PLAIN).fit(x, y)
    assert said in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    "code", [lambda k: f"+49 30 {1000 + k}", lambda k: f"#{k:06x}", lambda k: f"10.0.{k}.1"]
)
def test_a_column_that_is_not_used_is_told(
    code: Callable[[int], str], caplog: pytest.LogCaptureFixture
) -> None:
    frame = FRAME[["size"]].assign(code=[code(k) for k in range(len(FRAME))])
    for schema in ({}, {"code": "ignore"}):
        caplog.clear()
        model = MultimodalClassifier(**{**PLAIN, "schema": schema}).fit(frame, LABEL)
        assert model.embedder_.schema.field_names == ("table",)
        assert ("X, column 'code': not used" in caplog.text) == (not schema)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([np.inf, -np.inf, *range(118)], "X, column 'odd': 'inf', '-inf' are read as missing."),
        (["n/a", *map(str, range(119))], "X, column 'odd': 'n/a' is read as missing."),
        ([f"10.0.{k}.1" for k in range(120)], "schema={'odd': 'text'}"),
        ([7] * 120, "X, column 'odd': not used: every cell is the same."),
    ],
)
def test_how_a_column_is_read_is_told(
    values: Sequence[Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = MultimodalClassifier(**{**PLAIN, "schema": {}})
    model.fit(FRAME[["size"]].assign(odd=values), LABEL)
    assert told in caplog.text and "--set" not in caplog.text


@pytest.mark.parametrize(
    "y", [["1.5"] * 120, pd.Series(["1.5"] * 120), pd.date_range("2020", periods=120)]
)
def test_texts_and_dates_are_no_numbers(y: Any) -> None:
    with pytest.raises(ValueError, match="y: numbers were expected, found [12].* Convert them"):
        MultimodalRegressor(**PLAIN).fit(FRAME, y)


def test_classes_are_no_numbers() -> None:
    with pytest.raises(ValueError, match="use MultimodalClassifier"):
        MultimodalRegressor(**PLAIN).fit(FRAME, LABEL)


@pytest.mark.parametrize(
    ("metric", "by_hand"),
    [
        ("auto", lambda m, y, p: accuracy_score(y, m.predict(FRAME))),
        ("balanced_accuracy", lambda m, y, p: balanced_accuracy_score(y, m.predict(FRAME))),
        ("log_loss", lambda m, y, p: -log_loss(y, p)),
        ("auroc", lambda m, y, p: roc_auc_score(y, p, multi_class="ovr")),
        ("f1", lambda m, y, p: f1_score(y, m.predict(FRAME), average="macro")),
    ],
)
def test_the_score_is_that_of_the_metric(metric: str, by_hand: Callable[..., float]) -> None:
    noisy = np.where(np.arange(len(LABEL)) % 4 == 0, np.roll(LABEL, 1), LABEL)
    model = MultimodalClassifier(**PLAIN, metric=metric).fit(FRAME, noisy)
    own = by_hand(model, noisy, model.predict_proba(FRAME))
    assert model.score(FRAME, noisy) == pytest.approx(own) and abs(own) > 0.1
    if metric == "log_loss":
        weights = np.arange(len(LABEL)) % 3
        given = -log_loss(noisy, model.predict_proba(FRAME), sample_weight=weights)
        assert model.score(FRAME, noisy, weights) == pytest.approx(given)
        with pytest.raises(ValueError, match="y holds 'violet', which fit has not seen"):
            model.score(FRAME, ["violet", *noisy[1:]])


@pytest.mark.parametrize(
    ("metric", "by_hand"),
    [
        ("auto", r2_score),
        ("mae", lambda y, p: -mean_absolute_error(y, p)),
        ("rmse", lambda y, p: -root_mean_squared_error(y, p)),
        ("spearman", lambda y, p: spearmanr(y, p).statistic),
    ],
)
def test_the_score_of_a_number_is_that_of_the_metric(
    metric: str, by_hand: Callable[..., float]
) -> None:
    values = np.random.default_rng(0).normal(size=len(FRAME)) + (LABEL == "red")
    model = MultimodalRegressor(**PLAIN, metric=metric).fit(FRAME, values)
    assert model.score(FRAME, values) == pytest.approx(by_hand(values, model.predict(FRAME)))
