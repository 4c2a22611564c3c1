"""A saved run as its receiver gets it: the files that it may hold, and the check of their hashes.

What the manifest cannot show: who wrote it. It shows damage; a person who changes a file can change
its hash too.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from gobelin.core import parse
from gobelin.core.errors import GobelinError
from gobelin.core.files import MANIFEST, file_hash, refuse_links
from gobelin.embedding.search.index import INDEX_SUFFIXES
from gobelin.networks.pipelines.folder import PICKLED
from gobelin.workbench.run.row_index import INDEX

SAVED_RUN_FORMAT = 1
CARD = "README.md"
SAVED_SUFFIXES = (
    ".json",
    ".jsonl",
    ".safetensors",
    ".md",
    ".png",
)  # all that a saved run consists of
PATTERNS = [
    *(f"*{suffix}" for suffix in SAVED_SUFFIXES),
    *(f"{INDEX}/*{suffix}" for suffix in INDEX_SUFFIXES),
]
NEVER = (
    *PICKLED,
    ".joblib",
    ".npy",
    ".npz",
    ".py",
    ".pyc",
    ".so",
    ".pyd",
    ".dll",
)  # code, or what can hold code
STAGES = ("encoders", "tuned", "alignment", "model", "generators", INDEX)
# One part of the name of a file: no separator, no drive, nothing that a shell or a disk reads as
# more than a name; at most as long as every disk takes.
NAME = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]{1,200}")
NEEDED = {"settings.json", "schema.json", "alignment/stage.json", "model/stage.json"}


def check(folder: Path) -> list[str]:
    """The names of the files of a saved run. The card may have been edited.

    Raises GobelinError for a folder without a complete manifest, for a file that is missing,
    changed or truncated, for a file of a stage that isn't listed, and for a file that is code or
    can hold code.
    """
    where = folder / MANIFEST
    refuse_links(folder)
    files = _listed(where)
    present = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    present = [
        name
        for name in present
        if not any(part.startswith(".") for part in PurePosixPath(name).parts)
    ]
    if bad := next((name for name in present if PurePosixPath(name).suffix.lower() in NEVER), None):
        raise GobelinError(
            f"{folder}: holds {bad}, which is code or can hold code. Use a saved run without it."
        )
    for name in [*files, *sorted(NEEDED - set(files))]:
        if name not in files or name not in present:
            lost = str(folder / name)[:400]
            raise GobelinError(f"{lost}: is missing. Save or download it again.")
    if stray := next(
        (name for name in present if name.split("/")[0] in STAGES and name not in files), None
    ):
        raise GobelinError(
            f"{folder / stray}: isn't listed in {MANIFEST}. Remove it, or save the run again."
        )
    for name, (digest, size) in files.items():
        if name != CARD and (
            (folder / name).stat().st_size != size or file_hash(folder / name) != digest
        ):
            raise GobelinError(
                f"{folder / name}: was changed or truncated since it was saved. Save or download it"
                " again."
            )
    return list(files)


def _listed(where: Path) -> dict[str, tuple[str, int]]:
    """{name: (hash, bytes)} of the files that a manifest lists. Raises GobelinError for one that
    is damaged, or lists what is no part of a saved run."""
    try:
        manifest = parse.json_file(where, parse.MOST_SETTINGS_BYTES)
        if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
            raise ValueError("it lists no files")
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, parse.Unreadable) else error
        raise GobelinError(
            f"{where.parent}: is no saved run, {MANIFEST} is missing or damaged ({reason}). Save it"
            " again."
        ) from error
    if manifest.get("format") != SAVED_RUN_FORMAT:
        raise GobelinError(
            f"{where}: has format {str(manifest.get('format'))[:40]}, this version reads"
            f" {SAVED_RUN_FORMAT}. Save it again."
        )
    listed = {}
    for name, entry in manifest["files"].items():
        known = INDEX_SUFFIXES if name.split("/")[0] == INDEX else SAVED_SUFFIXES
        parts = name.split("/")
        if not all(NAME.fullmatch(part) for part in parts) or Path(name).suffix not in known:
            raise GobelinError(
                f"{where}: lists {name[:80]!r}, which is no part of a saved run. Save it again."
            )
        size = entry.get("bytes") if isinstance(entry, dict) else None
        digest = entry.get("sha256") if isinstance(entry, dict) else None
        if type(size) is not int or size < 0 or not isinstance(digest, str):
            raise GobelinError(
                f"{where}: {name} was expected with its size and hash, found {str(entry)[:60]}."
                " Save it again."
            )
        listed[name] = digest, size
    return listed
