"""The rows of a run that search finds: those of its data as the fit left them, and changes by
`gobelin index`.

The rows of the data are a stage (`embedding.stored_rows`), which answers a question without a
database. The database (`embedding.index`) is made from that stage where a question has a filter,
where rows are added or deleted, and where there are more rows than one product should read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gobelin.core.files import write_json
from gobelin.core.stages import RunFolder
from gobelin.embedding.index import (
    AS_FITTED,
    Hit,
    Index,
    create,
    warn_of_lost_changes,
    with_vectors,
)
from gobelin.embedding.stored_rows import StoredRows

INDEX = "index"  # folder of the database; a saved run may lack it
MOST_PRODUCT_ROWS = 500_000  # a gigabyte of vectors; more rows are searched in the database


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

    @property
    def stored(self) -> StoredRows | None:
        """The rows of the data, where search finds these and no others; else None."""
        if self.fitted is None:
            return None
        untouched = self.folder.has(INDEX, self.key) and (self._place / AS_FITTED).is_file()
        if not untouched and self._place.is_dir():
            return None  # changed, or of another fit, which the database tells of
        rows = self.fitted()
        return rows if len(rows) <= MOST_PRODUCT_ROWS else None

    @cached_property
    def table(self) -> Index:
        """The database, made if it is missing."""
        if self.fitted is not None:
            with self.folder.making(INDEX, self.key) as temporary:
                if temporary is not None:
                    rows = self.fitted()
                    create(temporary, with_vectors(rows.columns, rows.vectors), self.space)
                    write_json(temporary / AS_FITTED, len(rows))
                    warn_of_lost_changes(self._place, len(rows))
        return Index(self._place, self.space)

    def __len__(self) -> int:
        return len(self.stored or self.table)

    @property
    def known(self) -> list[str]:
        """The columns that a filter may name."""
        rows = self.stored
        return self.table.known if rows is None else rows.columns.column_names

    def nearest(self, query: np.ndarray, k: int, where: str = "") -> list[Hit]:
        """As `Index.nearest`."""
        rows = None if where else self.stored
        return self.table.nearest(query, k, where) if rows is None else rows.nearest(query, k)

    def values(self, hits: Sequence[Hit], columns: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """{id: the row's values in these columns} of rows that were found; columns that are not
        stored are left out."""
        ids, rows = [hit.id for hit in hits], self.stored
        if rows is None:
            return self.table.values(ids, columns)
        found = rows.values([hit.row for hit in hits], columns)
        return dict(zip(ids, found, strict=True))

    def change(self, added: pa.Table | None, deleted: Sequence[str]) -> None:
        """As `Index.change`."""
        table = self.table
        if added is not None or deleted:
            (self._place / AS_FITTED).unlink(missing_ok=True)  # from now on the database is asked
        table.change(added, deleted)

    def copy(self, folder: Path) -> None:
        """As `Index.copy`."""
        self.table.copy(folder)
