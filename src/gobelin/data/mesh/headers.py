"""What a mesh file promises, looked up before anything of it is allocated.

A small file can claim to be large: a billion vertices in its header, one buffer that is used a
million times. Each check raises `BadCell` with the reason. A cell is one file: what a mesh names
beside itself (materials, textures, buffers in other files) is never opened.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gobelin.core.parse import json_value
from gobelin.data.files import HEAD, BadCell, afford

MESH_SUFFIXES = {".obj", ".ply", ".stl", ".glb", ".off"}
MOST_HEADER = 2**24  # bytes of the header of a PLY file
MOST_FACES = 4_000_000  # of one mesh
# Parts of one mesh, which trimesh opens one by one: 20,000 of a GLB take 5 s, 5,000 of an STL 5 s.
MOST_PARTS, MOST_SOLIDS = 20_000, 5_000
# Faces as large as the mesh itself, one on the other. Drawing one in 12 views takes 8 ms.
MOST_LAYERS = 4_000
MOST_STEPS = 500_000  # from the top of a GLB to each of its nodes: 5 s
MOST_MATERIALS = 1_000  # of an OBJ. Of more, the lines that name them are left out.
# Memory that decoding takes, in multiples of the file's size: texts become numbers and lists.
TEXT_MEMORY, BINARY_MEMORY = 16, 8
OBJ_LINE = re.compile(rb"^\s*(v|vn|vt|vp|f|l|p|o|g|s|usemtl|mtllib|cstype|deg)\b", re.MULTILINE)
OBJ_VERTEX = re.compile(rb"^\s*v\s+[-+.\d]", re.MULTILINE)
OBJ_LIBRARY = re.compile(rb"^\s*mtllib\b", re.MULTILINE)
OBJ_COLOUR = re.compile(rb"^\s*usemtl\b", re.MULTILINE)
OBJ_COLOUR_LINE = re.compile(rb"^[ \t]*usemtl\b[^\r\n]*", re.MULTILINE)
STL_SOLID = re.compile(rb"endsolid", re.IGNORECASE)
PLY_ELEMENT = re.compile(rb"^element\s+(\w+)\s+(\d+)\s*$", re.MULTILINE)
# ModelNet writes the counts in the line of the name
OFF_START = re.compile(rb"\s*(?:#[^\n]*\n\s*)*C?OFF(?=[\s\d#])")
OFF_COUNTS = re.compile(rb"(?:\s|#[^\n]*\n)*(\d{1,18})\s+(\d{1,18})\b")
STL_HEADER, STL_FACE = 84, 50  # bytes
GLB_JSON, GLB_BINARY = 0x4E4F534A, 0x004E4942  # types of a chunk
TRIANGLES, STRIP, FAN = 4, 5, 6  # modes of a primitive that make faces
COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
# Extensions of GLB that leave the vertices where they are
HARMLESS = ("KHR_materials_", "KHR_texture_", "KHR_lights_", "KHR_mesh_quantization", "EXT_texture")
# Of meshes that are not read: how a file begins -> its name
UNREAD = {
    b"Kaydara FBX Binary": "FBX",
    b"OFF BINARY": "binary OFF",
    b"NOFF": "OFF with normals",
    b"STOFF": "OFF with textures",
    b"4OFF": "OFF of four dimensions",
    b"BLENDER": "a Blender file",
    b"#usda": "USD",
    b"PXR-USDC": "USD",
    b"# vtk DataFile": "VTK",
}


def is_mesh(head: bytes) -> bool:
    """Whether a file with these first bytes is a mesh, of a format that is read or not. A binary
    STL has no beginning of its own; it is known by its suffix, or by its length."""
    return bool(form_of(head, "")) or bool(unread_format(head))


def unread_format(head: bytes) -> str:
    """The name of a format of meshes that is not read, with a remedy; '' for other files."""
    name = next((name for start, name in UNREAD.items() if head.startswith(start)), "")
    if re.match(rb'\s*\{\s*"', head) and b'"asset"' in head and b'"version"' in head:
        name = "glTF with files beside it"
    return name and f"{name}, which is not read; save it as GLB, PLY, STL or OBJ"


def form_of(data: bytes, name: str) -> str:
    """The format of a mesh: obj, off, ply, stl or glb, by its content; where that does not tell, by
    the suffix of its name; '' for no mesh. data: the file, or its first bytes."""
    if data.startswith(b"glTF"):
        return "glb"
    if data.startswith((b"ply\n", b"ply\r")):
        return "ply"
    head = data[:HEAD]
    if OFF_START.match(head):
        return "off"
    if _is_ascii_stl(data):
        return "stl"
    if len(data) >= STL_HEADER and len(data) == STL_HEADER + STL_FACE * _stl_count(data):
        return "stl"
    if OBJ_VERTEX.search(head) and b"\0" not in head and len(OBJ_LINE.findall(head)) >= 3:
        return "obj"
    suffix = Path(name).suffix.lower()
    return suffix[1:] if suffix in MESH_SUFFIXES else ""


def checked(data: bytes, form: str) -> tuple[bytes, str]:
    """The file's bytes without what must not be followed, and a note of what is left out ('' for
    nothing). Raises BadCell for a file whose header promises more than it holds, more than the
    budget allows, or what is not read."""
    return {"obj": _obj, "off": _off, "ply": _ply, "stl": _stl, "glb": _glb}[form](data)


def _obj(data: bytes) -> tuple[bytes, str]:
    afford("cell_mb", TEXT_MEMORY * len(data))
    named = OBJ_LIBRARY.search(data) and OBJ_COLOUR.search(data)
    return data, "colours in a material file are not read" if named else ""


def without_materials(data: bytes) -> bytes:
    """An OBJ whose colours are not read, without the lines that name them where these are many: it
    is the same mesh, and a decoder that opens each material for itself takes the square of them."""
    if len(OBJ_COLOUR.findall(data)) <= MOST_MATERIALS:
        return data
    return OBJ_COLOUR_LINE.sub(b"", data)


def _ply(data: bytes) -> tuple[bytes, str]:
    header, end, body = data.partition(b"end_header")
    if not end or len(header) > MOST_HEADER:
        raise BadCell("is damaged (its header has no end)")
    text = b"format ascii" in header[:64]
    afford("cell_mb", (TEXT_MEMORY if text else BINARY_MEMORY) * len(data))
    for name, count in PLY_ELEMENT.findall(header):
        noun = {b"vertex": "vertices", b"face": "faces"}.get(name, f"of {name.decode()}")
        _promised(int(count), noun, len(body), 2 if text else 1)
    texture = b"comment texturefile" in header.lower()
    return data, "its texture is not read" if texture else ""


def _off(data: bytes) -> tuple[bytes, str]:
    afford("cell_mb", TEXT_MEMORY * len(data))
    start = OFF_START.match(data)
    counts = OFF_COUNTS.match(data, start.end()) if start else None
    if start is None or counts is None:
        raise BadCell("is damaged (it does not say how many vertices and faces it has)")
    body = len(data) - counts.end()
    for count, noun in zip(counts.groups(), ("vertices", "faces"), strict=True):
        _promised(int(count), noun, body, 6)  # three numbers and what parts them
    promised = sum(map(int, counts.groups()))
    lines = (line.strip() for line in data[counts.end() :].splitlines()[1:])
    held = sum(bool(line) and not line.startswith(b"#") for line in lines)
    if held < promised:
        raise BadCell(f"is damaged (promises {promised} lines and holds {held})")
    coloured = b"COFF" in start[0]
    return data, "its colours are not read" if coloured else ""


def _stl(data: bytes) -> tuple[bytes, str]:
    if _is_ascii_stl(data):
        afford("cell_mb", TEXT_MEMORY * len(data))
        _refuse_parts(len(STL_SOLID.findall(data)), MOST_SOLIDS)
        return data, ""
    afford("cell_mb", BINARY_MEMORY * len(data))
    if len(data) < STL_HEADER:
        raise BadCell("is damaged (shorter than its header)")
    _promised(_stl_count(data), "faces", len(data) - STL_HEADER, STL_FACE)
    if len(data) != STL_HEADER + STL_FACE * _stl_count(data):
        raise BadCell("is damaged (its length is not that of its faces)")
    return data, ""


def _is_ascii_stl(data: bytes) -> bool:
    """Whether a file is an STL of text. The name in its first line may be of any length. data: the
    file, or its first bytes."""
    head = data[:HEAD].lower()
    if head.lstrip()[:5] != b"solid":
        return False
    second = data[data.find(b"\n") + 1 :][:HEAD].lower()
    return any(word in part for word in (b"facet", b"endsolid") for part in (head, second))


def _stl_count(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, STL_HEADER - 4)[0])


def _promised(count: int, noun: str, held: int, each: int) -> None:
    """BadCell where a header promises more than the file can hold. each: least bytes of one."""
    if count * each > held:
        raise BadCell(f"promises {count} {noun} and holds {held} bytes")
    refuse_many(count)


def refuse_many(faces: int) -> None:
    """BadCell for more vertices or faces than a mesh may have."""
    if faces > MOST_FACES:
        raise BadCell(f"has {faces} vertices or faces; at most {MOST_FACES}")


def refuse_layers(layers: float) -> None:
    """BadCell for a mesh whose faces, drawn one by one, fill a picture too many times."""
    if round(layers) > MOST_LAYERS:
        raise BadCell(
            f"has faces as large as itself, {round(layers)} times over; at most {MOST_LAYERS}."
            " Cut long faces, leave out what lies on each other, and save it again"
        )


def _refuse_parts(count: int, most: int = MOST_PARTS) -> None:
    if count > most:
        raise BadCell(f"has {count} parts; at most {most}. Join them and save it again")


def _glb(data: bytes) -> tuple[bytes, str]:
    """The GLB with colours as its only materials: no picture, no texture, no other file."""
    head, binary = _chunks(data)
    known: dict[str, Any] = {
        k: v if isinstance(v := head.get(k), list) else []
        for k in ("buffers", "bufferViews", "accessors", "meshes", "nodes", "materials")
    }
    if any("uri" in b for b in known["buffers"]):
        raise BadCell("has its data in other files, which are not read; save it as one GLB")
    needed = [
        e for e in head.get("extensionsRequired", ()) if not str(e).startswith(tuple(HARMLESS))
    ]
    if needed:
        raise BadCell(f"needs {str(needed[0])[:40]}, which is not read; save it uncompressed")
    afford("cell_mb", BINARY_MEMORY * len(data) + 4 * _accessed(known, len(binary)))
    refuse_many(_faces_shown(known))
    _refuse_parts(_parts_shown(known))
    textured = bool(head.get("textures"))
    head = {k: v for k, v in head.items() if k not in ("textures", "images", "samplers")}
    head["materials"] = [_plain_material(m) for m in known["materials"]]
    head["bufferViews"] = _views_read(known, len(binary))
    return _packed(head, binary), "its textures are not read" if textured else ""


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk of a GLB of version 2. Raises BadCell."""
    if len(data) < 20 or struct.unpack_from("<I", data, 4)[0] != 2:
        raise BadCell("is damaged, or is no GLB of version 2")
    found: dict[int, bytes] = {}
    place = 12
    while place + 8 <= len(data):
        length, kind = struct.unpack_from("<II", data, place)
        if length > len(data) - place - 8:
            raise BadCell(f"promises a chunk of {length} bytes and holds {len(data) - place - 8}")
        found.setdefault(kind, data[place + 8 : place + 8 + length])
        place += 8 + length
    try:
        head = json_value(found[GLB_JSON])
    except (KeyError, ValueError, RecursionError) as error:
        raise BadCell("is damaged (its header is no JSON)") from error
    if not isinstance(head, dict):
        raise BadCell("is damaged (its header is no JSON object)")
    return head, found.get(GLB_BINARY, b"")


