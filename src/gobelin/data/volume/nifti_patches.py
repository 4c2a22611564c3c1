"""A part of a NIfTI volume, read without the rest of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gobelin.data.files import BadCell, cell_path
from gobelin.data.values.narrow import float32
from gobelin.data.volume.nifti import checked, nibabel, opened, partner, read_header


def read_patch(
    value: str, root: Path, start: tuple[int, int, int], size: tuple[int, int, int]
) -> np.ndarray:
    """float32 [d, h, w]: a part of a volume of three dimensions in an unpacked file, as
    `open_nifti` orders it. Each run of voxels that lie side by side is read alone, and nothing but
    these and the header.

    start, size: along D, H and W. Raises BadCell for another file, a part that leaves the volume,
    and voxels that are no plain numbers.
    """
    library = nibabel()
    pair = value.lower().endswith((".hdr", ".img"))
    path = partner(value, root, ".img") if pair else cell_path(value, root)
    with opened(value, root) as files:
        header = read_header(files.header)
        checked(header, files)
        if files.bytes_there is None:
            raise BadCell("is packed, so no part of it can be read alone")
        shape, stored = header.get_data_shape(), header.get_data_dtype()
        if len(shape) != 3 or stored.kind not in "iuf":
            raise BadCell("is no volume of three dimensions with plain numbers")
        order = library.io_orientation(header.get_best_affine())
        if not np.isfinite(order).all():
            order = np.array([[0, 1], [1, 1], [2, 1]])
        first, count = [0, 0, 0], [0, 0, 0]
        for axis, (place, flip) in enumerate(order.astype(int)):  # of the stored axes
            first[axis], count[axis] = start[2 - place], size[2 - place]
            if min(first[axis], count[axis] - 1, shape[axis] - first[axis] - count[axis]) < 0:
                raise BadCell(f"has {shape[axis]} voxels along an axis; the part leaves it")
            if flip < 0:
                first[axis] = shape[axis] - first[axis] - count[axis]
        raw = _runs(path, int(header["vox_offset"]), (shape, stored), first, count)
    slope, inter = header.get_slope_inter()
    patch = raw.astype(np.float64) * (1.0 if slope is None else slope) + (inter or 0.0)
    return float32(np.transpose(library.apply_orientation(patch, order), (2, 1, 0)))


def _runs(
    path: Path,
    offset: int,
    stored: tuple[tuple[int, ...], np.dtype[Any]],
    first: list[int],
    count: list[int],
) -> np.ndarray:
    """[x, y, z] of the part that begins at `first`, in the order and the type of the file."""
    (width, height, _), kind = stored
    raw = np.empty(count[::-1], kind)  # z, y, x, as x runs fastest in the file
    with path.open("rb", buffering=0) as file:
        for z, y in np.ndindex(count[2], count[1]):
            line = (first[2] + z) * height + first[1] + y
            file.seek(offset + (line * width + first[0]) * kind.itemsize)
            raw[z, y] = np.frombuffer(file.read(count[0] * kind.itemsize), kind)
    return raw.transpose(2, 1, 0)
