"""Long texts of one row among many, and many short lines: a small file takes neither time nor
memory that grow with the square of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.numbering import numbered
from gobelin.data.read import read
from gobelin.data.readers import csv as reader
from gobelin.data.split.parts import NamedRows
from gobelin.embedding.columns.schema import Choices, infer

LONG = "z" * 100_000


class Counted(str):
    """A line that counts how often its length is asked for."""

    __slots__ = ()
    asked = 0

    def __len__(self) -> int:
        Counted.asked += 1
        return super().__len__()


@pytest.mark.parametrize(
    "cell", ["7", '"{}"', '"a{}b"', "ab"], ids=["digit", "empty lines", "lines", "word"]
)
def test_short_lines_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    """Oracle: a fixed number of looks at each line. The reader had counted all lines anew at each
    of the first 65,536 letters."""
    path = tmp_path / "t.csv"
    rows = [cell.format("\n" * 50)] * 1000
    path.write_text("x,y\n" + "".join(f"{row},1\n" for row in rows))
    lines = reader.text_lines
    monkeypatch.setattr(reader, "text_lines", lambda p: map(Counted, lines(p)))
    Counted.asked = 0
    assert read(path).values("x") == [row.strip('"\n') or None for row in rows]
    assert 0 < Counted.asked < 20 * path.read_text().count("\n")


@pytest.mark.parametrize("texts", [["b", "a", "b", ""], ["é", "Z", "a", "😀", "Z"], []])
def test_numbers_are_those_of_numpy(texts: list[str]) -> None:
    expected = np.unique(np.array(texts, str), return_inverse=True)[1]
    assert numbered(texts).tolist() == expected.tolist()


def _rows(column: str, long: str) -> dict[str, list[Any]]:
    rows = {
        "id": [f"r{k}" for k in range(3000)],
        "patient": [f"p{k // 3}" for k in range(3000)],
        "x": [float(k * 37 % 1009) for k in range(3000)],
        "y": [float(k) for k in range(3000)],
    }
    rows[column][7] = long
    return rows


@pytest.mark.parametrize("column", ["id", "patient"])
def test_a_long_name_among_many_is_refused(tmp_path: Path, column: str) -> None:
    """3000 names of 100,000 letters would be an array of 1.2 GB."""
    pq.write_table(pa.table(_rows(column, LONG)), tmp_path / "t.parquet")
    data = read(tmp_path / "t.parquet")
    known = infer(data, "y", Choices(schema={"id": "id", "patient": "group"}))
    with pytest.raises(GobelinError, match="has a name of 100000 letters.*may have 21333"):
        if column == "id":
            data.with_ids("id")
        else:
            NamedRows.of(data, known)


@pytest.mark.parametrize("column", ["id", "patient"])
def test_names_of_some_thousand_letters_stay(tmp_path: Path, column: str) -> None:
    pq.write_table(pa.table(_rows(column, LONG[:5000])), tmp_path / "t.parquet")
    data = read(tmp_path / "t.parquet")
    known = infer(data, "y", Choices(schema={"id": "id", "patient": "group"}))
    assert data.with_ids("id").ids[8] == "r8"
    assert NamedRows.of(data, known).names[0] == "p0"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("ticks", [2**53 + 1, -(2**62), 2**63 - 1, 5])
def test_long_durations_are_read(tmp_path: Path, unit: str, ticks: int) -> None:
    """Oracle: Python's division. Ticks beyond 2**53 were a traceback of Arrow."""
    column = pa.array([ticks, None, 3], pa.duration(unit))
    pq.write_table(pa.table({"x": column, "y": ["a", "b", "c"]}), tmp_path / "t.parquet")
    seconds = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    found = read(tmp_path / "t.parquet").values("x")
    assert found[1] is None and found[2] == 3 / seconds
    assert found[0] == pytest.approx(ticks / seconds, rel=1e-15)
