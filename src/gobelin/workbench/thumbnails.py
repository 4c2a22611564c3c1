"""Copies of the data's images inside the run folder, so that a report shows them."""

from __future__ import annotations

import shutil
from pathlib import Path

from gobelin.data.images import image_values
from gobelin.workbench.run.rows import Rows


def thumbnail(folder: Path, rows: Rows, field: str, row: int) -> str | None:
    """A copy of a row's image inside the run folder, its path relative to it; None where the cell
    holds bytes or nothing, or where there is no such file."""
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
