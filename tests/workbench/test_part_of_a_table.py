"""`describe` of a record that names some columns of a table. Oracle: planted values that are common
or far away, in tables of one kind of column and of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import processor
import pytest

from gobelin import Workbench

SETTINGS = {"runtime": processor.SETTINGS, "predict": {"folds": 2}}


@pytest.mark.parametrize("kinds", ["numbers", "numbers and a category", "numbers and a date"])
def test_what_is_not_asked_is_not_odd(kinds: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(100, 10, 160).round(2) for name in "abcdef"})
    if kinds.endswith("category"):
        frame["shop"] = rng.choice(["Bonn", "Kiel"], 160)
    if kinds.endswith("date"):
        frame["day"] = pd.date_range("2024-01-01", periods=160).strftime("%Y-%m-%d")
    frame["y"] = np.where(frame["a"] > 100, "high", "low")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    bench = Workbench(tmp_path / "rows.csv", "y", tmp_path / "run", SETTINGS)
    bench.fit()

    def share(row: str) -> float:
        """Of training rows that are as far from others, or farther."""
        (of_all, *_) = [f for f in bench.describe(row=row) if f.name == "typicality"]
        assert of_all.value is not None
        return of_all.value

    assert share("a=101") > 0.2 and share("a=101,b=99") > 0.2
    assert share("a=160,b=99") < 0.05
