"""Cells that are files: which paths are allowed, and the contents of their files.

A cell that can't be opened raises `BadCell` with the reason; the caller sets it aside and lists it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from os.path import splitext
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from gobelin.core.errors import refuse_used_up
from gobelin.core.files import fingerprint
from gobelin.core.special import special
from gobelin.data.budget import excess
from gobelin.data.dicom.aliases import files_of, is_alias
from gobelin.data.tar_members import TarMember, member_of

HEAD = 4096  # bytes of a file that tell its format
LEAVES = "leaves the data folder"
OPENED = 20  # files of a column without a known suffix that are opened to tell what they are


class BadCell(Exception):
    """One cell can't be used; `str(error)` is the reason in a few words. column: the one that is
    bad, None for all of the cell's columns.
    """

    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.column = column


def afford(name: str, needed: float) -> None:
    """BadCell where a cell needs more than the limit `name` of the budget (`data.budget`)."""
    if reason := excess(name, needed):
        raise BadCell(reason)


def file_values(cell: Mapping[str, Any]) -> list[Any]:
    """The files of a cell: one a column, or several where a value is a list. Raises BadCell for
    more than the budget allows.
    """
    values = spread(cell.values())
    afford("items", len(values))
    return values


def spread(values: Iterable[Any]) -> list[Any]:
    """The values, with the items of each list in its place."""
    return [v for value in values for v in (value if isinstance(value, list) else [value])]


def cell_path(value: str | bytes, root: Path) -> Path:
    """The file at the path `value` below `root`, which exists, is not empty and not larger than
    the budget allows; of a name that stands for files (`data.dicom.aliases`) the first one. Raises
    BadCell.
    """
    if is_alias(value):
        if not (files := files_of(str(value))):
            raise BadCell("names DICOM files; read the folder that holds them first")
        value = str(files[0])
    whole = _below(value, root)
    try:
        _refuse_irregular(whole)
        size = whole.stat().st_size
    except (OSError, ValueError) as error:
        raise _unopened(error) from error
    if not size:
        raise BadCell("is an empty file")
    afford("file_mb", size)
    return whole


def _refuse_irregular(path: Path) -> None:
    """Raises BadCell where nothing has this path, or no regular file."""
    if kind := special(path):
        raise BadCell(f"is {kind}, no regular file")
    if not path.is_file():
        raise BadCell("no such file")


def _unopened(error: Exception) -> BadCell:
    """Why a file can't be opened. Raises UsedUp where it has no part in that."""
    refuse_used_up(error)
    return BadCell(f"can't be opened ({getattr(error, 'strerror', None) or error})")


def _member_bytes(member: TarMember, root: Path, most: int | None = None) -> bytes:
    """The contents of a file inside an archive, or their beginning. Raises BadCell."""
    path = cell_path(member.archive, root)
    size = member.size if most is None else min(most, member.size)
    afford("cell_mb", size)
    try:
        with path.open("rb") as file:
            file.seek(member.start)
            data = file.read(size)
    except OSError as error:
        raise _unopened(error) from error
    if len(data) < size:
        raise BadCell("is cut short, as its archive is")
    if not data:
        raise BadCell("is an empty file")
    return data


def _below(value: str | bytes, root: Path) -> Path:
    """The whole path of `value`, which lies below `root`. Raises BadCell."""
    if not isinstance(value, str):
        raise BadCell("is no path")
    if "://" in value[:12]:
        raise BadCell("is a URL; nothing is downloaded")
    path = Path(value)
    try:
        # most texts of a table are no paths: one look, before the links on the way are followed
        if not _may_leave(path):
            os.lstat(os.path.join(root, value))
        whole = (path if path.is_absolute() else root / path).resolve()
        if not whole.is_relative_to(root.resolve()):
            raise BadCell(f"{LEAVES} (--root DIR allows a wider one)")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadCell("no such file") from error
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise _unopened(error) from error
    return whole


def cell_folder(value: str | bytes, root: Path) -> Path | None:
    """The folder that `value` names below `root`; None where it names no folder there."""
    try:
        whole = _below(value, root)
        return whole if whole.is_dir() else None
    except (BadCell, OSError, ValueError):
        return None


def cell_files(value: str, root: Path) -> list[Path]:
    """The files behind a cell: those of a name that stands for several, those directly in a folder,
    or the one that a path names; none where there is none. No file is opened.
    """
    if is_alias(value):
        return list(files_of(value))
    if member := member_of(value):
        return [root / member.archive]
    if folder := cell_folder(value, root):
        return visible_files(folder)
    return [root / value]


