"""Shape of a mesh in closed form: size, volume, area, extents, compactness, distances of points.

Everything is the same wherever the mesh stands. `shape` can also leave out what depends on its size
or on the way it is turned; `at_rest` turns a mesh to its principal axes. Sampled numbers use points
that lie on the same places of the same faces whatever was done to the mesh.

What this cannot show: what a thing is made of, its colours (views show them), or an inside that
several shells share: the volume of an open mesh is that of the cones from its middle, with a sign.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.data.mesh.meshes import Mesh
from gobelin.data.mesh.views import upright

POINTS = 4096  # sampled on the surface
SHIFTS = (1, 7, 61, 523, 1031, 2039)  # point k is paired with point k + shift: 24576 pairs
D2_BINS, D2_REACH = 32, 3.0  # bins of the distances, up to so many mean distances
SHELLS, SHELL_REACH = 16, 2.5  # of the distances from the middle, in their mean square root
HEIGHTS, FACINGS = 12, 6  # bins of the points' heights, and of the directions that they face
LEAST = 1e-12  # of a length, in units of the root of the area, whose logarithm is taken


def surface_middle(mesh: Mesh) -> np.ndarray:
    """float64 [3]: the mean of the surface."""
    return np.asarray(mesh.areas @ mesh.corners.mean(1) / mesh.areas.sum())


def volume(mesh: Mesh) -> float:
    """The sum of the signed volumes of the cones from the surface's middle to the faces (Zhang &
    Chen 2001, eq. 5): the exact volume of a closed mesh whose faces look outwards."""
    c = mesh.corners - surface_middle(mesh)
    return float(np.einsum("ij,ij->i", c[:, 0], np.cross(c[:, 1], c[:, 2])).sum() / 6)


def compactness(mesh: Mesh) -> float:
    """36 pi V^2 / A^3, 1 for a ball and less for all else (the isoperimetric quotient)."""
    return float(36 * math.pi * volume(mesh) ** 2 / mesh.areas.sum() ** 3)


def spread(mesh: Mesh) -> np.ndarray:
    """float64 [3, 3]: the covariance of the points of the surface. The mean of x x^T over a
    triangle is (9 m m^T + sum of its vertices' v v^T) / 12, with its middle m."""
    c = mesh.corners - surface_middle(mesh)
    weight = mesh.areas / mesh.areas.sum()
    m = c.mean(1)
    whole = np.einsum("i,ij,ik->jk", weight, m, m) * 9
    return np.asarray((whole + np.einsum("i,ilj,ilk->jk", weight, c, c)) / 12)


def at_rest(mesh: Mesh) -> Mesh:
    """The mesh turned to its principal axes, the longest to the right and the shortest towards the
    viewer; of the two ways along an axis, the third moment chooses. The same for a mesh that was
    turned, unless two axes are equally long."""
    _, axes = np.linalg.eigh(spread(mesh))
    axes = axes[:, ::-1]
    points = (surface_points(mesh) - surface_middle(mesh)) @ axes
    axes = axes * np.where((points**3).sum(0) < 0, -1.0, 1.0)
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return Mesh((mesh.vertices - surface_middle(mesh)) @ axes, mesh.faces, mesh.colours)


@cache
def _places() -> np.ndarray:
    """float64 [3, POINTS]: of each point, a share of the area before its face, and a place."""
    return numpy_generator(0, "surface points").random((3, POINTS))


def surface_points(mesh: Mesh) -> np.ndarray:
    """float64 [POINTS, 3], spread evenly over the surface (Osada et al. 2002, eq. 1)."""
    share, first, second = _places()
    return _points_on(mesh, _faces_at(mesh, share), first, second)


def _faces_at(mesh: Mesh, share: np.ndarray) -> np.ndarray:
    """int64: the faces before which these shares of the area lie."""
    ends = np.cumsum(mesh.areas)
    return np.minimum(np.searchsorted(ends, share * ends[-1], "right"), len(ends) - 1)


def _points_on(mesh: Mesh, face: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b, c = (mesh.corners[face, k] for k in range(3))
    root = np.sqrt(first)[:, None]
    return np.asarray(
        (1 - root) * a + root * (1 - second[:, None]) * b + root * second[:, None] * c
    )


def distances(points: np.ndarray) -> np.ndarray:
    """float64 [D2_BINS]: D2, how often two points of the surface lie so far apart, in units of the
    mean distance (Osada et al. 2002, section 3.1). The last bin takes all that is farther."""
    apart = np.concatenate(
        [np.linalg.norm(points - np.roll(points, shift, axis=0), axis=1) for shift in SHIFTS]
    )
    return _shares(apart / apart.mean(), D2_BINS, D2_REACH)


def _shares(values: np.ndarray, bins: int, reach: float) -> np.ndarray:
    """float64 [bins]: the share of the values in each of equal bins from 0 to `reach`."""
    place = np.minimum((values * (bins / reach)).astype(np.int64), bins - 1)
    return np.bincount(np.maximum(place, 0), minlength=bins) / len(values)


def shape(mesh: Mesh, any_turn: bool, any_scale: bool, up: str = "y") -> np.ndarray:
    """float64 [shape_width]: the descriptors of a mesh.

    Always: whether it is closed; compactness; its volume and area over those of its convex hull;
    its volume over that of a box with its principal spreads (standard deviations of the surface
    along the principal axes); the two shorter principal spreads over the longest; D2; the distances
    from the middle. any_turn False: also the sides of its box over the longest, where in the box
    its middle lies, the heights of its points and the directions that they face, up = 1. any_scale
    False: also the logarithms of the root of the area, of the cube root of the volume, and of the
    extents: the sides of its box, or for any turn the sides of a box with its principal spreads.
    """
    points, middle = surface_points(mesh), surface_middle(mesh)
    long = np.sqrt(np.maximum(np.linalg.eigvalsh(spread(mesh))[::-1], 0))
    inside, area, size = volume(mesh), float(mesh.areas.sum()), math.sqrt(12) * long
    hull_volume, hull_area = _hull(mesh)
    away = np.linalg.norm(points - middle, axis=1)
    parts = [
        [float(mesh.closed), compactness(mesh)],
        [_ratio(abs(inside), hull_volume), _ratio(area, hull_area)],
        [_ratio(abs(inside), float(size.prod()))],
        long[1:] / long[0],
        distances(points),
        _shares(away / np.sqrt((away**2).mean()), SHELLS, SHELL_REACH),
    ]
    if not any_turn:
        parts += _standing(mesh, points, up)
        size = np.ptp(upright(mesh.vertices, up), axis=0)
    if not any_scale:
        root = math.sqrt(area)
        lengths = np.array([root, np.cbrt(abs(inside)), *size])
        parts.append(np.log(np.maximum(lengths, LEAST * root)))
    return np.concatenate(parts)


def shape_width(any_turn: bool, any_scale: bool) -> int:
    """The count of descriptors."""
    standing = 0 if any_turn else 3 + 3 + HEIGHTS + FACINGS
    return 7 + D2_BINS + SHELLS + standing + (0 if any_scale else 5)


def _standing(mesh: Mesh, points: np.ndarray, up: str) -> list[np.ndarray]:
    """What depends on the way a mesh is turned."""
    corners = upright(mesh.vertices, up)
    low, sides = corners.min(0), np.ptp(corners, axis=0)
    safe = np.where(sides > 0, sides, 1.0)
    middle = (upright(surface_middle(mesh), up) - low) / safe
    height = (upright(points, up)[:, 1] - low[1]) / safe[1]
    facing = upright(mesh.normals, up)[:, 1] / np.maximum(2 * mesh.areas, 1e-300)
    place = np.minimum(((facing + 1) * (FACINGS / 2)).astype(np.int64), FACINGS - 1)
    turned = np.bincount(np.maximum(place, 0), mesh.areas, FACINGS) / mesh.areas.sum()
    return [sides / sides.max(), middle, _shares(height, HEIGHTS, 1.0), turned]


def _hull(mesh: Mesh) -> tuple[float, float]:
    """Volume and area of the convex hull; 0 and 0 for a flat mesh."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(mesh.vertices)
    except (QhullError, ValueError):
        return 0.0, 0.0
    return float(hull.volume), float(hull.area)


def _ratio(part: float, whole: float) -> float:
    """part / whole, at most 4; 0 where there is no whole."""
    return min(part / whole, 4.0) if whole > 0 else 0.0
