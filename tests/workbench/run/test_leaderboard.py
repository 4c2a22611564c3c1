"""What `fit` compared is listed, for heads and for fusions, and never for what was not compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from presets import SMALL

from gobelin import Workbench
from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.prediction import fusion_choice

PLAIN = config.merge(
    {k: v for k, v in config.assignments(SMALL).items() if k != "fusion"},
    {"predict": {"preset": "quick", "folds": 2}},
)


def fitted(
    shapes_file: Path, run: Path, fusion: dict[str, Any], more: dict[str, Any] | None = None
) -> Workbench:
    settings = config.merge(config.merge(PLAIN, {"fusion": fusion}), more or {})
    out = Workbench(shapes_file, "shape", run, settings)
    out.fit()
    return out


def told(bench: Workbench) -> list[str]:
    return [f.sentence() for f in bench.findings("fit") if f.name == "heads_compared"]


def test_heads_are_listed_best_first_and_their_shares_are_those_of_the_pool(
    shapes_file: Path, tmp_path: Path
) -> None:
    bench = fitted(shapes_file, tmp_path / "run", {"name": "auto"})
    rows, pool = bench.leaderboard(), bench.run.settings.fusion
    assert pool.name == "pool"
    assert [row["loss"] for row in rows] == sorted(row["loss"] for row in rows)
    assert all(row["low"] <= row["score"] <= row["high"] for row in rows)
    assert {row["n"] for row in rows} == {len(bench.run.predictor.training.rows)}
    shares = [member["share"] for member in pool.settings["members"]]
    kept = sorted(row["share"] for row in rows if row["share"])
    assert kept == pytest.approx(sorted(s / sum(shares) for s in shares))
    (line,) = told(bench)
    assert f"{len(rows)} heads" in line
    reopened = Workbench.open(tmp_path / "run")
    assert reopened.leaderboard() == rows

    more = {"predict": {"preset": "good"}}  # in the same run folder
    bigger = fitted(shapes_file, tmp_path / "run", {"name": "auto"}, more)
    assert len(bigger.leaderboard()) > len(rows)

    # another pool, which the user names: nothing was compared for it
    named = fitted(shapes_file, tmp_path / "run", {"name": "pool", "settings": {"components": 9}})
    assert not told(named)
    with pytest.raises(GobelinError, match="compared nothing"):
        named.leaderboard()


def test_a_pool_that_is_the_best_of_all_fusions_is_listed_as_one(
    shapes_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion_choice, "able", lambda target: ["pool"])
    bench = fitted(shapes_file, tmp_path / "run", {"name": "all"})
    assert bench.run.settings.fusion.name == "pool" and not told(bench)
    (row,) = bench.leaderboard()
    assert row["head"] == "pool" and "share" not in row
    scores = [f for f in bench.findings("fit") if f.name == "cross_fitted_score"]
    assert [f.scope["fusion"] for f in scores if "fusion" in f.scope] == ["pool"]


@pytest.mark.parametrize("name", ["auto", "all"])
def test_a_class_of_one_row_is_scored_nowhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three classes a number tells two without a mistake. The third has one row, so no head can
    have learned it where it is scored: counted, it would hold every score at two thirds."""
    monkeypatch.setattr(fusion_choice, "able", lambda target: ["concat"])
    rows = [f"{k % 2 * 5 + k % 3 / 10},{'ab'[k % 2]}\n" for k in range(90)]
    table = tmp_path / "rows.csv"
    table.write_text("size,kind\n" + "".join(rows) + "2.5,c\n")
    bench = Workbench(
        table, "kind", tmp_path / "run", config.merge(PLAIN, {"fusion": {"name": name}})
    )
    bench.fit()
    assert bench.run.checked.rows.target.counts(bench.run.predictor.training.rows).tolist()[2] == 1
    assert bench.leaderboard()[0]["score"] == 1.0
