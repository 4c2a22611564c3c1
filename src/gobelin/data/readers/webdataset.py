"""WebDataset: archives (tar) whose files are grouped by their names, one group a row.

`0001.jpg`, `0001.txt`, `0001.cls` and `0001.json` are one row. An image, a sound or a volume stays
in the archive, and its cell says where; texts and numbers are read. Pickles are left out. Files of
a row need not stand side by side.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from gobelin.core import parse
from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError, first_line
from gobelin.core.printable import counted
from gobelin.data.budget import limits, refuse, refuse_table
from gobelin.data.dataset import declared
from gobelin.data.image.formats import IMAGE_SUFFIXES
from gobelin.data.sound.sounds import SOUND_SUFFIXES
from gobelin.data.split.part_names import name_parts, part_of
from gobelin.data.tar_members import TarMember, members
from gobelin.data.walk import Walk, leads_out

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
TEXTS = {"txt", "text", "caption", "transcript", "json", "cls", "cls2", "index", "inx", "id"}
PICKLES = {"pyd", "pkl", "pickle", "pth", "pt", "ten", "tb"}
SIGNS = re.compile(r"[-_. ]")
CLASS = "class"  # the column of the files .cls, whose numbers are classes
NUMBERED = re.compile(r"\d+\b")  # the rest of a name behind a dot in it, no word of a suffix
LEAST_NUMBERED = 4  # columns of one row each
Row = dict[str, Any]


@settings_class
class Webdataset:
    """No settings. Columns: `image` and `sound` (places in archives), `text`, `class`, the keys of
    json, other files by their suffix, and `split` where the names of archives begin with parts.
    """

    def claims(self, path: Path) -> bool:
        if path.is_file():
            return path.suffix.lower() == ".tar"
        return path.is_dir() and bool(_shards(Walk(path)))

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        walk = Walk(path)
        shards = [path] if path.is_file() else _shards(walk)
        walk.tell()
        if path.is_dir():
            _refuse_links(shards, path)
        folder = path.parent if path.is_file() else path
        left_out: Counter[str] = Counter()
        rows: list[Row] = []
        for shard in shards:
            for row in _rows(shard, shard.relative_to(folder).as_posix(), left_out):
                rows.append(row)
                refuse(str(path), "rows", len(rows))
        for reason, count in sorted(left_out.items()):
            line = counted(count, f"file {reason} is left out", f"files {reason} are left out")
            LOG.warning("%s: %s.", path, line)
        if not rows:
            raise GobelinError(
                f"{path}: holds no file that is read. Images, sounds, txt, cls or json were"
                " expected in the archives."
            )
        parts = [row.pop("") for row in rows]
        _refuse_dots(path, rows)
        if name_parts(parts):
            for row, part in zip(rows, parts, strict=True):
                row["split"] = part
        return _table(path, rows), folder


def _shards(walk: Walk) -> list[Path]:
    """The archives in a folder, and in the folders in it."""
    found: list[Path] = []
    for top in (walk.folder, *(p for p in walk.folder.iterdir() if os.path.isdir(p))):
        place, _, names = next(walk.places(top), (top, [], []))
        found += [place / name for name in names if name.endswith(".tar")]
    return sorted(p for p in found if not p.name.startswith(".") and walk.is_file(p))


def _refuse_links(shards: Sequence[Path], folder: Path) -> None:
    """Raises GobelinError for an archive that does not lie in the folder that a user named."""
    if out := next((shard for shard in shards if leads_out(shard, folder)), None):
        raise GobelinError(
            f"{out}: is a link that leads out of {folder}, and is not followed. Copy the folder"
            " with what it names: cp -rL."
        )


def _rows(shard: Path, name: str, left_out: Counter[str]) -> Iterator[Row]:
    """The rows of an archive: files in a row whose names agree up to the first dot. The key '' of a
    row holds the word that may name its part. Raises GobelinError for a damaged archive.
    """
    folder, _, own = name.rpartition("/")
    word = SIGNS.split(own)[0]
    part = word if part_of(word) else folder
    before: dict[str, Row] = {}  # the rows of this archive by the name of their files
    try:
        with shard.open("rb") as archive:
            key, row = "", Row()
            placed: dict[str, list[str]] = {}  # suffix of a file of this row -> its columns
            for member in members(shard):
                stem, suffix = _named(member.name)
                if member.isdir():
                    continue
                if not member.isfile() or not stem or not suffix:
                    left_out["of no row (links, hidden files, names without a suffix)"] += 1
                    continue
                if member.issparse():
                    left_out["that tar stored with holes (pack them again without --sparse)"] += 1
                    continue
                if suffix.rpartition(".")[2] in PICKLES:
                    left_out["that could run any program (pickles)"] += 1
                    continue
                if stem != key:
                    if row and not _joined(before, key, row):
                        before[key] = row
                        yield row
                    key, row, placed = stem, Row({"": part}), {}
                if suffix in placed:  # as for tar, the last of a name counts
                    left_out["that a later one of the same name replaces"] += 1
                    for column in placed[suffix]:
                        row.pop(column, None)
                short = f"{stem.rpartition('/')[2]}.{suffix}"
                found = TarMember(name, member.offset_data, member.size, short)
                placed[suffix] = _add(row, suffix, found, archive)
            if row and not _joined(before, key, row):
                yield row
    except (tarfile.TarError, EOFError, OSError, ValueError, RecursionError) as error:
        raise GobelinError(
            f"{shard}: is no tar archive that is read, or is damaged ({first_line(error, 60)})."
            " Pack it again, without compression."
        ) from error


def _joined(before: dict[str, Row], key: str, row: Row) -> bool:
    """Whether the files of a row stand apart in the archive, and are joined to those before.
    Another row of the same name has the same columns and stays a row."""
    earlier = before.get(key)
    if earlier is None or (earlier.keys() & row.keys()) - {""}:
        return False
    earlier.update(row)
    return True


def _refuse_dots(path: Path, rows: list[Row]) -> None:
    """Raises GobelinError where names hold dots, as in `track 2.0.mp3`: the rest of the name would
    be a column, and rows with one beginning would be one row."""
    counts = Counter(name for row in rows for name in row)
    alone = [name for name, count in counts.items() if count == 1 and NUMBERED.match(name)]
    if len(alone) >= LEAST_NUMBERED:
        raise GobelinError(
            f"{path}: names of files hold dots before the suffix (first: a dot and then"
            f" {alone[0][:40]!r}). A row is what stands before the first dot: write _ for the"
            " others."
        )


def _named(path: str) -> tuple[str, str]:
    """What the files of a row share, the path up to the first dot of the name, and the rest in
    small letters; '' for a hidden file.
    """
    folder, _, name = path.rpartition("/")
    stem, _, suffix = name.partition(".")
    return f"{folder}/{stem}" if stem else "", suffix.lower()


def _add(row: Row, suffix: str, found: TarMember, archive: BinaryIO) -> list[str]:
    """Put a file of an archive into its row, and say in which columns."""
    last = suffix.rpartition(".")[2]
    if last not in TEXTS:
        named = "image" if f".{last}" in IMAGE_SUFFIXES else suffix
        named = "sound" if f".{last}" in SOUND_SUFFIXES else named
        named = suffix.rpartition(".")[0] or named  # left.jpg and right.jpg of one row
        column = named if named not in row else suffix
        row[column] = found.cell
        return [column]
    if found.size > limits().letters:
        raise ValueError(f"{found.name} has {found.size} letters, more than reading.letters")
    archive.seek(found.start)
    text = archive.read(found.size).decode("utf-8", "replace").strip()
    if last == "json":
        return _add_json(row, suffix, text)
    if last.startswith(("cls", "ind", "inx")):
        column = CLASS if suffix == "cls" else suffix
        row[column] = int(text) if text.isdecimal() else text
    else:
        column = "text" if suffix == "txt" else suffix
        row[column] = text
    return [column]


def _add_json(row: Row, suffix: str, text: str) -> list[str]:
    """Put the keys of a json file into its row, and say in which columns; objects in them as
    text."""
    try:
        value = parse.json_value(text)
    except ValueError:
        value = text
    if not isinstance(value, dict):
        value = {suffix: value}
    columns = []
    for key, cell in value.items():
        nested = isinstance(cell, dict) or (
            isinstance(cell, list) and any(isinstance(item, dict | list) for item in cell)
        )
        columns.append(key if key and key not in row else f"{suffix}.{key}")
        row[columns[-1]] = json.dumps(cell, ensure_ascii=False) if nested else cell
    return columns


def _table(path: Path, rows: list[Row]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    refuse_table(str(path), len(rows), len(names))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    fields = [
        declared(n, c.type, "category") if n == CLASS else pa.field(n, c.type)
        for n, c in columns.items()
    ]
    return pa.table(list(columns.values()), pa.schema(fields))


def _column(values: list[Any]) -> pa.Array:
    """The values of one kind, or all as texts."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if v is None else str(v) for v in values])