def _packed(head: Mapping[str, Any], binary: bytes) -> bytes:
    """A GLB of a JSON and a binary chunk."""
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    parts = struct.pack("<II", len(text), GLB_JSON) + text
    parts += struct.pack("<II", len(binary), GLB_BINARY) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def _views_read(known: Mapping[str, Any], held: int) -> list[dict[str, Any]]:
    """The parts of the data, with nothing in those that neither vertices nor faces are read from,
    as pictures. Raises BadCell for one that does not lie in the file, and for vertices or faces
    that don't lie in theirs."""
    views = [dict(view) for view in known["bufferViews"]]
    read = {int(a["bufferView"]) for a in known["accessors"]}
    for number, view in enumerate(views):
        if number not in read:
            view |= {"buffer": 0, "byteOffset": 0, "byteLength": 0}
        start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
        if start < 0 or length < 0 or start + length > held:
            raise BadCell(f"promises {start + length} bytes of data and holds {held}")
    for a in known["accessors"]:
        view, item = views[a["bufferView"]], COMPONENT_BYTES[a["componentType"]]
        item *= COMPONENTS[a["type"]]
        start, stride = int(a.get("byteOffset", 0)), int(view.get("byteStride", item))
        end = start + (int(a["count"]) - 1) * stride + item
        if start < 0 or stride < 1 or end > int(view["byteLength"]):
            raise BadCell(f"promises {a['count']} vertices or faces where it holds fewer")
    return views


