"""What reading a table takes beside the table itself. Oracles: the peak of Arrow's own pool and of
Python's allocations, against the bytes of the table."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.data import dataset
from gobelin.data.budget import Reading, _process
from gobelin.data.read import read
from gobelin.data.tables import parquet_files

MILLION = 10**6
TEXTS = [f"{k:02} {'x' * MILLION}" for k in range(4)]
COLUMNS = {
    "texts": pa.array([TEXTS[k % 4] for k in range(40)]),
    "dictionary": pa.DictionaryArray.from_arrays(pa.array([*range(4)] * 10), pa.array(TEXTS)),
    "bytes": pa.array([bytes([255, 216, 255]) + TEXTS[k % 4].encode() for k in range(40)]),
    "lists": pa.array([[TEXTS[k % 4]] for k in range(40)]),
}


@pytest.fixture
def pool() -> Iterator[pa.MemoryPool]:
    before = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(before)
    pa.set_memory_pool(counting)
    yield counting
    pa.set_memory_pool(before)


@pytest.mark.parametrize("kind", COLUMNS)
def test_reading_and_hashing_take_little_beside_the_table(
    kind: str, tmp_path: Path, pool: pa.MemoryPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow joined all parts of a column to look at 20 cells, and the hash made one text of all
    values: 6 GB for 3."""
    monkeypatch.setattr(parquet_files, "BATCH", 4 * MILLION)
    monkeypatch.setattr(dataset, "PART", 4 * MILLION)
    monkeypatch.setattr(files, "KEPT", 4 * MILLION)
    table = pa.table({"x": COLUMNS[kind]})
    pq.write_table(table, tmp_path / "x.parquet", store_schema=False, row_group_size=8)
    size, before = 40 * MILLION, pool.max_memory()
    start = pool.bytes_allocated()
    found = read(tmp_path / "x.parquet")
    assert max(pool.max_memory(), before) - start < 1.8 * size
    tracemalloc.start()
    assert len(found.fingerprint) == 64
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * size


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("schema", [False, True])
def test_content_that_a_dictionary_repeats_is_counted_before_it_is_written_out(
    kind: str,
    nested: bool,
    schema: bool,
    tmp_path: Path,
    pool: pa.MemoryPool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file of 4 kB took 4.4 GB before it was refused."""
    cells = pa.concat_arrays([COLUMNS[kind]] * 10)  # 400 MB, four different texts of a megabyte
    if kind == "dictionary":
        cells = cells if schema else cells.cast(pa.string())
    if nested:
        cells = pa.StructArray.from_arrays([cells], ["bytes"])
    table = pa.table({"x": cells, "n": pa.array(range(400))})
    pq.write_table(table, tmp_path / "x.parquet", store_schema=schema, compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 10_000
    monkeypatch.setattr(_process, "reading", Reading(table_mb=100))
    counting = pa.proxy_memory_pool(pool)  # of what follows alone
    pa.set_memory_pool(counting)
    with pytest.raises(GobelinError, match="reading.table_mb"):
        read(tmp_path / "x.parquet")
    pa.set_memory_pool(pool)
    assert 0 < counting.max_memory() < 50 * MILLION
