"""The rows of a run as a fit leaves them: a vector of each field, and beside them the columns that
a person or a filter may ask for. A question about them reads these files and no data.

They are memory-mapped, so that only what an answer needs is read from the disk. Every vector is
compared with the query, in one product: the answer is exact, and for a hundred thousand rows it
takes less time than loading a database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gobelin.core.errors import GobelinError, why_damaged
from gobelin.core.files import made_anew, mapped_arrays, read_json, write_json
from gobelin.data.tables.arrow_files import read_table, write_table
from gobelin.embedding.alignment.align import Alignment
from gobelin.embedding.features import Embeddings
from gobelin.embedding.search.nearness import Scale
from gobelin.embedding.search.row_filter import column_name

# the files: vectors, columns, and the names of the fields with the scale of their cosines
VECTORS, COLUMNS, DESCRIPTION = "vectors.safetensors", "rows.arrow", "search.json"
FIELDS, PRESENT = "fields", "present"  # names of the arrays in the file of vectors
STORED_ROWS_FORMAT = 2  # of the files; it is a part of the stage's key
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Description:
    """What the files hold: F fields, the scale of their cosines, and the folder that file names in
    cells start from ('' where there are no cells)."""

    fields: tuple[str, ...]
    scale: Scale
    root: str = ""


def write(
    folder: Path, alignment: Alignment, embeddings: Embeddings, train: np.ndarray, seed: int
) -> Scale:
    """Write the vectors of N rows; the scale of the unrelated ones among the rows `train`, int64
    [n], which are those of `embeddings.groups`."""
    fields, width = alignment.fields, alignment.settings.width
    shape = (len(embeddings), len(fields), width)
    blocks = (alignment.project(b).vectors for b in embeddings.blocks(ROWS_AT_ONCE))
    _write_vectors(folder / VECTORS, shape, blocks)
    stored = mapped_arrays(folder / VECTORS)
    present = stored[PRESENT].astype(bool) & np.isin(np.arange(len(embeddings)), train)[:, None]
    groups = embeddings.groups or embeddings.ids
    rng, least = np.random.default_rng(seed), embeddings.least_groups
    return Scale.of(stored[FIELDS], present, groups, rng, least)


def describe(folder: Path, description: Description, columns: pa.Table) -> None:
    """Write the columns (see `index.columns_of`) and the description of rows whose vectors are
    written."""
    write_table(folder / COLUMNS, columns)
    scale = description.scale.to_json()
    values = {"fields": description.fields, "scale": scale, "root": description.root}
    write_json(folder / DESCRIPTION, values)


def copy(rows: StoredRows | ChangedRows, folder: Path, columns: Sequence[str]) -> None:
    """Write the vectors of the rows, the scale, and these columns, as rows in another folder."""
    shape = (len(rows), len(rows.description.fields), rows.width)
    _write_vectors(folder / VECTORS, shape, rows.blocks())
    about = Description(rows.description.fields, rows.description.scale)
    describe(folder, about, rows.columns.select(list(columns)).replace_schema_metadata(None))


def _write_vectors(path: Path, shape: tuple[int, int, int], blocks: Iterator[np.ndarray]) -> None:
    """Write vectors, float32 [N, F, D] in blocks, and which are there, uint8 [N, F], as a
    safetensors file, so that the vectors need not be in memory together."""
    count, size = shape[0] * shape[1], 4 * int(np.prod(shape, dtype=np.int64))
    header = json.dumps(
        {
            FIELDS: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]},
            PRESENT: {
                "dtype": "U8",
                "shape": list(shape[:2]),
                "data_offsets": [size, size + count],
            },
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    present = [np.zeros((0, shape[1]), np.uint8)]
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, "<f4").data)
            present.append(np.asarray(block.any(-1), np.uint8))
        file.write(np.concatenate(present).data)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """N rows on disk."""

    folder: Path

    @cached_property
    def description(self) -> Description:
        """Raises GobelinError for a file that is not as it was written."""
        try:
            values = read_json(self.folder / DESCRIPTION)
            fields, scale = tuple(map(str, values["fields"])), Scale.from_json(values["scale"])
            if len(fields) != len(scale.mean) or len(fields) != self.vectors.shape[1]:
                raise ValueError("it is of other fields")
            return Description(fields, scale, str(values["root"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise self.damaged(f"{DESCRIPTION}: {why_damaged(error)}") from error

    def damaged(self, why: str) -> GobelinError:
        return GobelinError(
            f"{self.folder}: is damaged ({why}). {made_anew(self.folder, 'gobelin search')}"
        )

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """`vectors` and `present`. Raises GobelinError where they are not of the same rows."""
        stored = mapped_arrays(self.folder / VECTORS)
        vectors, present = stored.get(FIELDS), stored.get(PRESENT)
        if vectors is None or present is None or vectors.ndim != 3:
            raise self.damaged(f"{VECTORS}: it holds other arrays than were written")
        if (vectors.dtype, present.dtype) != (np.float32, np.uint8):
            raise self.damaged(f"{VECTORS}: it holds numbers of another kind")
        if vectors.shape[:2] != present.shape or len(vectors) != len(self.columns):
            raise self.damaged(f"{VECTORS}: it is of other rows than {COLUMNS}")
        return vectors, present.astype(bool)

    @property
    def vectors(self) -> np.ndarray:
        """float32 [N, F, D], memory-mapped: of each field, zero where it is missing."""
        return self._arrays[0]

    @property
    def present(self) -> np.ndarray:
        """bool [N, F]: which fields have a vector."""
        return self._arrays[1]

    @cached_property
    def columns(self) -> pa.Table:
        """The columns of the N rows, memory-mapped."""
        return read_table(self.folder / COLUMNS)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        return int(self.vectors.shape[2])

    def blocks(self) -> Iterator[np.ndarray]:
        """float32 [n, F, D] of the rows in their order."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield self.vectors[start : start + ROWS_AT_ONCE]

    @property
    def roots(self) -> Mapping[str, str]:
        """{id: the folder that file names in its cells start from} of rows of other data."""
        return {}


