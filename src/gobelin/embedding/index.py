"""The kept table that search reads: a Lance data set in the run folder, vectors beside the columns
that a filter may name.

Up to `EXACT` rows every row is compared, so the answer is that of a matrix product; above it the
table has an index, and the found rows are compared again with their exact vectors. Which index, and
why: `_index`.

The files of a Lance table never change: a change writes new ones and then a new version, so that
killed in the middle the older version stands. `files.json` holds their hashes; it is written last,
and a file that it doesn't list yet is left to Lance's own checks. A deleted row is found no more,
but its bytes may stay in a file until a tenth of that file is deleted.

What it can't show: how good the vectors are (`search` measures that), or the very nearest rows of a
large table always."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gobelin.core.errors import GobelinError
from gobelin.core.files import file_hash, read_json, write_json
from gobelin.data.dataset import FILE_TYPE, ORIGIN_COLUMN, Dataset
from gobelin.data.fields import NO_NUMBER, Schema

if TYPE_CHECKING:
    from gobelin.embedding.alignment.align import Shared

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program says otherwise
ID, ROW, SPLIT, VECTOR = "gobelin_id", "gobelin_row", "gobelin_split", "gobelin_vector"
OWN = {
    "_rowid",
    "_rowaddr",
    "_distance",
    "_score",
    "_relevance_score",
}  # names that Lance keeps for itself
EXACT = 20_000  # rows that are all compared, with no index
ADDED = "added"  # the split of a row that came later: in no training, validation or test
PROBES, REFINED = (
    40,
    5,
    # partitions that are looked through; found rows that are compared exactly, for each one asked
    # for
)
FEW = 100  # rows asked for that so many partitions surely hold
FORMAT = 1  # of the table; another one is another stage
SUFFIXES = (
    ".lance",
    ".manifest",
    ".txn",
    ".idx",
    ".arrow",
    ".json",
)  # of a table's files; none holds code
TABLE, FILES, SPACE = "rows", "files.json", b"gobelin_space"


@dataclass(frozen=True)
class Hit:
    """A found row: its number in the table, its id, the cosine in [-1, 1]."""

    row: int
    id: str
    score: float


def rows_of(
    shared: Shared,
    dataset: Dataset | None = None,
    schema: Schema | None = None,
    splits: Sequence[str] = (),
) -> pa.Table:
    """N rows for a table: ids and pooled vectors; with a data set its origins, and every column of
    text, numbers or dates."""
    vectors = _padded(shared.pooled())
    columns: dict[str, pa.Array] = {
        ID: pa.array(shared.ids, pa.string()),
        ROW: pa.array(np.arange(len(shared))),
        VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    }
    if dataset is not None and schema is not None:
        columns |= {
            SPLIT: pa.array(splits, pa.string()),
            ORIGIN_COLUMN: pa.array(dataset.origins.tolist(), pa.string()),
        }
        for column in schema.columns:
            if column.name in dataset.column_names and (name := _name(column.name)) not in {
                *columns,
                *OWN,
            }:
                values = _plain(dataset, column.name, column.kind)
                columns |= {name: values} if values is not None else {}
    return pa.table(columns)


def _padded(vectors: np.ndarray) -> np.ndarray:
    """float32 [..., D + up to 7]: zeros to a multiple of eight, as the index wants it; they change
    no product."""
    more = -vectors.shape[-1] % 8
    return np.pad(vectors.astype(np.float32), [(0, 0)] * (vectors.ndim - 1) + [(0, more)])


def _name(column: str) -> str:
    """As Lance allows it: no dots."""
    return column.replace(".", "_")


def _plain(dataset: Dataset, column: str, kind: str) -> pa.Array | None:
    """The column's values; None for files, lists and records. Numbers that stand there as text
    become numbers."""
    sort = dataset.table[column].type
    sort = sort.value_type if pa.types.is_dictionary(sort) else sort
    if (
        sort == FILE_TYPE
        or pa.types.is_nested(sort)
        or pa.types.is_null(sort)
        or "binary" in str(sort)
    ):
        return None
    values = dataset.values(column)
    if kind == "number" and not (pa.types.is_integer(sort) or pa.types.is_floating(sort)):
        return pa.array([_number(v) for v in values], pa.float64())
    return pa.array(values, sort)


def _number(value: object) -> float | None:
    try:
        number = float(str(value)) if str(value).strip().lower() not in NO_NUMBER else None
    except ValueError:
        return None
    return number if number is not None and np.isfinite(number) else None


def create(folder: Path, rows: pa.Table, space: str) -> None:
    """Write a table of these rows (see `rows_of`) into a new folder. space: the one that the
    vectors lie in."""
    import lancedb

    table = lancedb.connect(str(folder)).create_table(
        TABLE, rows.replace_schema_metadata({SPACE: space.encode()})
    )
    _settle(table)
    _list_files(folder)


def tell_lost(folder: Path, rows: int) -> None:
    """A line on what `Index.change` did to a table that is about to be made anew from `rows` rows
    of data, if it did anything: vectors of another space can't be kept, and the cells of added rows
    aren't there."""
    import lancedb

    try:
        table = lancedb.connect(str(folder)).open_table(TABLE)
        added = table.count_rows(f"{SPLIT} = '{ADDED}'")
        deleted = rows + added - table.count_rows()
    except (OSError, ValueError, RuntimeError):  # no table, or a damaged one
        return
    if added or deleted:
        LOG.warning(
            "%s: the run was fitted anew, so search starts with the data's rows: %d that were added"
            " are gone, %d that were deleted are back. Add and delete them again with gobelin"
            " index.",
            folder.parent,
            added,
            deleted,
        )


