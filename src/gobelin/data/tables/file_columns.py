"""Columns of files, however a table holds them: as paths, as bytes, or as texts that spell either.

A table may hold a file as `{bytes, path}`, as a list of those, as base64 with or without
`data:...;base64,`, or as `file:///path`, and a path as Windows, a web page or macOS spells it. When
a table is read, each of these becomes bytes or a path, so that every later step knows these two
alone. Bytes that are texts become texts.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from gobelin.core.arrow import roomy, true_places, wide
from gobelin.data.dataset import FILE_TYPE
from gobelin.data.files import HEAD, file_head, spread
from gobelin.data.image.formats import is_image
from gobelin.data.mesh.headers import is_mesh
from gobelin.data.sound.sounds import is_sound
from gobelin.data.values.path_spelling import Respelled, name_several, respelling, several

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
LOOKED_AT = 20  # cells of a column that decide what its texts spell
DATA_URI = re.compile(r"data:[\w.+/-]*(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{40,}={0,2}\s*")
FILE_URL = re.compile(r"file://(?:localhost)?(/\S+)", re.IGNORECASE)
Change = Callable[[str], "str | bytes"]


def as_files(table: pa.Table, folder: Path, root: Path) -> pa.Table:
    """The table with every column of files as bytes, as paths, or as both (FILE_TYPE).

    folder: of the data file, where relative paths start that are not below `root`. root: as in
    `Dataset`.
    """
    for k, name in enumerate(table.column_names):
        original = table[name]
        column = wide(_unpacked(_as_text(given := wide(original))))
        if column is given and _names_several(column, root):
            LOG.warning("column %r: several paths in one text are read as a list.", name)
            column = _array([v and several(v) for v in column.to_pylist()])
        change = _change(column, folder, root)
        if isinstance(change, Respelled):
            LOG.warning("column %r: paths are read %s, as in %r.", name, change.how, change.example)
        if change:
            column = _array([_changed(v, change) for v in column.to_pylist()])
        if column is not original:
            table = table.set_column(k, name, wide(column))
    return table


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of bytes that are texts as texts; any other column as it is."""
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        return column
    cells = [v for v in _sampled(column) if v]
    if not cells or not all(_is_plain_text(v[:HEAD]) for v in cells):
        return column
    try:
        return column.cast(pa.large_string())
    except pa.ArrowInvalid:  # another cell is no text
        return column


def _is_plain_text(data: bytes) -> bool:
    text = data.decode("utf-8", "ignore")
    plain = all(c.isprintable() or c in "\t\r\n" for c in text)
    return plain and len(text.encode()) >= len(data) - 3 and not (is_image(data) or is_mesh(data))


def _unpacked(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of {bytes, path}, or of lists of them, as bytes or as paths, or as both where cells
    differ; any other column as it is.
    """
    kind = column.type
    if _is_list(kind) and pa.types.is_struct(kind.value_type) and _holds_file(kind.value_type):
        return _array([v and [_file(item) for item in v] for v in column.to_pylist()])
    if not (pa.types.is_struct(kind) and _holds_file(kind)):
        return column
    parts = {f.name: pc.struct_field(column, f.name) for f in kind if f.name in ("bytes", "path")}
    content, path = parts.get("bytes"), parts.get("path")
    if content is None or path is None:
        return path if content is None else content
    if content.null_count == len(content):
        return path
    if (
        path.null_count == len(path)
        or not pc.any(pc.and_(content.is_null(), path.is_valid())).as_py()
    ):
        return content
    return _array([v and _file(v) for v in column.to_pylist()])


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _holds_file(kind: pa.StructType) -> bool:
    """Whether a struct is a file: the samples of a sound beside its path are none."""
    names = {f.name for f in kind}
    return bool(names & {"bytes", "path"}) and "array" not in names


def _file(value: dict[str, Any] | None) -> Any:  # noqa: ANN401
    if value is None:
        return None
    content = value.get("bytes")
    return value.get("path") if content is None else content


def _names_several(column: pa.ChunkedArray, root: Path) -> bool:
    """Whether the texts of a column hold several paths each."""
    return _is_text(column.type) and name_several(_sampled(column), root)


def _sampled(column: pa.ChunkedArray) -> list[Any]:
    """Some present cells, evenly chosen."""
    present = true_places(column.is_valid())
    step = max(1, len(present) // LOOKED_AT)
    # one by one, as `take` would join all chunks first
    return [column[int(row)].as_py() for row in present[::step][:LOOKED_AT]]


def _change(column: pa.ChunkedArray, folder: Path, root: Path) -> Change | None:
    """What has to be done to each text of the column; None where nothing has."""
    kind = column.type.value_type if _is_list(column.type) else column.type
    if not _is_text(kind):
        return None
    texts = [v for v in spread(_sampled(column)) if v]
    if _most([FILE_URL.fullmatch(v) for v in texts]):
        return _without_scheme
    if _most([_spelled(v) != v for v in texts]):
        return _spelled
    if folder.resolve() != root.resolve():
        place = _Placed(folder, root)
        if _most([place(v) != v for v in texts]):
            return place
    return respelling(texts, root)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _most(found: Sequence[object]) -> bool:
    return bool(found) and sum(map(bool, found)) >= 0.5 * len(found)


def _without_scheme(text: str) -> str:
    """The path of a `file://` URL of this machine; any other text as it is."""
    url = FILE_URL.fullmatch(text)
    return unquote(url[1]) if url else text


def _spelled(text: str) -> str | bytes:
    """The file that a text spells in base64. Without `data:...;base64,` before it, it must be an
    image or a sound; any other text stays as it is.
    """
    uri = DATA_URI.match(text)
    spelled = text[uri.end() :] if uri else text
    if not uri and not (BASE64.fullmatch(text[:80]) and BASE64.fullmatch(text)):
        return text
    letters = "".join(unquote(spelled).split()).rstrip("=").translate({45: "+", 95: "/"})
    try:
        data = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except binascii.Error:
        return text
    known = any(is_file(data[:HEAD]) for is_file in (is_image, is_sound, is_mesh))
    return data if data and (uri or known) else text


class _Placed:
    """Relative paths of a data file in `folder`, as paths that start from `root`. A path that
    starts from `root` already stays.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.way = os.path.relpath(folder.resolve(), root.resolve())

    def __call__(self, text: str) -> str:
        if len(text) > 4096 or os.path.isabs(text) or file_head(text, self.root):
            return text
        moved = os.path.join(self.way, text)
        return moved if file_head(moved, self.root) else text


def _changed(value: Any, change: Change) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [v if v is None else change(v) for v in value]
    return value if value is None else change(value)


def _array(values: list[Any]) -> pa.ChunkedArray:
    """A column of texts, of bytes, or of both as {bytes, path}; or of lists of these."""
    held = [v for v in spread(values) if v is not None]
    kinds, needed = set(map(type, held)), sum(map(len, held))  # a letter has a byte or more
    kind = pa.binary() if kinds == {bytes} else pa.string()
    if kinds == {bytes, str}:
        kind, values = FILE_TYPE, [_changed(v, _pair) for v in values]  # type: ignore[arg-type]
    lists = any(isinstance(v, list) for v in values)
    array = pa.array(values, roomy(pa.list_(kind) if lists else kind, needed))
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _pair(value: str | bytes) -> dict[str, str | bytes]:
    return {"bytes" if isinstance(value, bytes) else "path": value}
