"""Files of the user in a run folder.

What this cannot show: a picture of the user among those that Gobelin made in `images`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gobelin.core.errors import GobelinError, some
from gobelin.core.files import STAGE_RECORD
from gobelin.core.stages import STEPS, RunFolder, own_files
from gobelin.core.temporary import PREFIX
from gobelin.data.image.formats import IMAGE_SUFFIXES
from gobelin.data.media import kinds, medium
from gobelin.embedding.search.index import INDEX_SUFFIXES
from gobelin.workbench.run import lineage
from gobelin.workbench.run.row_index import INDEX

SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")  # that file managers write; removed
STAGED = (".json", ".jsonl", ".safetensors", ".arrow", ".npy", ".skops", *INDEX_SUFFIXES)
# How names end in folders that are no stages. `work` holds settings, weights and samples.
ENDINGS = {
    "cache": (".safetensors",),
    "images": (*IMAGE_SUFFIXES, ".npy", *(medium(kind).suffix for kind in kinds())),
    "work": (".safetensors", ".json", ".jsonl", ".npy", ".png"),
}
# What Gobelin makes at the top of a run folder, beside the files that `forget` keeps, as
# docs/reference/run_folder.md lists it.
MADE = (
    *(*STEPS, *ENDINGS, "complete.json", "files.safetensors"),
    *("findings.jsonl", "exhibits.jsonl", "report.html", "report.md"),
)


def refuse_users_files(folder: RunFolder, kept: Sequence[str]) -> None:
    """Raises GobelinError for what Gobelin doesn't make there: it may hold the group, so it can't
    stay, and it is the user's, so it is not removed. kept: names beside `MADE`."""
    exports = (Path(e["file"]) for e in lineage.stored(folder)["exports"])
    top = folder.folder.resolve()
    left = {*kept, *(e.relative_to(top).parts[0] for e in exports if e.is_relative_to(top))}
    if others := sorted(_others(folder.folder, left)):
        raise GobelinError(
            f"{folder.folder}: holds files that are no part of a run ({some(others)}), in which the"
            " group may be. Move them out of it, or delete them, and run the same command again."
        )


def _others(folder: Path, left: set[str]) -> Iterator[str]:
    """Names in the run folder, of files and folders that Gobelin doesn't make there. left: names at
    the top that are not looked at."""
    for path in folder.iterdir():
        if path.name in left or _gobelins(path, ()):
            continue
        if path.name not in MADE:
            yield path.name
        elif path.name in ENDINGS:
            yield from _below(folder, path, ENDINGS[path.name])
        elif path.name in STEPS:
            yield from _in_stages(folder, path)


def _in_stages(folder: Path, place: Path) -> Iterator[str]:
    """The files below a folder of stages that no stage was written with. A killed command leaves
    parts of a stage without its record: there the endings tell. The index changes after it was
    written, and is not looked at."""
    if not (place / STAGE_RECORD).is_file():
        for path in place.iterdir() if place.is_dir() else (place,):
            if path.is_dir():
                yield from _in_stages(folder, path)
            elif not _gobelins(path, STAGED):
                yield path.relative_to(folder).as_posix()
        return
    if place.name == INDEX or (own := own_files(place)) is None:
        return
    for path in place.rglob("*"):
        name = path.relative_to(place).as_posix()
        if not path.is_dir() and name not in own and not _gobelins(path, ()):
            yield path.relative_to(folder).as_posix()


def _below(folder: Path, place: Path, endings: tuple[str, ...]) -> Iterator[str]:
    """The files below a folder that are not Gobelin's. A picture of the data is named by the number
    of its row, with the ending that it had there."""
    for path in place.rglob("*"):
        if not (path.is_dir() or path.stem.isdigit() or _gobelins(path, endings)):
            yield path.relative_to(folder).as_posix()


def _gobelins(path: Path, endings: tuple[str, ...]) -> bool:
    """Whether a name has one of these endings, or is temporary, or of the system."""
    name = path.name
    return name.lower().endswith(endings) or name in SYSTEM or name.startswith(PREFIX)
