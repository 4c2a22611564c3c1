"""The images, sounds, meshes or volumes below the class folders of a folder, each with its class
and part.

A folder of classes may lie in folders that name the parts of a split (train/cat, test/cat), or hold
such folders (cat/train). Hidden folders and what macOS adds to an archive hold no class. What is
left out is told in a warning. No file of DICOM is a row, as its name and its folder may be those of
a patient: the reader of DICOM gives them codes.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.core.printable import counted
from gobelin.data.budget import refuse
from gobelin.data.dicom.files import is_dicom
from gobelin.data.files import file_head
from gobelin.data.image.formats import IMAGE_SUFFIXES, is_image
from gobelin.data.mesh.headers import MESH_SUFFIXES, is_mesh
from gobelin.data.sound.sounds import SOUND_SUFFIXES, is_sound
from gobelin.data.split.part_names import part_of
from gobelin.data.volume.files import VOLUME_SUFFIXES, is_volume, suffix_of
from gobelin.data.walk import Walk

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
DICOM = "dicom"  # a file of it, which is an image or a volume
NO_CLASSES = {"__MACOSX", "@eaDir"}  # folders that systems add
# folders of which each holds another file of the same rows
HALVES = re.compile(
    r"(?i)(?:images?|imgs?|pictures?|rgb|depths?|masks?|seg(?:mentation)?s?|labels?|annotations?"
    r"|gt|ground[ _-]?truths?|inputs?|outputs?|targets?|jpegimages|segmentationclass)"
)
SEVERAL = {"image": "images", "sound": "sounds", "mesh": "meshes", "volume": "volumes"}
TABLE_SUFFIXES = {".csv", ".tsv", ".jsonl", ".json", ".parquet"}
# {kind of the files: suffixes, whether a file begins as one}
KINDS = {
    "image": (IMAGE_SUFFIXES, is_image),
    "sound": (SOUND_SUFFIXES, is_sound),
    "mesh": (MESH_SUFFIXES, is_mesh),
    "volume": (VOLUME_SUFFIXES, is_volume),
}


def class_files(folder: Path) -> tuple[str, list[Path]]:
    """The kind of the files in the class folders, as in `KINDS`, and these files, sorted.

    It is the kind of most of them; of equally many, images. A file is known by its suffix, and by
    its content where it has another one. A warning counts the other files, by class folder. Raises
    GobelinError for more than the budget has rows.
    """
    found = _sorted_out(folder)
    _leave_dicom(folder, found.kept)
    return _most(found, KINDS)


def files_of_kind(folder: Path, *kinds: str) -> tuple[str, list[Path]]:
    """As `class_files`, of these kinds alone. Of images that are no data, DICOM is one."""
    found = _sorted_out(folder)
    found.kept["image"] += found.kept.pop(DICOM)
    return _most(found, kinds)


def _leave_dicom(folder: Path, kept: dict[str, list[Path]]) -> None:
    """Take files of DICOM out, and tell how many, without a name."""
    if left_out := kept.pop(DICOM):
        LOG.warning(
            "%s: %s left out, as their names and folders may be those of patients. Give a folder of"
            " them alone, or write a table that names them.",
            folder,
            counted(len(left_out), "file of DICOM is", "files of DICOM are"),
        )


@dataclass
class _Found:
    """What lies below the class folders. kept: {kind: files}, '' for files of no kind. hidden:
    names of hidden folders that hold some. closed: class folders that can't be opened."""

    folder: Path
    kept: dict[str, list[Path]]
    hidden: list[str]
    closed: set[str]


def _most(found: _Found, kinds: Collection[str]) -> tuple[str, list[Path]]:
    """The kind of these that most files have, and its files, sorted. Warns of everything else."""
    kinds = list(kinds)
    kind = max(kinds, key=lambda k: (len(found.kept[k]), -kinds.index(k)))
    _tell(found, kind)
    return kind, sorted(found.kept[kind])


def direct_files(folder: Path) -> tuple[str, list[Path]]:
    """The kind of the files that lie in the folder itself, as in `KINDS`, and these files, sorted:
    rows without a class. A warning counts the others. Raises GobelinError for more than the budget
    has rows."""
    kept: dict[str, list[Path]] = {kind: [] for kind in (*KINDS, DICOM, "")}
    walk = Walk(folder)
    for path in folder.iterdir():
        hidden = path.name.startswith(".")
        if not hidden and not os.path.isdir(path) and walk.is_file(path):
            kept[_kind(path, folder)].append(path)
    walk.tell()
    _leave_dicom(folder, kept)
    kind = max(KINDS, key=lambda k: len(kept[k]))
    refuse(str(folder), "rows", len(kept[kind]))
    others = [path for other, paths in kept.items() if other != kind for path in paths]
    if kept[kind] and others:
        none = f"is no {kind} that is read", f"are no {SEVERAL[kind]} that are read"
        told = counted(len(others), f"file {none[0]}", f"files {none[1]}")
        LOG.warning("%s: %s (first: %s).", folder, told, min(others).name)
    return kind, sorted(kept[kind])


