"""No training row's answer overlaps that of a row that judges: against intervals written out."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.data.split.purging import TimeOrder, purged, time_order
from gobelin.data.split.splits import Split
from gobelin.prediction.time_folds import time_folds


def overlaps(first: float, second: float, answer: float) -> bool:
    """Whether (first, first + answer] and (second, second + answer] have a moment in common."""
    return max(first, second) < min(first, second) + answer - 1e-9 and answer > 0


@pytest.mark.parametrize("answer", [0.0, 1.0, 5.0, 7.5])
def test_purged_rows_are_those_of_the_definition(answer: float) -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 200, 150).astype(float))
    parts = np.where(np.arange(150) < 90, "train", np.where(np.arange(150) < 120, "valid", "test"))
    present = rng.random(150) < 0.9
    found = purged(TimeOrder(times, answer), parts, present)
    for k in range(150):
        later = {"train": ("valid", "test"), "valid": ("test",), "test": ()}[str(parts[k])]
        expected = present[k] and any(
            overlaps(times[k], times[j], answer)
            for j in range(150)
            if parts[j] in later and present[j] and not found[j]
        )
        assert found[k] == expected, k


def test_an_embargo_is_added_and_parts_in_another_order_are_purged_on_both_sides() -> None:
    times = np.arange(20.0)
    parts = np.array(["train"] * 8 + ["test"] * 4 + ["train"] * 8)
    settings = Split(by="time", purge=2, embargo=1)
    order = time_order(settings, [str(np.datetime64("2020-01-01") + k) for k in range(20)])
    assert order is not None and order.gap == 3
    found = purged(order, parts, np.ones(20, bool))
    assert np.flatnonzero(found).tolist() == [6, 7, 12, 13]
    assert np.array_equal(found, purged(TimeOrder(times, 3), parts, np.ones(20, bool)))


@pytest.mark.parametrize("gap", [0.0, 3.0, 10.0])
@pytest.mark.parametrize("grouped", [False, True])
def test_no_fold_learns_from_its_own_time_or_later(gap: float, grouped: bool) -> None:
    rng = np.random.default_rng(1)
    times = rng.integers(0, 300, 400).astype(float)  # some rows share a time
    groups = [f"{t // 10}" if grouped else f"row {k}" for k, t in enumerate(times)]
    rows = np.flatnonzero(rng.random(400) < 0.8)
    fold, subsets = time_folds(TimeOrder(times, gap), rows, groups, 4)
    assert set(fold.tolist()) == {-1, 0, 1, 2, 3} and len(subsets) == 4
    for f, learned in enumerate(subsets):
        held = fold == f
        assert times[rows[learned]].max() <= times[rows[held]].min() - gap
        assert times[rows[learned]].max() < times[rows[held]].min()
        assert not any(overlaps(a, b, gap) for a in times[rows[learned]] for b in times[rows[held]])
        assert not {groups[r] for r in rows[learned]} & {groups[r] for r in rows[held]}


def test_folds_without_a_row_to_learn_from_are_refused() -> None:
    with pytest.raises(GobelinError, match="none lies 99 before the others"):
        time_folds(TimeOrder(np.arange(50.0), 99), np.arange(50), [str(k) for k in range(50)], 4)


def test_texts_have_an_order_and_no_distance() -> None:
    order = time_order(Split(by="time"), ["b", "a", "c"])
    assert order is not None and order.times.tolist() == [1, 0, 2]
    with pytest.raises(GobelinError, match="neither dates nor numbers"):
        time_order(Split(by="time", purge=1), ["b", "a", "c"])
    with pytest.raises(GobelinError, match="purge and embargo need by = time"):
        config.build(Split, {"purge": 3})
    assert time_order(Split(), ["a"]) is None


def test_a_run_says_what_it_purges_and_loses_no_row(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from pathlib import Path

    from gobelin.data.dataset import Dataset
    from gobelin.workbench.run.rows import read_rows
    from gobelin.workbench.run.settings import Settings

    rng = np.random.default_rng(2)
    days = [str(np.datetime64("2020-01-01") + k) for k in range(100)]
    table = pa.table({"day": days, "x": rng.normal(size=100), "y": rng.choice(["up", "down"], 100)})
    said = {
        "data": {"target": "y"},
        "schema": {"day": "time"},
        "split": {"by": "time", "purge": 5, "valid": 0.2, "test": 0.2},
    }
    with caplog.at_level(logging.WARNING):
        rows = read_rows(config.build(Settings, said), Dataset(table, Path(), "days"))
    assert len(rows.dataset) == 100 and (rows.parts == "train").sum() == 60
    present = np.flatnonzero(~rows.target.present)
    assert present.tolist() == [56, 57, 58, 59, 76, 77, 78, 79]
    assert "the answers of 4 training rows and 4 validation rows are not used" in caplog.text
