"""Folders that the library datasets of Hugging Face saves (`save_to_disk`), memory-mapped.

The numbers of classes become their names; images and sounds are bytes or paths. Several splits
become one table with a column `split`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gobelin.core.arrow_headers import unpacked_bytes
from gobelin.core.arrow_sizes import written_bytes
from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError, first_line, repeated
from gobelin.core.files import read_json
from gobelin.core.special import special
from gobelin.data.budget import refuse, refuse_table
from gobelin.data.tables.class_names import written_out
from gobelin.data.walk import leads_out

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
LONGEST_NAME = 255  # bytes, as most file systems allow
REMEDY = "Save it again with dataset.save_to_disk(FOLDER)."


@settings_class
class Huggingface:
    """No settings. Columns: those of the data set, and `split` where there are several."""

    def claims(self, path: Path) -> bool:
        return (path / SPLITS).is_file() or all((path / n).is_file() for n in (STATE, INFO))

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        if not (path / SPLITS).is_file():
            return _split(path, _Unpacked(path)), path
        names = _value(read_json(path / SPLITS), "splits", list, path / SPLITS)
        tables, rows, unpacked = [], 0, _Unpacked(path)
        for name in _names(names, "split", path / SPLITS):
            table = _split(path / name, unpacked)
            taken = "split" in table.column_names
            column = pa.array([name] * table.num_rows, pa.string())
            tables.append(table if taken else table.append_column("split", column))
            rows += table.num_rows
            refuse(str(path), "rows", rows)
        if not tables:
            raise GobelinError(f"{path / SPLITS}: names no split. {REMEDY}")
        try:
            return pa.concat_tables(tables, promote_options="permissive"), path
        except pa.ArrowInvalid as error:
            raise GobelinError(
                f"{path}: its splits have different columns ({first_line(error)}). Give the"
                " folder of one split."
            ) from error


@dataclass
class _Unpacked:
    """Bytes of all files together: what packed buffers say they are, unpacked, and what the rows
    are, written out."""

    where: Path
    bytes: int = 0
    written: int = 0

    def afford(self, further: int) -> None:
        """GobelinError where unpacked buffers are over the budget."""
        self.bytes += further
        refuse(str(self.where), "table_mb", self.bytes)

    def afford_rows(self, further: int) -> None:
        """GobelinError where the rows are over the budget."""
        self.written += further
        refuse(str(self.where), "table_mb", self.written)


def _split(folder: Path, unpacked: _Unpacked) -> pa.Table:
    """The rows of one split. Raises GobelinError."""
    if not (folder / STATE).is_file():
        raise GobelinError(f"{folder / STATE}: no such file. {REMEDY}")
    state = read_json(folder / STATE)
    table = _files(folder, state, "_data_files", unpacked)
    chosen = None
    if state.get("_indices_data_files"):
        chosen = _files(folder, state, "_indices_data_files", unpacked).column(0)
    try:
        rows = written_bytes(table)
        unpacked.afford_rows(int((rows if chosen is None else rows[chosen.to_numpy()]).sum()))
    except (pa.ArrowException, IndexError) as error:
        raise GobelinError(
            f"{folder}: can't be read ({first_line(error, 80)}). {REMEDY}"
        ) from error
    if chosen is not None:
        try:
            table = table.take(chosen)
        except (pa.ArrowInvalid, IndexError) as error:
            raise GobelinError(f"{folder}: its indices name no rows. {REMEDY}") from error
    if not table.num_rows:
        raise GobelinError(f"{folder}: holds no row. At least one was expected.")
    refuse_table(str(folder), table.num_rows, table.num_columns)
    return written_out(table, str(folder))


def _files(folder: Path, state: dict[str, Any], key: str, unpacked: _Unpacked) -> pa.Table:
    """The rows in the Arrow files that a state names, memory-mapped. What packed ones say that
    they are unpacked is compared with the budget first."""
    tables, rows = [], 0
    entries = _value(state, key, list, folder / STATE)
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
    for name in _names(names, "file", folder / STATE):
        if kind := special(folder / name):
            raise GobelinError(f"{folder / name}: is {kind}, no regular file. {REMEDY}")
        try:
            with pa.memory_map(str(folder / name)) as file:
                unpacked.afford(unpacked_bytes(file.read_buffer()))
                file.seek(0)
                with pa.ipc.open_stream(file) as reader:
                    tables.append(reader.read_all())
                tables[-1].validate(full=True)  # Arrow follows offsets wherever they lead
        except (pa.ArrowException, OSError, ValueError) as error:
            why = first_line(error, 80)
            raise GobelinError(f"{folder / name}: can't be read ({why}). {REMEDY}") from error
        rows += tables[-1].num_rows
        refuse(str(folder), "rows", rows)
    if not tables:
        raise GobelinError(f"{folder / STATE}: names no file of rows. {REMEDY}")
    return pa.concat_tables(tables)


def _names(names: Sequence[Any], what: str, where: Path) -> list[str]:
    """These names, each of which is that of one file or folder in the folder of `where` itself, and
    stands once: a short list could name a long file a million times. Raises GobelinError."""
    folder = where.parent
    for name in names:
        if not isinstance(name, str) or not _is_name(name):
            raise GobelinError(f"{where}: {str(name)[:100]!r} is no name of a {what}. {REMEDY}")
    if twice := repeated(names):
        raise GobelinError(f"{where}: {twice!r} stands there twice. {REMEDY}")
    if out := next((name for name in names if leads_out(folder / name, folder)), ""):
        raise GobelinError(
            f"{folder / out}: is a link that leads out of {folder}, and is not followed. {REMEDY}"
        )
    return list(names)


def _is_name(name: str) -> bool:
    """Whether a file in a folder can have this name."""
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:  # half of a letter of two
        return False
    return 0 < length <= LONGEST_NAME and "\0" not in name and Path(name).name == name != ".."


def _value(values: Any, key: str, kind: type, where: Path) -> Any:  # noqa: ANN401
    found = values.get(key) if isinstance(values, dict) else None
    if not isinstance(found, kind):
        raise GobelinError(f"{where}: {key} was expected, found none. {REMEDY}")
    return found
