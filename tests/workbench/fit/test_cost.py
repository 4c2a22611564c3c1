"""The guess of how long `fit` takes. No clock is read: it is told."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

from gobelin import Workbench
from gobelin.workbench.fit import cost

SMALL = {
    "runtime": {"precision": "float32", "threads": 1, "device": "cpu"},
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "align": {"width": 16},
    "predict": {"preset": "quick"},
    "generator": {"size": 16, "steps": 60, "seeds": 2, "settings": {"width": 8, "batch": 8}},
}


@pytest.fixture
def bench(shapes_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Each look at the clock takes a second."""
    ticks = itertools.count()
    monkeypatch.setattr(cost, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    return Workbench(shapes_file, "shape", tmp_path / "run", SMALL)


def test_the_cells_count(bench: Workbench) -> None:
    rows, expected = bench.run.checked.rows, 0.0
    for field in rows.schema.fields:
        cells = sum(c is not None for c in rows.dataset.cells(field))
        timed = len(range(0, cells, -(-cells // cost.CELLS))) - cost.FIRST_CELLS
        expected += cells / timed
    assert cost._encoding(bench.run) == pytest.approx(expected)


def test_the_plan_says_the_minutes_and_does_nothing(bench: Workbench) -> None:
    found = {f.name: f for f in bench.plan(generator=True)}["fit_minutes"]
    assert found.value and found.value > 0 and found.unit == "minutes"
    assert all(what in found.note for what in ("encoding", "heads", "generator"))
    assert not bench.folder.exists()


def test_a_generator_counts_its_steps_and_seeds(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training of n steps takes 5 + n seconds here, so that each of 60 steps takes one."""
    monkeypatch.setattr(cost, "_seconds_of", lambda run, rows, folder, steps: 5.0 + steps)
    assert cost.training_seconds(bench.run) == pytest.approx(60.0)


def test_what_is_not_measured_is_named(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "PLAIN_PARTS", frozenset())
    assert "without the generator" in cost.minutes(bench.run, True, 4).note