def _sorted_out(folder: Path) -> _Found:
    """What lies below the class folders. A warning names the folders that can't be opened."""
    walk = Walk(folder)
    kept: dict[str, list[Path]] = {kind: [] for kind in (*KINDS, DICOM, "")}
    hidden: dict[str, None] = {}
    tops = []
    for top in folder.iterdir():
        if os.path.isdir(top):
            tops.append(top)
        elif not top.name.startswith("."):
            walk.is_file(top)
    places = (place for top in tops for place in walk.places(top))
    for path in (place / name for place, *names in places for name in chain(*names)):
        parts = path.relative_to(folder).parts
        inside = os.path.isdir(path)
        linked = inside and path.is_symlink()  # no link to a folder is followed further
        if path.name.startswith(".") or (inside and not linked):
            continue
        if left_out := [p for p in parts[:-1] if p.startswith(".") or p in NO_CLASSES]:
            hidden |= {left_out[0]: None} if os.path.isfile(path) and _kind(path, folder) else {}
            continue
        if not (linked or walk.is_file(path)):
            continue
        kind = "" if linked else _kind(path, folder)
        kept[kind].append(path)
        if kind:
            refuse(str(folder), "rows", len(kept[kind]))
    walk.tell()
    closed = {path.name for path in walk.unopened if path.parent == folder}
    return _Found(folder, kept, list(hidden), closed)


def _kind(path: Path, folder: Path) -> str:
    """The kind of a file; '' for none."""
    suffix = suffix_of(path.name)
    if found := [kind for kind, (suffixes, _) in KINDS.items() if suffix in suffixes]:
        return found[0]
    head = file_head(str(path), folder)
    if is_dicom(head):
        return DICOM
    return next((kind for kind, (_, begins) in KINDS.items() if begins(head)), "")


def _tell(found: _Found, kind: str) -> None:
    """Warn of everything in the folder that gives no row."""
    folder, kept = found.folder, found.kept
    held = {path.relative_to(folder).parts[0] for path in kept[kind]}
    others: dict[str, list[Path]] = {}
    for path in (path for other, paths in kept.items() if other != kind for path in paths):
        others.setdefault(path.relative_to(folder).parts[0], []).append(path)
    for name, paths in sorted(others.items()):
        LOG.warning(
            "%s: %s (first: %s)%s.",
            folder,
            counted(
                len(paths),
                f"file in class folder {name} is no {kind} that is read",
                f"files in class folder {name} are no {SEVERAL[kind]} that are read",
            ),
            min(paths).name,
            ", and the class has no others: it is left out" if name not in held else "",
        )
    for name in sorted({p.name for p in _folders(folder)} - held - set(others) - found.closed):
        LOG.warning("%s: class folder %s holds no %s. It is left out.", folder, name, kind)
    if found.hidden:
        LOG.warning("%s: %s in %s are left out.", folder, SEVERAL[kind], ", ".join(found.hidden))
    loose = [p for p in folder.iterdir() if os.path.isfile(p) and not p.name.startswith(".")]
    if held and (loose := [p for p in loose if _kind(p, folder) == kind]):
        lie = counted(len(loose), f"{kind} lies", f"{SEVERAL[kind]} lie")
        are = "It is" if len(loose) == 1 else "They are"
        first = min(loose).name
        LOG.warning("%s: %s in no class folder (first: %s). %s left out.", folder, lie, first, are)
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
        if os.path.isdir(path) and not path.name.startswith(".") and path.name not in NO_CLASSES:
            yield path


def tables_in(folder: Path) -> list[str]:
    """The names of the tables that lie directly in a folder."""
    return sorted(p.name for p in folder.iterdir() if p.suffix.lower() in TABLE_SUFFIXES)


def classes_and_parts(folder: Path, files: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The class of each file, and its part of a split; no parts where no folder names one. Raises
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
                f" {bare[0].relative_to(folder)} lies in no class folder. Put the files into class"
                " folders there, or name them in a table."
            )
        classes = [place[other] for place in places]
        _tell_halves(folder, set(classes))
        return classes, [place[part] for place in places]
    tops, seconds = {place[0] for place in places}, {place[1:2] for place in places} - {()}
    if len(tops) == 1 and len(seconds) > 1:
        (top,) = tops
        raise GobelinError(
            f"{folder}: holds one class folder, {top}, with {len(seconds)} folders in it. Are these"
            f" the classes? Give {folder / top}."
        )
    if deep := next((place for place in sorted(places) if len(place) > 1), ()):
        LOG.warning(
            "%s: class folders hold folders, such as %s. The class of all files below is the upper"
            " one, here %s.",
            folder,
            "/".join(deep),
            deep[0],
        )
    _tell_halves(folder, tops)
    return [place[0] for place in places], []


def _tell_halves(folder: Path, classes: Collection[str]) -> None:
    """Warn of folders whose names say that each holds one half of every row, no class."""
    halves = sorted(name for name in classes if HALVES.fullmatch(name))
    if len(halves) > 1:
        LOG.warning(
            "%s: the folders %s are read as classes. If each row has a file in each of them, write"
            " a table that names these files in columns.",
            folder,
            ", ".join(halves),
        )
