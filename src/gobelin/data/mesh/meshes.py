"""Meshes in cells: OBJ, OFF, PLY, STL and GLB, opened as triangles, and written as PLY.

trimesh decodes the files; this is the only module that imports it. A cell is one file: materials,
textures and buffers in other files are not opened, and nothing is downloaded. What a header
promises is checked first (`gobelin.data.mesh.headers`). A file that can't be opened raises
`BadCell`; what was changed is noted, so that it can be counted.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.budget import decoding
from gobelin.data.fields import Cell, Field
from gobelin.data.files import (
    HEAD,
    BadCell,
    cell_bytes,
    file_bytes,
    share_of_files,
    spread,
)
from gobelin.data.mesh.headers import (
    BINARY_MEMORY,
    MESH_SUFFIXES,
    checked,
    form_of,
    is_mesh,
    refuse_layers,
    refuse_many,
    unread_format,
    without_materials,
)

NOT_CLOSED = "not closed"
NO_VERTEX = "a face names a vertex that is not there"
PLAIN = 178  # of 255: red, green and blue of faces that have no colour, where others have one
HALVES = 2  # faces at each edge of a closed mesh
# where the picture on a face is looked at: in shares of its three vertices, float64 [7, 3]
WITHIN = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4], [1, 2, 2], [2, 1, 2], [2, 2, 1]])
WITHIN = WITHIN / WITHIN.sum(1, keepdims=True)


@dataclass(frozen=True)
class Mesh:
    """Triangles in space.

    vertices: float64 [V, 3], in the file's own unit; no two are equal, and each is used. faces:
    int64 [F, 3], numbers of vertices, counter-clockwise seen from outside. colours: uint8 [F, 3],
    red, green and blue of each face, or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray | None = None

    @cached_property
    def corners(self) -> np.ndarray:
        """float64 [F, 3, 3]: the three vertices of each face."""
        return np.asarray(self.vertices[self.faces])

    @cached_property
    def normals(self) -> np.ndarray:
        """float64 [F, 3]: the cross product of two sides, twice as long as the face's area."""
        a, b, c = self.corners[:, 0], self.corners[:, 1], self.corners[:, 2]
        return np.cross(b - a, c - a)

    @cached_property
    def areas(self) -> np.ndarray:
        """float64 [F]"""
        return np.asarray(np.linalg.norm(self.normals, axis=1) / 2)

    @cached_property
    def layers(self) -> float:
        """How often the faces fill a picture of the mesh, at most: the sum of their longest sides
        squared, over the squared diagonal of its box."""
        reach = float(np.linalg.norm(np.ptp(self.vertices, axis=0)))
        sides = (((self.corners[:, k] - self.corners[:, k - 1]) / reach) ** 2 for k in range(3))
        longest = np.zeros(len(self.faces))
        for side in sides:
            np.maximum(longest, side.sum(1), out=longest)
        return float(longest.sum())

    @cached_property
    def closed(self) -> bool:
        """Whether each edge has two faces, so that there is an inside."""
        edges = np.sort(self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        names = edges[:, 0] * len(self.vertices) + edges[:, 1]
        return bool((np.unique(names, return_counts=True)[1] == HALVES).all())


def trimesh() -> ModuleType:
    """The package that decodes meshes. Raises MissingExtra."""
    try:
        import trimesh
    except ImportError as error:
        raise MissingExtra(
            "trimesh, which reads meshes (or --set schema.COLUMN=ignore),", "mesh"
        ) from error
    logging.getLogger("trimesh").setLevel(logging.ERROR)  # it reports what `BadCell` says
    return trimesh


def open_mesh(value: str | bytes, root: Path) -> tuple[Mesh, str]:
    """A mesh, and what was changed or left out ('' for nothing).

    value: path below `root`, or the bytes of a file. Raises BadCell for a file that is no mesh, is
    damaged, has no faces or vertices that are not finite; MissingExtra without trimesh.
    """
    data = cell_bytes(value, root)
    return decode_mesh(data, value if isinstance(value, str) else "")


def decode_mesh(
    data: bytes, name: str = "", materials: Callable[[str], bytes] | None = None
) -> tuple[Mesh, str]:
    """As `open_mesh`, of the bytes of a file. name: of the file, for its suffix. materials: gives
    the contents of a material file of an OBJ that the caller trusts, or of a picture that it names,
    by its name.
    """
    library = trimesh()
    if reason := unread_format(data[:HEAD]):
        raise BadCell(f"is {reason}")
    if not (form := form_of(data, name)):
        raise BadCell("is no mesh")
    try:
        plain, note = checked(data, form)
        plain = plain if form != "obj" or materials else without_materials(plain)
        with decoding(BINARY_MEMORY * len(plain)):
            scene = library.load_scene(
                io.BytesIO(plain),
                file_type=form,
                resolver=_Materials(materials) if materials else None,
                process=False,
                skip_materials=form != "glb" and materials is None,
            )
            mesh, removed = _joined(scene, library)
            refuse_layers(mesh.layers)
    except (BadCell, GobelinError):
        raise
    except IndexError as error:
        raise BadCell(f"is damaged ({NO_VERTEX})") from error
    except Exception as error:  # a decoder may stumble over a damaged file in any way
        reason = str(error)[:60] or "its parts do not fit each other"
        raise BadCell(f"is damaged ({reason})") from error
    note = "" if materials else note
    return mesh, ", ".join(filter(None, ("" if mesh.closed else NOT_CLOSED, removed, note)))


class _Materials:
    """What trimesh asks for: the material file of an OBJ, and the pictures that it names as the
    colour of a material. One that is not there is left out: then the material's own colour
    counts."""

    def __init__(self, contents: Callable[[str], bytes]) -> None:
        self.contents = contents

    def get(self, name: str) -> bytes:
        return self.contents(name)

    def __getitem__(self, name: str) -> bytes:
        return self.get(name)


def _joined(scene: Any, library: ModuleType) -> tuple[Mesh, str]:  # noqa: ANN401 - a scene
    """All parts of a scene as one mesh, and a note of what was left out. Raises BadCell."""
    parts = [g for g in scene.dump() if isinstance(g, library.Trimesh) and len(g.faces)]
    if not parts:
        raise BadCell("has no faces")
    refuse_many(sum(len(p.faces) for p in parts))
    for part in parts:
        if part.faces.min() < 0 or part.faces.max() >= len(part.vertices):
            raise BadCell(f"is damaged ({NO_VERTEX})")
    starts = np.cumsum([0, *(len(p.vertices) for p in parts[:-1])])
    vertices = np.concatenate([np.asarray(p.vertices, np.float64) for p in parts])
    pairs = zip(parts, starts, strict=True)
    faces = np.concatenate([np.asarray(p.faces, np.int64) + start for p, start in pairs])
    return tidy(vertices, faces, _colours(parts))


def tidy(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray | None = None
) -> tuple[Mesh, str]:
    """A mesh whose equal vertices are one, without unused vertices and without faces that have a
    vertex twice, and a note of the latter. Raises BadCell for no area and for numbers that are not
    finite. vertices: [V, 3]. faces: int [F, 3]. colours: [F, 3].
    """
    if not np.isfinite(vertices[faces]).all():
        raise BadCell("has vertices that are not finite")
    used, faces = np.unique(faces, return_inverse=True)
    own, same = _distinct(vertices[used])
    faces = same[faces.reshape(-1, 3)]
    flat = (faces == np.roll(faces, 1, axis=1)).any(1)
    mesh = Mesh(own, faces[~flat], None if colours is None else colours[~flat])
    if not len(mesh.faces):
        raise BadCell("has no faces with an area")
    with np.errstate(over="ignore", invalid="ignore"):
        total = mesh.areas.sum()
    if not 0 < total < np.inf:
        raise BadCell("has no area" if total == 0 else "has an area that is not finite")
    return mesh, "degenerate faces left out" if flat.any() else ""


def _distinct(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different points of [V, 3], sorted, and int64 [V], which of them each point is. As
    `np.unique` over rows, a multiple faster."""
    points = points + 0.0  # so that -0 is 0
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    first = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(1)])
    same = np.empty(len(points), np.int64)
    same[order] = np.cumsum(first) - 1
    return ordered[first], same


def _colours(parts: Sequence[Any]) -> np.ndarray | None:
    """uint8 [F, 3] of all faces; None where no part has colours."""
    found = [_own_colours(part) for part in parts]
    if all(c is None for c in found):
        return None
    grey = [np.full((len(p.faces), 3), PLAIN, np.uint8) for p in parts]
    return np.concatenate([g if c is None else c for c, g in zip(found, grey, strict=True)])


def _own_colours(part: Any) -> np.ndarray | None:  # noqa: ANN401 - a mesh of trimesh
    """uint8 [F, 3] of one part: of its faces, the means of their vertices, the picture that covers
    them, or its material."""
    kind = part.visual.kind
    if kind == "face":
        return np.asarray(part.visual.face_colors, np.uint8)[:, :3]
    if kind == "vertex":
        colours = np.asarray(part.visual.vertex_colors, np.float64)[:, :3]
        return np.round(colours[part.faces].mean(1)).astype(np.uint8)
    material = getattr(part.visual, "material", None)
    picture, places = getattr(material, "image", None), getattr(part.visual, "uv", None)
    if picture is not None and places is not None:
        return _covered_colours(np.asarray(picture.convert("RGB")), places[part.faces])
    colour = getattr(material, "main_color", None)
    if colour is None:
        return None
    return np.tile(np.asarray(colour, np.uint8)[:3], (len(part.faces), 1))


def _covered_colours(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """uint8 [F, 3]: the mean colour of the picture at `WITHIN` of each face. picture: uint8
    [H, W, 3], repeated without end. places: float64 [F, 3, 2], of the faces' vertices in it: right
    and up from its lower left corner, in units of its sides."""
    high, wide = picture.shape[:2]
    spots = np.einsum("sk,fkd->fsd", WITHIN, np.nan_to_num(places, posinf=0.0, neginf=0.0)) % 1
    column = np.minimum((spots[..., 0] * wide).astype(int), wide - 1)
    row = np.minimum(((1 - spots[..., 1]) * high).astype(int), high - 1)
    return np.round(picture[row, column].mean(1)).astype(np.uint8)


def ply_bytes(mesh: Mesh, comments: Sequence[str] = ()) -> bytes:
    """The mesh as a binary PLY file: float32 vertices, faces with their colours. comments: lines of
    its header."""
    face: list[Any] = [("count", "u1"), ("index", "<i4", 3)]
    face += [] if mesh.colours is None else [("colour", "u1", 3)]
    table = np.zeros(len(mesh.faces), np.dtype(face))
    table["count"], table["index"] = 3, mesh.faces
    if mesh.colours is not None:
        table["colour"] = mesh.colours
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {c}" for c in comments)]
    lines += [f"element vertex {len(mesh.vertices)}", *(f"property float {a}" for a in "xyz")]
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices"]
    if mesh.colours is not None:
        lines += [f"property uchar {c}" for c in ("red", "green", "blue")]
    head = "\n".join([*lines, "end_header", ""]).encode("ascii", "replace")
    return head + mesh.vertices.astype("<f4").tobytes() + table.tobytes()


def mesh_share(values: Sequence[Any], root: Path) -> float:
    """The share of the values that look like meshes: bytes and a few files by their content, other
    paths by their suffix.
    """
    parts = spread(values)
    held = [v for v in parts if isinstance(v, bytes)]  # known as a whole: a binary STL has no head
    named = [v for v in parts if not isinstance(v, bytes)]
    share = share_of_files(named, root, MESH_SUFFIXES, is_mesh)
    known = sum(bool(form_of(v, "")) for v in held)
    return (known + len(named) * share) / max(1, len(parts))


def mesh_query(text: str, field: Field) -> Cell:
    """A path given as a query, as a cell of the field. Raises GobelinError."""
    path = Path(text)
    try:
        data = file_bytes(path)
        mesh, _ = decode_mesh(data, path.name)
    except BadCell as error:
        raise GobelinError(f"--mesh {text}: {error}. Give the path of a mesh.") from error
    return {field.columns[0]: data if form_of(data, "") else ply_bytes(mesh)}
