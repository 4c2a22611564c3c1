"""The contents of files for an export. Of DICOM the picture or the volume is copied, and nothing of
the header, which names the patient.
"""

from __future__ import annotations

import io
from pathlib import Path

from gobelin.data.dicom.aliases import files_of
from gobelin.data.dicom.files import is_dicom
from gobelin.data.files import HEAD, cell_bytes, cell_folder
from gobelin.data.image.images import Opening, open_image
from gobelin.data.volume.files import npz_bytes, open_volume
from gobelin.data.volume.volumes import VolumeOpening


def copied_bytes(value: str | bytes, root: Path, kind: str = "image") -> bytes:
    """The bytes of a cell's file; of DICOM a PNG by its own window or range, or an .npz file of a
    volume in the units of the modality. kind: of the column. Raises BadCell.
    """
    several = isinstance(value, str) and (len(files_of(value)) > 1 or cell_folder(value, root))
    if not several and not is_dicom((data := cell_bytes(value, root))[:HEAD]):
        return data
    if several or kind == "volume":
        volume, _ = open_volume(value, root, VolumeOpening())
        return npz_bytes(volume)
    out = io.BytesIO()
    open_image(value, root, Opening())[0].save(out, "PNG")
    return out.getvalue()
