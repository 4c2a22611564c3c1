"""The contents of files for an export. Of DICOM the picture or the volume is copied, and nothing of
the header, which names the patient.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from gobelin.data.aliases import files_of
from gobelin.data.dicom import is_dicom
from gobelin.data.files import HEAD, cell_bytes, cell_folder
from gobelin.data.images import Opening, open_image
from gobelin.data.volume import VolumeOpening
from gobelin.data.volume_files import SPACING, open_volume


def copied_bytes(value: str | bytes, root: Path, kind: str = "image") -> bytes:
    """The bytes of a cell's file; of DICOM a PNG by its own window or range, or an .npz file of a
    volume in the units of the modality. kind: of the column. Raises BadCell.
    """
    several = isinstance(value, str) and (len(files_of(value)) > 1 or cell_folder(value, root))
    if not several and not is_dicom((data := cell_bytes(value, root))[:HEAD]):
        return data
    out = io.BytesIO()
    if several or kind == "volume":
        volume, _ = open_volume(value, root, VolumeOpening())
        arrays = {"volume": volume.values}
        if volume.spacing is not None:
            arrays[SPACING] = np.array(volume.spacing)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(cast(BinaryIO, file), array, allow_pickle=False)
    else:
        open_image(value, root, Opening())[0].save(out, "PNG")
    return out.getvalue()
