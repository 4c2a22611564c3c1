"""Parquet, memory-mapped.

Images and sounds may be bytes, or the {bytes, path} pairs that Hugging Face writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError, repeated
from gobelin.data.budget import MEGABYTE, limits, refuse, refuse_table
from gobelin.data.class_names import with_class_names
from gobelin.data.dataset import ordered
from gobelin.data.times import readable

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
TEXT = 8  # bytes of a text or of bytes, beside their content
DICTIONARY_PAGE = 2
TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # of a duration, in a second
MEASURED = 2**26  # bytes of repeated content from which a column of lists is measured
BATCH = 2**28  # bytes of repeated content that one batch may hold


@settings_class
class Parquet:
    """No settings."""

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".parquet", ".pq")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        try:
            with pq.ParquetFile(path, memory_map=True) as file:
                if (twice := repeated(file.schema_arrow.names)) is not None:
                    raise GobelinError(f"{path}: column {twice!r} appears twice. Rename one.")
                table = _table(file, path)
        except (pa.ArrowException, OSError) as error:
            raise GobelinError(
                f"{path}: can't be read as Parquet ({(str(error).splitlines() or ['empty'])[0]})."
            ) from error
        if not table.num_rows:
            raise GobelinError(f"{path}: holds no row. At least one was expected.")
        needed = table.nbytes
        for k, name in enumerate(table.column_names):
            needed += sum(map(_written_out, table[name].chunks))
            refuse(str(path), "table_mb", needed)
            cells = readable(_cells(table[name]), f"{path}, column {name!r}")
            table = table.set_column(k, _field(table, name), cells)
        return with_class_names(table), path.parent


def _field(table: pa.Table, name: str) -> pa.Field | str:
    """The column's name, with the order of its levels where it is an ordered category."""
    column = table[name]
    if not (pa.types.is_dictionary(column.type) and column.type.ordered and column.num_chunks):
        return name
    return ordered(name, _plain(column.type), column.chunk(0).dictionary.to_pylist())


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts of a dictionary written out; durations as seconds; any other column as it is."""
    if pa.types.is_duration(column.type):
        ticks = column.cast(pa.int64()).cast(pa.float64())
        return pc.divide(ticks, TICKS[column.type.unit])
    return column.cast(plain) if (plain := _plain(column.type)) != column.type else column


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries and views, which many functions of Arrow can't take, and
    without decimals in lists.
    """
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view():
        return pa.large_binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inside = _plain(kind.value_type)
        inside = pa.float64() if pa.types.is_decimal(inside) else inside
        if inside != kind.value_type:
            return pa.large_list(inside) if pa.types.is_large_list(kind) else pa.list_(inside)
    return kind


def _table(file: pq.ParquetFile, path: Path) -> pa.Table:
    """All rows. The metadata are checked first: they promise the rows, the values of nested cells
    and the bytes of pages. Content that is written once and repeated by a dictionary is read in
    small batches, and its bytes are counted; in lists it is measured first.
    """
    refuse_table(str(path), file.metadata.num_rows, file.metadata.num_columns)
    promised, longest, lists = _promised(file.metadata, path)
    refuse(str(path), "table_mb", promised + _measured(path, lists))
    most = min(BATCH, limits().table_mb * MEGABYTE)
    if longest * file.metadata.num_rows <= most:
        return file.read()
    batches, needed = [], 0
    for batch in file.iter_batches(max(1, most // longest)):
        needed += batch.nbytes
        refuse(str(path), "table_mb", needed)
        batches.append(batch)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _measured(path: Path, lists: list[str]) -> int:
    """The bytes of texts in lists, each counted as often as it stands there. lists: the columns, as
    Parquet calls them. They are read as dictionaries, which takes no more than the file.
    """
    if not lists:
        return 0
    total = 0
    with pq.ParquetFile(path, memory_map=True, read_dictionary=lists) as file:
        for batch in file.iter_batches(columns=lists):
            total += sum(map(_written_out, batch.columns))
    return total


def _written_out(array: pa.Array) -> int:
    """The bytes of the texts in dictionaries, each counted as often as a row has it."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if not _file_like(kind.value_type):
            return 0
        lengths = pc.binary_length(array.dictionary).cast(pa.int64())
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(map(_written_out, array.flatten()))
    if pa.types.is_map(kind):
        return _written_out(array.keys) + _written_out(array.items)
    return _written_out(array.flatten()) if hasattr(array, "flatten") else 0


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
                promised += max(column.total_uncompressed_size, width * column.num_values)
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
