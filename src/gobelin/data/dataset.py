"""Immutable rows over Arrow. A view (choose rows, add rows) copies no pixels: images and sounds
stay encoded.

Lineage is two columns of every data set: `gobelin_origin` (real, view, generated) and
`gobelin_lineage` (JSON: the generator, its weights' hash, the seed, the condition, the parents).
See `lineage` and `generated_rows`.

Rows that `curate` has mended are real all the same: `gobelin_curated` says what was changed (JSON),
`gobelin_weight` and `gobelin_split` are columns with these roles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.data.fields import Cell, Field

ORIGIN, LINEAGE = "gobelin_origin", "gobelin_lineage"
CURATED, WEIGHT, SPLIT = "gobelin_curated", "gobelin_weight", "gobelin_split"
ORIGINS = ("real", "view", "generated")
TELLING = (
    '"generator":',
    '"weights":',
    '"seed":',
    '"parents":',
)  # in the lineage of every generated row
FILE = pa.struct(
    [("bytes", pa.binary()), ("path", pa.string())]
)  # a column with files of both sorts


@dataclass(frozen=True)
class Dataset:
    """Rows of an Arrow table.

    table: the columns; memory-mapped where the file allows. root: relative paths are looked up
    here, and no path may leave it. source: where it was read from, for messages. bad: cells set
    aside, {(row id, column)}: they count as missing."""

    table: pa.Table
    root: Path
    source: str = ""
    bad: frozenset[tuple[str, str]] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        names = self.table.column_names
        if len(set(names)) != len(names):
            twice = sorted({n for n in names if names.count(n) > 1})
            raise GobelinError(
                f"{self.source}: column {twice[0]!r} stands there twice. Rename one."
            )

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def column_names(self) -> list[str]:
        return [
            n for n in self.table.column_names if n not in (ORIGIN, LINEAGE, CURATED, "gobelin_id")
        ]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """One name a row: the id column where the reader or the schema set one, else the row number
        in the file, from 0."""
        if "gobelin_id" in self.table.column_names:
            return tuple(map(str, self.table["gobelin_id"].to_pylist()))
        return tuple(str(k) for k in range(len(self)))

    @cached_property
    def origins(self) -> np.ndarray:
        """str [N]: real, view (a real image changed by hand-written rules) or generated. A row with
        a lineage isn't real, whatever it says of itself and whatever the column is called."""
        said, told = (
            (
                [str(v or "") for v in self.table[c].to_pylist()]
                if c in self.table.column_names
                else [""] * len(self)
            )
            for c in (ORIGIN, LINEAGE)
        )
        hidden = _tells_lineage(self.table)
        return np.array(
            [
                o if o not in ("", "real") else "generated" if t or h else "real"
                for o, t, h in zip(said, told, hidden.tolist(), strict=True)
            ],
            dtype=str,
        )

    def values(self, column: str) -> list[Any]:
        """The column's values with None for an empty cell and for one that was set aside. A list
        comes without its empty items, but for a list of numbers: there every number has its place,
        and an empty one is a hole."""
        cell = _window if _of_numbers(self.table[column].type) else _cell
        out = [cell(v) for v in self.table[column].to_pylist()]
        if self.table[column].type == FILE:
            out = [
                None if v is None else _cell(v["path"] if v["bytes"] is None else v["bytes"])
                for v in out
            ]
        if any(c == column for _, c in self.bad):
            out = [
                None if (i, column) in self.bad else v for i, v in zip(self.ids, out, strict=True)
            ]
        return out

    def cells(self, which: Field) -> list[Cell | None]:
        """The field's cell of every row: its present columns, or None where the whole cell is
        missing."""
        columns = {c: self.values(c) for c in which.columns if c in self.table.column_names}
        out: list[Cell | None] = []
        for k in range(len(self)):
            cell = {c: v[k] for c, v in columns.items() if v[k] is not None}
            out.append(cell or None)
        return out

    def rows(self, index: Sequence[int] | np.ndarray) -> Dataset:
        """The rows in `index`, as a view. Every row keeps its id."""
        return replace(
            self.with_ids(),
            table=self.with_ids().table.take(pa.array(np.asarray(index, dtype=np.int64))),
        )

    def with_ids(self, column: str | None = None) -> Dataset:
        """The same rows with their ids written down, so that they survive a choice of rows."""
        if "gobelin_id" in self.table.column_names and column is None:
            return self
        if column and (
            empty := [k for k, v in enumerate(self.table[column].to_pylist()) if _empty(v)]
        ):
            raise GobelinError(
                f"{self.source}, column {column!r}: row {empty[0]} has no id. Fill it in."
            )
        ids = [str(v) for v in self.table[column].to_pylist()] if column else list(self.ids)
        if len(set(ids)) != len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise GobelinError(
                f"{self.source}, column {column!r}: the id {twice!r} stands there twice. Ids must"
                " differ."
            )
        table = (
            self.table.drop_columns(["gobelin_id"])
            if "gobelin_id" in self.table.column_names
            else self.table
        )
        return replace(self, table=table.append_column("gobelin_id", pa.array(ids)))

    def set_aside(self, bad: Sequence[tuple[str, str]]) -> Dataset:
        """The same rows with these (id, column) cells counted as missing."""
        return replace(self, bad=self.bad | frozenset(bad))

    def join(self, other: Dataset) -> Dataset:
        """Rows of self, then rows of other. Columns that one side lacks are missing there."""
        mine, theirs = self.with_ids().with_origin(), other.with_ids().with_origin()
        sorts = {
            n: {_sort(mine.table[n].type), _sort(theirs.table[n].type)}
            for n in other.table.column_names
            if n in self.table.column_names
        }
        mixed = [n for n, s in sorts.items() if len(s) == 2 and "" not in s]
        table = pa.concat_tables(
            [_as_files(mine.table, mixed), _as_files(theirs.table, mixed)],
            promote_options="permissive",
        )
        return replace(mine, table=table, bad=self.bad | other.bad)

    def with_origin(self) -> Dataset:
        if ORIGIN in self.table.column_names:
            return self
        n = len(self)
        table = self.table.append_column(ORIGIN, pa.array(["real"] * n)).append_column(
            LINEAGE, pa.array([""] * n)
        )
        return replace(self, table=table)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the column names and of every value (paths, not the files' contents)."""
        columns = {
            name: [_plain(v) for v in self.table[name].to_pylist()]
            for name in sorted(self.column_names)
        }
        return fingerprint(columns)


def made_rows(
    parents: Dataset,
    replaced: Mapping[str, Sequence[Any]],
    ids: Sequence[str],
    origin: str,
    lineage: Sequence[Mapping[str, Any]],
) -> Dataset:
    """New rows that take their cells from `parents`, row by row, but for the `replaced` columns.

    This is the only way to make a row that is not real; each carries where it came from.
    """
    if origin not in ORIGINS or origin == "real":
        raise ValueError(f"made_rows: origin {origin!r} is not one of {ORIGINS[1:]}")
    table = parents.with_ids().with_origin().table
    for name, column in {
        **replaced,
        "gobelin_id": list(ids),
        ORIGIN: [origin] * len(ids),
        LINEAGE: [json.dumps(dict(one), sort_keys=True, default=str) for one in lineage],
    }.items():
        where = table.column_names.index(name)
        table = table.set_column(where, name, pa.array(list(column)))
    bad = frozenset(
        (new, c)
        for new, old in zip(ids, parents.ids, strict=True)
        for i, c in parents.bad
        if i == old and c not in replaced
    )
    return replace(parents, table=table, bad=bad)


def _tells_lineage(table: pa.Table) -> np.ndarray:
    """bool [N]: the rows of which a column of words, whatever its name, holds the lineage of a
    generated row."""
    found = np.zeros(table.num_rows, bool)
    for name in table.column_names:
        column = table[name]
        if name not in (ORIGIN, LINEAGE, CURATED) and (
            pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ):
            here = np.ones(table.num_rows, bool)
            for word in TELLING:
                if here.any():
                    here &= (
                        pc.match_substring(column, word)
                        .fill_null(False)
                        .to_numpy(zero_copy_only=False)
                    )
            found |= here
    return found


def _sort(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "path"
    return (
        "both"
        if kind == FILE
        else "bytes"
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        else ""
    )


def _as_files(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """These columns as {bytes, path}: joined as they are, Arrow would make bytes of the paths."""
    for name in names:
        column, sort = table[name].combine_chunks(), _sort(table[name].type)
        if sort != "both":
            given = {
                "bytes": pa.nulls(len(column), pa.binary()),
                "path": pa.nulls(len(column), pa.string()),
            }
            given[sort] = column.cast(FILE.field(sort).type)
            table = table.set_column(
                table.column_names.index(name),
                name,
                pa.StructArray.from_arrays(given.values(), fields=list(FILE)),
            )
    return table


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell is any
    """None for an empty cell; a list without its empty items."""
    value = [v for v in value if not _empty(v)] if isinstance(value, list) else value
    return None if _empty(value) else value


def _of_numbers(kind: pa.DataType) -> bool:
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
        or _of_numbers(inside)
    )


def _window(value: Any) -> Any:  # noqa: ANN401
    """A list of numbers, or of lists of them, as it is; None where there is not one number in
    it."""
    return value if _known(value) else None


def _known(value: Any) -> bool:  # noqa: ANN401
    return any(_known(v) for v in value) if isinstance(value, list) else not _empty(value)


def _empty(value: Any) -> bool:  # noqa: ANN401 - a cell is any
    if value is None or (isinstance(value, float) and value != value):
        return True
    return isinstance(value, str | bytes | list) and not (
        value.strip() if isinstance(value, str | bytes) else value
    )


def _plain(value: Any) -> Any:  # noqa: ANN401
    return fingerprint(value) if isinstance(value, bytes) else value
