"""The rows of a search index before they are written: ids, vectors, and the columns that a filter
may name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gobelin.data.dataset import ORIGIN_COLUMN, SPLIT_COLUMN, Dataset, is_file_type
from gobelin.data.fields import Schema
from gobelin.data.values.numbers import numbers_of
from gobelin.embedding.search.row_filter import column_name

if TYPE_CHECKING:
    from gobelin.embedding.alignment.align import Shared

# columns of the table that Gobelin writes
ID, ROW, VECTOR = "gobelin_id", "gobelin_row", "gobelin_vector"
# of added rows alone: the vectors of their fields, and where their file names start
FIELD_VECTORS, ROOT = "gobelin_fields", "gobelin_root"
UNASKED = (VECTOR, FIELD_VECTORS, ROOT)  # columns that no filter may name
# column names that Lance uses itself
LANCE_COLUMNS = {"_rowid", "_rowaddr", "_distance", "_score", "_relevance_score"}


@dataclass(frozen=True)
class Hit:
    """A row that search found."""

    row: int  # its number in the table
    id: str
    score: float  # how near (`nearness`); in an index of an earlier version the cosine
    equal: bool = False  # whether the row has the very cell that was asked for
    found_by: str = ""  # the field of the row that is nearest to the query
    cells: Mapping[str, Any] = field(default_factory=dict)  # {column: value} of the row


def rows_of(
    shared: Shared,
    dataset: Dataset | None = None,
    schema: Schema | None = None,
    splits: Sequence[str] = (),
) -> pa.Table:
    """N rows for a table: ids and pooled vectors; with a dataset also the origins, and every column
    of text, numbers or dates.

    dataset, schema, splits: of the same N rows."""
    return with_vectors(columns_of(shared.ids, dataset, schema, splits), shared.pooled())


def columns_of(
    ids: Sequence[str],
    dataset: Dataset | None = None,
    schema: Schema | None = None,
    splits: Sequence[str] = (),
) -> pa.Table:
    """The columns of `rows_of` without the vectors."""
    columns: dict[str, pa.Array] = {
        ID: pa.array(ids, pa.string()),
        ROW: pa.array(np.arange(len(ids))),
    }
    if dataset is not None and schema is not None:
        columns |= {
            SPLIT_COLUMN: pa.array(splits, pa.string()),
            ORIGIN_COLUMN: pa.array(dataset.origins.tolist(), pa.string()),
        }
        held, taken = set(dataset.column_names), {*UNASKED, *LANCE_COLUMNS}
        for column in schema.columns:
            name = column_name(column.name)
            if column.name in held and name not in columns and name not in taken:
                values = _plain(dataset, column.name, column.kind)
                columns |= {name: values} if values is not None else {}
    return pa.table(columns)


def with_vectors(columns: pa.Table, vectors: np.ndarray) -> pa.Table:
    """The rows for a table: columns as `columns_of` gives them, and vectors [N, D]."""
    wide = padded(vectors)
    array = pa.FixedSizeListArray.from_arrays(pa.array(wide.reshape(-1)), wide.shape[1])
    return columns.add_column(columns.column_names.index(ROW) + 1, VECTOR, array)


def with_fields(table: pa.Table, shared: Shared | None = None, root: str = "") -> pa.Table:
    """The rows with the vectors of their fields, and the folder that their file names start from.

    shared: of the rows; None where their vectors are stored elsewhere. The vectors are bytes, as
    the engine takes a column of lists for another index."""
    count = len(table)
    if shared is None:
        return table.append_column(FIELD_VECTORS, pa.nulls(count, pa.binary())).append_column(
            ROOT, pa.nulls(count, pa.string())
        )
    vectors = [v.tobytes() for v in np.ascontiguousarray(shared.vectors, "<f4")]
    return table.append_column(FIELD_VECTORS, pa.array(vectors, pa.binary())).append_column(
        ROOT, pa.array([root] * count, pa.string())
    )


def padded(vectors: np.ndarray) -> np.ndarray:
    """float32 [..., D + up to 7]: vectors [..., D] with zeros to a multiple of eight, as the index
    needs; they change no product."""
    vectors, more = vectors.astype(np.float32, copy=False), -vectors.shape[-1] % 8
    return np.pad(vectors, [(0, 0)] * (vectors.ndim - 1) + [(0, more)]) if more else vectors


def _plain(dataset: Dataset, column: str, kind: str) -> pa.Array | None:
    """The column's values, lists of texts among them; None for files, other lists and structs.
    Numbers that are stored as text become numbers. kind: the column's kind in the schema."""
    arrow = dataset.table[column].type
    arrow = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
    if is_list_of_texts(arrow):
        return pa.array(dataset.values(column), pa.list_(pa.string()))
    if (
        is_file_type(arrow)
        or pa.types.is_nested(arrow)
        or pa.types.is_null(arrow)
        or "binary" in str(arrow)
    ):
        return None
    values = dataset.values(column)
    if kind == "number" and not (pa.types.is_integer(arrow) or pa.types.is_floating(arrow)):
        return pa.array(numbers_of(values), pa.float64())
    return pa.array(values, arrow)


def is_list_of_texts(arrow: pa.DataType) -> bool:
    """Whether cells of a column are lists of texts, which `search` shows and no filter names."""
    if not (pa.types.is_list(arrow) or pa.types.is_large_list(arrow)):
        return False
    return pa.types.is_string(arrow.value_type) or pa.types.is_large_string(arrow.value_type)
