"""Immutable rows over Arrow. A view (choose rows, add rows) copies no pixels: images and sounds
stay encoded.

Every dataset has two columns of lineage: `gobelin_origin` (real, view, generated) and
`gobelin_lineage` (JSON: the generator, the hash of its weights, the seed, the condition, the
parents). See `derived_rows`.

Rows that `curate` has corrected are still real: `gobelin_curated` holds what was changed (JSON),
`gobelin_weight` and `gobelin_split` are columns with these roles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gobelin.core import parse
from gobelin.core.arrow import roomy, texts, true_places, whole_numbers
from gobelin.core.errors import GobelinError, repeated
from gobelin.core.files import fingerprint, fingerprint_of_columns
from gobelin.data.budget import refuse_names
from gobelin.data.fields import Cell, Field
from gobelin.data.image.images import Opening
from gobelin.data.values.spelling import named
from gobelin.data.volume.volumes import VolumeOpening

ORIGIN_COLUMN = "gobelin_origin"  # one of ORIGINS
LINEAGE_COLUMN = "gobelin_lineage"  # JSON: where a row that is not real came from
GENERATED = b"gobelin_generated"  # metadata of an exported table: its column of generated images
CURATED_COLUMN = "gobelin_curated"  # JSON: what `curate` changed
WEIGHT_COLUMN = "gobelin_weight"
SPLIT_COLUMN = "gobelin_split"
ORIGINS = ("real", "view", "generated")
LEVELS = b"gobelin_levels"  # in the metadata of a column: JSON, the levels of an ordered category
# in the metadata of a column: its kind or its role, where its reader knows it
DECLARED = b"gobelin_declared"
LINEAGE_KEYS = ('"generator":', '"weights":', '"seed":', '"parents":')  # of every generated row
# a column whose files are partly in the cells and partly on disk
FILE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PART = 2**24  # bytes of a column that are Python values at once, where all are not needed
WIDE_FILE_TYPE = roomy(FILE_TYPE, 2**62)  # of columns of more than two gigabytes


@dataclass(frozen=True)
class Dataset:
    """Rows of an Arrow table.

    table: the columns; memory-mapped where the file allows. root: relative paths start here, and no
    path may leave it. source: where the rows were read from, for messages. bad: cells set aside,
    {(row id, column)}; they count as missing. openings: how the images of a column are opened, once
    an encoder was fitted to them: the range of their pixels, and the user's settings.
    """

    table: pa.Table
    root: Path
    source: str = ""
    bad: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    openings: Mapping[str, Opening | VolumeOpening] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (twice := repeated(self.table.column_names)) is not None:
            raise GobelinError(f"{self.source}: column {twice!r} appears twice. Rename one.")

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def column_names(self) -> list[str]:
        return [
            n
            for n in self.table.column_names
            if n not in (ORIGIN_COLUMN, LINEAGE_COLUMN, CURATED_COLUMN, "gobelin_id")
        ]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """One name a row: the id column where the reader or the schema set one, else the row number
        in the file, from 0.
        """
        if "gobelin_id" in self.table.column_names:
            return tuple(map(str, self.table["gobelin_id"].to_pylist()))
        return tuple(str(k) for k in range(len(self)))

    @cached_property
    def origins(self) -> np.ndarray:
        """str [N]: real, view (a real image changed by fixed rules) or generated. A row with a
        lineage isn't real, whatever its origin column says and whatever the lineage's column is
        called.
        """
        claims, lineages = (
            (
                [str(v or "") for v in self.table[c].to_pylist()]
                if c in self.table.column_names
                else [""] * len(self)
            )
            for c in (ORIGIN_COLUMN, LINEAGE_COLUMN)
        )
        embedded = _holds_lineage(self.table)
        return np.array(
            [
                o if o not in ("", "real") else "generated" if t or h else "real"
                for o, t, h in zip(claims, lineages, embedded.tolist(), strict=True)
            ],
            dtype=str,
        )

    def values(self, column: str) -> list[Any]:
        """The column's values [N], None for an empty cell and for one that was set aside. Lists
        come without their empty items; lists of numbers keep them, as holes in a series.
        """
        kind, values = self.table[column].type, self.table[column].to_pylist()
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            values = [None if v is None or not v or v.isspace() else v for v in values]
        elif not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            cell = _numbers_or_none if _is_numeric_list(kind) else _cell
            values = [cell(v) for v in values]
        if is_file_type(kind) or is_file_type(getattr(kind, "value_type", None)):
            values = [_cell(_file(v)) for v in values]
        if bad := self._bad_rows.get(column):
            values = [None if i in bad else v for i, v in zip(self.ids, values, strict=True)]
        return values

    @cached_property
    def _bad_rows(self) -> dict[str, set[str]]:
        """{column: ids of the rows whose cell was set aside}."""
        out: dict[str, set[str]] = {}
        for row, column in self.bad:
            out.setdefault(column, set()).add(row)
        return out

    def opening(self, column: str) -> Opening | VolumeOpening:
        """How the images of a column are opened."""
        return self.openings.get(column, Opening())

    def levels(self, column: str) -> tuple[str, ...]:
        """The values of an ordered category, lowest first, as the data declare them; none for any
        other column.
        """
        metadata = self.table.schema.field(column).metadata or {}
        return tuple(parse.json_value(metadata.get(LEVELS, b"[]").decode()))

    def declared(self, column: str) -> str:
        """The kind or the role that the reader of the data gives a column; '' for none."""
        return ((self.table.schema.field(column).metadata or {}).get(DECLARED, b"")).decode()

    def cells(self, field_read: Field) -> list[Cell | None]:
        """The field's cell of every row [N]: {column: value} of its present columns, None where the
        whole cell is missing.
        """
        names = set(self.table.column_names)
        columns = {c: self.values(c) for c in field_read.columns if c in names}
        out: list[Cell | None] = []
        for k in range(len(self)):
            cell = {c: v[k] for c, v in columns.items() if v[k] is not None}
            out.append(cell or None)
        return out

    def rows(self, index: Sequence[int] | np.ndarray) -> Dataset:
        """The rows in `index`, as a view. Every row keeps its id."""
        return replace(
            self.with_ids(),
            table=self.with_ids().table.take(whole_numbers(index)),
        )

    def with_ids(self, column: str | None = None) -> Dataset:
        """The same rows with an id column, so that ids survive a choice of rows. column: take the
        ids from it; None = the present ones. Raises GobelinError for empty or repeated ids.
        """
        if "gobelin_id" in self.table.column_names and column is None:
            return self
        if column and (
            empty := [k for k, v in enumerate(self.table[column].to_pylist()) if _empty(v)]
        ):
            raise GobelinError(
                f"{self.source}, column {column!r}: row {empty[0]} has no id. Fill it in."
            )
        ids = [str(v) for v in self.table[column].to_pylist()] if column else list(self.ids)
        refuse_names(str(self.source), ids)
        if (twice := repeated(ids)) is not None:
            raise GobelinError(
                f"{self.source}, column {column!r}: the id {twice!r} appears twice. Ids must"
                " differ."
            )
        table = (
            self.table.drop_columns(["gobelin_id"])
            if "gobelin_id" in self.table.column_names
            else self.table
        )
        return replace(self, table=table.append_column("gobelin_id", texts(ids)))

    def set_aside(self, bad: Sequence[tuple[str, str]]) -> Dataset:
        """The same rows with these (id, column) cells counted as missing."""
        return replace(self, bad=self.bad | frozenset(bad))

    def join(self, other: Dataset) -> Dataset:
        """Rows of self, then rows of other. Columns that one side lacks are missing there."""
        own_rows, other_rows = self.with_ids().with_origin(), other.with_ids().with_origin()
        shared = set(self.table.column_names) & set(other.table.column_names)
        kinds = {
            n: {_file_kind(own_rows.table[n].type), _file_kind(other_rows.table[n].type)}
            for n in sorted(shared)
        }
        mixed_columns = [n for n, s in kinds.items() if len(s) == 2 and "" not in s]
        table = pa.concat_tables(
            [_as_files(own_rows.table, mixed_columns), _as_files(other_rows.table, mixed_columns)],
            promote_options="permissive",
        )
        return replace(own_rows, table=table, bad=self.bad | other.bad)

    def with_origin(self) -> Dataset:
        """The same rows with columns of lineage; without them all rows are real."""
        if ORIGIN_COLUMN in self.table.column_names:
            return self
        n = len(self)
        table = self.table.append_column(ORIGIN_COLUMN, texts(["real"] * n)).append_column(
            LINEAGE_COLUMN, texts([""] * n)
        )
        return replace(self, table=table)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the column names and of every value (paths, not the files' contents)."""
        return fingerprint_of_columns({n: _Parts(self.table[n]) for n in self.column_names})


