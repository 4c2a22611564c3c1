"""A second row of headings is no row; a row with holes is one. Oracle: what was written."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gobelin.data.read import read

ROWS = [f"{k % 7}.5,{k},{'ab'[k % 2]}" for k in range(30)]


@pytest.mark.parametrize(
    "second",
    ["cm,kg,", "(cm),(kg),(name)", "length in cm,weight in kg,class", "%,€,", "[°],[µm],-"],
)
def test_a_second_row_of_headings_is_left_out(
    second: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "units.csv"
    path.write_text("\n".join(["size,mass,label", second, *ROWS]))
    with caplog.at_level(logging.WARNING):
        found = read(path)
    assert found.values("label") == [row[-1] for row in ROWS]
    word = second.split(",")[0]
    assert f"the first row is left out, a second heading: it holds words such as {word!r}" in (
        caplog.text
    )


@pytest.mark.parametrize(
    "first",
    ["n/a,?,a", ",,a", "1.5,heavy,a", "small,,b", "5 cm,3 kg,a", "unknown,3,a"]
    + ["?,?,a", ":,:,b", "--,...,a", "(*),(*),b"],
)
def test_a_first_row_with_holes_stays(first: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["size,mass,label", first, *ROWS]))
    assert len(read(path)) == 31