@dataclass(frozen=True, eq=False)
class ChangedRows:
    """Rows on disk of which some were deleted, and rows that were added.

    kept: int64 [n], the rows on disk that are left. added: float32 [m, F, D]. columns: of the n +
    m rows. roots: as in `StoredRows`."""

    fitted: StoredRows
    kept: np.ndarray
    added: np.ndarray
    columns: pa.Table
    roots: Mapping[str, str]

    @property
    def description(self) -> Description:
        return self.fitted.description

    def damaged(self, why: str) -> GobelinError:
        return self.fitted.damaged(why)

    def __len__(self) -> int:
        return len(self.kept) + len(self.added)

    @property
    def width(self) -> int:
        return self.fitted.width

    @cached_property
    def present(self) -> np.ndarray:
        """bool [n + m, F]: which fields have a vector."""
        return np.concatenate([self.fitted.present[self.kept], self.added.any(-1)])

    def blocks(self) -> Iterator[np.ndarray]:
        """float32 [n, F, D] of the rows in their order."""
        for start in range(0, len(self.kept), ROWS_AT_ONCE):
            yield self.fitted.vectors[self.kept[start : start + ROWS_AT_ONCE]]
        yield self.added


Compared = StoredRows | ChangedRows  # rows that search can compare


def cosines(rows: Compared, queries: np.ndarray) -> np.ndarray:
    """float32 [N, F, m], of each row's fields with m queries, float32 [m, D], of unit length.
    Raises GobelinError where the rows are not of the queries' space."""
    if rows.width != queries.shape[1]:
        raise rows.damaged(f"{VECTORS}: it has vectors of another length")
    count, turned = len(rows.description.fields), np.ascontiguousarray(queries.T, np.float32)
    out, start = np.zeros((len(rows), count, len(queries)), np.float32), 0
    for block in rows.blocks():
        # one product of two matrices; a stack of small ones is several times slower
        product = block.reshape(-1, rows.width) @ turned
        out[start : start + len(block)] = product.reshape(len(block), count, len(queries))
        start += len(block)
    if not np.isfinite(out).all():
        raise rows.damaged(f"{VECTORS}: a vector in it has no length")
    return out


def pooled(rows: Compared) -> np.ndarray:
    """float32 [N, D]: the mean of a row's present vectors, of unit length."""
    out, start = np.zeros((len(rows), rows.width), np.float32), 0
    for block in rows.blocks():
        total = block.sum(1)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        out[start : start + len(block)] = total / np.maximum(length, 1e-12)
        start += len(block)
    return out


def values(rows: Compared, places: Sequence[int], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """The values of the rows at these places in these columns; columns that are not stored are
    left out."""
    stored = set(rows.columns.column_names)
    names = [n for c in columns if (n := column_name(c)) in stored]
    return [tuple(rows.columns[n][int(place)].as_py() for n in names) for place in places]
