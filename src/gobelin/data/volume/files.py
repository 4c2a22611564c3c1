"""Volumes in cells: files of NIfTI, numpy and DICOM, opened as `Volume`. A folder of DICOM files
that holds one series is a volume too.

What is unusual in a file is reported, so that it can be counted: four dimensions, a missing
orientation, voxels without a number. A file that can't be opened raises `BadCell`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from os.path import splitext
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from gobelin.core.errors import GobelinError, first_line
from gobelin.data.budget import decoding
from gobelin.data.dicom.files import is_dicom
from gobelin.data.dicom.series import open_files, open_folder
from gobelin.data.fields import Cell, Field
from gobelin.data.files import (
    HEAD,
    OPENED,
    BadCell,
    afford,
    cell_bytes,
    cell_files,
    cell_folder,
    cell_path,
    file_bytes,
    file_head,
    spread,
    visible_files,
)
from gobelin.data.npy import (
    DAMAGED_ZIP,
    NPY_SIGNATURE,
    NpyHeader,
    npy_array,
    npy_header,
    npz_member,
)
from gobelin.data.tar_members import member_of
from gobelin.data.values.narrow import float32
from gobelin.data.volume.nifti import is_nifti, open_nifti
from gobelin.data.volume.volumes import ARBITRARY, BYTE, MOST_CHANNELS, Volume, VolumeOpening

ZIP = b"PK\x03\x04"
VOLUME_SUFFIXES = {".nii", ".nii.gz", ".npy", ".npz"}  # of files that hold nothing else
IMAGE_CHANNELS, LEAST_PIXELS = (1, 3, 4), 8  # of an array that may be an image
SPACING = "spacing"  # array of an .npz file: mm along D, H and W


def is_volume(head: bytes) -> bool:
    """Whether a file with these first bytes is a volume. An .npz file is opened as one and not
    known by its beginning, and neither is DICOM, which may be a picture.
    """
    if head.startswith(NPY_SIGNATURE):
        try:
            return _is_grid(npy_header(io.BytesIO(head)).shape)
        except BadCell:
            return False
    return is_nifti(head)


def open_volume(value: str | bytes, root: Path, opening: VolumeOpening) -> tuple[Volume, str]:
    """The volume, and what was changed or is unusual ('' for nothing).

    value: path below `root` of a file, or of a folder with one DICOM series, or the bytes of a
    file. Raises BadCell, and MissingExtra for NIfTI without nibabel and DICOM without pydicom.
    """
    volume, notes = _open(value, root)
    if volume.values.size > opening.max_voxels:
        raise BadCell(
            f"is too large ({volume.values.size} voxels; opening.max_voxels allows"
            f" {opening.max_voxels})"
        )
    return volume, ", ".join(notes)


def _open(value: str | bytes, root: Path) -> tuple[Volume, list[str]]:
    """The volume and its notes. Raises BadCell."""
    value = cell_bytes(value, root) if member_of(value) else value
    if isinstance(value, str) and (folder := cell_folder(value, root)):
        return open_folder(folder)
    head = value[:HEAD] if isinstance(value, bytes) else _head(value, root)
    if is_dicom(head):
        if isinstance(value, bytes):
            return open_files([value])
        return open_files([cell_path(str(path), root) for path in cell_files(value, root)])
    if head.startswith(NPY_SIGNATURE):
        return _open_npy(value, root)
    if head.startswith(ZIP):
        return _open_npz(value, root)
    if is_nifti(head) or _suffix(value) == ".img":
        return open_nifti(value, root)
    raise BadCell("is no volume that is read (NIfTI, DICOM, .npy, .npz)")


def _head(value: str, root: Path) -> bytes:
    cell_path(value, root)  # raises BadCell with the reason
    return file_head(value, root)


def _suffix(value: Any) -> str:  # noqa: ANN401 - a cell is any
    """The suffix of a path, '.nii.gz' as one; '' for other values."""
    return suffix_of(value) if isinstance(value, str) else ""


def suffix_of(name: str) -> str:
    """The suffix of a file's name in small letters, '.nii.gz' as one."""
    name = name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else splitext(name)[1]


