"""Faces as large as the mesh that lie on each other: a file of 400 kB took minutes to draw.

Oracle: the longest side of each of a cube's 12 faces is the root of 2, its diagonal the root of 3,
so n cubes in one place have 8 n layers. What this cannot show: how long a picture takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from solids import box

from gobelin.data.files import BadCell
from gobelin.data.mesh.headers import MOST_LAYERS, _chunks, _packed
from gobelin.data.mesh.meshes import Mesh, decode_mesh, ply_bytes
from gobelin.data.mesh.views import _Boxes

trimesh = pytest.importorskip("trimesh")
CUBE = Mesh(np.sign(box().vertices), box().faces)
MOST = (MOST_LAYERS - 4) // 8  # cubes


def cubes(count: int) -> Mesh:
    return Mesh(CUBE.vertices, np.tile(CUBE.faces, (count, 1)))


def primitives(count: int) -> bytes:
    """A GLB whose mesh has one part so many times."""
    head, binary = _chunks(exported("glb")(1))
    mesh = head["meshes"][0]
    return _packed(head | {"meshes": [mesh | {"primitives": mesh["primitives"] * count}]}, binary)


def exported(kind: str) -> Callable[[int], bytes]:
    def written(count: int) -> bytes:
        mesh = cubes(count)
        out = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(file_type=kind)
        return out.encode() if isinstance(out, str) else bytes(out)

    return written


def polygon(count: int) -> bytes:
    """An OBJ of a cube and of one face, which goes around a square of the cube's height and becomes
    12 triangles for each of the other cubes: a fan of the corners, half of them without an area."""
    corners = [1, 2, 3, 4] if count > 1 else []
    points = [(-1, -1, -1), (-1, 1, 1), (1, 1, 1), (1, -1, -1)]
    lines = ["v {} {} {}".format(*p) for p in points]
    around = " ".join(map(str, corners * 12 * (count - 1)))
    faces = [f"f {around}"] if around else []
    return "\n".join([*lines, "f 1 2 3", *faces, ""]).encode()


FORMS: dict[str, Callable[[int], bytes]] = {
    "PLY": lambda count: ply_bytes(cubes(count)),
    "STL": exported("stl"),
    "OFF": exported("off"),
    "OBJ": exported("obj"),
    "GLB of one part, many times": primitives,
}


@pytest.mark.parametrize("form", FORMS)
def test_cubes_on_each_other_are_read_up_to_the_limit(form: str) -> None:
    mesh = decode_mesh(FORMS[form](MOST))[0]
    assert np.isclose(mesh.layers, 8 * MOST)
    with pytest.raises(BadCell, match=f"as large as itself, {8 * MOST + 16} times over"):
        decode_mesh(FORMS[form](MOST + 2))


def test_a_face_of_very_many_corners_is_refused() -> None:
    decode_mesh(polygon(1))
    with pytest.raises(BadCell, match="times over"):
        decode_mesh(polygon(4 * MOST))


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_a_fine_mesh_of_any_unit_has_few_layers(scale: float) -> None:
    ball = trimesh.creation.icosphere(5)
    mesh = Mesh(ball.vertices * scale, ball.faces)
    assert len(mesh.faces) > 20_000 and mesh.layers < 10


def test_layers_bound_the_pixels_that_are_looked_at() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mesh = Mesh(rng.normal(size=(90, 3)), rng.permutation(90).reshape(30, 3))
        middle = (mesh.vertices.max(0) + mesh.vertices.min(0)) / 2
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        corners = (mesh.corners - middle) @ turn
        corners /= np.linalg.norm(np.ptp(mesh.vertices, axis=0)) / 2
        boxes = _Boxes.of(corners, 2000)
        assert (boxes.wide * boxes.high).sum() <= 1.01 * mesh.layers * 2000**2
