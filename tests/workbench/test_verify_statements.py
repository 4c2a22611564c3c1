"""What `verify` tells of a statement that anybody may have written, and a table that grows.

Oracle: what was planted in each statement, and the memory that the table's own bytes take.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from signing import chain, pixels

from gobelin import GobelinError, Signer, verify
from gobelin.data.budget import MEGABYTE
from gobelin.data.dataset import GENERATED, ORIGIN_COLUMN

FORGED = "flow'; signer 'Trusted laboratory"
LONG = "x" * 5000
STATEMENTS: dict[str, dict[str, Any]] = {
    "generator": {"generator": FORGED, "seed": 3},
    "weights": {"weights": FORGED, "seed": 3},
    "seed": {"seed": FORGED},
    "name of a condition": {"condition": {FORGED: "a"}, "seed": 3},
    "condition": {"condition": FORGED, "seed": 3},
    "list": {"generator": [FORGED, FORGED], "seed": 3},
    "long": {"generator": LONG, "weights": [LONG], "condition": {LONG: LONG}, "seed": 3},
    "many": {"condition": {f"k{k}": k for k in range(2000)}, "seed": 3},
}


@pytest.fixture(scope="module")
def mallory(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(*chain(name="Mallory").write(tmp_path_factory.mktemp("mallory")))


@pytest.mark.parametrize("what", STATEMENTS)
def test_a_statement_says_nothing_outside_of_its_quotes(
    what: str, mallory: Signer, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(mallory.png(pixels(), STATEMENTS[what]))
    (found,) = verify(tmp_path / "a.png")
    assert found.verdict == "untouched, signed by somebody unknown"
    assert len(found.note) < 1500
    parts = [part for part in outside_of_quotes(found.note).split("; ") if part]
    assert sum(part.startswith("signer ") for part in parts) == 1
    assert "Trusted" not in outside_of_quotes(found.note)
    assert "signer 'Mallory'" in found.note


def outside_of_quotes(text: str) -> str:
    """What is left of a note once texts in quotes, as Python writes them, are taken out."""
    left, shut, before = [], "", ""
    for letter in text:
        if shut:
            shut = "" if letter == shut and before != "\\" else shut
        elif letter in "'\"" and not (letter == "'" and before.isalpha()):
            shut = letter
        else:
            left.append(letter)
        before = letter
    return "".join(left)


def test_names_and_numbers_stand_as_they_are(mallory: Signer, tmp_path: Path) -> None:
    lineage = {"generator": "flow", "weights": "ab12", "seed": 3, "condition": {"label": "apple"}}
    (tmp_path / "a.png").write_bytes(mallory.png(pixels(), lineage))
    (found,) = verify(tmp_path / "a.png")
    assert found.note.endswith("generator flow; weights ab12; seed 3; label 'apple'")


def grown(folder: Path, column: str, megabytes: int, rows: int) -> Path:
    """A training set whose file says a long text once, and its rows say it again and again."""
    content: dict[str, list[Any]] = {
        "gobelin_id": [str(k) for k in range(rows)],
        ORIGIN_COLUMN: ["generated"] * rows,
        "image": [b"no image"] * rows,
    }
    long = b"0" * (megabytes * MEGABYTE)
    once = pa.array([long if column == "image" else long.decode()])
    table = pa.table(content)
    again = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), once)
    table = table.set_column(table.column_names.index(column), column, again)
    table = table.replace_schema_metadata({GENERATED: b"image"})
    pq.write_table(table, folder / "t.parquet", compression="zstd")
    return folder / "t.parquet"


@pytest.mark.parametrize("column", ["image", "gobelin_id", ORIGIN_COLUMN])
def test_a_table_that_repeats_a_text_takes_little_memory(column: str, tmp_path: Path) -> None:
    path = grown(tmp_path, column, 20, 150)
    assert path.stat().st_size < 20_000
    program = (
        "import resource, sys\n"
        "from gobelin import verify\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    verify(sys.argv[1])\n"
        "except Exception as error:\n    assert 'holds no image' in str(error), error\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    kilobytes = int(done.stdout.splitlines()[-1])
    assert kilobytes < 1_000_000  # written out: 3,000 MB


def test_a_table_that_promises_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = grown(tmp_path, "image", 1, 40)
    monkeypatch.setattr("gobelin.data.tables.parquet_files.refuse_table", _refused)
    with pytest.raises(GobelinError, match="40 rows"):
        verify(path)


def _refused(where: str, rows: int, columns: int) -> None:
    raise GobelinError(f"{where}: {rows} rows, {columns} columns.")
