"""DICOM files for tests: slices of phantoms, with names and ids that must appear nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


def uid(*parts: object) -> str:
    """A unique id that depends on these parts alone."""
    return generate_uid(entropy_srcs=[repr(parts)])


def write(path: Path, pixels: np.ndarray, **tags: Any) -> Path:  # noqa: ANN401
    """A file with these pixels, int16 or uint16 [H, W] or uint8 [H, W, 3]. tags: by keyword."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID", uid(str(path)))
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    data.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def slices(folder: Path, values: np.ndarray, **tags: Any) -> list[Path]:  # noqa: ANN401
    """An axial series, int16 [D, H, W] with D from the feet up, H from front to back and W from
    right to left, as DICOM stores it; 2 mm thick, pixels of 0.5 mm, in Hounsfield units.
    """
    series = tags.pop("SeriesInstanceUID", uid(str(folder)))
    first, out = tags.pop("first", -30.0), []
    for k, values_of_slice in enumerate(values):
        name = f"{k:03d}.dcm"
        given = {
            "Modality": "CT",
            "SeriesInstanceUID": series,
            "StudyInstanceUID": uid("study", series),
            "SOPInstanceUID": uid(series, str(folder), k),
            "InstanceNumber": k + 1,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [-10.0, -20.0, first + 2.0 * k],
            "PixelSpacing": [0.5, 0.5],
            "SliceThickness": 2,
            "RescaleSlope": 2,
            "RescaleIntercept": -1000,
        }
        out.append(write(folder / name, values_of_slice, **{**given, **tags}))
    return out
