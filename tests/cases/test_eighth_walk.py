"""What a newcomer read on an eighth walk. Oracle: what was written in the table, in Python's own
digits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gobelin import Workbench
from gobelin.core.errors import close_match
from gobelin.core.printable import number_of_cell
from gobelin.data.tables.frames import from_frame
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.workbench.fit import fit
from gobelin.workbench.search.hits import text_of
from gobelin.workbench.shown_rows import shown_cells


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("142.0833282470703", "142.083"),
        ("27705332.0", "27705332"),
        ("-0.000123456789", "-0.000123457"),
        ("1234567.891", "1234570"),
        ("39.5", "39.5"),
        ("5 kg", "5 kg"),
    ],
)
def test_a_number_that_a_file_holds_as_text_is_shown_with_six_digits(
    written: str, shown: str
) -> None:
    n = 60
    weights = [written] + [f"{k}.25" for k in range(1, n)]
    frame = pd.DataFrame({"x": weights, "code": ["1.10000000", "2.20000000"] * 30})
    data = from_frame(frame.assign(label=["a", "b"] * 30))
    kinds = Choices(schema={"x": "number", "code": "category"})
    (cells, *_) = shown_cells(data, schema.infer(data, "label", kinds), np.arange(n))
    assert cells == {"x": shown, "code": "1.10000000"}  # a category is no number
    assert data.values("x")[0] == written  # the data keep their digits


@pytest.mark.parametrize("value", [142.0833282470703, 27705332.0, 1e-9 / 3, 0.1 + 0.2, 1e20])
def test_rows_are_shown_alike_by_every_verb(value: float) -> None:
    shown = number_of_cell(value)
    assert text_of(value) == shown
    assert float(shown) == pytest.approx(value, rel=1e-5)
    assert len(shown.split("e")[0].strip("-0").replace(".", "").lstrip("0")) <= 8


@pytest.mark.parametrize(
    ("written", "column"),
    [
        ("HIT POINTS", "Hit points"),
        ("hit_points", "Hit points"),
        ("ICON", "Icon"),
        ("BUILD-TIME", "Build time"),
        ("armour type", "Armor type"),
    ],
)
def test_a_column_in_other_capitals_is_the_nearest(written: str, column: str) -> None:
    columns = ["Icon", "Armor", "Armor type", "Hit points", "Build time", "gold", "Gold"]
    assert close_match(written, columns) == column


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([0.997, 0.003], "The prediction is that of linear of x (100%). "),
        ([1.0, 0.0], "The prediction is that of linear of x (100%). "),
        ([0.6, 0.396, 0.004], "is an average of linear of x (60%); near of x (40%). "),
        ([0.5, 0.25, 0.25], "of linear of x (50%); near of x (25%); deep of x (25%). "),
    ],
)
def test_a_head_of_no_share_is_not_named(shares: list[float], said: str) -> None:
    names = ["linear", "near", "deep"]
    heads = [
        {"head": name, "reads": "x", "share": share, "n": 80}
        for name, share in zip(names, shares, strict=False)
    ]
    sentence = fit._pooled(heads).sentence()
    assert said in sentence and not re.search(r"\(0%\)", sentence)


def test_near_rows_without_text_or_file_are_told_by_their_cells(tmp_path: Path) -> None:
    n = 80
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({c: draw.integers(1, 900, n) / 7 for c in ("hits", "runs", "size")})
    frame["pay"] = frame.sum(axis=1) + draw.normal(size=n)
    settings = {"runtime.threads": 1, "fusion.name": "concat"}
    bench = Workbench(frame, target="pay", run=tmp_path / "run", settings=settings)
    bench.fit()
    cases = [({"row": {"hits": 60.0}}, "hits", 3), ({"row": "4"}, "pay", 3)]
    for query, first, many in cases:
        found = [f for f in bench.describe(**query, k=3) if f.name == "similarity"]
        assert len(found) == 3
        for finding in found:
            told = finding.note.removeprefix("equal; ").split(", ")
            cells = frame.loc[int(finding.scope["row"])]
            assert len(told) == many and told[0].startswith(f"{first} ")
            for cell in told:
                column, value = cell.split(" ")
                assert float(value) == pytest.approx(cells[column], rel=1e-5)


def test_a_number_target_is_shown_without_a_point_that_says_nothing(tmp_path: Path) -> None:
    rows = [f"{k % 9},{1000000 + k * 7 % 50}.0" for k in range(60)]
    (tmp_path / "pay.csv").write_text("\n".join(["x,pay", *rows]))
    bench = Workbench(tmp_path / "pay.csv", "pay", tmp_path / "run")
    bench.check()
    shown = json.loads((tmp_path / "run/verbs/check/examples.json").read_text())["rows"]
    assert shown
    for row in shown:
        assert row["title"] == f"pay: {1000000 + int(row['id']) * 7 % 50}"
