"""The files of a stored Lance table: whether they are as they were written, and what they refer to,
read before Lance opens the table.

A version of a table is a manifest: a message in protobuf's wire format. It names the files of the
rows, and it may name base paths: other folders or URLs from which Lance would fetch them. A table
that Gobelin wrote has no base paths, and its files have plain names. Any other is refused, so a
stranger's index can't make a search read a file elsewhere or open a connection.

What it doesn't check: the contents of the files of rows and of indices, which hold values alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gobelin.core.errors import GobelinError, refuse_used_up
from gobelin.core.files import file_hash, made_anew, read_json, write_json

MOST_BYTES = 2**26  # of a manifest or a transaction; those of a million rows have some kilobytes
LEFT = r"|\.tmp\w*|[\w.-]+#\d+"  # what a killed process leaves; Lance reads none of it
KNOWN = re.compile(
    r"(files|change|fitted|stage|search)\.json|vectors\.safetensors|rows\.arrow|\.writing-[\w.-]+|rows\.lance/("
    rf"_versions/(d?\d+\.manifest|latest_version_hint\.json{LEFT})"
    rf"|_transactions/([\w-]+\.txn{LEFT})"
    rf"|data/([\w-]+\.lance{LEFT})"
    rf"|_deletions/([\d-]+\.(arrow|bin){LEFT})"
    rf"|_indices/[\w-]+/([\w.-]+\.(idx|lance|arrow){LEFT})"
    ")",
    re.ASCII,
)
PLAIN = re.compile(rb"[A-Za-z0-9_-]+\.(lance|txn)")
UNREADABLE = re.compile(r"\(os error (1|13|23|24)\)")  # the system's words for a file in order
FILE_HASHES = "files.json"  # size and hash of every file of the table
NUMBERS, BYTES = 0, 2  # wire types: a number of any length; a length and so many bytes
WIDTHS = {1: 8, 5: 4}  # wire types of numbers with a fixed width

# Numbers of fields, as in Lance's table.proto, file.proto and transaction.proto. Only texts and
# messages matter: one with a number that isn't listed may be a path, and is refused.
FIELD, FRAGMENT, TRANSACTION_FILE, TRANSACTION_PLACE = 1, 2, 12, 21  # of a manifest
# also metadata, time, tag, writer, format of data, settings, more metadata
IN_MANIFEST = {FIELD, FRAGMENT, TRANSACTION_FILE, 5, 7, 8, 13, 15, 16, 19}
FIELD_METADATA = 10
DATA_FILE, DELETION_FILE = 2, 3  # of a fragment; its ids and versions of rows: 5, 7, 9
IN_FRAGMENT = {DATA_FILE, DELETION_FILE, 5, 7, 9}
PATH, BASE = 1, 7  # of a data file; its columns: 2, 3. A deletion file has a base and no path.
IN_DATA_FILE = {PATH, 2, 3}
OVERWRITE, BASES_OF_OVERWRITE = 102, 5
# of a transaction: its id and tag; append, delete, overwrite, index, rewrite, merge, reserve,
# update, project, settings
IN_TRANSACTION = {2, 3, 4, 100, 101, OVERWRITE, 103, 104, 105, 107, 108, 109, 110}


class _Outside(Exception):
    """A message refers to another place."""


def refuse_outside(folder: Path) -> None:
    """Raises GobelinError where the table in `folder` refers to files outside of it, or the folder
    holds a file that no index has; ValueError for a damaged manifest."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if not (KNOWN.fullmatch(name) and path.is_file()) or path.is_symlink():
            raise GobelinError(
                f"{folder}: holds {name[:80]!r}, which is no part of an index. Remove it, or use"
                " another copy."
            )
        try:
            if path.suffix == ".manifest":
                _check_manifest(_bytes(path))
            elif path.suffix == ".txn":
                _check_transaction(_bytes(path))
        except _Outside as error:
            raise GobelinError(
                f"{folder}: refers to files outside of it ({path.name[:40]}: {error})."
                f" {made_anew(folder, 'gobelin search')}"
            ) from error


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path.name} has more than {MOST_BYTES} bytes")
    return data


