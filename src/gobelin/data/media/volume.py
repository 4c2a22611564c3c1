"""Volumes: uint8 [D, H, W, C] in a cube at the generator's size, written as NIfTI.

D runs from inferior to superior, H from posterior to anterior, W from left to right
(`data.volume.volumes`). A picture of a volume is its three middle planes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import settings_class
from gobelin.data.fields import Cell
from gobelin.data.files import BadCell, file_values
from gobelin.data.media import AnyOpening
from gobelin.data.npy import NPY_SIGNATURE
from gobelin.data.training_range import lengths, rounded
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.marks import GZIP, marked_nifti, nifti_array
from gobelin.data.volume.pictures import PLANES, plane_strip, three_planes
from gobelin.data.volume.volumes import VolumeOpening, fitted_volume


@settings_class
class Volume:
    """The medium of columns of volumes."""

    kind: ClassVar[str] = "volume"
    plural: ClassVar[str] = "volumes"
    unit: ClassVar[str] = "voxels"
    dimensions: ClassVar[int] = 3
    suffix: ClassVar[str] = ".nii.gz"

    def shape(self, size: int) -> tuple[int, ...]:
        return size, size, size, 1

    def opened(self, value: str | bytes, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        chosen = opening if isinstance(opening, VolumeOpening) else VolumeOpening()
        return fitted_volume(open_volume(value, root, chosen)[0], size, chosen)

    def decoded(self, cell: Cell, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        return np.stack([self.opened(v, root, opening, size) for v in file_values(cell)])

    def source(
        self,
        data: bytes,
        shape: tuple[int, ...],
        opening: AnyOpening | None = None,
        name: str = "",
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """The sides of the file are its depth, height and width. The channels must be those of the
        shape."""
        chosen = opening if isinstance(opening, VolumeOpening) else VolumeOpening()
        volume = open_volume(data, Path(), chosen)[0]
        array = fitted_volume(volume, max(shape[:3]), chosen)
        if array.shape != shape:
            raise BadCell(f"has {array.shape[3]} channels; {shape[3]} were expected")
        return array, volume.values.shape[:3]

    def cell(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None = None,
        extent: float | None = None,
    ) -> bytes:
        """As numpy writes it: no other package is needed to open it. It bears no mark."""
        out, plain, spacing = io.BytesIO(), np.ascontiguousarray(array), _spacing(array, extent)
        if spacing is None:
            np.save(out, plain, allow_pickle=False)
        else:
            np.savez(out, volume=plain, spacing=np.array(spacing))
        return out.getvalue()

    def marked(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None,
        trained: bool = True,
        extent: float | None = None,
    ) -> bytes:
        return marked_nifti(array, lineage, trained, _spacing(array, extent))

    def extent(self, cells: Sequence[Cell], root: Path, opening: AnyOpening) -> float | None:
        chosen = opening if isinstance(opening, VolumeOpening) else VolumeOpening()

        def longest(cell: Cell) -> float:
            volume, _ = open_volume(file_values(cell)[0], root, chosen)
            sides = zip(volume.values.shape, volume.spacing or (), strict=False)
            return max((n * mm for n, mm in sides), default=0.0)

        found = lengths(cells, longest)
        known = [length for length in found if length]
        if len(known) < max(1, len(found) / 2):
            return None
        return rounded(float(np.median(known)))

    def array(self, data: bytes) -> np.ndarray:
        if data.startswith(GZIP):
            return nifti_array(data)
        found = np.load(io.BytesIO(data), allow_pickle=False)
        volume: np.ndarray = found if data.startswith(NPY_SIGNATURE) else found["volume"]
        return volume

    def picture(self, array: np.ndarray) -> np.ndarray:
        return three_planes(array)

    def views(self, array: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """Every plane across each axis."""
        return {
            name: (plane_strip(array, axis), array.shape[axis]) for axis, name in enumerate(PLANES)
        }


def _spacing(array: np.ndarray, extent: float | None) -> tuple[float, float, float] | None:
    """mm between voxels, where the longest side of the array has this length."""
    return None if extent is None else (extent / max(array.shape[:3]),) * 3
