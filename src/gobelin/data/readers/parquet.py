"""Parquet.

Images and sounds may be bytes, or the {bytes, path} pairs that Hugging Face writes.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError, first_line, repeated
from gobelin.data.budget import refuse
from gobelin.data.dataset import ordered
from gobelin.data.tables.class_names import with_class_names
from gobelin.data.tables.parquet_files import parquet_file, validate_texts, whole, written_out
from gobelin.data.values.times import readable

TICKS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # of a duration, in a second


@settings_class
class Parquet:
    """No settings."""

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".parquet", ".pq")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        try:
            with parquet_file(path) as file:
                if (twice := repeated(file.schema_arrow.names)) is not None:
                    raise GobelinError(f"{path}: column {twice!r} appears twice. Rename one.")
                table = whole(file, path)
            for column in table.columns:
                for chunk in column.chunks:
                    validate_texts(chunk)
        except (pa.ArrowException, OSError, ValueError) as error:  # names may be no UTF-8
            raise GobelinError(
                f"{path}: can't be read as Parquet ({first_line(error)})."
            ) from error
        if not table.num_rows:
            raise GobelinError(f"{path}: holds no row. At least one was expected.")
        needed = table.nbytes
        for k, name in enumerate(table.column_names):
            needed += sum(map(written_out, table[name].chunks))
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
        ticks = column.cast(pa.int64()).cast(pa.float64(), safe=False)  # beyond 2**53 rounded
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
