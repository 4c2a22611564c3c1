"""Meshes drawn in numpy: parallel projection, a z-buffer, shading by normals. No display is needed.

Catmull 1974 (z-buffer), Pineda 1988 (a triangle covers the points on the inner side of its three
edges), Lambert (shade). A pixel shows the nearest face at its centre; of equally near ones, the
first. Both sides of a face are drawn, as many meshes are not closed. The views stand in a circle
and look down on the mesh, as in Su et al. 2015 (MVCNN, section 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.data.mesh.meshes import Mesh

AXES = {"x": 0, "y": 1, "z": 2}
PIXELS_AT_ONCE = 2**15  # pixels in the boxes around faces that are tested at once: they fit a cache
MARGIN = 0.95  # of the picture's half side, that the mesh reaches
AMBIENT, DIFFUSE = 0.3, 0.7  # light from everywhere, and from the viewer
TURNS, DOWN = 12, 30.0  # views around a mesh, and the degrees by which they look down
SHOWN = (1, 5, 9)  # of them, those in a picture
GREY, WHITE = 200, 255  # a mesh without colours, and the background
# Light comes from a little above and left of the viewer: right, up, towards the viewer.
LIGHT = np.array([-0.3, 0.5, 0.81])


@dataclass(frozen=True)
class Drawn:
    """One view.

    face: int64 [S, S], the number of the face that each pixel shows, -1 for none. depth: float64
    [S, S], how near it is, in units of half the picture's side; -inf for none.
    """

    face: np.ndarray
    depth: np.ndarray


def upright(points: np.ndarray, up: str) -> np.ndarray:
    """Points [..., 3] with the axis `up` (x, y or z) as the second one, turned and not mirrored."""
    k = AXES[up]
    return np.asarray(points[..., [(k + 2) % 3, k, (k + 1) % 3]])


def camera(turn: float, elevation: float) -> np.ndarray:
    """float64 [3, 3]: right, up and towards the viewer, as rows, in a space whose second axis is
    up. turn: radians around that axis. elevation: radians above the horizon."""
    s, c = np.sin(turn), np.cos(turn)
    se, ce = np.sin(elevation), np.cos(elevation)
    return np.array([[c, 0, -s], [-se * s, ce, -se * c], [ce * s, se, ce * c]])


def turntable(count: int, elevation: float) -> list[np.ndarray]:
    """Cameras in a circle. elevation: degrees above the horizon."""
    return [camera(2 * np.pi * k / count, np.radians(elevation)) for k in range(count)]


def views(mesh: Mesh, cameras: Sequence[np.ndarray], size: int, up: str = "y") -> np.ndarray:
    """uint8 [n, size, size, 3]: the mesh from each camera, on white. All views have one scale, and
    the largest fills the picture."""
    corners = upright(mesh.corners, up).reshape(-1, 3)
    corners = corners - (corners.max(0) + corners.min(0)) / 2
    turned = [corners @ c.T for c in cameras]
    reach = max(float(np.abs(t[:, :2]).max()) for t in turned) or 1.0
    return np.stack(
        [_shaded((t * (MARGIN / reach)).reshape(-1, 3, 3), mesh.colours, size) for t in turned]
    )


def three_views(mesh: Mesh, size: int) -> np.ndarray:
    """uint8 [size, 3 size, 3]: a mesh as a person looks at it, from three sides."""
    cameras = turntable(TURNS, DOWN)
    return np.concatenate(list(views(mesh, [cameras[k] for k in SHOWN], size)), axis=1)


def _shaded(corners: np.ndarray, colours: np.ndarray | None, size: int) -> np.ndarray:
    """uint8 [size, size, 3] of faces [F, 3, 3] in the picture's units."""
    face = drawn(corners, size).face
    seen = face >= 0
    shown, back = np.unique(face[seen], return_inverse=True)
    a, b, c = (corners[shown, k] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals *= np.where(normals[:, 2:] < 0, -1, 1)  # the side that is seen
    lengths = np.linalg.norm(normals, axis=1)
    lit = normals @ (LIGHT / np.linalg.norm(LIGHT)) / np.maximum(lengths, 1e-300)
    shade = AMBIENT + DIFFUSE * np.clip(lit, 0, 1)
    own = np.full((len(shown), 3), GREY) if colours is None else colours[shown]
    picture = np.full((size, size, 3), WHITE, np.uint8)
    picture[seen] = np.round(own * shade[:, None]).astype(np.uint8)[back]
    return picture


def drawn(corners: np.ndarray, size: int) -> Drawn:
    """Faces [F, 3, 3] (right, up, towards the viewer, in [-1, 1]) in a picture of size x size."""
    depth = np.full(size * size, -np.inf)
    shown = np.full(size * size, -1, np.int64)
    for face, pixel, near in covered(corners, size):
        best = depth[pixel]
        better = near > best  # an earlier block's face stays where both are equally near
        face, pixel, near = face[better], pixel[better], near[better]
        np.maximum.at(depth, pixel, near)
        nearest = near == depth[pixel]
        # backwards, so that the first of equally near faces is written last
        shown[pixel[nearest][::-1]] = face[nearest][::-1]
    return Drawn(shown.reshape(size, size), depth.reshape(size, size))


def _first_pixel(v: np.ndarray, size: int) -> np.ndarray:
    """int64 [F]: the first whole number at or after the least of three, within 0 to `size`. v:
    [F, 3]."""
    least = np.minimum(np.minimum(v[:, 0], v[:, 1]), v[:, 2])  # faster than a minimum over 3
    return np.clip(np.ceil(least), 0, size).astype(np.int64)


@dataclass(frozen=True)
class _Boxes:
    """The box of pixels around each of F faces. x, y: float64 [F, 3] of its vertices, in pixels;
    the centre of a pixel is a whole number. left, top, wide, high: int64 [F]. area: float64 [F],
    twice the face's area in pixels, with a sign."""

    x: np.ndarray
    y: np.ndarray
    left: np.ndarray
    top: np.ndarray
    wide: np.ndarray
    high: np.ndarray
    area: np.ndarray

    @staticmethod
    def of(corners: np.ndarray, size: int) -> _Boxes:
        x = (corners[..., 0] + 1) * (size / 2) - 0.5
        y = (1 - corners[..., 1]) * (size / 2) - 0.5
        left, top = (_first_pixel(v, size) for v in (x, y))
        right, low = (size - 1 - _first_pixel(size - 1 - v, size) for v in (x, y))
        wide, high = np.maximum(right - left + 1, 0), np.maximum(low - top + 1, 0)
        area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0])
        area = area - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
        return _Boxes(x, y, left, top, wide, high, area)


