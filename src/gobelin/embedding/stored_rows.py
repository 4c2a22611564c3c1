"""The rows of a run as a fit leaves them: their vectors, and beside them the columns that a person
or a filter may ask for. A question about them reads these two files and no data.

Both files are memory-mapped, so that only what an answer needs is read from the disk. Every vector
is compared with the query, in one product: the answer is exact, and for a hundred thousand rows it
takes less time than loading a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gobelin.core.files import mapped_arrays, save_arrays
from gobelin.embedding.alignment.align import Alignment
from gobelin.embedding.features import Embeddings
from gobelin.embedding.index import ID, ROW, Hit
from gobelin.embedding.row_filter import column_name

VECTORS, COLUMNS = "vectors.safetensors", "rows.arrow"  # the two files
STORED_ROWS_FORMAT = 1  # of the two files; it is a part of the stage's key
PROJECTED_AT_ONCE = 4096  # rows
ROUNDING = 1e-5  # more than two float32 sums of one cosine differ


def pooled(alignment: Alignment, embeddings: Embeddings) -> np.ndarray:
    """float32 [N, D]: the vector of each row in the shared space, see `Shared.pooled`."""
    blocks = [alignment.project(b).pooled() for b in embeddings.blocks(PROJECTED_AT_ONCE)]
    return np.concatenate(blocks) if blocks else np.zeros((0, alignment.settings.width), np.float32)


def write(folder: Path, vectors: np.ndarray, columns: pa.Table) -> None:
    """Write N rows. vectors: float32 [N, D]. columns: see `index.columns_of`."""
    save_arrays(folder / VECTORS, {"vectors": vectors})
    with (
        pa.OSFile(str(folder / COLUMNS), "wb") as sink,
        pa.ipc.new_file(sink, columns.schema) as out,
    ):
        out.write_table(columns)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """N rows on disk."""

    folder: Path

    @cached_property
    def vectors(self) -> np.ndarray:
        """float32 [N, D], memory-mapped."""
        return mapped_arrays(self.folder / VECTORS)["vectors"]

    @cached_property
    def columns(self) -> pa.Table:
        """The columns of the N rows, memory-mapped."""
        with pa.memory_map(str(self.folder / COLUMNS)) as source:
            return pa.ipc.open_file(source).read_all()

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(self, query: np.ndarray, k: int) -> list[Hit]:
        """The k rows with the largest cosine, best first, equal ones in the order of the rows; all
        rows where there are fewer. query: [D], of unit length."""
        if k < 1 or not len(self):
            return []
        rough = self.vectors @ query.astype(np.float32)
        place = max(len(rough) - k, 0)
        least = np.partition(rough, place)[place]
        near = np.flatnonzero(rough >= least - ROUNDING)
        exact = self._cosines(near, query)
        order = np.lexsort((near, -exact))[:k]
        ids = self.columns[ID]
        return [
            Hit(int(near[place]), ids[int(near[place])].as_py(), float(exact[place]))
            for place in order
        ]

    def _cosines(self, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
        """float64 [n]: of rows, int64 [n], the sum of which doesn't depend on the other rows; to
        the digits that float32 vectors have, so that equal rows are equal."""
        sums = [(part @ query.astype(np.float64)) for part in self._parts(rows)]
        return np.round(np.concatenate(sums), 7)

    def _parts(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), PROJECTED_AT_ONCE):
            yield self.vectors[rows[start : start + PROJECTED_AT_ONCE]].astype(np.float64)

    def values(self, rows: Sequence[int], columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """The values of these rows in these columns; columns that are not stored are left out."""
        stored = set(self.columns.column_names) - {ROW}
        names = [n for c in columns if (n := column_name(c)) in stored]
        return [tuple(self.columns[n][row].as_py() for n in names) for row in rows]
