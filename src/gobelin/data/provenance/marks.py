"""Every generated image is marked: PNG text for people and programs, XMP for platforms. Volumes are
marked in `data.volume.marks`.

The mark is the IPTC digital source type `trainedAlgorithmicMedia` (or `algorithmicMedia` where
nothing was trained). Beside it stand the generator, the hash of its weights, the seed and the
condition.

What this cannot show: that an image without a mark is real. A mark can be removed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from html import escape
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from gobelin.core import parse
from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file
from gobelin.data.image.headers import opened
from gobelin.data.mesh.marks import PLY, ply_lineage
from gobelin.data.volume.marks import GZIP, SOURCE_TYPES_URL, head_of, nifti_lineage

GENERATED_MARKS = (b"trainedAlgorithmicMedia", b"/algorithmicMedia")
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/">\
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" Iptc4xmpExt:DigitalSourceType="{source}">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def marked_png(
    pixels: np.ndarray, lineage: Mapping[str, Any] | None, trained: bool = True
) -> bytes:
    """uint8 [H, W, C] as the bytes of a PNG file with the mark and the lineage. lineage: None for a
    picture of several images, which is no row of data. trained: whether a trained network generated
    it.
    """
    record = (
        ""
        if lineage is None
        else json.dumps(dict(lineage), sort_keys=True, ensure_ascii=False, default=str)
    )
    record = record.encode("utf-8", "replace").decode("utf-8")  # lone surrogates become ?
    source = SOURCE_TYPES_URL + ("trainedAlgorithmicMedia" if trained else "algorithmicMedia")
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Gobelin")
    if lineage is not None:
        info.add_itxt("gobelin", record)
    info.add_itxt("XML:com.adobe.xmp", XMP.format(source=source, text=escape(record)))
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        out, "PNG", pnginfo=info
    )
    return out.getvalue()


def save_png(
    path: Path, pixels: np.ndarray, lineage: Mapping[str, Any], trained: bool = True
) -> None:
    """Write uint8 [H, W, C] as a PNG with the mark and the lineage."""
    data = marked_png(pixels, lineage, trained)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def marks_of(image: Image.Image) -> PngImagePlugin.PngInfo | None:
    """The mark in the file that an image was opened from, to be written again; None without a
    mark.
    """
    texts = [
        v.decode("utf-8", "replace") if isinstance(v, bytes) else v
        for v in image.info.values()
        if isinstance(v, str | bytes)
    ]
    marked = [v for v in texts if is_marked(v.encode("utf-8", "replace"))]
    if not marked:
        return None
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", marked[0])
    return info


def read_lineage(file: Path | BinaryIO) -> dict[str, Any] | None:
    """The lineage in a PNG, a volume or a mesh that Gobelin generated; None in another file."""
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
        head = stream.read(len(GZIP))
        stream.seek(0)
        if head == GZIP:
            return nifti_lineage(stream.read())
        if head == PLY[: len(GZIP)]:
            return ply_lineage(stream.read())
        return _png_lineage(stream)


def _png_lineage(file: BinaryIO) -> dict[str, Any] | None:
    with opened(file) as image:
        text = image.info.get("gobelin")  # stands before the pixels, which are not decoded
    try:
        lineage = None if text is None else parse.json_value(str(text))
    except ValueError:  # the text is of another program
        return None
    return lineage if isinstance(lineage, dict) else None


def records(texts: Iterable[str | None], column: str) -> list[dict[str, Any]]:
    """The record in every cell of a column that Gobelin writes; {} for an empty cell. Raises
    GobelinError for a cell that holds another text."""
    out = []
    for row, text in enumerate(texts):
        try:
            record = parse.json_value(str(text)) if text else {}
            if not isinstance(record, dict):
                raise ValueError(f"an object was expected, found {type(record).__name__}")
        except ValueError as error:
            raise GobelinError(
                f"row {row}, column {column!r}: can't be read as JSON ({error}). Take the column"
                " out, or restore it."
            ) from error
        out.append(record)
    return out


def is_marked(data: bytes) -> bool:
    """Whether a file's bytes hold a mark of generated images, by any tool. Of a packed file its
    beginning is looked at too."""
    known = data + head_of(data) if data.startswith(GZIP) else data
    return any(mark in known for mark in GENERATED_MARKS)