class Index:
    """An opened table."""

    def __init__(self, folder: Path, space: str) -> None:
        """space: that of the vectors that will be asked for. Errors for a damaged table, and for
        one of another space."""
        import lancedb

        self.folder, self.space = folder, space
        _check_files(folder)
        try:
            self.table: Any = lancedb.connect(str(folder)).open_table(TABLE)
            self.columns: pa.Schema = self.table.schema
        except (OSError, ValueError, RuntimeError) as error:
            raise _damaged(folder, error) from error
        if (self.columns.metadata or {}).get(SPACE, b"").decode() != space:
            raise GobelinError(
                f"{folder}: the query comes from another space than this index. Use one run for"
                " both."
            )

    def __len__(self) -> int:
        return int(self.table.count_rows())

    @property
    def known(self) -> list[str]:
        """The columns that a filter may name."""
        return [name for name in self.columns.names if name != VECTOR]

    def nearest(self, query: np.ndarray, k: int, where: str = "") -> list[Hit]:
        """The k rows of the largest cosine with a query [D] of unit length, best first, equal ones
        in the order of the rows.

        where: a filter, as SQL writes it after WHERE: weight > 100 AND category = 'tool'. Fewer
        rows: all that there are."""
        if k < 1:
            return []
        self._check_filter(where)
        asked = (
            self.table.search(_padded(query), vector_column_name=VECTOR)
            .distance_type("dot")
            .limit(k)
        )
        asked = asked.select([ID, ROW, "_distance"])
        try:
            if where:
                asked = asked.where(where)
            if where and self.table.count_rows(where) <= EXACT:
                asked = asked.bypass_vector_index()
            else:
                most = (
                    0 if where or k > FEW else PROBES
                )  # 0: on until k are found, which costs three times the time
                asked = asked.minimum_nprobes(PROBES).maximum_nprobes(most).refine_factor(REFINED)
            found = asked.to_arrow()
        except (ValueError, RuntimeError, OSError) as error:
            if where and isinstance(error, ValueError):
                raise self._bad_filter(where, str(error)) from error
            raise _damaged(self.folder, error) from error
        hits = [
            Hit(r, i, 1.0 - d)
            for i, r, d in zip(*(found[c].to_pylist() for c in (ID, ROW, "_distance")), strict=True)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.row))

    def change(self, added: pa.Table | None, deleted: Sequence[str]) -> None:
        """Delete the rows with these ids, then append rows (see `rows_of`); columns that the table
        lacks are left out.

        Nothing is changed where an id to delete isn't there, or an added one would stand there
        twice. Each of the two is one new version: killed between them, the first one stands."""
        ids = [] if added is None else added[ID].to_pylist()
        there = self._holding([*ids, *deleted])
        if missing := next((i for i in deleted if i not in there), None):
            raise GobelinError(
                f"index: has no row {missing!r} to delete. Give an id that search finds."
            )
        if twice := next((i for i in ids if i in there and i not in deleted), None):
            raise GobelinError(
                f"index: has a row {twice!r} already. Give the added one another id, or delete that"
                " first."
            )
        rows = None if added is None else self._like(added)
        if deleted:
            self.table.delete(f"{ID} IN ({_quoted(deleted)})")
        if rows is not None:
            self.table.add(rows)
        _settle(self.table)
        self.table.checkout_latest()
        _list_files(self.folder)

    def _like(self, rows: pa.Table) -> pa.Table:
        """The rows as rows of this table, numbered from its last one."""
        last = max(self.table.search().select([ROW]).to_arrow()[ROW].to_pylist(), default=-1)
        columns = {}
        for field in self.columns:
            if field.name == ROW:
                columns[ROW] = pa.array(np.arange(last + 1, last + 1 + len(rows)))
            elif field.name in rows.column_names:
                columns[field.name] = _cast(rows[field.name], field)
            else:
                columns[field.name] = pa.nulls(len(rows), field.type)
        return pa.table(columns, schema=self.columns)

    def copy(self, folder: Path) -> None:
        """The ids and vectors of this table, and nothing else of its rows, as a table in a new
        folder."""
        create(folder, self.table.search().select([ID, ROW, VECTOR]).to_arrow(), self.space)

    def _holding(self, ids: Sequence[str]) -> set[str]:
        return set(self._rows(ids, [ID])[ID].to_pylist())

    def _rows(self, ids: Sequence[str], columns: Sequence[str]) -> pa.Table:
        return (
            self.table.search()
            .where(f"{ID} IN ({_quoted(ids) or 'NULL'})")
            .select(list(columns))
            .to_arrow()
        )

    def said(self, ids: Sequence[str], columns: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """{id: what the row has in those of these columns that the table has}."""
        names = [n for c in columns if (n := _name(c)) in self.known]
        found = self._rows(ids, [ID, *names])
        return {row[ID]: tuple(row[n] for n in names) for row in found.to_pylist()}

    def _check_filter(self, where: str) -> None:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "", where)
        if where and (not where.strip() or ";" in bare):
            raise self._bad_filter(where, "one condition was expected")

    def _bad_filter(self, where: str, why: str) -> GobelinError:
        noise = (
            r"^Invalid input, |Schema error: |SELECT 1 FROM t WHERE |Did you mean .*|Valid fields"
            r" are .*|, /\S+:\d+:\d+$"
        )
        why = re.sub(noise, "", why)
        why = " ".join(why.split())[:200].rstrip(". ")
        return GobelinError(f"--where {where!r}: {why}. Known columns: {', '.join(self.known)}.")


