"""Tables of a stranger's run folder. Oracle: what was written, and tables that say more than their
file holds, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data import budget
from gobelin.data.budget import Reading
from gobelin.data.tables.arrow_files import read_table, write_table

ROWS = 40_000
LONG = "x" * 1000


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    before = budget.limits()
    Reading(table_mb=20).use()
    yield
    before.use()


def again(values: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, np.int32)), values)


def views() -> pa.Array:
    """Each list is the same thousand numbers."""
    numbers = pa.array(np.arange(1000.0))
    starts, sizes = (pa.array(np.full(ROWS, n, np.int32)) for n in (0, 1000))
    return pa.ListViewArray.from_arrays(starts, sizes, numbers)


def runs() -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([LONG]))


GROWN = {
    "dictionary": lambda: again(pa.array([LONG])),
    "dictionary of bytes": lambda: again(pa.array([LONG.encode()])),
    "list views": views,
    "runs": runs,
    "struct": lambda: pa.StructArray.from_arrays([again(pa.array([LONG]))], ["a"]),
}


@pytest.mark.parametrize("what", GROWN)
def test_rows_that_repeat_a_text_are_counted(what: str, tmp_path: Path) -> None:
    write_table(tmp_path / "a.arrow", pa.table({"a": GROWN[what]()}))
    assert (tmp_path / "a.arrow").stat().st_size < 2**20
    with pytest.raises(GobelinError, match="MB of cells, written out; reading.table_mb allows 20"):
        read_table(tmp_path / "a.arrow")


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_packed_tables_are_refused(codec: str, tmp_path: Path) -> None:
    table = pa.table({"a": np.zeros(1_000_000)})
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema, options=options) as out:
        out.write_table(table)
    with pytest.raises(GobelinError, match="it is packed"):
        read_table(tmp_path / "a.arrow")


@pytest.mark.parametrize("place", [0, 30, 0.3, 0.6])
def test_a_damaged_table_is_one_line(place: float, tmp_path: Path) -> None:
    table = pa.table({"a": [f"text {k}" for k in range(50)]})
    write_table(tmp_path / "a.arrow", table)
    data = bytearray((tmp_path / "a.arrow").read_bytes())
    start = int(place * len(data)) if place < 1 else int(place)
    data[start : start + 80] = b"\xff" * 80
    (tmp_path / "a.arrow").write_bytes(bytes(data))
    with pytest.raises(GobelinError, match="can't be read") as refused:
        read_table(tmp_path / "a.arrow")
    assert "\n" not in str(refused.value)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "short": ["a", None, ""] * 200_000,
            "flag": [True, False, None] * 200_000,
            "level": pa.array(["x", "y", "x"] * 200_000).dictionary_encode(),
            "many": [[1.0], [], None] * 200_000,
        }
    )
    for rows in (0, 600_000):
        write_table(tmp_path / "a.arrow", table.slice(0, rows))
        assert read_table(tmp_path / "a.arrow").equals(table.slice(0, rows))