def covered(corners: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """In blocks: faces, the pixels whose centres they cover (row x size + column, from the upper
    left), and how near they are there. corners: as `drawn` takes them."""
    boxes = _Boxes.of(corners, size)
    counts = boxes.wide * boxes.high
    # a face that is seen from its edge covers nothing
    faces = np.flatnonzero((counts > 0) & (boxes.area != 0))
    ends, start = np.cumsum(counts[faces]), 0
    while start < len(faces):
        done = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, done + PIXELS_AT_ONCE, "right")), start + 1)
        block = faces[start:stop]
        yield _inside(np.repeat(block, counts[block]), _places(counts[block]), boxes, corners, size)
        start = stop


def _places(counts: np.ndarray) -> np.ndarray:
    """int64: 0, 1 ... up to each count, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1]) - np.repeat(ends - counts, counts)


def _inside(
    face: np.ndarray, place: np.ndarray, boxes: _Boxes, corners: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of pixels in the boxes of faces, those that the faces cover: face, pixel, nearness.

    face: int [P]. place: int [P], the number of the pixel in the box, in reading order."""
    wide = boxes.wide[face]
    column, row = boxes.left[face] + place % wide, boxes.top[face] + place // wide
    x, y, area = boxes.x[face], boxes.y[face], boxes.area[face]
    weights = []  # barycentric coordinates of the second and of the third vertex
    for k, sign in ((2, -1), (1, 1)):
        across = (x[:, k] - x[:, 0]) * (row - y[:, 0]) - (y[:, k] - y[:, 0]) * (column - x[:, 0])
        weights.append(sign * across / area)
    second, third = weights
    within = np.flatnonzero((second >= 0) & (third >= 0) & (second + third <= 1))
    face, second, third = face[within], second[within], third[within]
    z = corners[face, :, 2]
    near = z[:, 0] + second * (z[:, 1] - z[:, 0]) + third * (z[:, 2] - z[:, 0])
    return face, (row * size + column)[within], near
