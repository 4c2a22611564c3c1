"""Cells and lines as programs print them: what is not read is told with its cause.

After public reports: files joined with their headers, titles above the header, codes kept by
="00012", objects of Python written by `str`, dicts in place of JSON.
Oracle: the rows that were written.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column
from gobelin.data.read import read
from gobelin.embedding.columns.schema import Choices, infer

N = 60
ROWS = [f"{k},{k * k},{('cat', 'dog')[k % 2]}" for k in range(N)]


def written(path: Path, lines: Sequence[str]) -> Dataset:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read(path)


def column(values: Sequence[str]) -> Column:
    captions = [f"a caption of {k} words" for k in range(N)]
    cells = [values[k % len(values)] for k in range(N)]
    data = Dataset(pa.table({"caption": captions, "x": cells}), Path(), "x.csv")
    return infer(data, None, Choices()).column("x")


def test_headers_of_joined_files_are_no_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    data = written(tmp_path / "a.csv", ["a,b,y", *ROWS[:30], "a,b,y", *ROWS[30:], " a, b, y"])
    assert data.values("a") == [str(k) for k in range(N)]
    assert set(data.values("y")) == {"cat", "dog"}
    assert "2 rows repeat the header (first: line 32). Left out." in caplog.text


def test_one_column_may_hold_its_own_name(tmp_path: Path) -> None:
    assert written(tmp_path / "a.csv", ["word", "tree", "word"]).values("word") == ["tree", "word"]


def test_a_title_above_the_header_is_the_cause(tmp_path: Path) -> None:
    lines = ["Report of sales", "Made on 2024-01-01", "", "a,b,y", *ROWS]
    with pytest.raises(GobelinError, match="leave out a title or notes above"):
        written(tmp_path / "a.csv", lines)
    with pytest.raises(GobelinError, match="Quote cells that hold the delimiter"):
        written(tmp_path / "a.csv", ["a,b,y", *ROWS, "1,2,3,4"])


def test_a_code_that_a_spreadsheet_keeps_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    codes = [f'="{k % 7:05d}"' for k in range(N)]
    quoted = [f'"=""{k % 7:05d}"""' for k in range(N)]
    for cells in (codes, quoted):
        caplog.clear()
        lines = [f"{code},{k}" for k, code in enumerate(cells)]
        data = written(tmp_path / "a.csv", ["code,y", *lines])
        assert data.values("code") == [f"{k % 7:05d}" for k in range(N)]
        assert f"{N} cells are written as" in caplog.text


@pytest.mark.parametrize(
    "form",
    [
        "<PIL.PngImagePlugin.PngImageFile image mode=RGB size=8x8 at 0x7F{:04X}B0>",
        "<__main__.Thing object at 0x7f00{:04x}aa>",
        "<function f at 0x{:012x}>",
    ],
)
def test_an_address_is_no_feature(form: str) -> None:
    found = column([form.format(k) for k in range(N)])
    assert found.role == "ignore" and "without what is in it" in found.remark


@pytest.mark.parametrize(
    "form",
    [
        "tensor({})",
        "Timestamp('2024-01-{:02d} 00:00:00')",
        "datetime.date(2024, 1, {})",
        "Decimal('{}.5')",
        "np.float64({}.5)",
    ],
)
def test_a_printed_value_is_told(form: str) -> None:
    found = column([form.format(k % 28 + 1) for k in range(N)])
    assert "is how Python prints a value" in found.remark and "Write the value" in found.remark


def test_other_texts_are_no_printed_values() -> None:
    for texts in (["f(x)", "g(x)", "h(y)"], ["a date (of birth)", "time (local)", "x"]):
        assert "Python" not in column(texts).remark


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{'a': 1, 'y': 'cat'}", "json.dumps"),
        ('{"a": 1, "y": "cat"},', "comma after the object"),
        ('{"a": 1, "y": "cat"}{"a": 2, "y": "dog"}', "one object a line"),
        ('{"a": 1, "y": "cat"', "Correct or restore it"),
    ],
)
def test_lines_that_are_no_json_have_a_remedy(line: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="is not JSON") as refused:
        written(tmp_path / "a.jsonl", [line, line])
    assert told in str(refused.value)
