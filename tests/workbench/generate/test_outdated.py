"""`generate` never trains. Oracle: the files of the generators, which stay as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gobelin import GobelinError, Workbench
from gobelin.core.files import tree_hash

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    return Path(shutil.copytree(GOLDEN / "run_folder", tmp_path / "run"))


def made(run: Path, out: Path, settings: dict[str, Any] | None = None) -> list[Path]:
    return Workbench.open(run, settings=settings).generate([0], text="a red circle", out=out)


def test_a_generator_of_these_settings_generates(run: Path, tmp_path: Path) -> None:
    assert len(made(run, tmp_path / "out")) == 1


@pytest.mark.parametrize(
    "settings",
    [{"generator.steps": 3}, {"generator.size": 32}, {"align.width": 7}, {"runtime.seed": 9}],
)
def test_other_settings_are_no_reason_to_train(
    settings: dict[str, Any], run: Path, tmp_path: Path
) -> None:
    before = tree_hash(run / "generators")
    with pytest.raises(GobelinError, match=r"generate never trains. Run gobelin fit .*--generator"):
        made(run, tmp_path / "out", settings)
    assert tree_hash(run / "generators") == before and not (run / "work").exists()


def test_a_training_of_other_data_is_not_used(run: Path, tmp_path: Path) -> None:
    name = Workbench.open(run).run.generator.stage(0)
    stage = run / name / "stage.json"
    stage.write_text(json.dumps(json.loads(stage.read_text()) | {"key": "other rows"}))
    with pytest.raises(GobelinError, match="trained with other data or settings"):
        made(run, tmp_path / "out")
    assert not (run / "work").exists()
