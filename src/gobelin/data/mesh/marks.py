"""Generated meshes as PLY files that say so, with the grid that they were cut from.

Mark, lineage and grid stand in comments of the header (Turk 1994), which every program reads over.
The mark is the IPTC digital source type; the lineage is JSON as in the PNG files of images
(`data.provenance.marks`); the grid is packed, so that the file can be opened as the very array that
a generator made. A comment longer than a line that programs expect goes on in the next one.

What this cannot show: that a mesh without a mark is real. A mark can be removed.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gobelin.core import parse
from gobelin.data.files import BadCell
from gobelin.data.mesh.meshes import Mesh, ply_bytes
from gobelin.data.volume.marks import SOURCE_TYPES_URL

PLY = b"ply\n"
LONGEST = 800  # characters of a comment; some programs read lines of 1024
MOST_SIDE = 256  # of a grid that is read from a file
LINEAGE, GRID, SOURCE = "gobelin", "gobelin_grid", "DigitalSourceType"


def marked_ply(
    mesh: Mesh,
    grid: np.ndarray | None,
    lineage: Mapping[str, Any] | None,
    trained: bool | None = True,
) -> bytes:
    """The mesh as the bytes of a PLY file with the mark and the lineage. grid: uint8 [S, S, S],
    which it was cut from. trained: whether a trained network generated it; None for a file without
    a mark."""
    comments = []
    if trained is not None:
        kind = "trainedAlgorithmicMedia" if trained else "algorithmicMedia"
        comments += ["Software Gobelin", f"{SOURCE} {SOURCE_TYPES_URL}{kind}"]
    if lineage is not None:
        comments += _lines(LINEAGE, _ascii(lineage))
    if grid is not None:
        packed = base64.b64encode(zlib.compress(grid.tobytes(), 9)).decode()
        comments += _lines(GRID, f"{len(grid)}:{packed}")
    return ply_bytes(mesh, comments)


def _ascii(lineage: Mapping[str, Any]) -> str:
    """JSON in ASCII; lone surrogates become ?"""
    text = json.dumps(dict(lineage), ensure_ascii=False, default=str)
    return json.dumps(parse.json_value(text.encode("utf-8", "replace")), sort_keys=True)


def _lines(name: str, text: str) -> list[str]:
    return [f"{name} {text[k : k + LONGEST]}" for k in range(0, len(text), LONGEST)]


def _comment(data: bytes, name: str) -> str:
    """The text of a comment that `_lines` cut; '' where there is none."""
    if not data.startswith(PLY):
        return ""
    header = data.partition(b"\nend_header\n")[0].decode("ascii", "replace").splitlines()
    start = f"comment {name} "
    return "".join(line.removeprefix(start) for line in header if line.startswith(start))


def ply_lineage(data: bytes) -> dict[str, Any] | None:
    """The lineage in a mesh that Gobelin generated; None in another file."""
    try:
        lineage = parse.json_value(_comment(data, LINEAGE))
    except ValueError:
        return None
    return lineage if isinstance(lineage, dict) else None


def ply_grid(data: bytes) -> np.ndarray | None:
    """uint8 [S, S, S]: the grid that a mesh was cut from; None in a file without one. Raises
    BadCell for one that is damaged."""
    side, _, packed = _comment(data, GRID).partition(":")
    if not packed:
        return None
    if not (side.isdecimal() and 0 < int(side) <= MOST_SIDE):
        raise BadCell("is damaged (its grid has no size)")
    count = int(side) ** 3
    try:
        plain = zlib.decompressobj().decompress(base64.b64decode(packed), count + 1)
    except (ValueError, zlib.error) as error:
        raise BadCell("is damaged (its grid can't be unpacked)") from error
    if len(plain) != count:
        raise BadCell("is damaged (its grid has another size)")
    return np.frombuffer(plain, np.uint8).reshape([int(side)] * 3)