def visible_files(folder: Path) -> list[Path]:
    """The files directly in a folder, sorted, without hidden ones; none where it can't be read."""
    try:
        return sorted(
            p for p in folder.iterdir() if os.path.isfile(p) and not p.name.startswith(".")
        )
    except OSError as error:
        refuse_used_up(error)
        return []


def _may_leave(path: Path) -> bool:
    """Whether a path may lead out of the folder that it starts from, by its spelling."""
    return path.is_absolute() or ".." in path.parts


def file_bytes(path: Path) -> bytes:
    """The contents of a file. Raises BadCell where it can't be read, or is over the budget."""
    try:
        _refuse_irregular(path)
        afford("cell_mb", path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise _unopened(error) from error


def file_head(value: str, root: Path) -> bytes:
    """The first bytes of the file that `value` names below `root`; none where it names no file."""
    try:
        if member := member_of(value):
            return _member_bytes(member, root, HEAD)
        with cell_path(value, root).open("rb") as file:
            return file.read(HEAD)
    except (BadCell, OSError) as error:
        refuse_used_up(error)
        return b""


def share_of_files(
    values: Sequence[Any], root: Path, suffixes: set[str], known: Callable[[bytes], bool]
) -> float:
    """The share of the values that are files of a sort: bytes by their beginning, paths by their
    suffix. Of paths with another suffix, or none, a few are opened.

    suffixes: of that sort. known: whether a file is of that sort, by its first bytes.
    """
    parts = spread(values)
    texts = [v for v in parts if isinstance(v, str)]
    others = [v for v in texts if splitext(v)[1].lower() not in suffixes]
    chosen = others[:: max(1, len(others) // OPENED)][:OPENED]
    opened = sum(known(file_head(v, root)) for v in chosen) / max(1, len(chosen))
    held = sum(isinstance(v, bytes) and known(v[:HEAD]) for v in parts)
    return (held + len(texts) - len(others) + opened * len(others)) / max(1, len(parts))


def cell_bytes(value: str | bytes, root: Path) -> bytes:
    """The file's contents: `value` itself where the cell holds bytes, else the file at that path
    below `root`, or inside an archive there. Raises BadCell.
    """
    if member := member_of(value):
        return _member_bytes(member, root)
    return value if isinstance(value, bytes) else file_bytes(cell_path(value, root))


def cell_key(cell: Mapping[str, Any], root: Path) -> bytes:
    """A hash of the contents of a cell's files, 16 bytes. Raises BadCell."""
    return bytes.fromhex(fingerprint(*[content_key(v, root) for v in file_values(cell)]))[:16]


def content_key(value: str | bytes, root: Path) -> bytes:
    """A hash of the file's contents, 16 bytes, or of those of all files behind a cell; a long file
    is read in pieces. Raises BadCell.
    """
    if isinstance(value, bytes) or member_of(value):
        return hashlib.sha256(cell_bytes(value, root)).digest()[:16]
    try:
        if is_alias(value) or cell_folder(value, root):
            each = [_digest(cell_path(str(p), root)) for p in cell_files(value, root)]
            whole = each[0] if len(each) == 1 else hashlib.sha256(b"".join(each)).digest()
            return whole[:16]
        return _digest(cell_path(value, root))[:16]
    except OSError as error:
        raise _unopened(error) from error


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def statuses(value: str, root: str) -> list[os.stat_result]:
    """What the system says of the files behind a cell, as `cell_files`; none of a missing one."""
    found = []
    member = member_of(value)
    try:
        for path in files_of(value) or (os.path.join(root, member.archive if member else value),):
            found.append(os.stat(path))
        if len(found) == 1 and S_ISDIR(found[0].st_mode):
            with os.scandir(os.path.join(root, value)) as entries:
                found += [e.stat() for e in sorted(entries, key=lambda e: e.name) if e.is_file()]
    except (OSError, ValueError):
        return found
    return found


def untouched(cell: Mapping[str, Any], root: str) -> tuple[bytes, int] | None:
    """A hash, 16 bytes, of paths, sizes and times of the files that a cell names below the folder
    `root`, and the time of the last change (nanoseconds). None where the cell names no file.

    The hash stays the same as long as nobody changes the files. No file is opened.
    """
    values = spread(cell.values())
    if not all(isinstance(value, str) for value in values):
        return None
    facts, last_touched = [root], 0
    for value in values:
        facts.append(value)
        for stat in statuses(value, root):
            last_touched = max(last_touched, stat.st_mtime_ns, stat.st_ctime_ns)
            facts.append(
                f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
            )
    return (
        (hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass")).digest()[:16], last_touched)
        if last_touched
        else None
    )
