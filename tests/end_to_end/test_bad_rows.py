"""Rows that say too little or too much, through the command line and Python: a result, or one line
that says why there is none. Oracle: what was planted."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.interfaces.cli import main

N = 120
RNG = np.random.default_rng(0)
KIND = RNG.integers(0, 3, N)
NAMES = np.array(["x", "y", "z"])[KIND]
QUICK = {
    "align": {"width": 8},
    "refit": False,
    "predict": {"preset": "quick", "folds": 2, "decays": [0.01]},
}
SETS = ["--set", "align.width=8", "--set", "refit=false", "--preset", "quick"]
SETS += ["--set", "predict.folds=2", "--set", "predict.decays=0.01"]


def columns(names: Sequence[str] = NAMES, **more: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """A number that tells the class, another that does not, and the class."""
    place = np.unique(names, return_inverse=True)[1]
    tells = np.round(2 * place + RNG.normal(size=len(names)), 3)
    other = np.round(RNG.normal(size=len(names)), 3)
    return {"tells": tells, "other": other, **more, "kind": names}


def written(path: Path, given: dict[str, Sequence[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(given)
        lines.writerows(zip(*given.values(), strict=True))
    return path


def refused(capsys: pytest.CaptureFixture[str], path: Path, *words: str) -> str:
    """The one line with which `fit` refuses, by the command line and by Python alike."""
    command = ["fit", str(path), "--target", "kind", "--run", str(path.parent / "run"), "-q"]
    with pytest.raises(SystemExit) as stop:
        main([*command, *SETS, *words])
    line = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and len(line.splitlines()) == 1 and "Traceback" not in line
    assert not (path.parent / "run" / "model").exists()
    return line


def fitted(path: Path, settings: dict[str, Any] | None = None) -> Workbench:
    merged: dict[str, Any] = {**QUICK, **(settings or {})}
    merged["predict"] = QUICK["predict"] | (settings or {}).get("predict", {})  # type: ignore[operator]
    bench = Workbench(path, "kind", path.parent / "run", merged)
    bench.fit()
    return bench


@pytest.mark.parametrize(("classes", "each"), [(16, 2), (10, 3)])
def test_classes_of_few_rows_are_told_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, classes: int, each: int
) -> None:
    path = written(tmp_path / "a.csv", columns(np.repeat(list("abcdefghijklmnop")[:classes], each)))
    line = refused(capsys, path)
    assert f"0 classes stand in training, validation and test, of {classes}" in line
    assert "Add rows" in line
    with pytest.raises(GobelinError, match="two are needed"):
        fitted(path)


def test_few_groups_are_named_where_no_part_can_have_two_classes(tmp_path: Path) -> None:
    table = columns(np.tile(["a", "b"], 60), ward=np.repeat(["north", "south"], 60))
    path = written(tmp_path / "a.csv", table)
    with pytest.raises(GobelinError, match="in one part, and 'ward' has 2 groups"):
        fitted(path, {"schema": {"ward": "group"}})


def test_too_few_rows_for_training_are_told_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of 48 rows 26 are training rows. `check` tells it, and the remedy that it names works."""
    path = written(tmp_path / "a.csv", columns(np.repeat(list("abc"), 16)))
    main(["check", str(path), "--target", "kind", "--run", str(tmp_path / "run"), "-q"])
    told = "of 48 labelled rows are training rows, at least 30 are needed to fit"
    assert told in capsys.readouterr().err
    line = refused(capsys, path)
    assert told in line and "--set split.valid=0.16 --set split.test=0.16" in line
    split = {"split": {"valid": 0.16, "test": 0.16}}
    bench = Workbench(path, "kind", tmp_path / "other", {**QUICK, **split})
    assert len(bench.run.data.rows.labelled("train")) >= 30


def test_a_class_that_training_lacks_is_counted_and_the_others_are_scored(tmp_path: Path) -> None:
    bench = fitted(written(tmp_path / "a.csv", columns()))
    names = NAMES[:60].copy()
    names[:7] = "new"
    other = written(tmp_path / "b.csv", columns(names))
    found = bench.evaluate(other)
    assert found[0].name == "balanced_accuracy" and found.rows.startswith("53 rows of b.csv")
    lonely = written(tmp_path / "c.csv", columns(np.full(5, "new")))
    with pytest.raises(GobelinError, match="no row can be scored: 5 rows have a class that was"):
        bench.evaluate(lonely)


