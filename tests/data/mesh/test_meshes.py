"""Meshes in cells. Oracles: trimesh's own writers, meshes of known shape, and planted faults."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from solids import box, scattered, sphere, torus

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Field
from gobelin.data.files import BadCell, cell_key
from gobelin.data.image.images import png_bytes
from gobelin.data.mesh.headers import _packed, form_of, is_mesh
from gobelin.data.mesh.meshes import (
    NOT_CLOSED,
    Mesh,
    decode_mesh,
    mesh_query,
    mesh_share,
    open_mesh,
    ply_bytes,
)
from gobelin.data.read import read
from gobelin.data.tables.file_columns import as_files
from gobelin.embedding.columns.schema import Choices, infer

trimesh = pytest.importorskip("trimesh")
OFF = "OFF\n4 2 0\n0 0 0\n2 0 0\n2 2 0\n0 2 0\n3 0 1 2\n3 0 2 3\n"
FORMS = ("obj", "off", "ply", "stl", "glb")


def written(mesh: Mesh, form: str, **how: Any) -> bytes:  # noqa: ANN401
    """By trimesh."""
    theirs = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    if mesh.colours is not None:
        theirs.visual.face_colors = mesh.colours
    data = theirs.export(file_type=form, **how)
    return data.encode() if isinstance(data, str) else data


def corner_sets(mesh: Mesh) -> np.ndarray:
    """Each face as its sorted corners, the faces sorted."""
    corners = np.round(mesh.corners, 4) + 0.0
    rows = [sorted(map(tuple, face)) for face in corners.tolist()]
    return np.array(sorted(rows))


@pytest.mark.parametrize("form", [*FORMS, "stl_ascii"])
@pytest.mark.parametrize(
    "mesh", [box((1, 2, 3)), torus(), scattered(0)], ids=["box", "ring", "any"]
)
def test_every_format(form: str, mesh: Mesh, tmp_path: Path) -> None:
    data = written(Mesh(mesh.vertices, mesh.faces), form)
    form = form[:3]
    found, note = decode_mesh(data, "")  # known by its content alone
    assert form_of(data, "") == form and note == ("" if mesh.closed else NOT_CLOSED)
    assert np.allclose(corner_sets(found), corner_sets(mesh), atol=1e-3)
    assert found.vertices.dtype == np.float64 and found.faces.dtype == np.int64
    assert found.closed == mesh.closed and found.colours is None
    (tmp_path / f"a.{form}").write_bytes(data)
    again, _ = open_mesh(f"a.{form}", tmp_path)
    assert np.array_equal(again.faces, found.faces) and is_mesh(data[:4096]) or form == "stl"
    assert mesh_share([f"a.{form}", "b.txt"], tmp_path) == 0.5


@pytest.mark.parametrize(
    ("start", "note"),
    [
        ("OFF\n4 2 0\n", ""),
        ("OFF4 2 0\n", ""),  # as ModelNet has it
        ("# by hand\n\nOFF # a shape\n# counts\n4 2 5\n", ""),
        ("COFF\n4 2 0\n", "its colours are not read"),
    ],
)
def test_off_however_its_head_is_written(start: str, note: str) -> None:
    """Oracle: a square of side 2, as two triangles, or as one quad and a triangle beside it."""
    found, told = decode_mesh(OFF.replace("OFF\n4 2 0\n", start).encode(), "any.txt")
    assert found.areas.tolist() == [2, 2] and note in told
    quad, _ = decode_mesh(b"OFF 5 2 0\n0 0 0\n2 0 0\n2 2 0\n0 2 0\n4 0 1\n4 0 1 2 3\n3 1 4 2\n")
    assert np.isclose(quad.areas.sum(), 4 + np.linalg.norm(np.cross([2, 0, 1], [0, 2, 0])) / 2)


def test_quads_are_two_triangles() -> None:
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0.5 1.5 0\nf 1 2 3 4\nf 4//1 3//1 5//1\n"
    assert np.isclose(decode_mesh(text.encode())[0].areas.sum(), 1.25)
    lines = ["ply", "format ascii 1.0", "element vertex 5", *(f"property float {a}" for a in "xyz")]
    lines += ["element face 2", "property list uchar int vertex_indices", "end_header"]
    lines += ["0 0 0", "1 0 0", "1 1 0", "0 1 0", "0.5 1.5 0", "4 0 1 2 3", "3 3 2 4", ""]
    assert np.isclose(decode_mesh("\n".join(lines).encode())[0].areas.sum(), 1.25)


def test_colours() -> None:
    mesh = scattered(1)
    for data in (written(mesh, "ply"), ply_bytes(mesh)):
        found, _ = decode_mesh(data)
        order = [np.lexsort(np.round(m.corners.mean(1), 3).T) for m in (mesh, found)]
        assert mesh.colours is not None and found.colours is not None
        assert np.array_equal(mesh.colours[order[0]], found.colours[order[1]])
    ball = sphere(steps=2)
    theirs = trimesh.Trimesh(ball.vertices, ball.faces, process=False)
    theirs.visual.vertex_colors = np.where(ball.vertices[:, :1] > 0, [200, 0, 0, 255], 40)
    for form in ("ply", "glb"):
        colours = decode_mesh(theirs.export(file_type=form))[0].colours
        assert colours is not None and {(200, 0, 0), (40, 40, 40)} <= set(map(tuple, colours))


def test_written_and_read_is_the_same() -> None:
    for mesh in (torus(), scattered(2)):
        data = ply_bytes(mesh, ["made by a test"])
        found, _ = decode_mesh(data)
        assert np.allclose(corner_sets(found), corner_sets(mesh), atol=1e-3)
        assert b"comment made by a test\n" in data
        theirs = trimesh.load_mesh(trimesh.util.wrap_as_stream(data), file_type="ply")
        assert np.isclose(theirs.area, mesh.areas.sum(), rtol=1e-5)


MATERIAL = b"newmtl red\nKd 1 0 0\nmap_Kd secret.png\nnewmtl blue\nKd 0 0 1\n"
PAINTED = b"""mtllib ../../secret.mtl
v 0 0 0
v 1 0 0
v 0 1 0
v 0 0 1
usemtl red
f 1 2 3
usemtl blue
f 1 2 4
"""


def test_no_other_file_is_opened(tmp_path: Path) -> None:
    """The material is there, and readable; only a caller that hands it over gets its colours."""
    (tmp_path / "secret.mtl").write_bytes(MATERIAL)
    data = tmp_path / "a" / "b"
    data.mkdir(parents=True)
    (data / "m.obj").write_bytes(PAINTED)
    mesh, note = open_mesh("m.obj", data)
    assert mesh.colours is None and note == f"{NOT_CLOSED}, colours in a material file are not read"
    asked: list[str] = []

    def contents(name: str) -> bytes:
        asked.append(name)
        if name == "secret.png":
            raise KeyError(name)  # a picture that is not there: the material's own colour counts
        return MATERIAL

    mesh, note = decode_mesh(PAINTED, "m.obj", contents)
    assert asked == ["../../secret.mtl", "secret.png"] and note == NOT_CLOSED
    assert mesh.colours is not None
    assert sorted(map(tuple, mesh.colours.tolist())) == [(0, 0, 255), (255, 0, 0)]


def test_a_picture_colours_the_faces_that_it_covers() -> None:
    """A picture of four coloured quarters, the right half of which is repeated to the left of it:
    faces in one quarter each, one that covers two of them, and one without a place in it."""
    quarters = {(0, 0): (255, 0, 0), (0, 1): (0, 255, 0), (1, 0): (0, 0, 255), (1, 1): (9, 9, 9)}
    pixels = np.zeros((8, 8, 3), np.uint8)
    for (row, column), colour in quarters.items():
        pixels[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = colour
    spots = {"upper left": (0.1, 0.6), "upper right": (0.6, 0.6), "lower right": (-0.4, 0.1)}
    lines = ["mtllib m.mtl"]
    for k, (x, y) in enumerate(spots.values()):
        lines += [f"v {k} 0 0", f"v {k} 1 0", f"v {k} 0 1"]
        lines += [f"vt {x} {y}", f"vt {x + 0.3} {y}", f"vt {x} {y + 0.3}"]
    lines += ["vt 0.2 0.9", "vt 0.8 0.9", "vt 0.5 0.6", "usemtl seen"]
    lines += [f"f {a}/{a} {a + 1}/{a + 1} {a + 2}/{a + 2}" for a in (1, 4, 7)]
    lines += ["f 1/10 5/11 9/12", "usemtl plain", "f 2 4 8"]
    files = {
        "m.mtl": b"newmtl seen\nKd 0 0 0\nmap_Kd p.png\nnewmtl plain\nKd 1 1 0\n",
        "p.png": png_bytes(pixels),
    }
    mesh, _ = decode_mesh("\n".join(lines).encode(), "m.obj", files.__getitem__)
    assert mesh.colours is not None
    found = {tuple(int(c) for c in colour) for colour in mesh.colours}
    assert {(255, 0, 0), (0, 255, 0), (9, 9, 9), (255, 255, 0)} < found
    (both,) = found - {(255, 0, 0), (0, 255, 0), (9, 9, 9), (255, 255, 0)}
    assert both == (round(2 / 7 * 255), round(5 / 7 * 255), 0)  # 2 of 7 spots lie left of x = .5


def glb(change: dict[str, Any] | None = None, binary: bytes | None = None) -> bytes:
    """A box as GLB, with other values in its header."""
    data = written(box(), "glb")
    length = struct.unpack_from("<I", data, 12)[0]
    head = json.loads(data[20 : 20 + length])
    return _packed(head | (change or {}), data[28 + length :] if binary is None else binary)


def head_of(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]]))


def test_materials_of_a_glb() -> None:
    head = head_of(glb())
    (mesh,) = head["meshes"]
    mesh["primitives"][0]["material"] = 0
    material = {"pbrMetallicRoughness": {"baseColorFactor": [0, 1, 0, 1]}}
    found, _ = decode_mesh(glb({"meshes": [mesh], "materials": [material]}))
    assert found.colours is not None and (found.colours == [0, 255, 0]).all()
    # a texture that would be a million megapixels once decoded is never looked at
    bomb = {"images": [{"uri": "bomb.png"}], "textures": [{"source": 0}]}
    material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
    _, note = decode_mesh(glb({"meshes": [mesh], "materials": [material], **bomb}))
    assert note == "its textures are not read"
    for part in ({"byteOffset": 9**9}, {"byteLength": 10**12}, {"buffer": 3, "byteOffset": -1}):
        views = [*head["bufferViews"], {"buffer": 0, "byteLength": 8, **part}]
        inside = {**bomb, "bufferViews": views, "images": [{"bufferView": len(views) - 1}]}
        shape, note = decode_mesh(glb({"meshes": [mesh], "materials": [material], **inside}))
        assert len(shape.faces) == 12 and note == "its textures are not read"


def accessor(**change: Any) -> dict[str, Any]:  # noqa: ANN401
    accessors = head_of(glb())["accessors"]
    return {"accessors": [accessors[0] | change, *accessors[1:]]}


def binary_stl(count: int, faces: int) -> bytes:
    return b"\0" * 80 + struct.pack("<I", count) + b"\0" * (50 * faces)


PLY_HEAD = "ply\nformat {}\nelement vertex {}\n" + "".join(f"property float {a}\n" for a in "xyz")
PLY_FACES = "element face {}\nproperty list uchar int vertex_indices\nend_header\n"
BINARY = "binary_little_endian 1.0"
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"


def view(number: int, **change: int) -> bytes:
    """A box whose part of the data with this number has other values."""
    views = head_of(glb())["bufferViews"]
    views[number] |= change
    return glb({"bufferViews": views})


DEEP = [{"children": [k + 1], "mesh": 0} for k in range(9)]
BAD = {
    "zero bytes": (b"", "is no mesh"),
    "text": (b"hello", "is no mesh"),
    "no faces": (OBJ, "no faces"),
    "no vertices": (b"v 0 0 0\nf 1 2 3\nf 1 2 3\n", ""),
    "a face of a vertex that is not there": (OBJ + b"f 1 2 9\n", "that is not there"),
    "a face of vertex minus nine": (OBJ + b"f 1 2 -9\n", ""),
    "nan": (b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
    "infinite": (OBJ + b"v inf 0 0\nf 1 2 4\n", "not finite"),
    "too far": (b"v 1e200 0 0\nv 0 1e200 0\nv 0 0 1\nf 1 2 3\n", "area"),
    "degenerate": (OBJ + b"f 1 1 2\nf 3 3 3\n", "no faces with an area"),
    "in a line": (b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "no area"),
    "billion ascii": (
        (PLY_HEAD.format("ascii 1.0", 10**9) + PLY_FACES.format(1) + "0 0 0\n").encode(),
        "promises 1000000000 vertices and holds",
    ),
    "billion faces": (
        (PLY_HEAD.format(BINARY, 1) + PLY_FACES.format(10**9)).encode() + b"\0" * 99,
        "promises 1000000000 faces and holds",
    ),
    "no end": (PLY_HEAD.format("ascii 1.0", 3).encode(), "its header has no end"),
    "long list": (
        (PLY_HEAD.format(BINARY, 1) + PLY_FACES.format(1)).encode() + b"\0" * 12 + b"\xff\1",
        "is damaged",
    ),
    "stl of a billion": (binary_stl(10**9, 2), "promises 1000000000 faces and holds 100 bytes"),
    "stl cut off": (binary_stl(3, 3)[:-7], ""),
    "stl of zeros": (binary_stl(2, 2), "no faces with an area"),
    "glb cut off": (glb()[:-40], "promises a chunk"),
    "glb of version 1": (b"glTF" + struct.pack("<II", 1, 20) + b"\0" * 40, "version 2"),
    "glb without json": (b"glTF" + struct.pack("<IIII", 2, 24, 4, 1) + b"abcd", "no JSON"),
    "glb of a billion": (glb(accessor(count=10**9)), "promises 1000000000"),
    "glb, count below 0": (glb(accessor(count=-5)), ""),
    "glb without data": (glb({"accessors": [{"count": 10**9, "type": "VEC3",
                         "componentType": 5126}] * 2}), "without data"),
    "glb with a file beside": (glb({"buffers": [{"uri": "../../etc/passwd", "byteLength": 9}]}),
                               "other files"),
    "glb of faces beyond its data": (view(1, byteLength=200), "344 bytes of data and holds 240"),
    "glb of a view below 0": (view(0, byteOffset=-4), ""),
    "glb of more than a view": (glb(accessor(byteOffset=9)), "where it holds fewer"),
    "glb of a stride of 0": (view(0, byteStride=0), "where it holds fewer"),
    "glb of a long stride": (view(0, byteStride=99), "where it holds fewer"),
    "glb packed": (glb({"extensionsRequired": ["KHR_draco_mesh_compression"]}), "KHR_draco"),
    "glb of a circle": (glb({"nodes": [{"children": [1]}, {"children": [0]}]}), "no tree"),
    "glb shown often": (glb({"nodes": [{"children": [1, 1]}, {"mesh": 0}]}), "no tree"),
    "glb of 400000 boxes": (glb({"nodes": [{"mesh": 0}] * 400_000}), "4800000 vertices or faces"),
    "glb read 100 times": (
        glb(
            {
                "buffers": [{"byteLength": 3_000_000}],
                "bufferViews": [{"buffer": 0, "byteLength": 3_000_000}],
                "accessors": [
                    {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 250_000}
                ]
                * 100,
            },
            b"\0" * 3_000_000,
        ),
        "1225 MB to decode; reading.cell_mb allows 1000",
    ),
    "gltf": (b'{"asset": {"version": "2.0"}, "buffers": []}', "save it as GLB"),
    "off of a billion": (b"OFF\n1000000000 1 0\n0 0 0\n", "promises 1000000000 vertices"),
    "off of many faces": (b"OFF 1 10000000 0\n0 0 0\n", "promises 10000000 faces and holds"),
    "off without counts": (b"OFF\n# nothing\n", "how many vertices"),
    "off cut off": (OFF.encode()[:-9], "promises 6 lines and holds 5"),
    "off of a vertex not there": (OFF.replace("3 0 1 2", "3 0 1 9").encode(), "is damaged"),
    "off with normals": (b"NOFF\n1 1 0\n", "OFF with normals, which is not read"),
    "binary off": (b"OFF BINARY\n\0\0\0\1", "binary OFF, which is not read"),
    "fbx": (b"Kaydara FBX Binary  \0", "FBX, which is not read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_reason(name: str) -> None:
    data, reason = BAD[name]
    tracemalloc.start()
    with pytest.raises(BadCell) as caught:
        decode_mesh(data, f"a.{name[:3]}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (reason in str(caught.value)) and "\n" not in str(caught.value)
    print(name, "|", caught.value)
    assert len(str(caught.value)) < 120 and peak < 5e7 + 40 * len(data)


@pytest.mark.parametrize("name", [b"x" * 3_000_000, b"y" * 5_000 + b"\r", b" a b" * 2_000])
def test_a_text_stl_may_have_a_long_first_line(name: bytes) -> None:
    text = written(box(), "stl_ascii")
    long = text.replace(text.split(b"\n", 1)[0], b"solid " + name, 1)
    wanted = decode_mesh(text, "a.stl")[0]
    assert np.array_equal(decode_mesh(long, "a.stl")[0].corners, wanted.corners)


def test_a_deep_tree_of_nodes_is_read() -> None:
    found, _ = decode_mesh(glb({"nodes": [*DEEP, {"mesh": 0}], "scenes": [{"nodes": [0]}]}))
    assert len(found.faces) == 12 * 10


def test_good_faces_beside_bad_ones_stay() -> None:
    mesh, note = decode_mesh(OBJ + b"f 1 1 2\nf 1 2 3\n")
    assert len(mesh.faces) == 1 and "degenerate faces left out" in note
    assert len(decode_mesh(OBJ + b"v nan 0 0\nf 1 2 3\n")[0].faces) == 1  # no face has it


def test_queries_and_keys(tmp_path: Path) -> None:
    field = Field("m", "mesh", ("m",), "mesh")
    (tmp_path / "a.stl").write_bytes(written(box(), "stl"))
    cell = mesh_query(str(tmp_path / "a.stl"), field)
    assert open_mesh(cell["m"], tmp_path)[0].closed
    assert cell_key(cell, tmp_path) == cell_key({"m": "a.stl"}, tmp_path)
    (tmp_path / "b.obj").write_bytes(b"v 1 2 3\n")
    with pytest.raises(GobelinError, match="no faces"):
        mesh_query(str(tmp_path / "b.obj"), field)
    with pytest.raises(GobelinError, match="no such file"):
        mesh_query(str(tmp_path / "c.obj"), field)
    for outside in ("../a.stl", "https://x.org/a.stl"):
        with pytest.raises(BadCell):
            open_mesh(outside, tmp_path / "sub")


def test_bytes_of_every_format_are_known() -> None:
    """A binary STL has no beginning of its own; an OBJ is a text and stays a file."""
    held = [written(box(), form) for form in FORMS]
    assert mesh_share(held, Path()) == 1 and mesh_share([b"\0" * 500, *held[:1]], Path()) == 0.5
    table = pa.table({"mesh": pa.array(held[:1] * 3, pa.binary())})
    assert as_files(table, Path(), Path())["mesh"].type == pa.binary()


def test_a_folder_of_classes(tmp_path: Path) -> None:
    for k, name in enumerate(("box", "ring", "box", "ring")):
        (tmp_path / name).mkdir(exist_ok=True)
        mesh = box() if name == "box" else torus(around=8, across=5)
        (tmp_path / name / f"{k}.stl").write_bytes(written(mesh, "stl"))
    data = read(tmp_path)
    assert data.column_names == ["mesh", "class"] and len(data) == 4
    schema = infer(data, "class", Choices())
    assert schema.kind("mesh") == "mesh" and schema.fields[0].encoder == "mesh"
