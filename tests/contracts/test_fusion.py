"""Every fusion that is found obeys the contract, and learns what was planted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.fusion import Fusion, Predictor
from gobelin.prediction.heads.job import Job

N, TRAIN = 240, np.arange(160)
NAMES = catalog.names("fusion")


def planted() -> tuple[Embeddings, np.ndarray, np.ndarray]:
    """Two fields that each hold the class and the number, a third of noise; a third of the cells
    are missing."""
    rng = np.random.default_rng(0)
    label, number = rng.integers(0, 3, N), rng.normal(size=N)
    means = rng.normal(size=(3, 6)) * 3
    one = np.concatenate([means[label] + rng.normal(size=(N, 6)), 10 * number[:, None]], 1)
    two = np.concatenate([2 * means[label][:, :4] + rng.normal(size=(N, 4)), number[:, None]], 1)
    present = rng.random((N, 3)) < 0.67
    present[~present[:, :2].any(1), 0] = True
    features = {"one": one, "two": two, "noise": rng.normal(size=(N, 3))}
    features = {
        f: np.where(present[:, k, None], x, 0).astype(np.float32)
        for k, (f, x) in enumerate(features.items())
    }
    return (
        Embeddings(tuple(features), features, present, tuple(map(str, range(N))), "space"),
        label,
        number,
    )


X, LABEL, NUMBER = planted()
CLASSES = Target("y", "class", LABEL, ("a", "b", "c"), np.ones(3, bool))
ONES = np.ones(len(TRAIN), np.float32)
JOBS = (
    Job(TRAIN, ONES, 0),
    Job(TRAIN[:100], ONES[:100], 5),
    Job(TRAIN, np.where(TRAIN < 80, 1, 0.1).astype(np.float32), 2),
)


SMALL = {
    "steps": 120,
    "batch": 128,
    "width": 24,
    "heads": 2,
    "depth": 1,
    "trees": 30,
    "folds": 2,
}  # enough for what was planted


@pytest.fixture(scope="module", params=NAMES)
def fusion(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401
    known = {f.name for f in dataclasses.fields(catalog.find("fusion", request.param))}
    options = {"options": {"n_estimators": 30}} if "options" in known else {}
    return catalog.build(
        "fusion", request.param, {k: v for k, v in SMALL.items() if k in known} | options
    )


@pytest.fixture(scope="module")
def fitted(fusion: Fusion, runtime: Runtime) -> list[Predictor]:
    return fusion.fit(X, CLASSES, JOBS, TRAIN, runtime, silent)


def test_is_what_the_contract_says(fusion: Fusion, fitted: list[Predictor]) -> None:
    assert isinstance(fusion, Fusion) and type(fusion).__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert len(fitted) == len(JOBS) and all(isinstance(p, Predictor) for p in fitted)
    for p in fitted:
        scores = p.scores(X)
        assert scores.shape == (N, 3) and scores.dtype == np.float32 and np.isfinite(scores).all()
        assert p.scores(X.rows([])).shape == (0, 3)


def test_planted_classes_are_read(fitted: list[Predictor]) -> None:
    test = X.rows(np.arange(160, N))
    for rows in (test, test.only(["one"]), test.only(["two"])):
        there = rows.present.any(1)
        assert (fitted[0].scores(rows).argmax(1) == LABEL[160:])[there].mean() > 0.9
    assert (fitted[0].scores(test.only(["noise"])).argmax(1) == LABEL[160:]).mean() < 0.6


def test_planted_number_is_read(fusion: Fusion, runtime: Runtime) -> None:
    values = 50 + 3 * NUMBER
    values[::7] = np.nan
    known = np.flatnonzero(~np.isnan(values[:160]))
    target = Target("y", "number", values)
    (p,) = fusion.fit(
        X, target, [Job(known, np.ones(len(known), np.float32))], known, runtime, silent
    )
    rows = np.flatnonzero(X.present[:, 0] & (np.arange(N) >= 160))
    wrong = p.scores(X.rows(rows))[:, 0] - (50 + 3 * NUMBER[rows])
    assert p.scores(X).shape == (N, 1)
    assert (
        wrong.std() < 0.5 * 3
    )  # half the error of the mean; an equal vote of a reader and a noise gives .45


def test_jobs_do_not_touch_each_other(
    fusion: Fusion, fitted: list[Predictor], runtime: Runtime
) -> None:
    for job, together in zip(JOBS, fitted, strict=True):
        (alone,) = fusion.fit(X, CLASSES, [job], TRAIN, runtime, silent)
        assert np.allclose(alone.scores(X), together.scores(X), atol=1e-3)


def test_same_job_same_predictor(fusion: Fusion, fitted: list[Predictor], runtime: Runtime) -> None:
    again = fusion.fit(X, CLASSES, JOBS, TRAIN, runtime, silent)
    assert [p.fingerprint() for p in again] == [p.fingerprint() for p in fitted]
    assert len({p.fingerprint() for p in fitted}) == len(JOBS)


def test_absent_features_are_not_read(fitted: list[Predictor]) -> None:
    rng = np.random.default_rng(1)
    features = {
        f: np.where(X.present[:, k, None], x, rng.normal(size=x.shape)).astype(np.float32) * 1
        for k, (f, x) in enumerate(X.features.items())
    }
    assert np.allclose(
        fitted[0].scores(dataclasses.replace(X, features=features)), fitted[0].scores(X), atol=1e-5
    )


def test_a_field_that_no_training_row_has_is_not_read(fusion: Fusion, runtime: Runtime) -> None:
    """It may be there at prediction, and nothing was learned of it."""
    present = X.present & ~((np.arange(N)[:, None] < 160) & (np.arange(3) == 1))
    kept = TRAIN[present[TRAIN].any(1)]
    rows = dataclasses.replace(X, present=present)
    (p,) = fusion.fit(
        rows, CLASSES, [Job(kept, np.ones(len(kept), np.float32))], kept, runtime, silent
    )
    other = dataclasses.replace(rows, features={**X.features, "two": 100 + 0 * X.features["two"]})
    assert (
        np.allclose(p.scores(rows), p.scores(other), atol=1e-5)
        and np.abs(p.scores(rows)).max() < 1e3
    )


def test_a_row_is_scored_alone(fitted: list[Predictor]) -> None:
    order = np.random.default_rng(2).permutation(N)[:50]
    assert np.allclose(fitted[0].scores(X.rows(order)), fitted[0].scores(X)[order], atol=1e-4)


def test_rows_outside_the_jobs_and_the_basis_teach_nothing(
    fusion: Fusion, fitted: list[Predictor], runtime: Runtime
) -> None:
    features = {
        f: np.where(np.arange(N)[:, None] < 160, x, 100).astype(np.float32)
        for f, x in X.features.items()
    }
    label = np.where(np.arange(N) < 160, LABEL, 0)
    other = fusion.fit(
        dataclasses.replace(X, features=features),
        dataclasses.replace(CLASSES, values=label),
        JOBS,
        TRAIN,
        runtime,
        silent,
    )
    assert [p.fingerprint() for p in other] == [p.fingerprint() for p in fitted]


def test_saved_and_loaded_is_the_same(
    fusion: Fusion, fitted: list[Predictor], tmp_path: Path
) -> None:
    for k, p in enumerate(fitted):
        (tmp_path / str(k)).mkdir()
        p.save(tmp_path / str(k))
        loaded = fusion.load(tmp_path / str(k))
        assert loaded.fingerprint() == p.fingerprint() and np.array_equal(
            loaded.scores(X), p.scores(X)
        )
    assert {p.suffix for p in tmp_path.glob("*/*")} <= {".json", ".safetensors", ".skops"}
