"""Meshes: a grid of voxels, uint8 [S, S, S, 1], at the generator's size, written as PLY.

A mesh becomes a grid (`data.mesh.grid`: how much of each voxel lies inside), a generated grid is
cut into a mesh by marching cubes. So the axes are those of a volume; colours are lost. A picture of
a mesh is its views. A grid without a voxel inside is cut around its fullest one, so that every
array has a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import settings_class
from gobelin.data.fields import Cell
from gobelin.data.files import BadCell, cell_bytes, file_values
from gobelin.data.media import AnyOpening
from gobelin.data.mesh.grid import EDGE, fullest, grid_of, mesh_of
from gobelin.data.mesh.marks import marked_ply, ply_grid
from gobelin.data.mesh.meshes import Mesh as OpenedMesh
from gobelin.data.mesh.meshes import decode_mesh, open_mesh
from gobelin.data.mesh.views import DOWN, TURNS, three_views, turntable, views
from gobelin.data.training_range import lengths, rounded

LEAST_PIXELS = 64  # side of a view


@settings_class
class Mesh:
    """The medium of columns of meshes."""

    kind: ClassVar[str] = "mesh"
    plural: ClassVar[str] = "meshes"
    unit: ClassVar[str] = "voxels"
    dimensions: ClassVar[int] = 3
    suffix: ClassVar[str] = ".ply"

    def shape(self, size: int) -> tuple[int, ...]:
        return size, size, size, 1

    def opened(self, value: str | bytes, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        """Of a mesh that was cut from a grid of this size, that grid."""
        return _fitted(cell_bytes(value, root), size, value if isinstance(value, str) else "")

    def decoded(self, cell: Cell, root: Path, opening: AnyOpening, size: int) -> np.ndarray:
        return np.stack([self.opened(v, root, opening, size) for v in file_values(cell)])

    def source(
        self,
        data: bytes,
        shape: tuple[int, ...],
        opening: AnyOpening | None = None,
        name: str = "",
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """The sides of the file are those of the grid: a mesh has none of its own."""
        side = max(shape[:3])
        return _fitted(data, side, name), (side, side, side)

    def cell(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None = None,
        extent: float | None = None,
    ) -> bytes:
        """It bears the mark where it has a lineage."""
        mark = None if lineage is None else True
        return marked_ply(cut(array, extent), array[..., 0], lineage, mark)

    def marked(
        self,
        array: np.ndarray,
        lineage: Mapping[str, Any] | None,
        trained: bool = True,
        extent: float | None = None,
    ) -> bytes:
        return marked_ply(cut(array, extent), array[..., 0], lineage, trained)

    def extent(self, cells: Sequence[Cell], root: Path, opening: AnyOpening) -> float | None:
        """In the unit of the files."""

        def longest(cell: Cell) -> float:
            mesh, _ = open_mesh(file_values(cell)[0], root)
            return float(np.ptp(mesh.vertices, axis=0).max())

        sides = lengths(cells, longest)
        return rounded(float(np.median(sides))) if sides else None

    def array(self, data: bytes) -> np.ndarray:
        grid = ply_grid(data)
        if grid is None:
            raise BadCell("has no grid that it was cut from")
        return grid[..., None]

    def picture(self, array: np.ndarray) -> np.ndarray:
        """Three views side by side."""
        return three_views(cut(array), _side(array))

    def views(self, array: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """A turn around the mesh."""
        drawn = views(cut(array), turntable(TURNS, DOWN), _side(array))
        strip = np.concatenate(list(drawn), axis=1)
        return {"turntable": (strip, TURNS)}


def _fitted(data: bytes, side: int, name: str = "") -> np.ndarray:
    """uint8 [side, side, side, 1]. name: of the file."""
    grid = ply_grid(data)
    if grid is None or len(grid) != side:
        grid = grid_of(decode_mesh(data, name)[0], side).values
    return grid[..., None]


def cut(array: np.ndarray, extent: float | None = None) -> OpenedMesh:
    """The surface of uint8 [S, S, S, 1]. extent: the longest side of a mesh that fills the cube but
    for its edges (`mesh_grid.EDGE`); 1 where it is not known."""
    return mesh_of(fullest(array[..., 0]), step=(extent or 1.0) / max(len(array) - 2 * EDGE, 1))


def _side(array: np.ndarray) -> int:
    """Pixels along the side of a view."""
    return max(2 * len(array), LEAST_PIXELS)
