"""Descriptors of meshes. Oracles: closed forms of box, ball and ring; trimesh; a mesh that was
turned, scaled and moved."""

from __future__ import annotations

import numpy as np
import pytest
from solids import box, scattered, sphere, torus, turned

from gobelin.data.mesh import shape as mesh_shape
from gobelin.data.mesh.meshes import Mesh
from gobelin.data.mesh.shape import (
    D2_BINS,
    D2_REACH,
    at_rest,
    compactness,
    distances,
    shape,
    shape_width,
    spread,
    surface_middle,
    surface_points,
    volume,
)


def test_closed_forms() -> None:
    brick = box((1, 2, 3), (5, 5, 5))
    assert np.isclose(volume(brick), 6) and np.isclose(brick.areas.sum(), 22) and brick.closed
    assert np.allclose(surface_middle(brick), 5)
    assert np.isclose(compactness(box()), np.pi / 6)
    ball = sphere(2.0, 5)
    assert np.isclose(volume(ball), 4 / 3 * np.pi * 8, rtol=2e-3)
    assert np.isclose(compactness(ball), 1, rtol=1e-3) and ball.closed
    ring = torus(1, 0.4, 120, 60)
    assert np.isclose(volume(ring), 2 * np.pi**2 * 0.4**2, rtol=5e-3) and ring.closed
    # the surface of a box of sides w, h, d: two faces w x h at depth d / 2 ...
    w, h, d = 1, 2, 3
    faces = [(w * h, 2, d), (h * d, 0, w), (w * d, 1, h)]
    total = sum(a for a, _, _ in faces)
    expected = [
        sum(a * (s**2 / 4 if axis == k else s**2 / 12) for a, axis, _ in faces) / total
        for k, s in enumerate((w, h, d))
    ]
    assert np.allclose(spread(brick), np.diag(expected))


def test_the_same_as_trimesh() -> None:
    trimesh = pytest.importorskip("trimesh")
    for mesh in (box((1, 2, 3)), sphere(1.3, 3), torus(), scattered(3)):
        theirs = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert theirs.is_watertight == mesh.closed
        assert np.isclose(theirs.area, mesh.areas.sum())
        assert np.allclose(
            theirs.centroid if mesh.closed else 0, surface_middle(mesh) * mesh.closed
        )
        if mesh.closed:
            assert np.isclose(theirs.volume, volume(mesh))


def test_two_faces_of_a_box_missing_is_open() -> None:
    whole = box()
    assert not Mesh(whole.vertices, whole.faces[2:]).closed


def test_distances_on_a_ball() -> None:
    """Two points on a ball of radius 1 lie d apart with density d / 2 on [0, 2]; the mean is
    4 / 3 (Osada et al. 2002, table 1)."""
    found = distances(surface_points(sphere(7.0, 5)))
    edges = np.arange(D2_BINS + 1) * D2_REACH / D2_BINS * 4 / 3
    expected = np.diff(np.minimum(edges, 2) ** 2 / 4)
    assert np.abs(found - expected).max() < 0.01 and np.isclose(found.sum(), 1)


@pytest.mark.parametrize(
    "mesh", [scattered(1), torus(), box((1, 2, 3))], ids=["any", "ring", "box"]
)
def test_a_mesh_that_was_turned_scaled_and_moved(mesh: Mesh) -> None:
    before = shape(mesh, any_turn=True, any_scale=True)
    for seed in range(3):
        after = shape(turned(mesh, seed, 3.7, 10.0), any_turn=True, any_scale=True)
        # a distance at the edge of a bin may fall into the next one: one pair of 24576
        assert np.abs(after - before).max() < 1e-6 or np.abs(after - before).max() < 2 / 24576
    moved = Mesh(mesh.vertices + 3, mesh.faces)
    assert np.allclose(shape(moved, False, False), shape(mesh, False, False), atol=1e-6)


def test_what_is_asked_for_changes_and_nothing_else() -> None:
    mesh = scattered(5)
    larger, lying = Mesh(mesh.vertices * 2, mesh.faces), turned(mesh, 0)
    both = shape(mesh, False, False)
    assert np.allclose(shape(larger, False, True), shape(mesh, False, True), atol=1e-6)
    assert np.allclose(shape(larger, False, False)[-5:] - both[-5:], np.log(2))
    assert np.allclose(shape(lying, True, False), shape(mesh, True, False), atol=1e-4)
    assert np.abs(shape(lying, False, True) - shape(mesh, False, True)).max() > 0.1
    for turn in (True, False):
        for scale in (True, False):
            assert shape(mesh, turn, scale).shape == (shape_width(turn, scale),)
    # with the other axis up the same numbers come for the mesh that lies so
    z_up = Mesh(mesh.vertices[:, [2, 0, 1]], mesh.faces)
    assert np.allclose(shape(z_up, False, False, "z"), both, atol=1e-4)


def test_rest() -> None:
    mesh = scattered(2)
    first, second = at_rest(mesh), at_rest(turned(mesh, 4, 1.0, 3.0))
    assert np.allclose(first.vertices, second.vertices, atol=1e-9)
    assert (np.diff(np.linalg.eigvalsh(spread(mesh))[::-1]) < 0).all()
    assert np.allclose(np.diag(spread(first)), np.linalg.eigvalsh(spread(mesh))[::-1])


def test_points_lie_on_the_surface_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    points = surface_points(box((1, 1, 4)))
    side = np.abs(points[:, 2]) > 2 - 1e-9
    assert abs(side.mean() - 2 / 18) < 0.02
    on = np.isclose(np.abs(points[:, :2]), 0.5).any(1) | side
    assert on.all() and mesh_shape.POINTS == len(points)


def test_a_flat_mesh() -> None:
    flat = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]]))
    for turn in (True, False):
        assert np.isfinite(shape(flat, turn, False)).all()
