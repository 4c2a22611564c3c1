"""The search index: a Lance table in the run folder, with vectors beside the columns that a filter
may name.

Up to `MOST_PRODUCT_ROWS` rows every row is compared, so the answer is that of a matrix product. A
larger table has an approximate index (`_approximate_index`), and the candidates are compared again
with their exact vectors; but where a filter leaves `MOST_EXACT_ROWS` rows or fewer.

The files of a Lance table never change: a change writes new files and then a new version. A process
that is killed in the middle leaves the older version intact. `files.json` holds hashes of the files
and is written last; a file that it doesn't list yet is left to Lance's own checks. Search no longer
finds a deleted row, but its bytes may stay in a file until a tenth of that file is deleted.

What it can't show: how good the vectors are (`search` measures that). In a large table it may miss
one of the nearest rows.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gobelin.core.errors import GobelinError, some
from gobelin.core.files import fingerprint, made_anew, read_json, write_json
from gobelin.core.printable import counted
from gobelin.data.dataset import SPLIT_COLUMN
from gobelin.embedding.search.index_rows import (
    FIELD_VECTORS,
    ID,
    ROW,
    UNASKED,
    VECTOR,
    Hit,
    is_list_of_texts,
    padded,
)
from gobelin.embedding.search.row_filter import bad_filter, column_name, sql_of
from gobelin.embedding.search.table_files import FILE_HASHES as FILE_HASHES
from gobelin.embedding.search.table_files import check_files, damaged, list_files, refuse_outside

log = logging.getLogger(__name__)  # its warnings go to stderr unless a program says otherwise

TABLE = "rows"  # name of the Lance table
AS_FITTED = "fitted.json"  # is there while the rows are those of the data, nothing added or deleted
BEGUN = "change.json"  # the change that is being made, while it is being made
SPACE_KEY = b"gobelin_space"  # where the table's metadata name the space of its vectors
INDEX_FORMAT = 1  # of the table; it is a part of the stage's key
INDEX_SUFFIXES = (
    ".lance",
    ".manifest",
    ".txn",
    ".idx",
    ".arrow",
    ".json",
    ".safetensors",
)  # none holds code
ADDED = "added"  # the split of a row that was added later: not in training, validation or test

# Up to so many rows search itself compares all with a query (gigabytes of vectors), and an index
# would be built for nothing.
MOST_PRODUCT_ROWS = 500_000
MOST_EXACT_ROWS = 20_000  # up to so many rows that a filter leaves, the index is not asked
# Partitions that a search reads, and exact comparisons for each row that it returns: so chosen by
# `benchmarks/search.py`.
SEARCHED_PARTITIONS = 40
COMPARED_EXACTLY = 5
FEW_HITS = 100  # so many hits, without a filter, those partitions surely hold


def create(folder: Path, rows: pa.Table, space: str) -> None:
    """Write a table of these rows (see `rows_of`) into a new folder. space: fingerprint of the
    vectors' space."""
    rows = rows.drop_columns([f.name for f in rows.schema if is_list_of_texts(f.type)])
    table = _connected(folder).create_table(
        TABLE, rows.replace_schema_metadata({SPACE_KEY: space.encode()})
    )
    _settle(table)
    list_files(folder)


def _connected(folder: Path) -> Any:  # noqa: ANN401 - a lancedb.DBConnection
    """The folder as a database of tables. GobelinError for a name that the engine can't read, and
    for a table that refers to files outside of the folder; ValueError for a damaged one."""
    import lancedb

    name = str(folder.absolute())
    if re.search("[\x00-\x1f\x7f\ud800-\udfff]", name):
        raise GobelinError(
            f"{folder}: search can't keep an index below a folder whose name holds a control"
            " character or isn't UTF-8. Rename the folder."
        )
    refuse_outside(folder)
    return lancedb.connect(str(folder))


