"""Planted scanners are found and innocent ones are not; the statistics against scipy and
scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Schema, Target
from gobelin.embedding.features import Embeddings
from gobelin.quality import shortcuts

SCHEMA = Schema(
    (
        Column("diagnosis", "category", "target"),
        Column("patient", "category", "group"),
        Column("image", "image"),
        Column("scanner", "category"),
        Column("manufacturerModelName", "category"),
    ),
    (
        Field("image", "pixels", ("image",), "image"),
        Field("table", "table", ("scanner", "manufacturerModelName"), "table"),
    ),
)
CLASSES = ("ill", "well")


def planted(
    seed: int, goes_with: float, told: float, patients: int = 60, each: int = 2
) -> tuple[Dataset, Target, Embeddings, list[str]]:
    """goes_with: share of the ill on scanner A, and of the well on B. told: how far apart the
    features of A and B lie, in standard deviations of each of four features."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(patients) % 2, each)
    first = np.repeat(rng.random(patients), each) < np.where(label == 0, goes_with, 1 - goes_with)
    x = rng.normal(size=(patients * each, 60))
    x[:, :4] += told * first[:, None]
    groups = [f"p{k}" for k in np.repeat(np.arange(patients), each)]
    table = pa.table(
        {
            "diagnosis": [CLASSES[k] for k in label],
            "patient": groups,
            "image": ["i"] * len(label),
            "scanner": np.where(first, "A", "B").tolist(),
            "manufacturerModelName": rng.choice(["m", "n"], len(label)).tolist(),
        }
    )
    present = np.ones((len(label), 2), bool)
    features = {"image": x.astype(np.float32), "table": np.zeros((len(label), 1), np.float32)}
    embeddings = Embeddings(("image", "table"), features, present, tuple(map(str, label)), "s")
    target = Target("diagnosis", "class", label, CLASSES, np.ones(2, bool))
    return Dataset(table, Path()), target, embeddings, groups


def found(seed: int, goes_with: float, told: float, **how: int) -> tuple[list[str], list[str]]:
    """The columns that go with the target, and the fields that tell them."""
    dataset, target, embeddings, groups = planted(seed, goes_with, told, **how)
    rows = np.arange(len(dataset))
    columns = shortcuts.recordings(dataset, SCHEMA, target, groups, rows)
    pairs = shortcuts.associations(columns, target)
    told_by = shortcuts.shortcuts([one for one, _ in pairs], embeddings, SCHEMA, groups, target)
    return [f.scope["column"] for _, f in pairs], [f.scope["field"] for f in told_by]


def test_a_planted_scanner_is_found() -> None:
    assert [found(seed, 0.9, 2.0) for seed in range(20)] == [(["scanner"], ["image"])] * 20


def test_innocent_scanners_are_left_alone() -> None:
    """A scanner that does not go with the target is no shortcut, however well images tell it; and
    one that images do not tell is told as going with the target alone."""
    alone = [found(seed, 0.5, 3.0) for seed in range(60)]
    assert sum(columns != [] for columns, _ in alone) <= 4  # 1 % each of two columns was promised
    untold = [found(seed, 0.9, 0.0) for seed in range(20)]
    assert untold == [(["scanner"], [])] * 20


def test_rows_of_one_patient_are_one_case() -> None:
    """Six patients with fifty rows each are too few, whatever their rows say."""
    assert found(0, 1.0, 3.0, patients=6, each=50) == ([], [])


def test_columns_that_say_the_same_are_told_once() -> None:
    dataset, target, _, groups = planted(0, 0.9, 2.0)
    letters = {"A": "one", "B": "two"}
    model = pa.array([letters[v] for v in dataset.values("scanner")])
    place = dataset.column_names.index("manufacturerModelName")
    table = dataset.table.set_column(place, "manufacturerModelName", model)
    columns = shortcuts.recordings(
        Dataset(table, Path()), SCHEMA, target, groups, np.arange(len(dataset))
    )
    assert [(one.column, one.alike) for one in columns] == [("scanner", ("manufacturerModelName",))]
    ((_, finding),) = shortcuts.associations(columns, target)
    assert finding.note.startswith("scanner (like manufacturerModelName) goes with the target")


