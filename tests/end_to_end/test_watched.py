"""A generator's training is seen in its run: scores and grids beside it, one curve in the report.
Oracle: the run's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from presets import SMALL

from gobelin import Workbench
from gobelin.core.files import read_lines
from gobelin.data.provenance.marks import read_lineage
from gobelin.data.samples.shapes import Shapes
from gobelin.interfaces.cli import main

QUICK = [
    *SMALL,
    "generator.steps=150",
    "generator.settings.width=8",
    "generator.settings.batch=16",
    "generator.settings.prior_width=16",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fitted and evaluated first, then fitted again with a generator."""
    folder = tmp_path_factory.mktemp("watched")
    data = Shapes(rows=160, size=16).write(folder / "data", 0)
    words = [
        "fit",
        str(data),
        "--target",
        "shape",
        "--run",
        str(folder / "run"),
        *(w for s in QUICK for w in ("--set", s)),
    ]
    main(words)
    main(["evaluate", str(folder / "run")])
    main([*words, "--generator", "vaegan"])
    return folder / "run"


def test_grids_and_scores_lie_beside_the_generator(run: Path) -> None:
    samples = run / "generators" / "vaegan-0" / "samples"
    looks = read_lines(samples / "held_out.jsonl")
    assert looks and all(look["held_out"] > 0 for look in looks)
    assert {p.name for p in samples.glob("*.png")} == {f"{look['step']}.png" for look in looks}
    last = samples / f"{looks[-1]['step']}.png"
    with Image.open(last) as picture:
        assert picture.size == (4 * 16 + 3 * 2,) * 2
    assert read_lineage(last)["generator"] == "vaegan"


def test_the_report_shows_one_curve_of_these_scores(run: Path) -> None:
    shown = [e for e in read_lines(run / "exhibits.jsonl") if e["name"] == "fit/generator"]
    assert len(shown) == 1 and shown[0]["kind"] == "curve"
    data = json.loads((run / shown[0]["data"]).read_text())
    looks = read_lines(run / "generators" / "vaegan-0" / "samples" / "held_out.jsonl")
    assert data["x"] == [look["step"] for look in looks]
    assert data["series"] == {"seed 0": [look["held_out"] for look in looks]}
    page = Workbench.open(run).report().read_text(encoding="utf-8")
    assert "Score of vaegan on validation rows during training" in page


def test_a_generator_takes_nothing_away_that_was_found_before(run: Path) -> None:
    bench = Workbench.open(run)
    assert bench.findings("evaluate") and bench.findings("fit")
    before = (run / "verbs" / "fit" / "stage.json").read_bytes()
    bench.fit()
    assert (run / "verbs" / "fit" / "stage.json").read_bytes() == before and bench.findings(
        "evaluate"
    )
