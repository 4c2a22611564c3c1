"""The rows that are explained: of the run, of a query, or of other data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError, nearest
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell
from gobelin.embedding.features import Embeddings
from gobelin.quality.data import Check
from gobelin.workbench.predict import new_rows
from gobelin.workbench.query import query_cells
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.features import RunFeatures

QUERY = "query"  # the id of a row that was given by its parts


@dataclass(frozen=True, eq=False)
class AskedRow:
    """One row to explain."""

    id: str
    embeddings: Embeddings  # one row, features of the encoders
    cells: Mapping[str, Cell]  # {field: cell} of the fields that it has
    root: Path  # where relative paths in cells start
    truth: str = ""  # the class that the data say; '' where nothing is known


def of_run(run: Run, places: Sequence[int] | np.ndarray) -> list[AskedRow]:
    """Rows of the run by their places among all rows."""
    rows, target = run.checked.rows, run.checked.rows.target
    known = [
        target.classes[int(target.values[p])] if target.exclusive and target.present[p] else ""
        for p in places
    ]
    dataset, embeddings = rows.dataset.rows(places), run.features.embeddings.rows(places)
    return _asked(run.features, dataset, embeddings, known)


def place_of(run: Run, name: str) -> int:
    """The place of the row with this id. Raises GobelinError where there is none."""
    ids = run.checked.rows.dataset.ids
    if name not in ids:
        raise GobelinError(f"explain --row {name}: no row has this id.{nearest(name, ids)}")
    return ids.index(name)


def of_query(run: Run, query: Mapping[str, str]) -> AskedRow:
    """A row given by its parts."""
    cells = query_cells(run.data, query)
    embeddings = run.features.embedder.embed_cells(cells, words=True)
    return AskedRow(QUERY, embeddings, cells, Path())


def of_data(features: RunFeatures, dataset: Dataset, settings: Check) -> list[AskedRow]:
    """All rows of another data set, with bad cells set aside."""
    rows = new_rows(features, dataset, settings, "explain").dataset
    embeddings = features.embedder.embed(rows, features.data.progress)
    return _asked(features, rows, embeddings, [""] * len(rows))


def _asked(
    features: RunFeatures, dataset: Dataset, embeddings: Embeddings, known: Sequence[str]
) -> list[AskedRow]:
    columns = set(dataset.column_names)
    cells = {
        f.name: dataset.cells(f) for f in features.data.schema.fields if columns & set(f.columns)
    }
    return [
        AskedRow(
            dataset.ids[k],
            embeddings.rows([k]),
            {f: cell for f, found in cells.items() if (cell := found[k]) is not None},
            dataset.root,
            known[k],
        )
        for k in range(len(dataset))
    ]
