"""Parquet files within the limits `reading.*`: what the metadata promise is counted before a row is
read, and content that is written once and repeated is read in small batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gobelin.data.budget import MEGABYTE, limits, refuse, refuse_table

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
TEXT = 8  # bytes of a text or of bytes, beside their content
DICTIONARY_PAGE = 2
MEASURED = 2**26  # bytes of repeated content from which a column of lists is measured
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
    promised, longest, _ = _promised(file.metadata, path)
    refuse(str(path), "table_mb", promised)
    yield from file.iter_batches(max(1, min(rows, _most() // longest)), columns=list(columns))


def whole(file: pq.ParquetFile, path: Path) -> pa.Table:
    """All rows. The metadata are checked first: they promise the rows, the values of nested cells
    and the bytes of pages. Content that is written once and repeated by a dictionary is read in
    small batches, and its bytes are counted; in lists it is measured first.
    """
    refuse_table(str(path), file.metadata.num_rows, file.metadata.num_columns)
    promised, longest, lists = _promised(file.metadata, path)
    refuse(str(path), "table_mb", promised + _measured(path, lists))
    most = _most()
    if longest * file.metadata.num_rows <= most:
        return file.read()
    batches, needed = [], 0
    for batch in file.iter_batches(max(1, most // longest)):
        needed += batch.nbytes
        refuse(str(path), "table_mb", needed)
        batches.append(batch)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _most() -> int:
    """Bytes of repeated content in one batch, at most."""
    return min(BATCH, limits().table_mb * MEGABYTE)


def _measured(path: Path, lists: list[str]) -> int:
    """The bytes of texts in lists, each counted as often as it stands there. lists: the columns, as
    Parquet calls them. They are read as dictionaries, which takes no more than the file.
    """
    if not lists:
        return 0
    total = 0
    with parquet_file(path, lists) as file:
        for batch in file.iter_batches(columns=lists):
            total += sum(map(written_out, batch.columns))
    return total


def written_out(array: pa.Array) -> int:
    """The bytes of the texts in dictionaries, each counted as often as a row has it."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if not _file_like(kind.value_type):
            return 0
        lengths = pc.binary_length(array.dictionary).cast(pa.int64())
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(map(written_out, array.flatten()))
    if pa.types.is_map(kind):
        return written_out(array.keys) + written_out(array.items)
    return written_out(array.flatten()) if hasattr(array, "flatten") else 0


def validate_texts(array: pa.Array) -> None:
    """Raises ArrowInvalid where a text is no UTF-8, also inside lists and objects. Other values
    aren't looked at: a time of day beyond 24 hours is read as it stands.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        validate_texts(array.dictionary)
    elif pa.types.is_map(kind):
        validate_texts(array.keys)
        validate_texts(array.items)
    elif pa.types.is_struct(kind):
        for inside in array.flatten():
            validate_texts(inside)
    elif kind in (pa.string(), pa.large_string(), pa.string_view()):
        array.validate(full=True)
    elif pa.types.is_nested(kind):
        validate_texts(array.flatten())


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


def _promised(metadata: pq.FileMetaData, path: Path) -> tuple[int, int, list[str]]:
    """The bytes that the metadata promise, the most bytes of one row's repeated content, and the
    columns of lists whose repeated content must be measured.
    """
    promised, longest = 0, 1
    lists: dict[str, None] = {}
    with path.open("rb") as file:
        for number in range(metadata.num_row_groups):
            group, repeated = metadata.row_group(number), 0
            for k in range(metadata.num_columns):
                column, kind = group.column(k), metadata.schema.column(k)
                width = WIDTHS.get(column.physical_type, TEXT)
                if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
                    width = kind.length
                stored = max(column.total_uncompressed_size, column.total_compressed_size)
                promised += max(stored, width * column.num_values)
                if column.physical_type != "BYTE_ARRAY":
                    continue
                if kind.max_repetition_level:
                    if _repeated_bytes(column, file) * column.num_values > MEASURED:
                        lists[column.path_in_schema] = None
                else:
                    repeated += _repeated_bytes(column, file)
            longest = max(longest, repeated)
    return promised, longest, list(lists)


def _repeated_bytes(column: pq.ColumnChunkMetaData, file: BinaryIO) -> int:
    """The most bytes that a text of the column can have without being written anew: those of its
    dictionary page.
    """
    if "DELTA_BYTE_ARRAY" in column.encodings:  # a text continues the one before it
        return column.total_uncompressed_size
    file.seek(column.dictionary_page_offset or column.data_page_offset)
    # The header of a page in Thrift's compact form: kind, bytes unpacked, bytes packed. Each is a
    # byte that says "the next field, a whole number", then the number in groups of seven bits.
    head, place = file.read(32), 0
    numbers: list[int] = []
    while len(numbers) < 3 and head[place : place + 1] == b"\x15":
        place, number, shift = place + 1, 0, 0
        while place < len(head):
            byte = head[place]
            number |= (byte & 127) << shift
            place, shift = place + 1, shift + 7
            if byte < 128:
                break
        numbers.append(number >> 1)
    if len(numbers) < 3:
        return column.total_uncompressed_size
    return max(numbers[1:]) if numbers[0] == DICTIONARY_PAGE else 0
