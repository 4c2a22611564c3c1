"""Parquet files within the limits `reading.*`: what the metadata promise is counted before a row is
read, and content that is written once and repeated is read in small batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gobelin.data.budget import MEGABYTE, limits, refuse, refuse_table
from gobelin.data.tables.parquet_footer import ColumnChunk, chunks, dictionary_bytes

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
TEXT = 8  # bytes of a text or of bytes, beside their content
HEAD = 32  # bytes of a page that tell its kind and its size
MEASURED = 2**26  # bytes of repeated content from which a column of lists is measured
LARGE = 8  # a file that promises an eighth of what is allowed isn't measured: that takes as much
ROWS = 2**16  # of a batch, at most
BATCH = 2**28  # bytes of repeated content that one batch may hold


def parquet_file(path: Path, lists: Sequence[str] = ()) -> pq.ParquetFile:
    """The file, not memory-mapped: one that is cut short while it is read would end the process.
    It is read piece by piece. lists: columns to read as dictionaries."""
    return pq.ParquetFile(path, read_dictionary=list(lists), buffer_size=MEGABYTE)


def some_rows(
    file: pq.ParquetFile, path: Path, columns: Sequence[str], rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of these columns, of which none holds lists, in batches of `rows` or fewer: no more
    than the limits allow in one. Raises GobelinError where the file promises more than they do.
    """
    refuse_table(str(path), file.metadata.num_rows, file.metadata.num_columns)
    said = _promised(file.metadata, path)
    refuse(str(path), "table_mb", said.bytes)
    batch = max(1, min(rows, _most() // said.longest))
    yield from file.iter_batches(batch, columns=list(columns))


def whole(file: pq.ParquetFile, path: Path) -> pa.Table:
    """All rows. The metadata are checked first: they promise the rows, the values of nested cells
    and the bytes of pages. Content that is written once and repeated by a dictionary is read in
    small batches. It is measured first in lists, and where a small file could hold more than is
    allowed.
    """
    refuse_table(str(path), file.metadata.num_rows, file.metadata.num_columns)
    said, most = _promised(file.metadata, path), _most()
    refuse(str(path), "table_mb", said.bytes)
    repeated, known = said.lists, said.bytes
    allowed = limits().table_mb * MEGABYTE
    most_said = said.bytes + said.longest * file.metadata.num_rows
    if most_said > allowed > LARGE * said.bytes:
        repeated = [*said.lists, *said.others]  # these count as often as rows have them alone
        known -= sum(said.others.values())
    _refuse_repeated(path, repeated, known, min(ROWS, max(1, BATCH // _mean(said, file))))
    if said.longest * file.metadata.num_rows <= most:
        return file.read()
    batches, needed = [], 0
    for batch in file.iter_batches(max(1, most // said.longest)):
        needed += batch.nbytes
        refuse(str(path), "table_mb", needed)
        batches.append(batch)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _most() -> int:
    """Bytes of repeated content in one batch, at most."""
    return min(BATCH, limits().table_mb * MEGABYTE)


def _mean(said: _Promised, file: pq.ParquetFile) -> int:
    """The bytes of a row, as the metadata promise them; at least 1."""
    return max(1, said.bytes // max(1, file.metadata.num_rows))


def _refuse_repeated(path: Path, columns: list[str], known: int, rows: int) -> None:
    """Raises GobelinError where the texts of these columns, each counted as often as it stands
    there, and `known` bytes are more than the limits allow. columns: as Parquet calls them. They
    are read as dictionaries, `rows` at a time, which takes no more than the file.
    """
    if not columns:
        return
    with parquet_file(path, columns) as file:
        for batch in file.iter_batches(rows, columns=columns):
            known += sum(map(written_out, batch.columns))
            refuse(str(path), "table_mb", known)


def written_out(array: pa.Array) -> int:
    """The bytes of the texts in dictionaries, each counted as often as a row has it."""
    total = 0
    for leaf in _leaves(array):
        if pa.types.is_dictionary(leaf.type) and _file_like(leaf.type.value_type):
            lengths = pc.binary_length(leaf.dictionary).cast(pa.int64())
            total += int(pc.sum(lengths.take(leaf.indices)).as_py() or 0)
    return total


def validate_texts(array: pa.Array) -> None:
    """Raises ArrowInvalid where a text is no UTF-8, also inside lists and objects. Other values
    aren't looked at: a time of day beyond 24 hours is read as it stands.
    """
    for leaf in _leaves(array):
        texts = leaf.dictionary if pa.types.is_dictionary(leaf.type) else leaf
        if texts.type in (pa.string(), pa.large_string(), pa.string_view()):
            texts.validate(full=True)


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays that hold no others: those inside lists, objects and maps, or the array itself."""
    kind = array.type
    if pa.types.is_struct(kind):
        inside = array.flatten()
    elif pa.types.is_map(kind):
        inside = [array.keys, array.items]
    elif pa.types.is_nested(kind):
        inside = [array.flatten()]
    else:
        yield array
        return
    for one in inside:
        yield from _leaves(one)


def _file_like(kind: pa.DataType) -> bool:
    """Whether values of this type have a length of their own."""
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


@dataclass(frozen=True)
class _Promised:
    """What the metadata of a file promise."""

    bytes: int
    longest: int  # bytes of one row's repeated content, at most
    lists: list[str]  # columns of lists whose repeated content must be measured
    others: dict[str, int]  # other columns with repeated content, and their bytes among `bytes`


def _promised(metadata: pq.FileMetaData, path: Path) -> _Promised:
    columns = [metadata.schema.column(k) for k in range(metadata.num_columns)]
    longest, promised = 1, Counter[str]()
    lists: dict[str, None] = {}
    others: dict[str, None] = {}
    groups = chunks(path)
    if any(len(group) != len(columns) for group in groups):
        raise ValueError("a group of rows has not all columns")
    with path.open("rb") as file:
        for group in groups:
            repeated = 0
            for chunk, kind in zip(group, columns, strict=True):
                width = WIDTHS.get(kind.physical_type, TEXT)
                if kind.physical_type == "FIXED_LEN_BYTE_ARRAY":
                    width = kind.length
                stored = max(chunk.unpacked_bytes, chunk.packed_bytes)
                promised[kind.path] += max(stored, width * chunk.values)
                if kind.physical_type != "BYTE_ARRAY":
                    continue
                if kind.max_repetition_level:
                    if _repeated_bytes(chunk, file) * chunk.values > MEASURED:
                        lists[kind.path] = None
                elif once := _repeated_bytes(chunk, file):
                    others[kind.path] = None
                    repeated += once
            longest = max(longest, repeated)
    return _Promised(
        promised.total(), longest, list(lists), {name: promised[name] for name in others}
    )


def _repeated_bytes(chunk: ColumnChunk, file: BinaryIO) -> int:
    """The most bytes that a text of the column can have without being written anew: those of its
    dictionary page.
    """
    if chunk.continues:  # a text continues the one before it
        return chunk.unpacked_bytes
    file.seek(chunk.first_page)
    found = dictionary_bytes(file.read(HEAD))
    return chunk.unpacked_bytes if found is None else found