def test_strange_fields_leave_a_result(tmp_path: Path) -> None:
    """One constant, one all missing, one copied from the target with noise: the copy decides."""
    strange = columns(
        same=["same"] * N, gone=[""] * N, copied=np.round(KIND + 0.05 * RNG.normal(size=N), 3)
    )
    bench = fitted(written(tmp_path / "a.csv", strange))
    score = bench.evaluate()[0]
    assert score.value is not None and score.value > 0.9
    heads = bench.leaderboard()
    assert all(np.isfinite([row["score"], row["loss"]]).all() for row in heads)


def test_weights_of_nothing_are_refused_and_some_weights_of_nothing_are_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = written(tmp_path / "a.csv", columns(w=[0] * N))
    line = refused(capsys, path, "--set", "schema.w=weight")
    assert "labelled training rows have a weight of 0" in line
    for name in ("one class", "some"):
        (tmp_path / name).mkdir()
    lone = written(tmp_path / "one class" / "a.csv", columns(w=(NAMES == "x").astype(int)))
    line = refused(capsys, lone, "--set", "schema.w=weight")
    assert "training rows that have a weight above 0 have one class" in line
    some = columns(w=[0.0] * 20 + [1.0] * (N - 20))
    bench = fitted(written(tmp_path / "some" / "a.csv", some), {"schema": {"w": "weight"}})
    assert (bench.evaluate()[0].value or 0.0) > 0.5


def test_levels_in_another_order_turn_around(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = np.array(["bad", "fair", "good"])[KIND]
    path = written(tmp_path / "a.csv", columns(names))
    grade = ["--set", "schema.kind=ordinal"]
    line = refused(capsys, path, *grade, "--set", "data.order=good,fair")
    assert "'bad' is no level of data.order" in line
    scores = []
    for k, order in enumerate((("bad", "fair", "good"), ("good", "fair", "bad"))):
        folder = tmp_path / str(k)
        folder.mkdir()
        settings = {"schema": {"kind": "ordinal"}, "data": {"order": order}}
        settings["predict"] = {"metric": "quadratic_kappa"}  # type: ignore[assignment]
        bench = fitted(written(folder / "a.csv", columns(names)), settings)
        scores.append(bench.evaluate()[0])
        assert bench.run.checked.rows.target.classes == order
    assert [s.name for s in scores] == ["quadratic_kappa"] * 2
    assert all((s.value or 0.0) > 0.5 for s in scores)


@pytest.mark.parametrize(
    ("metric", "kind", "known"),
    [
        ("rmse", "category", "balanced_accuracy, accuracy, log_loss, auroc or f1"),
        ("auroc", "ordinal", "mae, quadratic_kappa, spearman, balanced_accuracy, accuracy or log"),
        ("accuracy", "labels", "auroc, f1 or log_loss"),
        ("f1", "number", "mae, rmse or spearman"),
    ],
)
def test_a_metric_that_the_target_has_not_is_refused_with_those_it_has(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, metric: str, kind: str, known: str
) -> None:
    path = written(tmp_path / "a.csv", columns(KIND + 1))
    line = refused(capsys, path, "--metric", metric, "--set", f"schema.kind={kind}")
    assert line.startswith("predict.metric: 'kind' ") and f"Choose {known}" in line


def test_an_unknown_metric_is_refused_with_all_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = refused(capsys, written(tmp_path / "a.csv", columns()), "--metric", "acc")
    assert "predict.metric: one of auto, balanced_accuracy, accuracy" in line and "'acc'" in line


def test_a_hundredth_of_a_minute_fits_and_the_metric_is_told_everywhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`--minutes` limits the training of generators; a predictor needs none."""
    path, run = written(tmp_path / "a.csv", columns()), tmp_path / "run"
    words = ["--minutes", "0.01", "--metric", "log_loss", "-q", *SETS]
    main(["fit", str(path), "--target", "kind", "--run", str(run), *words])
    capsys.readouterr()
    main(["evaluate", str(run), "-q"])
    assert capsys.readouterr().out.startswith("The probabilities of kind have a log loss of 0.")
    main(["leaderboard", str(run), "--json", "-q"])
    heads = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["metric"] for row in heads} == {"log_loss"}
    assert [row["score"] for row in heads] == sorted(row["score"] for row in heads)
    main(["report", str(run), "-q"])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "have a log loss of 0." in page


@pytest.mark.slow
def test_ten_thousand_columns_of_numbers_are_a_result(tmp_path: Path) -> None:
    many = {f"c{k}": np.round(RNG.normal(size=N), 2) for k in range(9_997)}
    bench = fitted(written(tmp_path / "a.csv", columns(**many)))
    assert np.isfinite(bench.evaluate()[0].value or np.nan)
