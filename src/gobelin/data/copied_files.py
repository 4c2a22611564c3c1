"""The contents of files for an export. Of DICOM the picture or the volume is copied, and nothing of
the header, which names the patient.
"""

from __future__ import annotations

import io
from pathlib import Path

from gobelin.data.aliases import files_of
from gobelin.data.dicom import is_dicom
from gobelin.data.files import HEAD, cell_bytes, cell_folder
from gobelin.data.images import Opening, open_image
from gobelin.data.volume import VolumeOpening
from gobelin.data.volume_files import npz_bytes, open_volume


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
