"""The rows that search found, with their cells."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gobelin.core.errors import GobelinError
from gobelin.core.printable import number_of_cell
from gobelin.data.fields import Schema
from gobelin.embedding.search.index_rows import Hit
from gobelin.embedding.search.row_filter import column_name
from gobelin.embedding.search.row_search import Part
from gobelin.workbench.run.space import RunSpace

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
KINDS = {
    "text": 2,
    "image": 3,
    "audio": 3,
    "volume": 3,
    "mesh": 3,
}  # of columns that a person wants to see first
FILES = (
    "image",
    "audio",
    "volume",
    "mesh",
)  # kinds of columns whose cells are files to look at or to hear
SHEETS = (".html", ".png")  # endings of a contact sheet
OWN = "gobelin_"  # before the name of a column of ours that a column of the user's has too


class Hits(list[Hit]):
    """Rows that search found, best first. asked: the columns that the query names. parts: how many
    parts it has."""

    asked: tuple[str, ...] = ()
    parts: int = 1

    def nearness(self, hit: Hit) -> str:
        """The score of a row as a person reads it. A row with the very cell of a single part has
        `equal` in its place: it stands above the scores of all others, and has none of its own. One
        with the very cell of one part of several has both."""
        if hit.equal and self.parts == 1:
            return "equal"
        return f"{hit.score:.2f} equal" if hit.equal else f"{hit.score:.2f}"

    def to_frame(self) -> Any:  # noqa: ANN401 - a pandas data frame
        """A data frame: id, score, equal and found_by of every row, then its cells."""
        import pandas as pd

        theirs = dict.fromkeys(name for hit in self for name in hit.cells)
        columns = {}
        for name in ("id", "score", "equal", "found_by"):
            title = OWN + name if name in theirs else name
            columns[title] = [getattr(hit, name) for hit in self]
        columns |= {name: [hit.cells.get(name) for hit in self] for name in theirs}
        return pd.DataFrame(columns)


def found(space: RunSpace, parts: Sequence[Part], k: int, where: str = "") -> Hits:
    """The k rows nearest to the parts of a query. Their cells are those that the run's index has; a
    saved run has none."""
    hits, schema = space.index.search(parts, k, where), space.features.data.schema
    if space.index.compared is None:
        LOG.warning(
            "%s: its index is of an earlier version, so a row is compared by one vector and not"
            " field by field. %s",
            space.folder.folder,
            "Save the run again."
            if space.folder.saved
            else "Delete its folder `index` to change"
            " that; rows that were added must be added again.",
        )
    elif any(set(part.facts) - set(space.index.known) for part in parts):
        LOG.warning(
            "%s: has no cells to compare facts with, so they are compared by their vectors, which"
            " is rough. Search the run that it was saved from.",
            space.folder.folder,
        )
    names = [column.name for column in schema.columns]
    cells = space.index.values(hits, names) if hits else []
    if (own := schema.role("id")) is not None:  # as the user wrote it, not as a number
        cells = [c | {own: hit.id} if own in c else c for hit, c in zip(hits, cells, strict=True)]
    out = Hits(replace(hit, cells=c) for hit, c in zip(hits, cells, strict=True))
    asked = {column for part in parts for column in (*part.facts, *part.texts)}
    out.parts = len(parts)
    out.asked = tuple(name for name in names if column_name(name) in asked)
    return out


def shown_cells(hit: Hit, schema: Schema, first: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(column, text) of a row's present cells: those named first, the target, texts, files, then
    the others. A row's id is not among them."""
    texts = [c for c, v in hit.cells.items() if v is not None and not c.startswith(OWN)]
    kinds = {c.name: c.kind for c in schema.columns}
    roles = {c.name: c.role for c in schema.columns}

    def place(column: str) -> tuple[int, int]:
        if column in first:
            return 0, list(first).index(column)
        rank = 1 if roles.get(column) == "target" else KINDS.get(kinds.get(column, ""), 4)
        return rank, texts.index(column)

    shown = [c for c in sorted(texts, key=place) if roles.get(c) != "id"]
    return [(c, text_of(hit.cells[c])) for c in shown]


def text_of(value: object) -> str:
    """A cell as a person would write it."""
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    if isinstance(value, float):
        return number_of_cell(value)
    return " ".join(str(value).split())


def json_cells(hit: Hit) -> dict[str, Any]:
    """The cells as JSON has them; a date or another value as text."""
    plain = (str, int, float, bool, list, type(None))
    return {c: v if isinstance(v, plain) else text_of(v) for c, v in hit.cells.items()}


def refuse_sheet(path: str | Path | None) -> None:
    """Raises GobelinError for a file that no contact sheet can be written as. None = no file."""
    if path is not None and Path(path).suffix.lower() not in SHEETS:
        raise GobelinError(f"--sheet {path}: a name that ends in .html or .png was expected.")
