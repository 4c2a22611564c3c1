"""Copies of the data's images inside the run folder."""

from __future__ import annotations

import shutil

from gobelin.workbench.run.folder import Artefacts


def thumbnail(made: Artefacts, row: int) -> str | None:
    """A copy of a row's image inside the run folder, its path relative to it; None where there is
    no file."""
    source = made.image_path(row)
    if source is None or not source.is_file():
        return None
    name = f"images/data/{row}{source.suffix.lower()}"
    target = made.run.folder / name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return name
