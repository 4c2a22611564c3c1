"""What was planted in several fields, across all fusions: where the label stands, noise, a pair, a
presence, and any order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import fusion_choice
from gobelin.prediction.cross_fit import Predict, Training, cross_fit
from gobelin.prediction.fusion import Fusion, Predictor
from gobelin.prediction.heads.job import Job

N, TRAIN = 2400, np.arange(400)
FRESH = np.arange(400, N)
TREES = {"options": {"n_estimators": 20}}
SMALL: dict[str, dict[str, Any]] = {
    "voting": TREES,
    "stacking": {**TREES, "folds": 2},
    "attention": {"width": 16, "heads": 2, "depth": 1, "rate": 0.01},
}
NAMES = catalog.names("fusion")


def fusion_of(name: str) -> Fusion:
    return catalog.build("fusion", name, SMALL.get(name))


def rows_of(features: dict[str, np.ndarray]) -> Embeddings:
    floats = {f: x.astype(np.float32) for f, x in features.items()}
    return Embeddings(
        tuple(floats), floats, np.ones((N, len(floats)), bool), tuple(map(str, range(N))), "planted"
    )


def training_of(x: Embeddings, label: np.ndarray) -> Training:
    target = Target(
        "y", "class", label, tuple("abc"[: label.max() + 1]), np.ones(label.max() + 1, bool)
    )
    how = Predict(decays=(1e-3,), folds=3)
    return Training(how, x, target, TRAIN, list(x.ids), np.ones(N, np.float32), Runtime())


def right(predictor: Predictor, x: Embeddings, label: np.ndarray) -> float:
    return float((predictor.scores(x.rows(FRESH)).argmax(1) == label[FRESH]).mean())


def one_carries() -> tuple[Embeddings, np.ndarray]:
    """A field holds the class, not surely; a narrow and a wide one hold nothing."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, N)
    carrier = rng.normal(size=(3, 8))[label] * 1.2 + rng.normal(size=(N, 8))
    return (
        rows_of(
            {
                "narrow": rng.normal(size=(N, 3)),
                "carrier": carrier,
                "wide": rng.normal(size=(N, 20)),
            }
        ),
        label,
    )


def only_a_pair() -> tuple[Embeddings, np.ndarray]:
    """The class is whether two signs agree: no field alone, and no sum of the two, tells
    anything."""
    rng = np.random.default_rng(5)
    signs = rng.choice([-1, 1], size=(N, 2))
    label = (signs.prod(1) > 0).astype(int)
    return (
        rows_of(
            {f: signs[:, [k]] + rng.normal(size=(N, 1)) * 0.2 for k, f in enumerate(("one", "two"))}
        ),
        label,
    )


def test_noise_beside_the_field_that_carries_the_label_costs_next_to_nothing() -> None:
    """The chosen fusion of all three, against the bare field under the default one: not worse by 2
    points."""
    x, label = one_carries()
    training = training_of(x, label)
    chosen, _, _ = fusion_choice.choose_fusion({name: fusion_of(name) for name in NAMES}, training)
    alone = x.keep(["carrier"])
    bare = right(cross_fit(fusion_of("concat"), training_of(alone, label)).predictor, alone, label)
    assert 0.6 < bare < 0.97
    assert right(cross_fit(fusion_of(chosen), training).predictor, x, label) > bare - 0.02


def test_of_what_only_a_pair_tells_one_is_chosen_that_reads_it() -> None:
    x, label = only_a_pair()
    training = training_of(x, label)
    chosen, _, found = fusion_choice.choose_fusion(
        {name: fusion_of(name) for name in NAMES}, training
    )
    own = {f.scope["fusion"]: f.value or 0 for f in found if f.name == fusion_choice.FUSION_SCORE}
    assert own["concat"] < 0.65 and own["voting"] < 0.65  # a sum of fields, and a vote of them
    assert right(cross_fit(fusion_of(chosen), training).predictor, x, label) > 0.95


