"""The two predictors of a run: the judged one, from training rows, and the delivered one.

Oracles: the source, read for every function that may reach the delivered predictor; the same run
without a delivered predictor, whose findings are the same to the bit; a predictor that is fitted by
hand on the rows that it should have."""

from __future__ import annotations

import ast
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from presets import SMALL

import gobelin
from gobelin import Workbench
from gobelin.core import catalog, config
from gobelin.data.dataset import Dataset
from gobelin.prediction import predictor
from gobelin.prediction.cross_fit import Training, cross_fit
from gobelin.prediction.predictor import Predictions
from gobelin.workbench.run.delivered import STAGE

SOURCE = Path(gobelin.__file__).parent
PARTS = ("train", "train", "train", "valid", "train", "train", "train", "test")
# The only functions that may use the delivered predictor.
USERS = {
    "report/opening.py:sentences",  # its cross-fitted score, as words
    "workbench/save/rare_answers.py:of_run",  # which rows it learned from
    "workbench/bench.py:evaluate",  # hands it to `evaluated`
    "workbench/bench.py:predict",
    "workbench/save/card.py:render",  # whether there is one
    "workbench/describe.py:described",
    "workbench/evaluate/evaluation.py:lines",  # its cross-fitted score, as words
    "workbench/evaluate/evaluate.py:evaluated",  # its cross-fitted score
    "workbench/evaluate/evaluate.py:evaluated_on",  # other rows, which it has not seen
    "workbench/explain/answers.py:answers_of_run",  # explains its answers
    "workbench/fit/fit.py:fit",  # makes it
    "workbench/fit/fit.py:fitted",  # its count of rows
    "workbench/fit/fit.py:key_of_curves",
    "workbench/fit/plan.py:planned",  # its count of heads
    "workbench/predict/predict.py:predicted",
    "workbench/run/chain.py:delivered",
    "workbench/save/save.py:_source",
    "workbench/save/save.py:_stages",
}
SETTINGS = config.merge(
    config.assignments(SMALL),
    {
        "generator": {"name": "procedural"},
        "augment": {"generators": ("procedural",), "seeds": 2, "tuning_seeds": 1, "ratio": (0.5,)},
        "judge": {"planted": 42},
        "split": {"test": 0.3},
    },
)


