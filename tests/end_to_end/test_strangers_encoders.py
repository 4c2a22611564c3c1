"""Small files of encoders in a run of strangers. Oracle: the promise that any file ends in a result
or in one line with exit code 2, in a run folder and in a saved run, whatever verb reads it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.workbench.run import trainings

from .test_strangers_runs import GOLDEN, outcome, put

FACTS: dict[str, Callable[[Any], Any]] = {
    "one more": lambda f: f | {"more": 1},
    "one less": lambda f: {"width": f["width"]},
    "a list": lambda _: [],
    "a number": lambda _: 7,
    "a width of text": lambda f: f | {"width": "3"},
    "a huge width": lambda f: f | {"width": 10**12},
    "a width below nothing": lambda f: f | {"width": -1},
    "no fingerprint": lambda f: f | {"fingerprint": None},
}
COLUMNS: dict[str, Any] = {
    "quantiles": [{"a": 1}, "x", None, [1], float("nan"), float("inf"), True],
    "middle": [{}, "x", None, float("nan")],
    "scale": [[], "x", None, 0, -1.0, float("-inf")],
}


@pytest.fixture(params=["run_folder", "saved_run"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run, the data that it names, and rows to predict beside it."""
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    (tmp_path / "new.csv").write_text("caption,side\na red circle,3\n")
    return shutil.copytree(GOLDEN / request.param, tmp_path / "run")


def predicted(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    rows, out = folder.with_name("new.csv"), folder.with_name("out.csv")
    return outcome(capsys, "predict", folder, rows, "--out", out)


def test_facts_that_no_encoder_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "encoders/table/facts.json"
    if (manifest := folder / "manifest.json").is_file():
        said = json.loads(manifest.read_text())
        said["files"][name] = {}
        manifest.write_text(json.dumps(said))
    for kind, change in FACTS.items():
        put(folder, name, json.dumps(change({"width": 3, "fingerprint": "x"})))
        assert "encoders/table: can't be read" in predicted(folder, capsys), kind


def test_columns_that_no_encoder_learned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "encoders/table/config.json"
    config = json.loads((folder / name).read_text())
    put(folder, name, json.dumps(config))
    assert not predicted(folder, capsys)
    column = next(c for c, v in config["columns"].items() if v["kind"] != "category")
    for part, values in COLUMNS.items():
        for value in values:
            other = copy.deepcopy(config)
            learned = other["columns"][column]
            if part == "quantiles":
                learned[part][len(learned[part]) // 2] = value
            else:
                learned[part] = value
            put(folder, name, json.dumps(other))
            assert "encoders/table: can't be read" in predicted(folder, capsys), (part, value)


@pytest.mark.parametrize("text", ['{"steps": "x"}', '{"steps": {}}', "[]", "7", '{"promise": 7}'])
def test_records_of_a_generator_that_no_training_left(text: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "run_folder", tmp_path / "run")
    generator = Workbench.open(tmp_path / "run").run.generator
    stage = generator.folder.folder / generator.stage(0)
    assert generator.trained and trainings.trained_steps(generator) == 0  # it did not say them
    (stage / "space.json").write_text(text)
    with pytest.raises(GobelinError, match="can't be read"):
        trainings.trained_steps(generator)
        trainings.promise(generator)
    (stage / "samples").mkdir(exist_ok=True)
    (stage / "samples/held_out.jsonl").write_text('{"step": "x", "held_out": 1}\n')
    with pytest.raises(GobelinError, match="can't be read"):
        trainings.curves(generator)