def _opened(folder: Path) -> Any:  # noqa: ANN401 - a lancedb.table.Table
    """The stored table. Raises as `_connected`, and GobelinError where its schema holds metadata
    that Gobelin doesn't write: LanceDB makes the functions that are named there (its key
    embedding_functions), which load models and their code, when rows are added."""
    table = _connected(folder).open_table(TABLE)
    schema: pa.Schema = table.schema
    keys = {*(schema.metadata or {})} - {SPACE_KEY}
    keys.update(key for field in schema for key in field.metadata or {})
    if keys:
        names = some(sorted(key.decode("utf-8", "replace")[:80] for key in keys))
        raise GobelinError(
            f"{folder}: holds metadata that no index has ({names})."
            f" {made_anew(folder, 'gobelin search')}"
        )
    return table


def warn_of_lost_changes(folder: Path, rows: int) -> None:
    """Log a warning where the table in `folder`, which is about to be written again from the `rows`
    rows of the data, has rows that were added or deleted by `Index.change`. Those changes are lost:
    vectors of another space can't be used, and the run does not hold the cells of added rows."""
    try:
        table = _opened(folder)
        added = table.count_rows(f"{SPLIT_COLUMN} = '{ADDED}'")
        deleted = rows + added - table.count_rows()
    except (OSError, ValueError, RuntimeError, GobelinError):  # no table, or a damaged one
        return
    if added or deleted:
        log.warning(
            "%s: the run was fitted anew, so search starts with the data's rows: %d that were added"
            " are gone, %d that were deleted are back. Add and delete them again with gobelin"
            " index.",
            folder.parent,
            added,
            deleted,
        )


