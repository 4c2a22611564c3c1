"""The rows of a run that search finds: those of its data as the fit left them, and changes by
`gobelin index`.

The rows of the data are a stage (`embedding.search.stored_rows`), which answers a question without
a database. The database (`embedding.search.index`) is made from that stage where a question has a
filter, where rows are added or deleted, and where there are more rows than one product should
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gobelin.core.arrow import floats
from gobelin.core.files import write_json
from gobelin.core.stages import RunFolder
from gobelin.embedding.search import row_search, stored_rows
from gobelin.embedding.search.index import (
    AS_FITTED,
    MOST_PRODUCT_ROWS,
    Index,
    create,
    warn_of_lost_changes,
)
from gobelin.embedding.search.index_rows import (
    FIELD_VECTORS,
    ID,
    ROOT,
    ROW,
    Hit,
    is_list_of_texts,
    with_fields,
    with_vectors,
)
from gobelin.embedding.search.row_filter import column_name
from gobelin.embedding.search.row_search import Part
from gobelin.embedding.search.stored_rows import ChangedRows, Compared, StoredRows

INDEX = "index"  # folder of the database; a saved run may lack it
# Of more rows than MOST_PRODUCT_ROWS the database chooses so many first, by the rows' mean vectors.
CHOSEN = 5_000


@dataclass(frozen=True, eq=False)
class RowIndex:
    """The rows that search finds.

    folder: of the run. key: of the database's stage. space: fingerprint of the shared space.
    fitted: makes the stage of the data's rows if it is missing, and opens it; None in a saved
    run."""

    folder: RunFolder
    key: str
    space: str
    fitted: Callable[[], StoredRows] | None

    @property
    def _place(self) -> Path:
        return self.folder.folder / INDEX

    @cached_property
    def table(self) -> Index:
        """The database, made if it is missing."""
        if self.fitted is not None:
            with self.folder.making(INDEX, self.key) as temporary:
                if temporary is not None:
                    rows = self.fitted()
                    table = with_vectors(rows.columns, stored_rows.pooled(rows))
                    create(temporary, with_fields(table), self.space)
                    write_json(temporary / AS_FITTED, len(rows))
                    warn_of_lost_changes(self._place, len(rows))
        return Index(self._place, self.space)

    @cached_property
    def compared(self) -> Compared | None:
        """The rows with a vector of each field; None in an index of an earlier version, which has
        one vector a row."""
        if self.fitted is None:
            saved = StoredRows(self._place)
            return saved if (self._place / stored_rows.VECTORS).is_file() else None
        untouched = self.folder.has(INDEX, self.key) and (self._place / AS_FITTED).is_file()
        if untouched or not self._place.is_dir():
            return self.fitted()
        return self._changed() if self.table.holds_fields else None

    def _changed(self) -> Compared:
        """The rows after some were added or deleted."""
        fitted, added = (
            self.fitted() if self.fitted else StoredRows(self._place),
            self.table.added(),
        )
        numbers = self.table.numbers()
        flat = np.frombuffer(b"".join(added[FIELD_VECTORS].to_pylist()), "<f4")
        vectors = flat.reshape(len(added), len(fitted.description.fields), fitted.width)
        kept = numbers[numbers < len(fitted)]
        held = set(added.column_names)
        names = [n for n in fitted.columns.column_names if n in held]
        columns = [fitted.columns.take(kept), added.select(names)]  # lists are not among these
        roots = dict(zip(added[ID].to_pylist(), added[ROOT].to_pylist(), strict=True))
        return ChangedRows(
            fitted, kept, vectors, pa.concat_tables(columns, promote_options="default"), roots
        )

    def __len__(self) -> int:
        return len(self.table if self.compared is None else self.compared)

    @property
    def known(self) -> list[str]:
        """The columns that a filter may name."""
        rows = self.compared
        if rows is None:
            return self.table.known
        return [field.name for field in rows.columns.schema if not is_list_of_texts(field.type)]

    def search(self, parts: Sequence[Part], k: int, where: str = "") -> list[Hit]:
        """The k rows nearest to the parts of a query, best first (see `row_search`); all rows
        where there are fewer.

        where: a filter (see `row_filter`). Raises GobelinError for a bad filter and a damaged
        table."""
        rows = self.compared
        total = sum(part.weight * part.vectors[0] for part in parts)
        total = total / np.linalg.norm(total)
        if rows is None:  # one vector a row: the cosine with the weighted sum of the parts
            return self.table.nearest(total, k, where)
        allowed = None
        if len(rows) > MOST_PRODUCT_ROWS:
            near = self.table.nearest(total, max(k, CHOSEN), where)
            rows = _only(rows, np.sort([hit.row for hit in near]))
        elif where:
            allowed = np.isin(_numbers(rows), self.table.numbers(where))
        queries = np.concatenate([part.vectors for part in parts])
        about = rows.description
        found = row_search.nearest(
            parts,
            stored_rows.cosines(rows, queries),
            rows.present,
            about.scale,
            rows.columns,
            k,
            allowed,
        )
        return [
            Hit(
                rows.columns[ROW][int(place)].as_py(),
                rows.columns[ID][int(place)].as_py(),
                round(float(score), 6),
                bool(equal),
                about.fields[int(best)],
            )
            for place, score, equal, best in zip(
                found.places, found.scores, found.equal, found.best, strict=True
            )
        ]

    def values(self, hits: Sequence[Hit], columns: Sequence[str]) -> list[dict[str, Any]]:
        """{column: value} of rows that were found, in their order; columns that are not stored are
        left out. None of a saved run: it is written without cells, and what a stranger put there
        may name files of this machine."""
        rows = self.compared
        if self.fitted is None:
            return [{} for _ in hits]
        if rows is None:
            stored = [c for c in columns if column_name(c) in self.table.known]
            by_id = self.table.values([hit.id for hit in hits], stored)
            found = [by_id.get(hit.id, ()) for hit in hits]
        else:
            held = set(rows.columns.column_names)
            stored = [c for c in columns if column_name(c) in held]
            numbers = _numbers(rows)
            places = np.searchsorted(numbers, [hit.row for hit in hits])
            found = stored_rows.values(rows, places.tolist(), stored)
        return [dict(zip(stored, cells, strict=True)) for cells in found]

    @property
    def roots(self) -> tuple[str, Mapping[str, str]]:
        """The folder that file names in cells start from, '' where it is not known; and {id:
        folder} of rows of other data."""
        rows = self.compared
        return ("", {}) if rows is None else (rows.description.root, rows.roots)

    def change(self, added: pa.Table | None, deleted: Sequence[str]) -> None:
        """As `Index.change`."""
        table = self.table
        if added is not None or deleted:
            (self._place / AS_FITTED).unlink(missing_ok=True)  # from now on the database is asked
        table.change(added, deleted)
        self.__dict__.pop("compared", None)

    def copy(self, folder: Path) -> None:
        """As `Index.copy`, with the vectors of each field."""
        self.table.copy(folder)
        if self.compared is not None:
            stored_rows.copy(self.compared, folder, (ID, ROW))


def _only(rows: Compared, numbers: np.ndarray) -> Compared:
    """The rows with these numbers, int64 [n], in ascending order."""
    places = np.searchsorted(_numbers(rows), numbers)
    columns = rows.columns.take(places)
    if isinstance(rows, StoredRows):
        nothing = np.zeros((0, len(rows.description.fields), rows.width), np.float32)
        return ChangedRows(rows, places, nothing, columns, {})
    first = len(rows.kept)
    added = rows.added[places[places >= first] - first]
    kept = rows.kept[places[places < first]]
    return ChangedRows(rows.fitted, kept, added, columns, rows.roots)


def _numbers(rows: Compared) -> np.ndarray:
    """int64 [N]: the numbers of the rows, which increase."""
    return floats(rows.columns[ROW]).astype(np.int64)