def _settle(table: Any) -> None:  # noqa: ANN401 - a lancedb.table.Table
    """An index for a table that became large; else small files joined, new rows in the index, files
    of old versions removed."""
    if table.count_rows() > EXACT and not table.list_indices():
        table.create_index(VECTOR, config=_index(table.count_rows()))
    else:
        table.optimize(
            cleanup_older_than=timedelta(minutes=10)
        )  # who reads an older version can end


def _index(count: int) -> Any:  # noqa: ANN401 - a lancedb.index.IvfRq
    """Partitions by k-means, in them codes by RaBitQ (Gao & Long 2024; of 3 bits: Gao et al. 2025),
    the best compared again.

    Chosen by `benchmarks/search.py`: no codebook is trained, so it is made in a tenth of the time
    that product quantisation takes, and it keeps its recall on vectors without any structure, where
    1 bit and product quantisation lose theirs."""
    from lancedb.index import IvfRq

    return IvfRq(distance_type="dot", num_partitions=round(count**0.5), num_bits=3)


def _cast(values: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    try:
        return values.combine_chunks().cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise GobelinError(
            f"index, column {field.name!r}: {error}. {field.type} was expected: mend it."
        ) from error


def _quoted(ids: Sequence[str]) -> str:
    """The ids as a list of SQL texts."""
    return ", ".join("'" + i.replace("'", "''") + "'" for i in ids)


def _damaged(folder: Path, why: object) -> GobelinError:
    why = " ".join(str(why).split())[:120]
    return GobelinError(
        f"{folder}: is damaged ({why}). Delete it and search again: it is made anew from the run's"
        " data."
    )


def _list_files(folder: Path) -> None:
    """Write down size and hash of every file that never changes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json")
    write_json(
        folder / FILES,
        {p.relative_to(folder).as_posix(): [p.stat().st_size, file_hash(p)] for p in files},
    )


def _check_files(folder: Path) -> None:
    try:
        listed = {
            folder / name: (int(size), str(digest))
            for name, (size, digest) in read_json(folder / FILES).items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(folder, error) from error
    for path, (size, digest) in listed.items():
        if path.is_file() and (path.stat().st_size != size or file_hash(path) != digest):
            raise _damaged(folder, f"{path.relative_to(folder)} was changed or cut short")
