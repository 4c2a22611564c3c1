"""Copies of images of the data inside the run folder, for the report."""

from __future__ import annotations

import shutil
from pathlib import Path

from gobelin.data.images import image_values
from gobelin.workbench.run.rows import Rows


def thumbnail(folder: Path, rows: Rows, field: str, row: int) -> str | None:
    """Copy the image of a row into the run folder; its path there.

    None where the cell is empty or holds bytes, or where the file does not exist.
    """
    cell = rows.dataset.cells(rows.schema.field(field))[row]
    value = image_values(cell)[0] if cell else None
    if not isinstance(value, str) or not (source := rows.dataset.root / value).is_file():
        return None
    name = f"images/data/{row}{source.suffix.lower()}"
    target = folder / name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return name