def test_values_that_fewer_groups_have_than_may_be_told_are_no_recording() -> None:
    """Oracle: the number of patients with each scanner."""
    dataset, target, _, groups = planted(0, 0.9, 2.0)
    rows, values = np.arange(len(dataset)), dataset.values("scanner")
    having = [len({g for g, v in zip(groups, values, strict=True) if v == s}) for s in "AB"]
    for least, there in ((min(having), True), (min(having) + 1, False)):
        columns = shortcuts.recordings(dataset, SCHEMA, target, groups, rows, least)
        assert ("scanner" in [one.column for one in columns]) == there


def test_the_note_names_values_and_remedy() -> None:
    dataset, target, embeddings, groups = planted(0, 0.9, 2.0)
    rows = np.arange(len(dataset))
    columns = shortcuts.recordings(dataset, SCHEMA, target, groups, rows)
    assert [one.column for one in columns] == ["scanner", "manufacturerModelName"]
    ((one, finding),) = shortcuts.associations(columns, target)
    values = np.array(dataset.values("scanner"))
    share = 100 * np.mean(target.values[values == "A"] == 0)
    assert f"'A' {share:.0f} % 'ill'" in finding.note
    (told,) = shortcuts.shortcuts([one], embeddings, SCHEMA, groups, target)
    assert told.low > 0.7 and told.chance == 0.5 and "leave_out=image" in told.note
    assert "image tells scanner" in told.note


@pytest.mark.parametrize("seed", range(5))
def test_strength_and_chance_of_an_association(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, (3, 4))
    n, chi = counts.sum(), stats.chi2_contingency(counts, correction=False)
    plain = stats.contingency.association(counts, method="cramer")
    assert shortcuts.cramer(counts * 1000) == pytest.approx(plain, abs=0.01)
    phi = max(0, chi.statistic / n - 2 * 3 / (n - 1))
    r, c = 3 - 2**2 / (n - 1), 4 - 3**2 / (n - 1)
    assert shortcuts.cramer(counts) == pytest.approx(np.sqrt(phi / (min(r, c) - 1)))
    some = np.array([[12, 9], [8, 14]])
    exact = stats.chi2_contingency(some, correction=False).pvalue
    assert shortcuts.permutation(some) == pytest.approx(exact, abs=0.12)
    assert shortcuts.permutation(np.array([[20, 0], [0, 20]])) == 0.001
    assert shortcuts.cramer(np.array([[5, 0], [7, 0]])) == 0.0


def test_the_classifier_against_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    label = np.repeat([0, 1, 2], [40, 15, 10])
    x = rng.normal(size=(65, 90)) + 0.8 * np.eye(3)[label] @ rng.normal(size=(3, 90))
    units = np.array([f"u{k // 2}" for k in range(65)])
    answers = shortcuts.cross_fitted(x, label, units)
    unit = np.unique(units, return_inverse=True)[1]
    from gobelin.core.machine import numpy_generator

    fold = numpy_generator(0, "shortcuts").permutation(unit.max() + 1)[unit] % shortcuts.FOLDS
    for k in range(shortcuts.FOLDS):
        train = fold != k
        z = (x - x[train].mean(0)) / x[train].std(0)
        share = 1 / np.bincount(label[train])[label[train]]
        share /= share.sum()
        middle = share @ z[train]
        scaled = (z[train] - middle) * np.sqrt(share)[:, None]
        penalty = (scaled**2).sum() / train.sum()
        ridge = Ridge(alpha=penalty).fit(z[train], np.eye(3)[label[train]], sample_weight=share)
        # without the intercept: the classes count alike, so it is the same for all
        scores = (z[~train] - middle) @ ridge.coef_.T
        assert (answers[~train] == scores.argmax(1)).all()
    assert (answers == label).mean() > 0.8
