"""Meshes as grids and back. Oracles: closed forms of ball, box and ring, the solid angle of each
face (van Oosterom & Strackee 1983), and trimesh's word on what is closed."""

from __future__ import annotations

import numpy as np
import pytest
from solids import box, sphere, torus, turned

from gobelin.data.files import BadCell
from gobelin.data.mesh.grid import (
    ASIDE,
    FINE,
    HALF,
    OPEN,
    THIN_NOTE,
    Grid,
    _winding,
    grid_of,
    mesh_of,
    overlap,
)
from gobelin.data.mesh.meshes import Mesh, tidy
from gobelin.data.mesh.shape import volume

pytest.importorskip("skimage")
trimesh = pytest.importorskip("trimesh")


def centres(grid: Grid) -> np.ndarray:
    """float64 [S, S, S, 3]: right, up, towards of the middle of each voxel."""
    side = len(grid.values)
    up, away, right = np.indices(grid.values.shape) + 0.5
    return np.stack([right, up, side - away], axis=-1) * grid.step + grid.low


def test_a_ball() -> None:
    grid = grid_of(sphere(2.0, 5), 32)
    r = np.linalg.norm(centres(grid), axis=-1)
    assert (grid.values[r < 2.0 - grid.step] == 255).all()
    assert (grid.values[r > 2.0 + grid.step] == 0).all() and grid.note == ""
    held = grid.values.astype(float).sum() / 255 * grid.step**3
    assert np.isclose(held, 4 / 3 * np.pi * 8, rtol=0.01)


def test_a_box_and_its_axes() -> None:
    """A box is a box, with its long side up, and stands where it stood."""
    grid = grid_of(box((1, 3, 2), (7, 8, 9)), 32)
    depth, height, width = (np.ptp(k) + 1 for k in np.nonzero(grid.values > HALF))
    assert (depth, height, width) == (30, 20, 10)
    cut = mesh_of(grid.values, grid.low, grid.step)
    assert np.allclose(cut.vertices.max(0), [7.5, 9.5, 10], atol=0.05)
    assert np.allclose(cut.vertices.min(0), [6.5, 6.5, 8], atol=0.05)
    assert np.isclose(volume(cut), 6, rtol=0.02)  # with its sign: the faces look outwards
    # what is to the right, up and near stays there
    corner = tidy(*joined(box(), box((0.4, 0.4, 0.4), (0.6, 0.6, 0.6))))[0]
    inside = np.argwhere(grid_of(corner, 32).values > HALF) - 15.5
    high = inside[inside[:, 0] > 12]
    assert len(high) and (high[:, 1] < -5).all() and (high[:, 2] > 5).all()


def joined(*meshes: Mesh) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    vertices = np.concatenate([m.vertices for m in meshes])
    return vertices, np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)])


def by_solid_angle(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """The winding number of points [n, 3] as the sum of the solid angles of all faces / 4 pi."""
    total = np.zeros(len(points))
    for face in mesh.corners:
        a, b, c = (corner - points for corner in face)
        la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
        top = (a * np.cross(b, c)).sum(1)
        low = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        total += 2 * np.arctan2(top, low)
    return total / (4 * np.pi)


def test_the_winding_number_of_a_closed_mesh_is_exact() -> None:
    """Two rings and a ball that cut each other: winding numbers from 0 to 3."""
    mesh = Mesh(*joined(torus(1, 0.5, 24, 12), turned(torus(1, 0.5, 24, 12), 1), sphere(0.8, 2)))
    fine = (mesh.corners + 1.6) * 5  # 16 fine steps
    aside = np.array([ASIDE[2], ASIDE[0], ASIDE[1]])  # the rays along the first axis
    points = (np.indices((16,) * 3).reshape(3, -1).T + 0.5 - aside) / 5 - 1.6
    expected = by_solid_angle(mesh, points)
    assert np.abs(np.round(expected) - expected).max() < 1e-6 and expected.max() > 2.5
    assert (np.round(expected) == _winding(fine, 16, 1)[0].ravel()).all()
    assert (np.round(expected) == _winding(fine, 16, 3)[0].ravel()).mean() > 0.99


@pytest.mark.parametrize(
    "mesh", [box((1, 2, 3)), sphere(1, 4), torus()], ids=["box", "ball", "ring"]
)
@pytest.mark.parametrize("seed", range(4))
def test_cut_is_closed_and_overlaps(mesh: Mesh, seed: int) -> None:
    grid = grid_of(turned(mesh, seed), 32)
    cut = mesh_of(grid.values, grid.low, grid.step)
    theirs = trimesh.Trimesh(cut.vertices, cut.faces, process=False)
    assert theirs.is_watertight and theirs.is_winding_consistent and cut.closed
    again = grid_of(cut, 32, place=grid)
    assert again.note == "" and overlap(again.values, grid.values) > 0.93
    assert np.isclose(volume(cut), volume(mesh), rtol=0.03)


def test_noise_is_cut_closed() -> None:
    """Grids as bad as a generator can make them."""
    rng = np.random.default_rng(0)
    closed = []
    for k in range(20):
        values = rng.integers(0, 256, (12, 12, 12)).astype(np.uint8)
        values = values if k % 2 else np.where(values > 127, 255, 0).astype(np.uint8)
        cut = mesh_of(values)
        closed.append(trimesh.Trimesh(cut.vertices, cut.faces, process=False).is_watertight)
    assert np.mean(closed) >= 0.95


def test_open_meshes_say_so() -> None:
    whole = sphere(1, 3)
    bowl = Mesh(whole.vertices, whole.faces[whole.corners.mean(1)[:, 1] < 0.8])
    grid = grid_of(bowl, 24)
    assert grid.note == OPEN
    ball = np.linalg.norm(centres(grid), axis=-1) < 1  # the lid is lost, the inside is not
    assert overlap(grid.values, (ball * 255).astype(np.uint8)) > 0.8
    sheet = Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]), np.array([[0, 1, 2], [0, 2, 3]])
    )
    thin = grid_of(sheet, 16)
    assert thin.note == OPEN and np.ptp(np.nonzero(thin.values)[1]) <= 1
    assert (thin.values > HALF).sum() >= 14 * 14
    cut = mesh_of(thin.values, thin.low, thin.step)  # and is still there when it is cut
    assert cut.closed and overlap(grid_of(cut, 16, place=thin).values, thin.values) > 0.8
    inwards = Mesh(whole.vertices, whole.faces[:, ::-1])
    assert overlap(grid_of(inwards, 24).values, grid_of(whole, 24).values) == 1


def test_a_thin_closed_mesh_stays() -> None:
    """A board of a twentieth of its length in a grid whose voxels are a thirtieth, and thinner."""
    for thick in (0.05, 0.01, 0.001):
        grid = grid_of(box((1, thick, 1)), 32)
        cut = mesh_of(grid.values, grid.low, grid.step)
        assert overlap(grid_of(cut, 32, place=grid).values, grid.values) > 0.8
        assert (grid.values > HALF).sum() >= 30 * 30
    assert grid.note == THIN_NOTE and grid_of(torus(), 32).note == ""


def test_nothing_inside() -> None:
    with pytest.raises(BadCell, match="no voxel inside"):
        mesh_of(np.full((8, 8, 8), 100, np.uint8))
    full = mesh_of(np.full((8, 8, 8), 255, np.uint8))
    assert full.closed and np.isclose(volume(full), 8**3, rtol=0.05)
    assert FINE == 3
