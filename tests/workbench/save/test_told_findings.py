"""What findings of a saved run tell of few rows. Oracles: the half widths of the run itself, and
planted conversions."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import processor
import pytest

from gobelin import Workbench
from gobelin.evidence.findings import Finding
from gobelin.workbench.save import disclosure

ROWS = 90
KINDS: dict[str, dict[str, Any]] = {
    "pool": {},
    "concat": {"fusion": {"name": "concat", "settings": {"steps": 10}}},
    "not fitted again": {"refit": False},
}


def of_numbers(folder: Path) -> Path:
    """A number to predict; one series has samples of -9999, and those of one patient have holes."""
    rng, rows = np.random.default_rng(0), []
    for k in range(ROWS):
        x, walk = rng.normal(), np.round(rng.normal(size=20).cumsum(), 3).tolist()
        walk[3] = -9999.0 if k == 5 else None if k < 5 or k % 6 == 1 else walk[3]
        person = 0 if k < 5 else k
        rows.append((person, round(x, 4), json.dumps(walk), round(50 + 9 * x + rng.normal(), 3)))
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("person", "size", "walk", "price"), *rows])
    return folder / "rows.csv"


@pytest.mark.parametrize("kind", KINDS)
def test_no_finding_is_the_half_width_of_one_row(kind: str, tmp_path: Path) -> None:
    """The attack: half widths are rounded, and their mean stood in the findings and in the card to
    the last digit. Where all intervals are alike, it is the error of one row."""
    base = {"runtime": processor.SETTINGS, "align": {"steps": 5}, "schema": {"person": "group"}}
    bench = Workbench(of_numbers(tmp_path), "price", tmp_path / "run", {**base, **KINDS[kind]})
    bench.fit(), bench.evaluate()
    out = bench.save_pretrained(tmp_path / "saved")
    exact = [
        m.calibration.residual[-1] for m in (bench.run.predictor.model, bench.run.delivered.model)
    ]
    own, told = (
        [f for f in map(Finding.from_dict, map(json.loads, path.read_text().splitlines()))]
        for path in (bench.folder / "findings.jsonl", out / "findings.jsonl")
    )
    values = [
        [v for f in found for v in (f.value, f.low, f.high) if v is not None]
        for found in (own, told)
    ]
    near = [
        any(np.isclose(v, m * r, rtol=1e-5) for v in some for r in exact for m in (1, 2))
        for some in values
    ]
    assert near == [True, False]
    assert f"{2 * exact[0]:.4g}" not in (out / "README.md").read_text(encoding="utf-8")
    widths = [next(f.value for f in some if f.name == "interval_width") for some in (own, told)]
    assert widths[0] is not None and widths[1] is not None
    assert widths[0] < widths[1] <= widths[0] * 9 / 8
    # a sample that one row has is no one else's
    assert any("-9999" in str(f.scope) for f in own)
    assert not any("-9999" in str(f.scope) for f in told)
    assert any("filled in" in str(f.scope) for f in told)


def test_few_groups_are_told_where_single_rows_may_be() -> None:
    width = Finding(name="interval_width", value=803.3, low=803.3, high=803.3, n=30)
    few, many = (
        Finding(name="converted_cells", scope={"what": "sound: 7 channels"}, value=9.0, n=n)
        for n in (4, 5)
    )
    assert disclosure.told([width, few, many], 1) == [width, few, many]
    assert [f.n for f in disclosure.told([width, few, many], 5)] == [30, 5]
