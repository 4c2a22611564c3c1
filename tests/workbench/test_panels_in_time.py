"""Rows of several assets: a planted future is found, and what is known in time is not warned of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin import Workbench
from gobelin.quality.telling import PanelRows, effective_rows, telling

TIMES, AHEAD = 110, 5
DAYS = [str(d) for d in np.busday_offset("2010-01-01", np.arange(600), roll="forward")]
SAID = {"schema": {"day": "time"}, "split": {"by": "time", "purge": 7}}


def table(path: Path, planted: str) -> Path:
    """Four assets that move with one market; a column that holds the future, if one is named."""
    rng = np.random.default_rng(1)
    market = np.cumsum(rng.normal(0, 0.01, 600))
    rows = []
    for asset in "ABCD":
        logs = market + np.cumsum(rng.normal(0, 0.006, 600))
        for k in range(TIMES):
            end = 40 + 5 * k
            gain = logs[end + AHEAD] - logs[end]
            noise = rng.normal(0, 0.01)
            future = {
                "week": market[end + AHEAD] - market[end],
                "word": "up" if gain + noise > 0 else "down",
                "flag": float(gain + noise > 0),
                "twin": gain + noise,
            }
            rows.append(
                {
                    "asset": asset,
                    "day": DAYS[end],
                    "past": float(logs[end] - logs[end - 5]),
                    "month": float(logs[end] - logs[end - 21]),
                    "gain": float(gain),
                    **({planted: future[planted]} if planted else {}),
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("planted", ["", "week", "word", "flag", "twin"])
def test_a_future_in_rows_of_several_assets_is_found(tmp_path: Path, planted: str) -> None:
    work = Workbench(table(tmp_path / "rows.parquet", planted), "gain", tmp_path / "run", SAID)
    work.check()
    found = [f for f in work.findings("check") if f.name == "tells_more_than_the_past"]
    assert [f.scope["column"] for f in found] == ([planted] if planted else [])


def test_an_answer_that_overlaps_the_last_one_hides_no_future() -> None:
    rng = np.random.default_rng(3)
    moves = rng.normal(size=500 + AHEAD)
    gain = np.convolve(moves, np.ones(AHEAD), "valid")[1:]
    planted = gain + rng.normal(0, 2.0, len(gain))
    time, one = np.arange(len(gain), dtype=float), np.zeros(len(gain), int)
    none = np.zeros((len(gain), 0))
    found = telling({"planted": planted}, none, gain, PanelRows(time, one, float(AHEAD)))
    assert len(found) == 1 and (found[0].chance or 0) < 0.2  # one row before it is 0.5
    # what the last five days were is known in time
    known = np.concatenate([np.zeros(AHEAD), gain[:-AHEAD]])
    assert not telling({"known": known}, none, gain, PanelRows(time, one, float(AHEAD)))


@pytest.mark.parametrize("assets", [1, 4, 30])
def test_the_count_of_independent_rows_is_that_of_simulations(assets: int) -> None:
    """The oracle: 1 over the variance of the correlation of x and y that have no common cause."""
    times, draws = 120, 150

    def panel(rng: np.random.Generator) -> np.ndarray:
        steps = rng.normal(size=(times + 4, assets)) + 0.8 * rng.normal(size=(times + 4, 1))
        x = sum(steps[k : times + k] for k in range(5)).T.ravel()  # five neighbours overlap
        return (x - x.mean()) / x.std()

    rows = PanelRows(
        np.tile(np.arange(times, dtype=float), assets), np.repeat(range(assets), times)
    )
    rng = np.random.default_rng(0)
    pairs = [(panel(rng), panel(rng)) for _ in range(draws)]
    variance = np.var([float(x @ y) / len(x) for x, y in pairs])
    counts = [effective_rows(x, y, rows) for x, y in pairs[:20]]
    assert np.median(counts) == pytest.approx(1 / variance, rel=0.25)
