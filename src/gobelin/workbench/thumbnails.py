"""Copies of images of the data inside the run folder, and pictures of volumes, for the report."""

from __future__ import annotations

import shutil
from pathlib import Path

from gobelin.data.dicom.files import is_dicom
from gobelin.data.fields import Cell, Field
from gobelin.data.files import HEAD, BadCell, cell_bytes, cell_files, file_values
from gobelin.data.image.headers import opened
from gobelin.data.image.images import Opening, open_image, png_bytes
from gobelin.data.image.pixel_range import is_wide
from gobelin.data.media import medium
from gobelin.workbench.run.rows import Rows

PICTURE_SIDE = 64  # of a volume that is drawn, in voxels


def thumbnail(folder: Path, rows: Rows, field: str, row: int) -> str | None:
    """Copy the image of a row into the run folder; its path there. An image whose pixels are no
    bytes, which a browser can't show, is written as PNG by the range of its field.

    None where the cell is empty or holds bytes, or where the file does not exist.
    """
    of_field = rows.schema.field(field)
    cell = rows.dataset.cells(of_field)[row]
    if of_field.kind != "image":
        return _drawn(folder, rows, of_field, row, cell)
    value = file_values(cell)[0] if cell else None
    root = rows.dataset.root
    files = cell_files(value, root) if isinstance(value, str) else []
    if not isinstance(value, str) or not files or not (source := files[0]).is_file():
        return None
    wide = _is_wide(value, root)
    name = f"images/data/{row}{'.png' if wide else source.suffix.lower()}"
    target = folder / name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        if wide:
            opening = rows.dataset.opening(rows.schema.field(field).columns[0])
            assert isinstance(opening, Opening)
            open_image(value, root, opening)[0].save(target, "PNG")
        else:
            shutil.copyfile(source, target)
    return name


def _drawn(folder: Path, rows: Rows, field: Field, row: int, cell: Cell | None) -> str | None:
    """The picture of what is no image; None for an empty cell."""
    if not cell:
        return None
    of_kind, opening = medium(field.kind), rows.dataset.opening(field.columns[0])
    array = of_kind.decoded(cell, rows.dataset.root, opening, PICTURE_SIDE)[0]
    name = f"images/data/{row}.png"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(png_bytes(of_kind.picture(array)))
    return name


def _is_wide(value: str, root: Path) -> bool:
    """Whether the pixels of an image are no bytes, as far as its header tells, or it is DICOM,
    whose header names a patient.
    """
    try:
        data = cell_bytes(value, root)
        return is_dicom(data[:HEAD]) or is_wide(opened(data))
    except (BadCell, OSError, ValueError, SyntaxError):
        return False
