"""The images below the class folders of a folder, and the class and the part of each.

A folder of classes may lie in folders that name the parts of a split (train/cat, test/cat), or hold
such folders (cat/train). Hidden folders and what macOS adds to an archive hold no class. What is
left out is told in a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.data.budget import refuse
from gobelin.data.files import file_head
from gobelin.data.images import IMAGE_SUFFIXES, is_image
from gobelin.data.part_names import part_of

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
NO_CLASSES = {"__MACOSX", "@eaDir"}  # folders that systems add
TABLE_SUFFIXES = {".csv", ".tsv", ".jsonl", ".json", ".parquet"}


def image_files(folder: Path) -> list[Path]:
    """The image files below the class folders of a folder, sorted: by suffix, and by content where
    a file has another one. A warning counts the other files, by class folder. Raises GobelinError
    for more than the budget has rows.
    """
    found: list[Path] = []
    others: dict[str, list[Path]] = {}
    held: set[str] = set()
    hidden: dict[str, None] = {}
    for path in folder.glob("*/**/*"):
        parts = path.relative_to(folder).parts
        name = parts[0]
        linked = path.is_symlink() and path.is_dir()  # no link to a folder is followed further
        if path.name.startswith(".") or not (linked or path.is_file()):
            continue
        known = path.suffix.lower() in IMAGE_SUFFIXES or is_image(file_head(str(path), folder))
        if left_out := [p for p in parts[:-1] if p.startswith(".") or p in NO_CLASSES]:
            hidden |= {left_out[0]: None} if known else {}
        elif known and not linked:
            found.append(path)
            held.add(name)
            refuse(str(folder), "rows", len(found))
        else:
            others.setdefault(name, []).append(path)
    _tell(folder, others, held, list(hidden))
    return sorted(found)


def _tell(folder: Path, others: dict[str, list[Path]], held: set[str], hidden: list[str]) -> None:
    """Warn of everything in the folder that gives no row."""
    for name, paths in sorted(others.items()):
        LOG.warning(
            "%s: %d files in class folder %s are no images that are read (first: %s)%s.",
            folder,
            len(paths),
            name,
            min(paths).name,
            ", and the class has no others: it is left out" if name not in held else "",
        )
    for name in sorted({p.name for p in _folders(folder)} - held - set(others)):
        LOG.warning("%s: class folder %s holds no image. It is left out.", folder, name)
    if hidden:
        LOG.warning("%s: images in %s are left out.", folder, ", ".join(hidden))
    if held and (tables := tables_in(folder)):
        LOG.warning(
            "%s: %s lies beside the class folders and is not read. For its columns give the file"
            " in place of the folder.",
            folder,
            ", ".join(tables),
        )


def _folders(folder: Path) -> Iterator[Path]:
    """The folders that may be a class."""
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith(".") and path.name not in NO_CLASSES:
            yield path


def tables_in(folder: Path) -> list[str]:
    """The names of the tables that lie directly in a folder."""
    return sorted(p.name for p in folder.iterdir() if p.suffix.lower() in TABLE_SUFFIXES)


def classes_and_parts(folder: Path, files: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The class of each image, and its part of a split; no parts where no folder names one. Raises
    GobelinError where folders name parts and hold no classes.
    """
    places = [path.relative_to(folder).parts[:-1] for path in files]
    for part, other in ((0, 1), (1, 0)):
        names = {place[part] for place in places if len(place) > part}
        parts = {part_of(name) for name in names}
        if "" in parts or "train" not in parts or len(parts) < 2:
            continue
        if bare := [path for path, place in zip(files, places, strict=True) if len(place) < 2]:
            if part:  # classes of which some hold no parts
                continue
            raise GobelinError(
                f"{folder}: the folders {', '.join(sorted(names))} name the parts of a split, and"
                f" {bare[0].relative_to(folder)} lies in no class folder. Put the images into class"
                " folders there, or name them in a table."
            )
        return [place[other] for place in places], [place[part] for place in places]
    tops, seconds = {place[0] for place in places}, {place[1:2] for place in places} - {()}
    if len(tops) == 1 and len(seconds) > 1:
        (top,) = tops
        raise GobelinError(
            f"{folder}: holds one class folder, {top}, with {len(seconds)} folders in it. Are these"
            f" the classes? Give {folder / top}."
        )
    return [place[0] for place in places], []
