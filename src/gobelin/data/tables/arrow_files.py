"""Tables of Arrow in a run folder, memory-mapped. The folder may be a stranger's: what a table
becomes is counted before a row is used.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from gobelin.core.arrow_headers import unpacked_bytes
from gobelin.core.arrow_sizes import written_bytes
from gobelin.core.errors import GobelinError, first_line
from gobelin.data.budget import MEGABYTE, limits

HEAD = 8  # bytes before the stream of messages in a file
LARGER = 4  # times its file may a table be that is over `reading.table_mb`: short texts are


def write_table(path: Path, table: pa.Table) -> None:
    """Write what `read_table` reads."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)


def read_table(path: Path) -> pa.Table:
    """The table of a file that `write_table` wrote. Raises GobelinError for one that it can't have
    written: damaged, packed, or with rows that repeat more than the file holds.
    """
    try:
        with pa.memory_map(str(path)) as source:
            stream = source.read_buffer().slice(HEAD)
        if unpacked_bytes(stream):
            raise ValueError("it is packed")
        table = pa.ipc.open_stream(stream).read_all()
        table.validate(full=True)  # Arrow follows offsets wherever they lead
        grows = any(map(_repeats, table.schema.types))  # counting loads pandas, so only then
        size = int(written_bytes(table).sum()) if grows else 0
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise GobelinError(
            f"{path}: can't be read ({first_line(error, 80)}). Use another copy of the run, or make"
            " it anew."
        ) from error
    if size > max(limits().table_mb * MEGABYTE, LARGER * path.stat().st_size):
        raise GobelinError(
            f"{path}: has {size // MEGABYTE} MB of cells, written out;"
            f" reading.table_mb allows {limits().table_mb}."
        )
    return table


def _repeats(kind: pa.DataType) -> bool:
    """Whether several rows can have the same place of the file. Offsets of plain texts and lists
    only rise."""
    inside = [kind.field(k).type for k in range(kind.num_fields)]
    views = (pa.string_view(), pa.binary_view())
    tests = (pa.types.is_dictionary, pa.types.is_run_end_encoded)
    lists = (pa.types.is_list_view, pa.types.is_large_list_view)
    is_any = kind in views or any(test(kind) for test in (*tests, *lists))
    return is_any or isinstance(kind, pa.BaseExtensionType) or any(map(_repeats, inside))