def _check_manifest(data: bytes) -> None:
    """The last 16 bytes are the place of the manifest, two versions and a mark."""
    place = int.from_bytes(data[-16:-8], "little")
    if len(data) < 20 or data[-4:] != b"LANC" or place > len(data) - 20:
        raise ValueError("a manifest has no end")
    message = _section(data, place)
    if place + 4 + len(message) + 16 != len(data):
        raise ValueError("a manifest has another length than it says")
    for number, value in _fields(message):
        if isinstance(value, int):
            if number == TRANSACTION_PLACE:
                _check_transaction(_section(data, value))
            continue
        _only(number, IN_MANIFEST, "a base path, or a field that is unknown")
        if number == FRAGMENT:
            _check_fragment(value)
        elif number == TRANSACTION_FILE and value:
            _plain(value)
        elif number == FIELD and any(
            k == FIELD_METADATA and isinstance(v, bytes) and b"blob" in v for k, v in _fields(value)
        ):
            raise _Outside("a column of files")


def _check_fragment(message: bytes) -> None:
    for number, value in _fields(message):
        if isinstance(value, int):
            continue
        _only(number, IN_FRAGMENT, "a file of row ids")
        if number not in (DATA_FILE, DELETION_FILE):
            continue
        for inner, part in _fields(value):
            if inner == BASE:
                raise _Outside("a file of another base")
            if isinstance(part, bytes):
                _only(inner, IN_DATA_FILE if number == DATA_FILE else set(), "a file's path")
                if inner == PATH:
                    _plain(part)


def _check_transaction(message: bytes) -> None:
    for number, value in _fields(message):
        if isinstance(value, bytes):
            _only(number, IN_TRANSACTION, "a change that Gobelin never makes")
            if number == OVERWRITE and any(k == BASES_OF_OVERWRITE for k, _ in _fields(value)):
                raise _Outside("a base path")


def _only(number: int, known: set[int], what: str) -> None:
    if number not in known:
        raise _Outside(what)


def _plain(name: bytes) -> None:
    if not PLAIN.fullmatch(name):
        raise _Outside(f"{name.decode('utf-8', 'replace')[:80]!r} is no plain name")


def _section(data: bytes, place: int) -> bytes:
    """The message at a place of the file: its length in four bytes, then its bytes."""
    start = place + 4
    end = start + int.from_bytes(data[place:start], "little")
    if start > len(data) or end > len(data):
        raise ValueError("a manifest is cut short")
    return data[start:end]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of every field: a whole number, or the bytes of a text or a message. Raises
    ValueError for bytes that are no message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise ValueError("a manifest has a field that can't be")
        if wire == NUMBERS:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == BYTES:
            size, place = _varint(message, place)
        elif wire in WIDTHS:
            size = WIDTHS[wire]
        else:
            raise ValueError("a manifest has a field of no known type")
        if place + size > len(message):
            raise ValueError("a manifest is cut short")
        part, place = message[place : place + size], place + size
        yield number, part if wire == BYTES else int.from_bytes(part, "little")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A whole number in groups of seven bits, and the place behind it."""
    value = 0
    for k in range(10):
        if place + k >= len(message):
            raise ValueError("a manifest is cut short")
        byte = message[place + k]
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value, place + k + 1
    raise ValueError("a manifest has a number that is too long")


def damaged(folder: Path, why: object) -> GobelinError:
    """The error for a table that can't be read, and why. Raises UsedUp for what has no part in
    that."""
    if isinstance(why, Exception):
        refuse_used_up(why)
    closed = isinstance(why, PermissionError) or UNREADABLE.search(str(why))
    why = " ".join(str(why).split())[:120]
    if closed:
        return GobelinError(f"{folder}: can't be read ({why}). Look at its permissions.")
    return GobelinError(f"{folder}: is damaged ({why}). {made_anew(folder, 'gobelin search')}")


def list_files(folder: Path) -> None:
    """Write size and hash of every file of the table."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json")
    write_json(
        folder / FILE_HASHES,
        {p.relative_to(folder).as_posix(): [p.stat().st_size, file_hash(p)] for p in files},
    )


def check_files(folder: Path) -> None:
    """Raises GobelinError where a listed file has another size or hash. A missing file is left to
    Lance: an older version of the table may have had it."""
    try:
        listed = {
            folder / name: (int(size), str(digest))
            for name, (size, digest) in read_json(folder / FILE_HASHES).items()
        }
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise damaged(folder, error) from error
    for path, (size, digest) in listed.items():
        if path.is_file() and (path.stat().st_size != size or file_hash(path) != digest):
            raise damaged(folder, f"{path.relative_to(folder)} was changed or cut short")
