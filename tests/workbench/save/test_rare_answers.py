"""A class that one row has: the attack on a saved run, and what is told of it.

Oracle: planted rows, and scikit-learn's own head, whose weights are compared with the features of
each row. What this cannot show: that classes of five groups tell nothing."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import processor
import pytest
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression

from gobelin import Workbench
from gobelin.data.fields import Target
from gobelin.data.image.images import png_bytes
from gobelin.workbench.save.rare_answers import rare_answers

ROWS, LONE, K = 110, 7, 5
CLASS = "a\u202eb"  # whose name turns the text after it


def test_weights_of_a_class_of_one_row_are_its_features() -> None:
    """So no rounding of them hides it, and it has to be told."""
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(60, 40)), np.arange(60) % 2
    label[LONE] = 2
    weights = LogisticRegression(C=0.01).fit(x, label).coef_[2]
    centred = x - x.mean(0)
    likeness = centred @ weights / np.linalg.norm(centred, axis=1) / np.linalg.norm(weights)
    assert likeness.argmax() == LONE and likeness[LONE] > 0.98
    assert np.delete(likeness, LONE).max() < 0.6


def classes_of(counts: list[int]) -> Target:
    values = np.repeat(np.arange(len(counts)), counts)
    return Target("y", "class", values, tuple(f"c{k}" for k in range(len(counts))))


@pytest.mark.parametrize("kind", ["class", "ordinal", "labels"])
def test_classes_of_few_groups_are_counted_and_named(kind: str) -> None:
    target, group = classes_of([30, K, K - 1, 1, 0]), np.arange(40)
    if kind == "labels":
        held = (target.values[:, None] == np.arange(5)).astype(np.int64)
        target = Target("y", kind, held, target.classes)
    else:
        target = Target("y", kind, target.values, target.classes)
    said = rare_answers(target, group, K)
    assert said.startswith("2 of 5 ") and "('c2', 'c3')" in said
    assert rare_answers(target, group, 1) == ""
    assert "1 of 5" in rare_answers(target, group, 4)


def test_many_rows_of_one_group_are_one_group() -> None:
    target, group = classes_of([40, 40]), np.arange(80)
    assert rare_answers(target, group, K) == ""
    group[40:] = 40
    assert "'c1'" in rare_answers(target, group, K)
    assert "(" not in rare_answers(classes_of([9] * 9), np.arange(81), K)
    assert "2 more" in rare_answers(classes_of([9, 1, 1, 1, 1, 1]), np.arange(14), K)


@pytest.mark.parametrize("far", [1e3, -1e9])
def test_answers_far_from_all_others_are_told(far: float) -> None:
    y = np.random.default_rng(1).normal(size=60)
    group = np.arange(60)
    assert rare_answers(Target("y", "number", y), group, K) == ""
    assert rare_answers(Target("y", "number", np.ones(60)), group, K) == ""
    y[LONE] = far
    assert "far from all others" in rare_answers(Target("y", "number", y), group, K)
    y[:K] = far  # so many groups have it
    assert rare_answers(Target("y", "number", y), group, K) == ""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "label", "person", "split"])
        for k in range(ROWS):
            image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            (folder / f"{k}.png").write_bytes(png_bytes(image))
            label = CLASS if k in (LONE, 70) else ("no", "yes")[k % 2]
            part = "train" if k < 66 else "valid" if k < 88 else "test"
            writer.writerow([f"{k}.png", label, f"p{k}", part])
    return folder / "rows.csv"


def test_a_saved_run_tells_it(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a warning and in its card. The attack finds the row, by arrays of the folder alone."""
    settings = {
        "schema": {"split": "split", "person": "group"},
        "encoders": {"image": {"name": "pixels"}},
        "fusion": {"name": "pool", "settings": {"members": [{"strength": 0.01}]}},
        "runtime": processor.SETTINGS,
    }
    bench = Workbench(source, "label", tmp_path / "run", settings)
    bench.fit()
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        out = bench.save_pretrained(tmp_path / "out")
    (said,) = [r.getMessage() for r in caplog.records if "nearly the features" in r.getMessage()]
    assert "1 of 3 classes have fewer than 5 groups" in said and CLASS not in said
    assert r"a\u202eb" in said and "leave such rows out" in said
    page = (out / "README.md").read_text(encoding="utf-8")
    assert "But: 1 of 3 classes have fewer than 5 groups" in page
    held = load_file(out / "model" / "weights.safetensors")
    rows = bench.run.features.embeddings.features["picture"][:66].astype(np.float64)
    x = (rows - held["picture/mean"]) @ held["picture/projection"]
    weights = held["0/weight"][:, bench.run.predictor.model.classes.index(CLASS)]
    likeness = x @ weights / np.linalg.norm(x, axis=1) / np.linalg.norm(weights)
    assert likeness.argmax() == LONE and likeness[LONE] > 0.95
