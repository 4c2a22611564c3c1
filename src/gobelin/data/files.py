"""Cells that are files: where a path may lead and what stands at its end.

What can't be opened raises `BadCell` with the reason, and the caller sets the cell aside and lists
it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class BadCell(Exception):
    """One cell can't be used; `str(error)` is the reason in a few words. column: the one to blame,
    None for all of them."""

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.column = column


def cell_path(value: str | bytes, root: Path) -> Path:
    """The file at the path `value` below `root`, which is there and is not empty. Raises
    BadCell."""
    if not isinstance(value, str):
        raise BadCell("is no path")
    if "://" in value[:12]:
        raise BadCell("is a URL; nothing is downloaded")
    path = Path(value)
    try:
        whole = (path if path.is_absolute() else root / path).resolve()
        if not whole.is_relative_to(root.resolve()):
            raise BadCell("leaves the data folder (--root DIR allows a wider one)")
        if not whole.is_file():
            raise BadCell("no such file")
        if not whole.stat().st_size:
            raise BadCell("is an empty file")
    except (OSError, ValueError, RuntimeError) as error:  # the last: a loop of links
        raise BadCell(f"can't be opened ({getattr(error, 'strerror', None) or error})") from error
    return whole


def cell_bytes(value: str | bytes, root: Path) -> bytes:
    """The file's contents: `value` itself when the cell holds bytes, else the file at that path
    below `root`."""
    if isinstance(value, bytes):
        return value
    try:
        return cell_path(value, root).read_bytes()
    except OSError as error:
        raise BadCell(f"can't be opened ({error.strerror or error})") from error


def content_key(value: str | bytes, root: Path) -> bytes:
    """16 bytes that name the file's contents; a long file is read in pieces."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).digest()[:16]
    try:
        with cell_path(value, root).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()[:16]
    except OSError as error:
        raise BadCell(f"can't be opened ({error.strerror or error})") from error


def untouched(cell: Mapping[str, Any], root: str) -> tuple[bytes, int] | None:
    """16 bytes that stay the same as long as nobody touches the files that a cell leads to from the
    folder `root`, and when the last of them was touched (nanoseconds); None where nothing in it is
    the path of a file. Nothing is opened."""
    values = [v for value in cell.values() for v in (value if isinstance(value, list) else [value])]
    if not all(isinstance(value, str) for value in values):
        return None
    told, last = [root], 0
    for value in values:
        told.append(value)
        try:
            said = os.stat(os.path.join(root, value))
        except (OSError, ValueError):
            continue
        last = max(last, said.st_mtime_ns, said.st_ctime_ns)
        told.append(
            f"{said.st_dev} {said.st_ino} {said.st_size} {said.st_mtime_ns} {said.st_ctime_ns}"
        )
    return (
        (hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).digest()[:16], last)
        if last
        else None
    )
