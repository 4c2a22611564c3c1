"""A mesh as a grid of voxels, and a grid cut into a mesh by marching cubes.

scikit-image cuts; this is the only module that imports it. The grid has the axes of a volume
(`gobelin.data.volume.volumes`): D is up, H goes away from the viewer, W to the right. A voxel holds
how much of it lies inside the mesh, 0 to 255, counted at 3 x 3 x 3 points.

Whether a point is inside is told by the faces that rays from it cross. For a closed mesh whose
faces look outwards all rays give the winding number exactly, so one ray is asked. For any other
mesh the mean over six rays along the axes stands for it (Jacobson et al. 2013, whose generalised
winding number is the mean over all directions), and each voxel that the surface passes through
counts as whole, or a sheet without thickness would vanish; this is noted.

So it is for a closed mesh that is thin nearly everywhere, such as a thing made of boards.

What this cannot show: what is thinner than a voxel in a mesh that is otherwise thick. Of a thin leg
a shade stays, which the cut at the half does not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.errors import MissingExtra
from gobelin.data.files import BadCell
from gobelin.data.mesh.meshes import Mesh, tidy
from gobelin.data.mesh.views import covered, upright

FINE = 3  # points along each side of a voxel
EDGE = 1  # empty voxels around the mesh, so that a cut is closed
HALF = 127.5  # of 255, the surface
OPEN = "open: inside is where most rays say so, and where the surface passes"
# A mesh is thin where fewer of the voxels that hold some of it are more than half inside
THIN = 0.6
THIN_NOTE = "thin: each voxel that the surface passes counts as whole"
# A small part of a fine step, by which rays miss the edges of faces that lie on the grid
ASIDE = (0.0137, 0.0071, 0.0193)


@dataclass(frozen=True)
class Grid:
    """A grid and where it stands.

    values: uint8 [S, S, S], 255 where a voxel lies inside. low: float64 [3], the outer corner of
    the first voxel: right, up and towards the viewer. step: side of a voxel, in the mesh's unit.
    note: how the inside of a mesh that is open or thin was told, '' for an exact one.
    """

    values: np.ndarray
    low: np.ndarray
    step: float
    note: str = ""


def grid_of(mesh: Mesh, side: int, up: str = "y", place: Grid | None = None) -> Grid:
    """The mesh in the middle of a cube of `side` voxels, its longest side filling all but `EDGE`
    voxels at each end; or in the cube of `place`, a grid of the same side. Raises BadCell for a
    mesh of which no voxel is inside."""
    corners = upright(mesh.corners, up)
    low, high = corners.min((0, 1)), corners.max((0, 1))
    step = float((high - low).max()) / (side - 2 * EDGE)
    start = (low + high) / 2 - step * side / 2
    if place is not None:
        start, step = place.low, place.step
    fine = (corners - start) * (FINE / step)  # [F, 3, 3], in fine steps
    whole = _outwards(mesh)
    winding, touched = _winding(fine, FINE * side, 1 if whole else 3)
    inside = np.abs(winding) > 0.5
    shares, note = _voxels(inside, side).mean((1, 3, 5)), "" if whole else OPEN
    if whole and (shares > 0.5).sum() < THIN * (shares > 0).sum() or not inside.any():
        note = note or THIN_NOTE
    if note:
        shares = np.maximum(shares, _voxels(touched, side).any((1, 3, 5)))
    # right, up, towards -> up, away, right
    values = np.round(shares * 255).astype(np.uint8).transpose(1, 2, 0)[:, ::-1]
    if not values.any():
        raise BadCell("has no voxel inside")
    return Grid(np.ascontiguousarray(values), start, step, note)


def _voxels(points: np.ndarray, side: int) -> np.ndarray:
    """[side, FINE, side, FINE, side, FINE]: fine points by voxel."""
    return points.reshape(side, FINE, side, FINE, side, FINE)


def _outwards(mesh: Mesh) -> bool:
    """Whether the mesh is closed and its faces all look to one side: each edge has two faces that
    run along it in opposite directions."""
    if not mesh.closed:
        return False
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    names = edges[:, 0] * len(mesh.vertices) + edges[:, 1]
    return len(np.unique(names)) == len(names)


def _winding(corners: np.ndarray, count: int, axes: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [count] * 3, the mean winding number of each fine point along so many axes; bool
    [count] * 3, where a ray along any of the three meets a face. corners: [F, 3, 3]."""
    mean = np.zeros((count,) * 3, np.float32)
    touched = np.zeros((count,) * 3, bool)
    for axis in range(3):
        order = [(axis + 1) % 3, (axis + 2) % 3, axis]  # turned, not mirrored
        turned, crossed = _crossings(corners[..., order], count)
        back = np.argsort(order)
        if axis < axes:
            mean += turned.transpose(back) / axes
        touched |= crossed.transpose(back)
    return mean, touched


def _crossings(corners: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Along the last axis: the signed count of faces beyond each point, the mean of both ways
    [count] * 3; and the points next to which a ray crosses a face. corners: [F, 3, 3]."""
    placed = corners + np.array(ASIDE)
    drawn = placed * [2 / count, -2 / count, 1] + [-1, 1, 0]  # as a picture has them
    sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    signs = np.sign(sides).astype(np.float32)
    steps = np.zeros((count * count, count + 1), np.float32)
    crossed = np.zeros((count * count, count), bool)
    for face, column, depth in covered(drawn, count):
        # so many points of the column, which stand at 0.5, 1.5 ..., lie before the face
        before = np.clip(np.ceil(depth - 0.5), 0, count).astype(np.int64)
        np.add.at(steps, (column, before), signs[face])
        crossed[column, np.clip(np.floor(depth), 0, count - 1).astype(np.int64)] = True
    total = steps.sum(1, keepdims=True)
    passed = np.cumsum(steps, axis=1)[:, :count]  # of the faces before each point
    # beyond it lie total - passed; the other way, with the other sign, -passed
    shape = (count,) * 3
    return ((total - 2 * passed) / 2).reshape(shape).swapaxes(0, 1), (
        crossed.reshape(shape).swapaxes(0, 1)
    )


def mesh_of(values: np.ndarray, low: np.ndarray | None = None, step: float = 1.0) -> Mesh:
    """The surface at the half of a grid, uint8 [S, S, S], as a closed mesh with y up, by marching
    cubes (Lewiner et al. 2003). Voxels beyond the grid count as empty. low, step: as `Grid` has
    them. Raises BadCell for a grid without a voxel inside, MissingExtra without scikit-image."""
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise MissingExtra("scikit-image, which cuts a grid into a mesh,", "mesh") from error
    padded = np.pad(values.astype(np.float32), 1)
    if not (padded > HALF).any():
        raise BadCell("has no voxel inside")
    points, faces, _, _ = marching_cubes(padded, HALF, gradient_direction="descent")
    side = values.shape[1]
    # from numbers of padded voxels to the corner of the first one: up, away, right
    up, away, right = (points.astype(np.float64) - 0.5).T
    placed = np.stack([right, up, side - away], axis=1) * step
    mesh, _ = tidy(placed + (np.zeros(3) if low is None else low), faces.astype(np.int64))
    return mesh


def fullest(values: np.ndarray) -> np.ndarray:
    """The grid; where no voxel is more than half inside, with its fullest one whole."""
    if (values > HALF).any():
        return values
    values = values.copy()
    values.flat[values.argmax()] = 255
    return values


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two grids, of the voxels that are more than half inside."""
    a, b = first > HALF, second > HALF
    return float((a & b).sum() / max((a | b).sum(), 1))
