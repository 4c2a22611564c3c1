"""Drawn meshes. Oracles: the closed form of a sphere and of a box, and a rasteriser that sends a
ray through each pixel and tests each triangle."""

from __future__ import annotations

import numpy as np
import pytest
from solids import box, scattered, sphere, torus

from gobelin.data.mesh.views import MARGIN, Drawn, camera, drawn, turntable, upright, views


def traced(corners: np.ndarray, size: int) -> Drawn:
    """One ray a pixel against every face (Möller & Trumbore 1997), in plain loops."""
    face, depth = np.full((size, size), -1), np.full((size, size), -np.inf)
    towards = np.array([0.0, 0.0, -1.0])
    for row in range(size):
        for column in range(size):
            at = [(column + 0.5) / size * 2 - 1, 1 - (row + 0.5) / size * 2, 10.0]
            for k, (a, b, c) in enumerate(corners):
                cross = np.cross(towards, c - a)
                volume = np.dot(b - a, cross)
                if abs(volume) < 1e-14:
                    continue
                u = np.dot(at - a, cross) / volume
                other = np.cross(at - a, b - a)
                v = np.dot(towards, other) / volume
                near = 10 - np.dot(c - a, other) / volume
                if u >= 0 and v >= 0 and u + v <= 1 and near > depth[row, column]:
                    face[row, column], depth[row, column] = k, near
    return Drawn(face, depth)


@pytest.mark.parametrize("seed", range(3))
def test_every_pixel_is_that_of_a_ray(seed: int) -> None:
    corners = scattered(seed).corners * 0.8
    mine, theirs = drawn(corners, 24), traced(corners, 24)
    assert (mine.face == theirs.face).mean() > 0.995  # the rest are hits on an edge
    same = (mine.face == theirs.face) & (mine.face >= 0)
    assert np.allclose(mine.depth[same], theirs.depth[same], atol=1e-9)
    assert same.mean() > 0.5 and len(np.unique(mine.face)) > 20


def test_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.repeat(scattered(4).corners, 2, axis=0)  # each face twice: equally near
    whole = drawn(corners, 40)
    monkeypatch.setattr("gobelin.data.mesh.views.PIXELS_AT_ONCE", 50)
    small = drawn(corners, 40)
    assert np.array_equal(whole.face, small.face) and np.array_equal(whole.depth, small.depth)
    assert (whole.face[whole.face >= 0] % 2 == 0).all()  # the first of two equal ones


def test_a_sphere_is_a_disc_with_the_depth_of_a_sphere() -> None:
    size, radius = 96, 0.9
    found = drawn(sphere(radius, 5).corners, size)
    centre = (np.arange(size) + 0.5) / size * 2 - 1
    r2 = centre[None, :] ** 2 + centre[:, None] ** 2
    disc = r2 <= radius**2
    assert abs((found.face >= 0).mean() - np.pi * radius**2 / 4) < 0.005
    inner = r2 < (0.97 * radius) ** 2
    assert (found.face[inner] >= 0).all() and (found.face[~disc] < 0).all()
    assert np.abs(found.depth[inner] - np.sqrt(radius**2 - r2[inner])).max() < 0.005


@pytest.mark.parametrize("turn", [0.0, 0.3, 1.1])
def test_a_box_covers_its_projection(turn: float) -> None:
    """Of a box with sides w, h, d turned by t: width w |cos t| + d |sin t|, height h."""
    w, h, d = 0.8, 1.1, 0.5
    found = drawn(box((w, h, d)).corners @ camera(turn, 0).T, 200)
    rows, columns = np.nonzero(found.face >= 0)
    width = w * abs(np.cos(turn)) + d * abs(np.sin(turn))
    assert abs((np.ptp(columns) + 1) / 100 - width) < 0.03
    assert abs((np.ptp(rows) + 1) / 100 - h) < 0.03
    assert abs(len(rows) / 100**2 - width * h) < 0.03
    # the nearest point is a vertical edge, or a side
    nearest = w / 2 * abs(np.sin(turn)) + d / 2 * abs(np.cos(turn))
    assert abs(found.depth.max() - nearest) < 0.02


def test_what_is_nearer_hides_what_is_behind() -> None:
    """A small box before a large one, seen from both sides."""
    behind, before = box((1, 1, 0.1), (0, 0, -0.5)), box((0.4, 0.4, 0.1), (0, 0, 0.5))
    corners = np.concatenate([behind.corners, before.corners])
    front = drawn(corners, 50).face >= len(behind.faces)
    back = drawn(corners @ camera(np.pi, 0).T, 50).face >= len(behind.faces)
    assert abs(front.mean() - 0.4**2 / 4) < 0.01 and not back.any()


def test_pictures() -> None:
    ring = torus()
    found = views(ring, turntable(12, 30), 64)
    assert found.shape == (12, 64, 64, 3) and found.dtype == np.uint8
    assert (found[:, 0, 0] == 255).all() and (found[:, 32, 32] == 255).all()  # the hole
    inside = (found < 255).any(-1)
    rows, columns = np.nonzero(inside.any(0))
    assert abs((np.ptp(columns) + 1) / 64 - MARGIN) < 0.04  # the largest view fills the picture
    assert np.abs(found.astype(int) - found[0]).mean() < 6  # a ring looks alike from all sides
    # light from above: the upper half of a ball is brighter than the lower one
    (ball,) = views(sphere(), [camera(0, 0)], 64).astype(int)
    assert ball[16, 32, 0] > ball[32, 32, 0] * 0.9 and ball[12, 32, 0] > ball[52, 32, 0] + 40


def test_colours_and_axes() -> None:
    mesh = box((1, 2, 1))
    red = np.tile(np.array([[255, 0, 0]], np.uint8), (12, 1))
    (picture,) = views(type(mesh)(mesh.vertices, mesh.faces, red), [camera(0, 0)], 40)
    seen = (picture < 255).any(-1)
    assert (picture[seen][:, 1:] == 0).all() and picture[seen][:, 0].min() > 60
    assert np.ptp(np.nonzero(seen)[0]) > 1.8 * np.ptp(np.nonzero(seen)[1])  # it stands
    (lying,) = views(mesh, [camera(0, 0)], 40, "z")
    seen = (lying < 255).any(-1)
    assert np.ptp(np.nonzero(seen)[0]) < 0.6 * np.ptp(np.nonzero(seen)[1])
    for up in "xyz":
        turn = upright(np.eye(3), up)
        assert np.isclose(np.linalg.det(turn), 1) and turn["xyz".index(up), 1] == 1
    for k in turntable(5, 20):
        assert np.allclose(k @ k.T, np.eye(3)) and np.isclose(np.linalg.det(k), 1)
