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
from gobelin.workbench.predict.predict import new_rows
from gobelin.workbench.query import query_cells
from gobelin.workbench.run import needs
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
    truth: str = ""  # the class, labels or number of the data; '' where nothing is known


def of_run(run: Run, places: Sequence[int] | np.ndarray) -> list[AskedRow]:
    """Rows of the run by their places among all rows."""
    rows, target = run.checked.rows, run.checked.rows.target
    known = [target.text(int(p)) for p in places]
    dataset, embeddings = rows.dataset.rows(places), run.features.embeddings.rows(places)
    return _asked(run.features, dataset, embeddings, known)


def named_row(run: Run, query: Mapping[str, str], verb: str) -> int | None:
    """The place of the row that a query names by its id, as `--row 12`; None for the parts of a
    row, as `--row weight=120`. Raises GobelinError for an id that no row has, and for other parts
    beside it."""
    name = query.get("row", "")
    if not name or ("=" in name and not _known(run, name)):
        return None
    needs.data(run, f"{verb} --row {name}")
    if len(query) > 1:
        other = next(key for key in query if key != "row")
        raise GobelinError(
            f"{verb} --row {name}: a row of the run was expected alone, found {other!r} beside it."
            " Give the row, or its parts."
        )
    ids = run.checked.rows.dataset.ids
    if name not in ids:
        raise GobelinError(
            f"{verb} --row {name}: no row has this id.{nearest(name, ids)} Parts of a row are"
            " written as COLUMN=VALUE,..."
        )
    return ids.index(name)


def _known(run: Run, name: str) -> bool:
    """Whether an id with an equals sign is one of the run's rows."""
    return not run.folder.saved and name in run.checked.rows.dataset.ids


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