def test_a_field_whose_presence_tells_the_class_is_left_out(tmp_path: Path) -> None:
    """Notes stand with one class alone: with `leave_out=auto` a run predicts without them, so it
    isn't misled where they are missing. By default they stay, and `check` warns."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    size = np.where(label, 0.5, -0.5) + rng.normal(size=200)
    table = pa.table(
        {
            "id": [f"r{k}" for k in range(200)],
            "class": [("a", "b")[c] for c in label],
            "size": size,
            "note": [
                "some words " + "xyz"[k % 3] * (k % 7) if c else None for k, c in enumerate(label)
            ],
        }
    )
    pa_csv.write_csv(table, tmp_path / "records.csv")
    settings = {"encoders": {"text": {"name": "characters"}}, "schema": {"note": "text"}}
    kept = Workbench(tmp_path / "records.csv", "class", tmp_path / "kept", settings).run
    assert set(kept.predictor.fields) == {"note", "table"}
    settings |= {"leave_out": ("auto",)}
    run = Workbench(tmp_path / "records.csv", "class", tmp_path / "run", settings).run
    run = run.with_fusion_chosen()
    x = run.features.embeddings
    assert set(x.fields) == {"note", "table"} and run.predictor.fields == ("table",)
    rows, fitted = x.rows(run.checked.rows.part("valid")), run.predictor.model.predictor
    assert np.array_equal(fitted.scores(rows), fitted.scores(rows.only(["table"])))


@pytest.fixture(scope="module", params=NAMES)
def fitted(request: pytest.FixtureRequest, runtime: Runtime) -> tuple[Fusion, Predictor]:
    x, label = one_carries()
    fusion = fusion_of(request.param)
    return fusion, fit(fusion, x, label, runtime)


def fit(fusion: Fusion, x: Embeddings, label: np.ndarray, runtime: Runtime) -> Predictor:
    target = training_of(x, label).target
    (found,) = fusion.fit(
        x, target, [Job(TRAIN, np.ones(len(TRAIN), np.float32))], TRAIN, runtime, silent
    )
    return found


def turned(x: Embeddings) -> Embeddings:
    """The same rows, their fields in another order."""
    return replace(
        x,
        fields=x.fields[::-1],
        features=dict(reversed(x.features.items())),
        present=x.present[:, ::-1].copy(),
    )


def test_batches_and_orders_change_no_answer(fitted: tuple[Fusion, Predictor]) -> None:
    fresh, predictor = one_carries()[0].rows(FRESH), fitted[1]
    whole = predictor.scores(fresh)
    for size in (1, 64):
        found = np.concatenate(
            [predictor.scores(block) for block in fresh.rows(np.arange(70)).blocks(size)]
        )
        assert np.allclose(found, whole[:70], atol=1e-5)
    order = np.random.default_rng(0).permutation(len(fresh))
    assert np.allclose(predictor.scores(fresh.rows(order)), whole[order], atol=1e-5)
    assert np.array_equal(predictor.scores(turned(fresh)), whole)


def test_orders_of_training_are_another_seed_and_no_more(
    fitted: tuple[Fusion, Predictor], runtime: Runtime
) -> None:
    """Networks and forests draw by place, so another order of rows or fields is another draw: as
    good, and nearly the same."""
    (x, label), (fusion, predictor) = one_carries(), fitted
    once = predictor.scores(x.rows(FRESH)).argmax(1)
    rows = np.concatenate([np.random.default_rng(1).permutation(TRAIN), FRESH])
    fields = fit(fusion, turned(x), label, runtime).scores(x.rows(FRESH)).argmax(1)
    moved = fit(fusion, x.rows(rows), label[rows], runtime).scores(x.rows(FRESH)).argmax(1)
    for other in (fields, moved):
        # of 2000 rows; measured: 0.84 to 1.00 and 0.00 to 0.02. By chance they agree in a third
        assert (other == once).mean() > 0.6
        assert abs((other == label[FRESH]).mean() - (once == label[FRESH]).mean()) < 0.08
