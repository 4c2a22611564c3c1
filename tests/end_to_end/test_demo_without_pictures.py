"""The demo on the market set: no picture, so nothing is generated; the verdict on its score is said
aloud."""

from __future__ import annotations

from pathlib import Path

import processor
import pytest

from gobelin.core.machine import silent
from gobelin.interfaces import demo
from gobelin.workbench.bench import Workbench

pytest.importorskip("arch")
QUICK = {
    "align": {"steps": 0, "width": 8},
    "predict": {"folds": 2, "decays": [0.01]},
    "runtime": processor.SETTINGS,
    "fusion": {"settings": {"steps": 30}},
}


def test_the_demo_on_the_market_says_what_chance_explains(tmp_path: Path) -> None:
    said: list[str] = []
    assert demo.run(tmp_path / "run", "market", QUICK, silent, said.append) == []
    score = Workbench.open(tmp_path / "run").findings("evaluate")[0]
    assert (
        score.name == "balanced_accuracy"
        and score.n == 8
        and score.low is not None
        and score.chance == 0.5
    )
    assert (score.verdict == "not above chance") == (score.low <= 0.5)
    told = "\n".join(said)
    assert score.sentence() in told and "generate" not in told and "audit" not in told
    page = (tmp_path / "run" / "report.md").read_text()
    assert score.verdict in page and (tmp_path / "run" / "report.html").is_file()