def _is_grid(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is a volume: three axes, or a fourth of few channels."""
    return len(shape) == 3 or (len(shape) == 4 and 1 <= shape[3] <= MOST_CHANNELS)


def _affordable(header: NpyHeader) -> None:
    """Raises BadCell for an array that is no volume, or larger than the budget allows."""
    shape = " x ".join(map(str, header.shape))
    if not _is_grid(header.shape):
        raise BadCell(
            f"has the shape {shape or 'of one number'}; D x H x W was expected, or D x H x W x"
            f" channels (at most {MOST_CHANNELS})"
        )
    if not header.count:
        raise BadCell(f"has no voxels ({shape})")
    afford("cell_mb", _needed(header))


def _needed(header: NpyHeader) -> int:
    return header.count * (2 * header.kind.itemsize + 8)


def _open_npy(value: str | bytes, root: Path) -> tuple[Volume, list[str]]:
    with ExitStack() as stack:
        file: BinaryIO = (
            io.BytesIO(value)
            if isinstance(value, bytes)
            else stack.enter_context(cell_path(value, root).open("rb"))
        )
        header = npy_header(file)
        _affordable(header)
        stack.enter_context(decoding(_needed(header)))
        file.seek(0)
        return _of_array(npy_array(file, _affordable))


def _of_array(
    array: np.ndarray, spacing: tuple[float, float, float] | None = None
) -> tuple[Volume, list[str]]:
    """The volume of an array [D, H, W] or [D, H, W, C]."""
    values = np.ascontiguousarray(float32(array)).reshape(*array.shape[:3], -1)
    missing = int(np.count_nonzero(~np.isfinite(values)))
    if missing == values.size:
        raise BadCell("holds no number in any voxel")
    notes = ["voxels that are no numbers"] if missing else []
    if _like_an_image(array.shape):
        shape = " x ".join(map(str, array.shape))
        notes.append(f"{shape} voxels, which may be an image: write such as PNG")
    unit = BYTE if array.dtype == np.uint8 else ARBITRARY
    return Volume(values, spacing, unit), notes


def _like_an_image(shape: tuple[int, ...]) -> bool:
    """Whether an array has the shape of an image with its colours last or first."""
    height, width = sorted(shape)[1:3]
    few = {shape[0], shape[-1]} & set(IMAGE_CHANNELS)
    return len(shape) == 3 and bool(few) and min(height, width) >= LEAST_PIXELS


def _open_npz(value: str | bytes, root: Path) -> tuple[Volume, list[str]]:
    """The one volume of an .npz file, and its array `spacing` where it has one."""
    source = io.BytesIO(value) if isinstance(value, bytes) else cell_path(value, root)
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
            afford("items", len(names))
            grids = [n for n in names if n.endswith(".npy") and n != f"{SPACING}.npy"]
            if len(grids) != 1:
                listed = ", ".join(n.removesuffix(".npy") for n in grids[:5]) or "none"
                raise BadCell(f"holds {len(grids)} arrays ({listed}); one volume was expected")
            spacing = None
            if f"{SPACING}.npy" in names:
                with npz_member(archive, f"{SPACING}.npy") as file:
                    spacing = _three_sides(npy_array(file, _three_numbers))
            with npz_member(archive, grids[0]) as file:
                header = npy_header(file)
                _affordable(header)
            with decoding(_needed(header)), npz_member(archive, grids[0]) as file:
                return _of_array(npy_array(file, _affordable), spacing)
    except DAMAGED_ZIP as error:
        raise BadCell(f"is no .npz file, or is damaged ({first_line(error, 60)})") from error


def _three_numbers(header: NpyHeader) -> None:
    if header.shape != (3,):
        raise BadCell(f"has a spacing of the shape {header.shape}; three numbers were expected")


def _three_sides(array: np.ndarray) -> tuple[float, float, float]:
    depth, height, width = (float(v) for v in array)
    if not all(np.isfinite(v) and v > 0 for v in (depth, height, width)):
        raise BadCell(f"has the spacing {depth:g}, {height:g}, {width:g}; mm were expected")
    return depth, height, width


def volume_share(values: Sequence[Any], root: Path) -> float:
    """The share of the values that look like volumes: bytes by their beginning, paths of NIfTI by
    their suffix, a few of the other paths by their content.
    """
    parts = spread(values)
    texts = [v for v in parts if isinstance(v, str)]
    others = [v for v in texts if _suffix(v) not in (".nii", ".nii.gz")]
    chosen = others[:: max(1, len(others) // OPENED)][:OPENED]
    opened = sum(_names_volume(v, root) for v in chosen) / max(1, len(chosen))
    held = sum(isinstance(v, bytes) and (is_volume(v[:HEAD]) or _is_npz(v)) for v in parts)
    return (held + len(texts) - len(others) + opened * len(others)) / max(1, len(parts))


def _names_volume(value: str, root: Path) -> bool:
    if folder := cell_folder(value, root):
        files = visible_files(folder)
        return bool(files) and is_dicom(file_head(str(files[0]), root))
    head = file_head(value, root)
    return is_volume(head) or (head.startswith(ZIP) and _suffix(value) == ".npz")


def _is_npz(data: bytes) -> bool:
    """Whether bytes are an .npz file."""
    if not data.startswith(ZIP):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except DAMAGED_ZIP:
        return False


def npz_bytes(volume: Volume) -> bytes:
    """The volume as the bytes of an .npz file with its spacing."""
    arrays = {"volume": volume.values}
    if volume.spacing is not None:
        arrays[SPACING] = np.array(volume.spacing)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(cast(BinaryIO, file), array, allow_pickle=False)
    return out.getvalue()


def volume_query(text: str, field: Field) -> Cell:
    """A path given as a query, as a cell of the field: a file, or a folder of one DICOM series.
    Raises GobelinError.
    """
    path = Path(text)
    try:
        if path.is_dir():
            return {field.columns[0]: npz_bytes(open_folder(path)[0])}
        data = file_bytes(path)
        open_volume(data, path.parent, VolumeOpening())
    except BadCell as error:
        raise GobelinError(f"--volume {text}: {error}. Give the path of a volume.") from error
    return {field.columns[0]: data}
