"""Read a dataset from a path, with the reader that claims the path."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pyarrow as pa

from gobelin.core import catalog
from gobelin.core.arguments import typed
from gobelin.core.errors import GobelinError, nearest, refuse_used_up
from gobelin.core.printable import counted
from gobelin.core.special import special
from gobelin.data.dataset import Dataset
from gobelin.data.file_kinds import unread
from gobelin.data.tables.file_columns import as_files
from gobelin.data.tables.frames import TableLike, from_frame
from gobelin.data.tables.hub_datasets import hub_name, hub_table
from gobelin.data.tables.second_header import second_header
from gobelin.data.tables.totals import rows_of_totals

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@typed()
def read(path: str | Path | TableLike, root: str | Path | None = None) -> Dataset:
    """Read a dataset. No image is opened here. Raises GobelinError for data that can't be read.

    path: a CSV, Parquet or JSON-lines file with path columns (relative to the file), a folder of
    class folders, a data frame, or `hf://NAME` for a data set of the hub. root: the folder that
    relative paths start from and that no path may leave. Its default is the file's folder; for a
    data frame and a data set of the hub the working directory.
    """
    if isinstance(path, str | Path):
        return read_as_written(path, root)[1]
    if isinstance(path, Mapping):
        kind = type(path).__name__
        raise GobelinError(
            f"data: a path or a data frame was expected, found {kind}. Give one of its tables."
        )
    _check_root(root)
    for count, what in zip(path.shape, ("row", "column"), strict=True):
        if not count:
            raise GobelinError(f"data frame: holds no {what}. At least one was expected.")
    return from_frame(path, root or ".")


def read_as_written(path: str | Path, root: str | Path | None = None) -> tuple[pa.Table, Dataset]:
    """The rows as the file has them, and the dataset of the same rows, in which every column of
    files holds paths or bytes. As `read`.
    """
    if hub := hub_name(str(path)):
        table = hub_table(*hub)
        return table, Dataset(
            as_files(table, Path(), Path(root or ".")), Path(root or "."), str(path)
        )
    path = Path(path)
    _check_root(root)
    refuse_missing(path)
    if kind := special(path):
        raise GobelinError(f"{path}: is {kind}, no regular file. Write it to a file first.")
    names = sorted(catalog.names("readers"), key=_is_general)
    readers = (catalog.build("readers", name) for name in names)
    try:
        reader = next((r for r in readers if r.claims(path)), None)
        if path.is_file() and (what := unread(path, reader is not None)):
            raise GobelinError(f"{path}: {what}.")
        if reader is None:
            known = ", ".join(catalog.names("readers"))
            raise GobelinError(
                f"{path}: no reader for {path.suffix or 'a file without a suffix'}. Readers:"
                f" {known}. A table of text has a name that ends in .csv."
            )
        table, folder = reader.read(path)
    except OSError as error:
        refuse_used_up(error)
        raise GobelinError(
            f"{path}: can't be opened ({error.strerror}). Give a readable file or folder."
        ) from error
    if not (table.num_rows and table.num_columns):
        raise GobelinError(f"{path}: holds no value. At least one row was expected.")
    table = _without_totals(_without_units(table, str(path)), str(path))
    _check_ids(table, str(path))
    start = Path(root) if root else folder
    return table, Dataset(as_files(table, folder, start), start, str(path))


def refuse_missing(path: Path) -> None:
    """Raises GobelinError where nothing has this path."""
    if not path.exists():
        neighbours = (
            [p.name for p in islice(path.parent.iterdir(), 1000) if not p.name.startswith(".")]
            if path.parent.is_dir()
            else []
        )
        raise GobelinError(
            f"{path}: no such file or folder.{nearest(path.name, neighbours) if neighbours else ''}"
        )


def _without_units(table: pa.Table, source: str) -> pa.Table:
    """The table without a second row of headings, which would be learned as a row."""
    columns = second_header(table)
    if columns:
        LOG.warning(
            "%s: the first row is left out, a second heading: it holds words such as %r where all"
            " others hold numbers (column %s).",
            source,
            str(table[columns[0]][0].as_py())[:40],
            ", ".join(columns[:3]),
        )
    return table.slice(1) if columns else table


def _without_totals(table: pa.Table, source: str) -> pa.Table:
    """The table without rows of totals under it, which would be learned and scored as rows, and
    without the notes below these."""
    totals, notes, columns = rows_of_totals(table)
    if totals:
        LOG.warning(
            "%s: the last %s left out, %s of those above (column %s)%s.",
            source,
            "row is" if totals + notes == 1 else f"{totals + notes} rows are",
            "a total" if totals == 1 else "totals",
            ", ".join(columns[:3]),
            f" and {counted(notes, 'note', 'notes')}" if notes else "",
        )
    return table.slice(0, table.num_rows - totals - notes)


def _is_general(name: str) -> bool:
    """Whether a reader is asked after all others."""
    return bool(catalog.declared("readers", name, "general", False))


def _check_root(root: str | Path | None) -> None:
    """Raises GobelinError where it is no folder."""
    if root and not Path(root).is_dir():
        raise GobelinError(f"{root}: no such folder. Give a folder with --root, or leave it out.")


def _check_ids(table: pa.Table, source: str) -> None:
    """Raises GobelinError where ids in gobelin_id are empty or not unique. A file that Gobelin
    wrote has good ones; a user may have changed it.
    """
    if "gobelin_id" in table.column_names:
        ids = table["gobelin_id"].to_pylist()
        if len(set(ids)) != len(ids) or None in ids:
            raise GobelinError(
                f"{source}, column 'gobelin_id': an id is empty or appears twice. Repair or drop"
                " the column."
            )