@dataclass(frozen=True)
class _Parts:
    """The plain values of a column, a part of the rows at a time."""

    column: pa.ChunkedArray

    def __iter__(self) -> Iterator[list[Any]]:
        rows = len(self.column)
        at_once = max(1, PART * rows // max(PART, self.column.nbytes))
        for start in range(0, rows, at_once):
            yield [_plain(v) for v in self.column.slice(start, at_once).to_pylist()]


def ordered(name: str, kind: pa.DataType, levels: Sequence[Any]) -> pa.Field:
    """A column of this type whose values have this order, the lowest first."""
    return pa.field(name, kind, metadata={LEVELS: json.dumps([named(v) for v in levels])})


def declared(name: str, kind: pa.DataType, what: str) -> pa.Field:
    """A column of this type with this kind or role, which a user may overrule."""
    return pa.field(name, kind, metadata={DECLARED: what})


def derived_rows(
    parents: Dataset,
    replaced: Mapping[str, Sequence[Any]],
    ids: Sequence[str],
    origin: str,
    lineage: Sequence[Mapping[str, Any]],
) -> Dataset:
    """New rows with the cells of `parents`, row by row, except the `replaced` columns.

    No other function makes rows that are not real. replaced: {column: values [N]}. ids: [N].
    origin: view or generated. lineage: a record a row, [N].
    """
    if origin not in ORIGINS or origin == "real":
        raise ValueError(f"derived_rows: origin {origin!r} is not one of {ORIGINS[1:]}")
    table = parents.with_ids().with_origin().table
    for name, column in {
        **replaced,
        "gobelin_id": list(ids),
        ORIGIN_COLUMN: [origin] * len(ids),
        LINEAGE_COLUMN: [
            json.dumps(dict(record), sort_keys=True, default=str) for record in lineage
        ],
    }.items():
        position = table.column_names.index(name)
        table = table.set_column(position, name, pa.array(list(column)))
    bad_columns: dict[str, list[str]] = {}
    for row, column_name in parents.bad:
        bad_columns.setdefault(row, []).append(column_name)
    bad = frozenset(
        (new, c)
        for new, old in zip(ids, parents.ids, strict=True)
        for c in bad_columns.get(old, ())
        if c not in replaced
    )
    return replace(parents, table=table, bad=bad)


def _holds_lineage(table: pa.Table) -> np.ndarray:
    """bool [N]: the rows that have the lineage of a generated row in any text column."""
    marked = np.zeros(table.num_rows, bool)
    for name in table.column_names:
        column = table[name]
        if name not in (ORIGIN_COLUMN, LINEAGE_COLUMN, CURATED_COLUMN) and (
            pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ):
            rows = np.ones(table.num_rows, bool)
            for key in LINEAGE_KEYS:
                if rows.any():
                    found = np.zeros(table.num_rows, bool)
                    found[true_places(pc.match_substring(column, key))] = True
                    rows &= found
            marked |= rows
    return marked


def is_file_type(kind: pa.DataType | None) -> bool:
    """Whether cells of this type are files, as bytes or as paths."""
    return kind in (FILE_TYPE, WIDE_FILE_TYPE)


def _file_kind(kind: pa.DataType) -> str:
    """How a column of this type can hold files: as 'path', 'bytes' or 'both'; '' = not at all."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "path"
    return (
        "both"
        if is_file_type(kind)
        else "bytes"
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        else ""
    )


def _as_files(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with these columns as {bytes, path}. If columns of paths and of bytes were joined,
    Arrow would turn the paths into bytes.
    """
    for name in names:
        column, kind = table[name].combine_chunks(), _file_kind(table[name].type)
        if kind != "both":
            arrays = {
                "bytes": pa.nulls(len(column), pa.binary()),
                "path": pa.nulls(len(column), pa.string()),
            }
            arrays[kind] = column
            table = table.set_column(
                table.column_names.index(name),
                name,
                pa.StructArray.from_arrays(arrays.values(), names=list(arrays)),
            )
    return table


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell is any
    """None for an empty cell; a list without its empty items."""
    value = [v for v in value if not _empty(v)] if isinstance(value, list) else value
    return None if _empty(value) else value


def _file(value: Any) -> Any:  # noqa: ANN401
    """The bytes or else the path of a {bytes, path}, or of each in a list; None for None."""
    if isinstance(value, list):
        return [_file(v) for v in value]
    return value and (value["path"] if value["bytes"] is None else value["bytes"])


def _is_numeric_list(kind: pa.DataType) -> bool:
    """Whether the column holds lists of numbers, or lists of such lists."""
    if not (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        return False
    inside = kind.value_type
    return (
        pa.types.is_integer(inside)
        or pa.types.is_floating(inside)
        or pa.types.is_decimal(inside)
        or _is_numeric_list(inside)
    )


def _numbers_or_none(value: Any) -> Any:  # noqa: ANN401
    """A list of numbers, or of lists of them, unchanged; None where it holds no number at all."""
    return value if _has_value(value) else None


def _has_value(value: Any) -> bool:  # noqa: ANN401
    return any(_has_value(v) for v in value) if isinstance(value, list) else not _empty(value)


def _empty(value: Any) -> bool:  # noqa: ANN401 - a cell is any
    if value is None or (isinstance(value, float) and value != value):
        return True
    return isinstance(value, str | bytes | list) and not (
        value.strip() if isinstance(value, str | bytes) else value
    )


def _plain(value: Any) -> Any:  # noqa: ANN401
    return fingerprint(value) if isinstance(value, bytes) else value
