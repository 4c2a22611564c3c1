"""`check` and `evaluate` on rows with a time: planted faults are said, and what they would earn."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin import Workbench
from gobelin.core import config
from gobelin.core.errors import GobelinError

N, WINDOW, AHEAD = 150, 16, 5
DAYS = [str(d) for d in np.busday_offset("2010-01-01", np.arange(900), roll="forward")]
SAID = {
    "schema": {"day": "time", "gain": "ignore"},
    "split": {"by": "time", "purge": 7},
    "fusion": {"name": "concat"},
    "predict": {"folds": 2, "decays": [0.01]},
}


def table(path: Path, late: int = 0) -> Path:
    """Rows of a random walk; every tenth window ends `late` days after its row."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 900)))
    rows = []
    for k in range(N):
        end = 40 + 5 * k
        span = slice(end - WINDOW + late * (k % 10 == 3), end + late * (k % 10 == 3))
        gain = close[end + AHEAD - 1] / close[end - 1] - 1
        dated = dict(zip(DAYS[span], close[span].tolist(), strict=True))
        rows.append(
            {
                "id": f"row {k}",
                "day": DAYS[end - 1],
                "prices": json.dumps(dated),
                "past": float(np.log(close[end - 1] / close[end - 6])),
                "future": float(gain + rng.normal(0, 0.01)),
                "gain": float(gain),
                "next": "up" if gain > 0 else "down",
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def bench(tmp_path: Path, late: int = 0, **more: Any) -> Workbench:  # noqa: ANN401
    path = table(tmp_path / "rows.parquet", late)
    return Workbench(path, "next", tmp_path / "run", config.merge(SAID, more))


def test_a_planted_future_is_found_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        work = bench(tmp_path, late=2)
        work.check()
    found = {f.name: f for f in work.findings("check")}
    assert found["look_ahead"].value == 15 and found["look_ahead"].n == N
    assert found["look_ahead"].rows[:2] == ("row 3", "row 13")
    assert found["look_ahead"].cells[0].endswith(", samples: 2")  # which is not saved
    assert found["tells_more_than_the_past"].scope == {"column": "future"}
    assert "15 of 150 cells reach past day of their row; cut there" in caplog.text
    assert "--set leave_out=future" in caplog.text
    shown = json.loads((tmp_path / "run/verbs/check/look_ahead.json").read_text())
    assert len(shown["rows"]) == 15


def test_what_is_known_in_time_passes_and_is_scored_after_costs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        work = bench(tmp_path, leave_out=["future"], trade={"returns": "gain"})
        work.check()
    assert "look ahead" not in caplog.text
    work.fit()
    work.evaluate()
    found = [f for f in work.findings("evaluate") if f.name == "net_return"]
    assert found[0].scope == {"position": "the predictor"}
    assert found[0].verdict == "no evidence"
    assert {f.scope["position"] for f in found} >= {"holding", "the last move"}
    score = next(f for f in work.findings("evaluate") if f.name == "cross_fitted_score")
    assert "learned from earlier rows alone" in score.note


@pytest.mark.parametrize(
    ("trade", "message"),
    [
        ({"returns": "future"}, "'future' is the future, and is read as a feature"),
        ({"returns": "gone"}, "trade.returns: no column 'gone'"),
        ({"returns": "gain", "asset": "gone"}, "trade.asset: no column 'gone'"),
        ({"returns": "gain", "series": "past"}, "trade.series: 'past' is no column of series"),
        ({"returns": "gain", "positions": {"up": 1}}, "no position for the class 'down'"),
    ],
)
def test_wrong_settings_of_a_trade_are_one_line(
    trade: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Before anything is learned: at `check`, and so at `fit`."""
    with pytest.raises(GobelinError, match=message):
        bench(tmp_path, trade=trade).check()


def test_a_trade_needs_an_order_in_time(tmp_path: Path) -> None:
    more = {"trade": {"returns": "gain"}, "split": {"by": "random", "purge": None}}
    with pytest.raises(GobelinError, match="needs rows in the order of time"):
        bench(tmp_path, **more).check()


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (DAYS[:80], True),  # one row a day
        (DAYS[79::-1], True),  # the newest first
        ([d for d in DAYS[:40] for _ in "ab"], True),  # two rows a day
        (DAYS[:40] * 2, True),  # one group after the other
        ([DAYS[(37 * k) % 80] for k in range(80)], False),  # in no order
        ((DAYS[:4] * 20)[:80], False),  # few dates
    ],
)
def test_rows_in_the_order_of_a_date_are_told_of_a_random_split(
    days: list[str], said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody said that the column is a time."""
    rows = "".join(f"{day},{k % 7},{'ab'[k % 2]}\n" for k, day in enumerate(days))
    (tmp_path / "rows.csv").write_text("noted,size,kind\n" + rows)
    with caplog.at_level(logging.WARNING):
        Workbench(tmp_path / "rows.csv", "kind", tmp_path / "run").check()
    assert ("--set schema.noted=time --set split.by=time" in caplog.text) is said


def test_a_split_that_mixes_times_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, split, said in (
        ("random", {"by": "random", "purge": None}, "rows of one time are in training"),
        ("time", {"purge": None}, "so no row is purged"),
    ):
        (tmp_path / name).mkdir()
        with caplog.at_level(logging.WARNING):
            bench(tmp_path / name, split=split).check()
        assert caplog.text.count(said) == 1


def test_a_source_without_dates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source.csv").write_text("a,b\n1,2\n3,4\n")
    work = bench(tmp_path, check={"source": str(tmp_path / "source.csv")})
    with pytest.raises(GobelinError, match="has no column of dates only"):
        work.check()
