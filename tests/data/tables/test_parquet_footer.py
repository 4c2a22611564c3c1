"""The footer of a Parquet file, whole and damaged. Oracles: pyarrow's own reading of it, and a
process of its own that has to live."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.data.tables import parquet_footer

WAYS: list[dict[str, Any]] = [
    {},
    {"compression": "none", "use_dictionary": False},
    {"data_page_version": "2.0", "compression": "zstd", "row_group_size": 4},
    {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}},
    {"write_statistics": False, "version": "1.0", "store_schema": False},
    {"write_page_index": True, "write_page_checksum": True, "compression": "gzip"},
    {"sorting_columns": [pq.SortingColumn(1)], "row_group_size": 3},
]
DAMAGE = """
import sys
from pathlib import Path
from gobelin.core.errors import GobelinError
from gobelin.data.read import read
path = Path(sys.argv[1])
good, told = path.read_bytes(), set()
length = int.from_bytes(good[-8:-4], "little")
for place in range(len(good) - 8 - length, len(good)):
    for change in (1, 2, 64):
        path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
        try:
            read(path)
        except GobelinError as error:
            told.add(str(error)[:200])
print(len(told), "alive")
"""


def table() -> pa.Table:
    texts = ["x", "yy", None, "a long text " * 30] * 3
    return pa.table(
        {
            "a": texts,
            "b": range(12),
            "list": [[1.0], [], None, [2.0, 3.0]] * 3,
            "texts": pa.array([["p", "q"], None, [], ["p"]] * 3),
            "object": [{"u": 1, "v": "w"}] * 12,
            "fixed": pa.array([b"1234"] * 12, pa.binary(4)),
            "true": [True, False, None] * 4,
        }
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_footer_is_read_as_pyarrow_reads_it(way: dict[str, Any], tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet", **way)
    theirs = pq.ParquetFile(tmp_path / "a.parquet").metadata
    ours = parquet_footer.chunks(tmp_path / "a.parquet")
    assert len(ours) == theirs.num_row_groups
    for k, group in enumerate(ours):
        columns = [theirs.row_group(k).column(j) for j in range(theirs.num_columns)]
        assert group == [
            parquet_footer.ColumnChunk(
                c.num_values,
                c.total_uncompressed_size,
                c.total_compressed_size,
                c.dictionary_page_offset or c.data_page_offset,
                "DELTA_BYTE_ARRAY" in c.encodings,
            )
            for c in columns
        ]


@pytest.mark.parametrize("way", [{}, {"use_dictionary": False, "compression": "none"}])
def test_the_page_of_a_dictionary_tells_its_bytes(way: dict[str, Any], tmp_path: Path) -> None:
    """Plain texts of a dictionary take their letters and four bytes each."""
    pq.write_table(pa.table({"a": ["ab", "cde", "ab"] * 9}), tmp_path / "a.parquet", **way)
    (((chunk,),),) = [parquet_footer.chunks(tmp_path / "a.parquet")]
    head = (tmp_path / "a.parquet").read_bytes()[chunk.first_page :]
    plain = len("abcde") + 2 * 4
    found = parquet_footer.dictionary_bytes(head)
    assert found == 0 if way else found is not None and found >= plain
    assert parquet_footer.dictionary_bytes(b"\x15\x04\x15") is None


@pytest.mark.parametrize(
    "footer", [b"", b"\x00", b"\x15", b"\x19\xfc\xff\xff\xff\x7f", b"\x1c" * 99]
)
def test_no_footer_is_a_traceback(footer: bytes, tmp_path: Path) -> None:
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(ValueError, match="footer"):
        parquet_footer.chunks(tmp_path / "a.parquet")


def test_fields_that_nobody_wants_take_no_memory(tmp_path: Path) -> None:
    """A field of a later version holds 2 million empty structures in 2 MB."""
    pq.write_table(table(), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    count = 2**21
    late = b"\x09\xc8\x01\xfc" + b"\x80\x80\x80\x01" + bytes(count)  # field 100, a list
    footer = data[-8 - length : -8 - 1] + late + b"\x00"
    whole = data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    expected = parquet_footer.chunks(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(whole)
    tracemalloc.start()
    try:
        assert parquet_footer.chunks(tmp_path / "b.parquet") == expected
        assert tracemalloc.get_traced_memory()[1] < 3 * len(whole)
    finally:
        tracemalloc.stop()


def test_no_damaged_footer_ends_the_process(tmp_path: Path) -> None:
    file = io.BytesIO()
    pq.write_table(table().select(["a", "b", "list"]), file, compression="none", store_schema=False)
    (tmp_path / "a.parquet").write_bytes(file.getvalue())
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(tmp_path / "a.parquet")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.strip().endswith("alive"), done.stderr[-2000:]
    assert int(done.stdout.split()[0]) > 5
