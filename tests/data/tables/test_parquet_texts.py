"""Texts of a Parquet file that are no UTF-8, wherever they stand. Oracle: a planted byte that no
UTF-8 text holds, and the value that was written beside it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.read import read

WORD = "abcdef"
TEXTS: dict[str, tuple[Any, pa.DataType]] = {
    "text": (WORD, pa.string()),
    "large": (WORD, pa.large_string()),
    "view": (WORD, pa.string_view()),
    "level": (WORD, pa.dictionary(pa.int8(), pa.string())),
    "list": ([WORD], pa.list_(pa.string())),
    "two lists": ([[WORD]], pa.large_list(pa.list_(pa.string()))),
    "fixed": ([WORD, None], pa.list_(pa.string(), 2)),
    "object": ({"a": WORD}, pa.struct([("a", pa.string())])),
    "objects": ([{"a": WORD}], pa.list_(pa.struct([("a", pa.string())]))),
    "key": ([(WORD, "x")], pa.map_(pa.string(), pa.string())),
    "item": ([("x", WORD)], pa.map_(pa.string(), pa.string())),
}


def written(name: str, path: Path, word: bytes) -> Path:
    value, kind = TEXTS[name]
    late = pa.array([2**60], pa.time64("us"))  # beyond a day: no cause to refuse the file
    table = pa.table({"d": pa.array([value], kind), "late": late})
    file = io.BytesIO()
    pq.write_table(table, file, compression="none", write_statistics=False)
    path.write_bytes(file.getvalue().replace(WORD.encode(), word))
    return path


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_utf8_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match=r"can't be read as Parquet \(.*UTF-?8") as error:
        read(written(name, tmp_path / "a.parquet", b"abc\x80ef"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_utf8_beside_a_strange_time_is_read(name: str, tmp_path: Path) -> None:
    rows = read(written(name, tmp_path / "a.parquet", "abcé+".encode()))
    assert "abcé+" in str(rows.values("d")[0])
    assert "late" in rows.table.column_names