def _accessed(known: Mapping[str, Any], held: int) -> int:
    """Bytes of all accessors together: several may read the same bytes. Raises BadCell."""
    total = 0
    for a in known["accessors"]:
        if "sparse" in a or "bufferView" not in a:
            raise BadCell("has vertices or faces without data of their own, which are not read")
        size = COMPONENT_BYTES[a["componentType"]] * COMPONENTS[a["type"]] * int(a["count"])
        view = known["bufferViews"][a["bufferView"]]
        if size < 0 or size > held or int(view["byteLength"]) > held:
            raise BadCell(f"promises {a['count']} vertices or faces and holds {held} bytes")
        total += size
    return total


def _faces_shown(known: Mapping[str, Any]) -> int:
    """Faces of all meshes, counted once for each node that shows them. Raises BadCell for nodes
    that form no tree: a few of them could show a mesh a million times."""
    parts = [sum(_faces(p, known["accessors"]) for p in m["primitives"]) for m in known["meshes"]]
    children = [int(c) for node in known["nodes"] for c in node.get("children", ())]
    if len(set(children)) < len(children) or _has_circle(known["nodes"]):
        raise BadCell("has nodes that form no tree")
    shown = [parts[node["mesh"]] for node in known["nodes"] if "mesh" in node]
    return max(sum(shown), sum(parts))


