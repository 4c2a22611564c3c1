"""Parquet, memory-mapped.

Images and sounds may be bytes, or the {bytes, path} pairs that Hugging Face writes.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError


@settings_class
class Parquet:
    """No settings."""

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".parquet", ".pq")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        try:
            table = pq.read_table(path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise GobelinError(
                f"{path}: can't be read as Parquet ({str(error).splitlines()[0]})."
            ) from error
        if not table.num_rows:
            raise GobelinError(f"{path}: holds no row. At least one was expected.")
        for k, column in enumerate(table.schema):
            if pa.types.is_struct(column.type) and {"bytes"} <= {f.name for f in column.type}:
                inside = pc.struct_field(table[column.name], "bytes")
                if inside.null_count == len(inside) and "path" in {f.name for f in column.type}:
                    inside = pc.struct_field(table[column.name], "path")
                table = table.set_column(k, column.name, inside)
            elif pa.types.is_dictionary(column.type):
                table = table.set_column(
                    k, column.name, table[column.name].cast(column.type.value_type)
                )
        return table, path.parent
