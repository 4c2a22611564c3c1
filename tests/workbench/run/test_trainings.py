"""What a training left in the run folder. Oracle: files that the test writes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gobelin.workbench.run import trainings


@pytest.fixture
def generator(tmp_path: Path) -> Any:  # noqa: ANN401 - in the place of a RunGenerator
    """Of two seeds; the second was not trained."""
    samples = tmp_path / "generators/flow-0/samples"
    samples.mkdir(parents=True)
    stored = {"steps": 40, "promise": None}
    (samples.parent / "space.json").write_text(json.dumps(stored))
    for step in (5, 10, 20, 40):
        (samples / f"{step}.png").touch()
    (samples / "card.png").touch()
    lines = [{"step": 10, "held_out": 0.5}, {"step": 40, "held_out": None}]
    (samples / "held_out.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return SimpleNamespace(
        folder=SimpleNamespace(folder=tmp_path),
        stage="generators/flow-{}".format,
        settings=SimpleNamespace(seeds=2),
        trained=True,
    )


def test_a_training_is_read_from_its_stage(generator: Any) -> None:  # noqa: ANN401
    assert trainings.trained_steps(generator) == 40
    assert trainings.promise(generator) is None
    assert trainings.curves(generator) == {0: {10: 0.5, 40: None}}
    at = "generators/flow-0/samples/{}.png".format
    assert trainings.grids(generator) == [(k, at(k)) for k in (5, 10, 20, 40)]
    assert trainings.grids(generator, 2) == [(5, at(5)), (40, at(40))]


def test_nothing_is_read_where_nothing_was_trained(generator: Any) -> None:  # noqa: ANN401
    generator.stage, generator.trained = "generators/gan-{}".format, False
    assert trainings.trained_steps(generator) == 0 and trainings.promise(generator) is None
    assert trainings.curves(generator) == {} and trainings.grids(generator) == []