def _parts_shown(known: Mapping[str, Any]) -> int:
    """Nodes, or the parts of the meshes that they show, whichever is more. Raises BadCell for
    nodes that lie so deep below each other that finding their places takes the square of them."""
    parts = [len(m["primitives"]) for m in known["meshes"]]
    shown = sum(parts[node["mesh"]] for node in known["nodes"] if "mesh" in node)
    if (steps := sum(_depths(known["nodes"]))) > MOST_STEPS:
        raise BadCell(f"has nodes within nodes, {steps} steps in all; at most {MOST_STEPS}")
    return max(shown, sum(parts), len(known["nodes"]))


def _depths(nodes: Sequence[Mapping[str, Any]]) -> list[int]:
    """How many nodes each node is below, where they form a tree."""
    parent = _parents(nodes)
    depths: dict[int, int] = {}
    for start in range(len(nodes)):
        path, at = [], start
        while at not in depths and at in parent:
            path.append(at)
            at = parent[at]
        depth = depths.setdefault(at, 0)
        for node in reversed(path):
            depth += 1
            depths[node] = depth
    return list(depths.values())


def _parents(nodes: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    return {int(c): k for k, node in enumerate(nodes) for c in node.get("children", ())}


def _has_circle(nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some node is below itself, where no node has two parents."""
    parent = _parents(nodes)
    safe: set[int] = set()
    for start in parent:
        path: set[int] = set()
        at: int | None = start
        while at is not None and at not in safe:
            if at in path:
                return True
            path.add(at)
            at = parent.get(at)
        safe |= path
    return False


def _faces(primitive: Mapping[str, Any], accessors: Sequence[Mapping[str, Any]]) -> int:
    """Faces of a part of a mesh, at most. Raises BadCell for fans, which trimesh leaves out."""
    mode = primitive.get("mode", TRIANGLES)
    if mode == FAN:
        raise BadCell("has triangle fans, which are not read; save it as triangles")
    place = primitive.get("indices", primitive["attributes"]["POSITION"])
    count = int(accessors[place]["count"])
    return count // 3 if mode == TRIANGLES else count if mode == STRIP else 0


def _plain_material(material: Mapping[str, Any]) -> dict[str, Any]:
    """A material with its base colour alone."""
    colour = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [1, 1, 1, 1])
    return {"pbrMetallicRoughness": {"baseColorFactor": _numbers(colour)}}


def _numbers(colour: Iterable[Any]) -> list[float]:
    return [min(max(float(c), 0.0), 1.0) for c in list(colour)[:4]]