def users() -> set[str]:
    """file:function of every function that reads an attribute `delivered`, or takes a
    `RunDelivered`."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path == SOURCE / "workbench" / "run" / "delivered.py":
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            inside = {
                getattr(node, "attr", getattr(node, "id", None)) for node in ast.walk(function)
            }
            if {"delivered", "RunDelivered"} & inside:
                name = getattr(function, "name", "lambda")
                found.add(f"{path.relative_to(SOURCE).as_posix()}:{name}")
    return found


def everything(bench: Workbench) -> list[str]:
    """What every verb that judges finds, as JSON."""
    verbs = (bench.evaluate, bench.recall, bench.augment, bench.audit, bench.curate)
    return [json.dumps(f.to_dict()) for verb in verbs for f in verb()]


def same(a: Predictions, b: Predictions) -> bool:
    assert a.sets is not None and b.sets is not None
    return np.array_equal(a.probabilities, b.probabilities) and np.array_equal(a.sets, b.sets)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def bench(shapes_file: Path, folder: Path) -> Workbench:
    out = Workbench(shapes_file, "shape", folder / "run", SETTINGS)
    out.fit(generator=True)
    return out


@pytest.fixture(scope="module")
def without(shapes_file: Path, folder: Path) -> Workbench:
    """The same run with the judged predictor alone."""
    out = Workbench(shapes_file, "shape", folder / "without", {**SETTINGS, "refit": False})
    out.fit(generator=True)
    return out


def test_no_other_function_is_handed_the_delivered_predictor() -> None:
    assert users() == USERS


def test_what_judges_finds_the_same_with_and_without_it(
    bench: Workbench, without: Workbench
) -> None:
    found, alone = everything(bench), everything(without)
    own = [line for line in found if '"predictor": "delivered"' in line]
    assert len(own) == 1 and [line for line in found if line not in own] == alone
    assert bench.run.predictor.fingerprint == without.run.predictor.fingerprint
    assert not (without.folder / STAGE).exists()


def test_it_is_what_fitting_all_labelled_rows_by_hand_gives(
    bench: Workbench, without: Workbench, shapes: Dataset
) -> None:
    run = bench.run
    rows = run.checked.rows
    every = np.flatnonzero(rows.target.present)
    assert len(every) > len(run.predictor.training.rows)
    by_hand = Training(
        run.settings.predict,  # with one decay to choose from
        run.features.embeddings.keep(run.predictor.fields),
        rows.target,
        every,
        rows.groups,
        rows.weights,
        run.data.runtime,
    )
    fusion = catalog.build("fusion", "concat", run.settings.fusion.settings)
    wanted = predictor.fit("concat", fusion, by_hand).predict(by_hand.embeddings)
    opened = Workbench.open(bench.folder)
    found = opened.predict(run.data.settings.data.path)
    assert same(found, wanted)
    assert not same(found, without.predict(run.data.settings.data.path))


def test_its_score_is_cross_fitted_and_leaves_test_rows_out(bench: Workbench) -> None:
    run = bench.run
    rows, training = run.checked.rows, run.delivered._training()
    (found,) = [f for f in run.delivered.findings() if f.source == "evaluate"]
    crossed = cross_fit(catalog.build("fusion", "concat", run.settings.fusion.settings), training)
    read = rows.parts[crossed.rows] != "test"
    truth = rows.target.values[crossed.rows]
    right = crossed.scores.argmax(1) == truth
    shares = [right[read & (truth == c)].mean() for c in np.unique(truth[read])]
    assert found.value == pytest.approx(np.mean(shares))
    assert found.n == read.sum() < len(read) == rows.target.present.sum()
    counts = {f.scope["predictor"]: f.value for f in run.delivered.findings() if f.source == "fit"}
    assert counts == {"judged": (rows.parts == "train").sum(), "delivered": len(read)}


def test_rows_of_a_split_column_stay_held_out(shapes_file: Path, folder: Path) -> None:
    rows = list(csv.DictReader(shapes_file.read_text(encoding="utf-8").splitlines()))
    parted = shutil.copytree(shapes_file.parent, folder / "parted") / "parted.csv"
    with parted.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "part"])
        writer.writeheader()
        writer.writerows({**row, "part": PARTS[k % len(PARTS)]} for k, row in enumerate(rows))
    settings = {**SETTINGS, "schema": {"part": "split"}}
    bench = Workbench(parted, "shape", folder / "held", settings)
    bench.fit()
    assert not (bench.folder / STAGE).exists()
    assert bench.run.delivered.model is bench.run.predictor.model
    assert bench.run.delivered.findings() == []


def test_a_saved_run_holds_the_delivered_predictor_alone(
    bench: Workbench, folder: Path, shapes_file: Path
) -> None:
    saved = bench.save_pretrained(folder / "saved")
    weights = "weights.safetensors"
    assert (saved / "model" / weights).read_bytes() == (bench.folder / STAGE / weights).read_bytes()
    assert not (saved / STAGE).exists()
    there, here = gobelin.from_pretrained(saved).predict(shapes_file), bench.predict(shapes_file)
    assert np.array_equal(there.probabilities, here.probabilities)
    assert there.sets is not None and here.sets is not None
    # a bound is one row's: it is told rounded, and sets become larger only
    assert (there.sets >= here.sets).all()
    bounds = [
        np.array(json.loads((f / "model.json").read_text())["calibration"]["bound"])
        for f in (saved / "model", bench.folder / STAGE)
    ]
    assert (bounds[0] >= bounds[1]).all() and (bounds[0] != bounds[1]).any()


def test_a_run_of_before_there_were_two_keeps_its_one_until_it_is_fitted_again(
    bench: Workbench, without: Workbench, folder: Path, shapes_file: Path
) -> None:
    old = shutil.copytree(without.folder, folder / "old")
    settings: dict[str, Any] = json.loads((old / "settings.json").read_text(encoding="utf-8"))
    del settings["refit"]
    (old / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    opened = Workbench.open(old)
    opened.evaluate()
    assert same(opened.predict(shapes_file), without.predict(shapes_file))
    assert not (old / STAGE).exists()
    again = Workbench(shapes_file, "shape", old, SETTINGS)
    again.fit()
    assert same(again.predict(shapes_file), bench.predict(shapes_file))
