"""Paths of files as other systems spell them: with backslashes, with %20 for a space, with letters
and their accents apart or in one; several in one text; or without their suffix or folder.

A path is read otherwise only where no file has it as it stands, and one has it as it is read.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from gobelin.data.files import file_head

LONGEST = 4096  # letters of a path, at most
MOST_FOLDERS = 20  # below the data folder that are searched
# of files whose names people write without it
SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".JPG",
    ".tif",
    ".webp",
    ".bmp",
    ".wav",
    ".mp3",
    ".flac",
    ".npy",
)
QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
LISTED = re.compile(r"""\[\s*(?:'[^']*'|"[^"]*")(?:\s*,\s*(?:'[^']*'|"[^"]*"))*\s*\]""")
PLAIN_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d*)?(?:e[+-]?\d+)?", re.IGNORECASE)
FILE_NAME = re.compile(r"image|img|file|photo|picture|path|audio|sound|clip", re.IGNORECASE)
SEPARATORS = re.compile(r"[;|,]")


def _slashes(text: str) -> str:
    return text.replace("\\", "/")


# how a path is read, and the path
WAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("with / for \\", _slashes),
    ("with % and two digits for a letter", unquote),
    ("with accents as the files have them", partial(unicodedata.normalize, "NFC")),
    ("with accents as the files have them", partial(unicodedata.normalize, "NFD")),
)


@dataclass(frozen=True)
class Respelled:
    """Paths below `root` that are read in one of WAYS. example: the first of them."""

    how: str
    way: Callable[[str], str]
    example: str
    root: Path

    def __call__(self, text: str) -> str:
        other = self.way(text)
        if other == text or len(text) > LONGEST or os.path.lexists(self.root / text):
            return text
        return other


def respelling(texts: Sequence[str], root: Path) -> Respelled | None:
    """The way by which most of these texts name files; None where they name some as they stand, or
    none in any way.
    """
    for how, way in WAYS:
        changed = [v for v in texts if len(v) <= LONGEST and way(v) != v]
        if 2 * len(changed) < len(texts) or any(file_head(v, root) for v in changed[:1]):
            continue
        if sum(bool(file_head(way(v), root)) for v in changed) > 0.5 * len(changed):
            return Respelled(how, way, changed[0], root)
    return None


def several(text: str) -> list[str]:
    """The paths in a text: a list as Python and JSON write it, or with ; or | or , between them."""
    stripped = text.strip()
    if LISTED.fullmatch(stripped):
        return [a or b for a, b in QUOTED.findall(stripped)]
    return [part.strip() for part in SEPARATORS.split(text) if part.strip()]


def name_several(texts: Sequence[str], root: Path) -> bool:
    """Whether some of these texts hold several paths, and all parts of those are files."""
    split = [several(v) for v in texts if len(v) <= LONGEST]
    many = [parts for parts in split if len(parts) > 1]
    return bool(many) and all(file_head(v, root) for parts in many[:3] for v in parts[:3])


def found_below(name: str, root: Path, suffixes: Sequence[str] = ("",)) -> str:
    """The path of a file with this name, and one of these suffixes, in the folder `root` or in one
    below it; '' for none.
    """
    if not name or len(name) > LONGEST or "\0" in name or os.path.isabs(name):
        return ""
    for folder in _folders(root):
        for suffix in suffixes:
            if (root / folder / (name + suffix)).is_file():
                return os.path.join(folder, name + suffix)
    return ""


def _folders(root: Path) -> Iterator[str]:
    yield ""
    try:
        with os.scandir(root) as entries:
            folders = (e.name for e in entries if e.is_dir() and not e.name.startswith("."))
            yield from islice(folders, MOST_FOLDERS)
    except OSError:
        return


def without_suffix(name: str, values: Sequence[object], root: Path) -> str:
    """A file that a value names without its suffix, where each of a few values names one; '' for
    other values. name: of the column; plain numbers may number other things than files.
    """
    texts = [str(v).strip() for v in values if isinstance(v, str | int)]
    if all(PLAIN_NUMBER.fullmatch(text) for text in texts) and not FILE_NAME.search(name):
        return ""
    if len(texts) < len(values) or len(set(texts)) < 0.9 * len(texts):
        return ""
    chosen = texts[:: max(1, len(texts) // 3)][:3]
    try:
        found = [found_below(v, root, SUFFIXES) if len(v) < 256 else "" for v in chosen]
    except (OSError, ValueError):
        return ""
    return found[0] if found and all(found) else ""
