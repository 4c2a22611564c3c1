"""A table that is cut short while it is read, as by a program that writes it anew. Oracle: a
process of its own, which has to live and say that the file can't be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 200_000
WORDS = [f"word {k} of very many" for k in range(ROWS)]
TABLES = {
    "numbers": pa.table({"x": pa.array(range(ROWS)), "y": pa.array(range(ROWS))}),
    "texts": pa.table({"x": WORDS}),
    "levels": pa.table({"x": pa.array(WORDS).dictionary_encode()}),
    "lists": pa.table({"x": [[word] for word in WORDS]}),
}
READS = """
import os, sys
from pathlib import Path
from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.data.tables import parquet_files

path, left = Path(sys.argv[1]), int(sys.argv[2])
check = parquet_files.refuse_table

def cut(*words):  # after the file was opened, before a row is read
    check(*words)
    os.truncate(path, left)

parquet_files.refuse_table = cut
try:
    read(path)
except GobelinError as error:
    print(error)
"""


@pytest.mark.parametrize("packed", ["none", "snappy"])
@pytest.mark.parametrize("left", [0, 5_000])
@pytest.mark.parametrize("kind", TABLES)
def test_a_file_that_is_cut(kind: str, left: int, packed: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(TABLES[kind], path, compression=packed, row_group_size=ROWS // 4)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", READS, str(path), str(left)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done
    assert done.stdout.startswith(f"{path}: can't be read as Parquet"), done
    assert len(done.stdout.splitlines()) == 1
