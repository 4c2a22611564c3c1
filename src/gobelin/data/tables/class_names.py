"""Tables of the library datasets of Hugging Face as other tables are: names for the numbers of
classes, where the table declares them, and plain types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from gobelin.core import parse
from gobelin.core.errors import GobelinError, repeated
from gobelin.data.values.times import readable


def with_class_names(table: pa.Table) -> pa.Table:
    """The table with names for the numbers of classes, where the file declares them as the library
    datasets of Hugging Face does. A negative number says that the class is not known.
    """
    for name, classes in _declared(table.schema.metadata or {}).items():
        if name not in table.column_names:
            continue
        column = table[name].combine_chunks()
        lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        named = _named(column.values if lists else column, classes)
        if named is None:
            continue
        if lists:
            kind = pa.LargeListArray if pa.types.is_large_list(column.type) else pa.ListArray
            named = kind.from_arrays(column.offsets, named, mask=column.is_null())
        table = table.set_column(table.column_names.index(name), name, named)
    return table


def _named(numbers: pa.Array, classes: Sequence[str]) -> pa.Array | None:
    """The names of the numbers of classes; None where they are no such numbers."""
    if not pa.types.is_integer(numbers.type):
        return None
    largest = pc.max(numbers).as_py()
    if largest is None or largest >= len(classes):
        return None
    known = pc.if_else(pc.less(numbers, 0), None, numbers)
    return pa.array(classes, pa.string()).take(known)


def _declared(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """{column: names of its classes}, of single numbers and of lists of them."""
    try:
        features = parse.json_value(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        inside = {
            str(name): feature["feature"] if "feature" in feature else feature
            for name, feature in features.items()
            if isinstance(feature, dict)
        }
        return {
            name: [str(c) for c in feature["names"]]
            for name, feature in inside.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # it declares no classes that can be read


def written_out(table: pa.Table, where: str) -> pa.Table:
    """A table of the library as other tables are: plain types, and names of classes. Raises
    GobelinError for two columns of one name."""
    if (twice := repeated(table.column_names)) is not None:
        raise GobelinError(f"{where}: column {twice!r} appears twice. Rename one.")
    for k, name in enumerate(table.column_names):
        column = table[name]
        if isinstance(column.type, pa.BaseExtensionType):  # arrays, where datasets is imported
            column = pa.chunked_array([chunk.storage for chunk in column.chunks])
        column = readable(column, f"{where}, column {name!r}")
        table = table.set_column(k, table.schema.field(k).with_type(column.type), column)
    return with_class_names(table)
