"""Meshes of very many parts: refused, or opened in a time that follows their size. A decoder takes
the square of the parts, so a file of 200 kB took minutes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from solids import box

from gobelin.data.files import BadCell
from gobelin.data.mesh.headers import MOST_MATERIALS, MOST_SOLIDS, _chunks, _depths, _packed
from gobelin.data.mesh.meshes import decode_mesh

trimesh = pytest.importorskip("trimesh")
BOX = trimesh.Trimesh(box().vertices, box().faces, process=False).export(file_type="glb")
HEAD, BINARY = _chunks(BOX)
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
WIDE = OBJ + b"v 9 9 0\nf 1 2 4\n"  # in which the first three points are near each other
SOLID = (
    b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\n"
    b"endfacet\nendsolid a\n"
)


def glb(change: dict[str, Any]) -> bytes:
    """A box, with other entries in its header."""
    return _packed({**HEAD, **change}, BINARY)


def chain(depth: int) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [{"children": [k + 1]} for k in range(depth)]
    return {"nodes": [*nodes, {"mesh": 0}], "scenes": [{"nodes": [0]}]}


def primitives(count: int) -> dict[str, Any]:
    mesh = HEAD["meshes"][0]
    return {"meshes": [mesh | {"primitives": mesh["primitives"] * count}]}


FLAT = {"nodes": [{"mesh": 0, "name": "a"}] * 30_000, "scenes": [{"nodes": list(range(30_000))}]}
TREE = [{"children": [2 * k + 1, 2 * k + 2]} for k in range(15_000)] + [{"mesh": 0}] * 15_001
MANY = {
    "a chain": (glb(chain(3_000)), "at most 500000"),
    "a chain with leaves": (
        glb({"nodes": [*chain(60)["nodes"], *[{}] * 9_000], "scenes": [{"nodes": [0]}]}),
        "",
    ),
    "a broad tree": (glb({"nodes": TREE, "scenes": [{"nodes": [0]}]}), "30001 parts"),
    "nodes": (glb(FLAT), "30000 parts"),
    "primitives": (glb(primitives(30_000)), "30000 parts"),
    "empty nodes": (glb({"nodes": [{"mesh": 0}, *[{}] * 30_000]}), "30001 parts"),
    "solids": (SOLID * (MOST_SOLIDS + 1), "5001 parts"),
    "solids in capitals": (SOLID.replace(b"solid", b"SOLID") * (MOST_SOLIDS + 1), "5001 parts"),
    "materials": (WIDE + b"usemtl a\nf 1 2 3\nusemtl b\nf 3 2 1\n" * 10_000, ""),
    "material files": (WIDE + b"mtllib a\n usemtl a\r\nf 1 2 3\n" * 10_000, ""),
}


@pytest.mark.parametrize("name", MANY)
def test_many_parts_take_no_square(name: str) -> None:
    data, reason = MANY[name]
    start = time.process_time()
    try:
        decode_mesh(data)
    except BadCell as error:
        assert reason and reason in str(error)
    else:
        assert not reason
    assert time.process_time() - start < 4


def test_an_obj_without_its_materials_is_the_same_mesh() -> None:
    corners = np.random.default_rng(0).normal(size=(9, 3))
    start = "".join("v {} {} {}\n".format(*c) for c in corners.tolist()).encode()
    faces = [f"f {k % 7 + 1} {k % 7 + 2} {k % 7 + 3}\n".encode() for k in range(MOST_MATERIALS + 1)]
    some = b"".join(b"usemtl m%d\n" % k + face for k, face in enumerate(faces[:7]))
    many = b"".join(b"usemtl m%d\n" % k + face for k, face in enumerate(faces))
    one, all_of_them = decode_mesh(start + some)[0], decode_mesh(start + many)[0]
    assert (one.vertices == all_of_them.vertices).all()
    assert {tuple(f) for f in one.faces.tolist()} == {tuple(f) for f in all_of_them.faces.tolist()}
    assert len(all_of_them.faces) == MOST_MATERIALS + 1


def test_depths_are_those_of_a_search_from_the_top() -> None:
    random = np.random.default_rng(1)
    order = random.permutation(300)
    nodes: list[dict[str, Any]] = [{"children": []} for _ in order]
    expected = {int(order[0]): 0}
    for k in range(1, 300):
        above = int(order[random.integers(k)])
        nodes[above]["children"].append(int(order[k]))
        expected[int(order[k])] = expected[above] + 1
    assert sum(_depths(nodes)) == sum(expected.values())