class Index:
    """An opened table of N rows."""

    def __init__(self, folder: Path, space: str) -> None:
        """space: fingerprint of the space of later queries. Raises GobelinError for a damaged
        table, and for one of another space."""
        self.folder, self.space = folder, space
        try:
            check_files(folder)
            self.table: Any = _opened(folder)
            self.columns: pa.Schema = self.table.schema
        except (OSError, ValueError, RuntimeError) as error:
            raise damaged(folder, error) from error
        if (self.columns.metadata or {}).get(SPACE_KEY, b"").decode() != space:
            raise GobelinError(
                f"{folder}: the query comes from another space than this index. Use one run for"
                " both."
            )

    def __len__(self) -> int:
        return int(self.table.count_rows())

    @property
    def known(self) -> list[str]:
        """The columns that a filter may name."""
        return [name for name in self.columns.names if name not in UNASKED]

    def nearest(self, query: np.ndarray, k: int, where: str = "") -> list[Hit]:
        """The k rows with the largest cosine, best first, equal ones in the order of the rows; all
        rows where there are fewer.

        query: [D], of unit length. where: a filter (see `row_filter`), weight > 100 AND category =
        'tool'. Raises GobelinError for a bad filter and a damaged table."""
        if k < 1:
            return []
        known = pa.schema([self.columns.field(name) for name in self.known])
        kept = sql_of(where, known) if where else ""
        search = self.table.search(padded(query), vector_column_name=VECTOR)
        search = search.distance_type("dot").limit(k).select([ID, ROW, "_distance"])
        try:
            if kept:
                search = search.where(kept)
            if kept and self.table.count_rows(kept) <= MOST_EXACT_ROWS:
                search = search.bypass_vector_index()
            else:
                # 0: no limit, until k rows are found, which takes three times as long
                most = 0 if kept or k > FEW_HITS else SEARCHED_PARTITIONS
                search = search.minimum_nprobes(SEARCHED_PARTITIONS).maximum_nprobes(most)
                search = search.refine_factor(COMPARED_EXACTLY)
            rows = search.to_arrow().to_pylist()
        except (ValueError, RuntimeError, OSError) as error:
            if kept:
                self.nearest(query, k)  # raises where the table is damaged
                why = f"can't be computed ({' '.join(str(error).split())[:120]})"
                raise bad_filter(where, why, known) from error
            raise damaged(self.folder, error) from error
        hits = [Hit(row[ROW], row[ID], 1.0 - row["_distance"]) for row in rows]
        return sorted(hits, key=lambda hit: (-hit.score, hit.row))

    def change(self, added: pa.Table | None, deleted: Sequence[str]) -> None:
        """Delete the rows with these ids, then append rows (see `rows_of`). Columns that the table
        lacks are left out.

        The change is one new version of the table. If the process is killed, the same call again
        finishes it. Rows that were added before, the same in all columns, are left as they are, and
        rows that are not there any more are not deleted; a warning counts both. Raises
        GobelinError, and changes nothing, where the table has another row of an id to add."""
        if added is None and not deleted:
            return
        begun = self.folder / BEGUN
        key = fingerprint(list(deleted), [] if added is None else repr(added.to_pylist()))
        if not (begun.is_file() and self._committed(read_json(begun), key)):
            added, deleted = self._without_present(added, deleted), self._present(deleted)
            ids = [] if added is None else added[ID].to_pylist()
            if not (ids or deleted):
                return
            self._refuse_twice(ids, deleted)
            write_json(begun, {"key": key, "version": self.table.version})
            self._commit(None if added is None else self._like(added), deleted)
        _settle(self.table)
        self.table.checkout_latest()
        list_files(self.folder)
        begun.unlink()

    def _without_present(self, added: pa.Table | None, deleted: Sequence[str]) -> pa.Table | None:
        """The rows without those that were added before, the same in all columns. A row that was
        fitted is another one."""
        if added is None:
            return None
        ids = [i for i in added[ID].to_pylist() if i not in set(deleted)]
        present = self._rows(ids, [n for n in self.columns.names if n != ROW])
        known = {row[ID]: repr(row) for row in present.to_pylist()}
        if not known:
            return added
        asked = self._like(added).drop_columns([ROW]).to_pylist()
        new = [known.get(row[ID]) != repr(row) for row in asked]
        if gone := new.count(False):
            log.warning(
                "%s: %s there already.", self.folder.parent, counted(gone, "row is", "rows are")
            )
        return added.filter(pa.array(new))

    def _committed(self, record: Any, key: str) -> bool:  # noqa: ANN401 - JSON is any
        """Whether a killed process already made the change of this key. record: what it wrote
        before. Whoever changes the table holds the run's lock."""
        same = isinstance(record, dict) and record.get("key") == key
        return same and bool(self.table.version != record.get("version"))

    def _commit(self, rows: pa.Table | None, deleted: Sequence[str]) -> None:
        gone = f"{ID} IN ({_quoted(deleted)})"
        if rows is None:
            self.table.delete(gone)
        elif not deleted:
            self.table.add(rows)
        else:
            merge = self.table.merge_insert(ID).when_matched_update_all()
            merge = merge.when_not_matched_insert_all()
            merge.when_not_matched_by_source_delete(gone).execute(rows)

    def _present(self, deleted: Sequence[str]) -> list[str]:
        """Of the ids those that are there, each once."""
        known = set(self._rows(deleted, [ID])[ID].to_pylist())
        asked = list(dict.fromkeys(deleted))
        if gone := [i for i in asked if i not in known]:
            log.warning(
                "%s: %s not there: %s. Nothing was deleted for %s.",
                self.folder.parent,
                counted(len(gone), "row is", "rows are"),
                some(gone),
                "it" if len(gone) == 1 else "them",
            )
        return [i for i in asked if i in known]

    def _refuse_twice(self, ids: Sequence[str], deleted: Sequence[str]) -> None:
        known = set(self._rows(ids, [ID])[ID].to_pylist())
        if twice := next((i for i in ids if i in known and i not in deleted), None):
            raise GobelinError(
                f"index: has a row {twice!r} already. Give the added row another id, or delete the"
                " first one."
            )

    def _like(self, rows: pa.Table) -> pa.Table:
        """The rows with the columns of this table, numbered from its last row on."""
        last = max(self.table.search().select([ROW]).to_arrow()[ROW].to_pylist(), default=-1)
        columns, held = {}, set(rows.column_names)
        for field in self.columns:
            if field.name == ROW:
                columns[ROW] = pa.array(np.arange(last + 1, last + 1 + len(rows)))
            elif field.name in held:
                columns[field.name] = _cast(rows[field.name], field)
            else:
                columns[field.name] = pa.nulls(len(rows), field.type)
        return pa.table(columns, schema=self.columns)

    def copy(self, folder: Path) -> None:
        """Write the ids and vectors of this table, and no other column, as a table in a new
        folder."""
        create(folder, self.table.search().select([ID, ROW, VECTOR]).to_arrow(), self.space)

    def numbers(self, where: str = "") -> np.ndarray:
        """int64 [n]: the numbers of all rows, or of those that pass a filter (see `row_filter`).
        Raises GobelinError for a bad filter."""
        known = pa.schema([self.columns.field(name) for name in self.known])
        kept = sql_of(where, known) if where else ""
        search = self.table.search().select([ROW])
        try:
            found = (search.where(kept) if kept else search).to_arrow()
        except (ValueError, RuntimeError, OSError) as error:
            if not kept:
                raise damaged(self.folder, error) from error
            self.numbers()  # raises where the table is damaged
            why = f"can't be computed ({' '.join(str(error).split())[:120]})"
            raise bad_filter(where, why, known) from error
        return np.sort(np.asarray(found[ROW].to_numpy(), np.int64))

    @property
    def holds_fields(self) -> bool:
        """Whether added rows have a vector for each of their fields; those of an earlier version
        have one vector."""
        return FIELD_VECTORS in self.columns.names

    def added(self) -> pa.Table:
        """The rows that were added, with all their columns, in their order."""
        where = f"{FIELD_VECTORS} IS NOT NULL"
        return self.table.search().where(where).to_arrow().sort_by(ROW)

    def _rows(self, ids: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """These columns of the rows with these ids."""
        return (
            self.table.search()
            .where(f"{ID} IN ({_quoted(ids) or 'NULL'})")
            .select(list(columns))
            .to_arrow()
        )

    def values(self, ids: Sequence[str], columns: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """{id: the row's values in these columns}; columns that the table lacks are left out."""
        names = [n for c in columns if (n := column_name(c)) in self.known]
        rows = self._rows(ids, [ID, *names]).to_pylist()
        return {row[ID]: tuple(row[n] for n in names) for row in rows}


def _settle(table: Any) -> None:  # noqa: ANN401 - a lancedb.table.Table
    """After a change: give a table that became large an index; else join small files, index new
    rows, and remove files of old versions."""
    if table.count_rows() > MOST_PRODUCT_ROWS and not table.list_indices():
        table.create_index(VECTOR, config=_approximate_index(table.count_rows()))
    else:
        # a process that reads an older version has these minutes to end
        table.optimize(cleanup_older_than=timedelta(minutes=10))


def _approximate_index(count: int) -> Any:  # noqa: ANN401 - a lancedb.index.IvfRq
    """Partitions by k-means, in them codes by RaBitQ (Gao & Long 2024; of 3 bits: Gao et al. 2025).

    Chosen by `benchmarks/search.py`. It trains no codebook, so it is built in a tenth of the time
    that product quantisation takes. It keeps its recall on vectors without any structure, where
    1 bit and product quantisation lose theirs."""
    from lancedb.index import IvfRq

    return IvfRq(distance_type="dot", num_partitions=round(count**0.5), num_bits=3)


def _cast(values: pa.ChunkedArray, field: pa.Field) -> pa.Array:
    """The values in the type of the table's column."""
    try:
        return values.combine_chunks().cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise GobelinError(
            f"index, column {field.name!r}: {error}. {field.type} was expected. Correct it."
        ) from error


def _quoted(ids: Sequence[str]) -> str:
    """The ids as a list of SQL texts."""
    return ", ".join("'" + i.replace("'", "''") + "'" for i in ids)
