"""Arrays of images or volumes with labels in one .npz file, as MedMNIST and Keras write them.

`train_images` [N, H, W], [N, H, W, 3] or [N, D, H, W] with `train_labels` [N] or [N, L], the same
for `val` and `test`; or `x_train` and `y_train`; or `images` and `labels`. Nothing is unpickled.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError, first_line, some
from gobelin.data.budget import refuse
from gobelin.data.dataset import declared
from gobelin.data.files import BadCell
from gobelin.data.npy import DAMAGED_ZIP, NpyHeader, npy_array, npy_header, npz_member
from gobelin.data.values.narrow import float32

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
NAMED = (
    re.compile(r"(?P<part>[a-z]+)_(?P<what>images?|labels?)"),
    re.compile(r"(?P<what>[xXyY])_(?P<part>[a-z]+)"),
    re.compile(r"(?P<part>)(?P<what>images?|labels?|[xXyY])"),
)  # how an array is named
PICTURES = ("x", "image", "images")
CHANNELS = (1, 3, 4)  # a last axis of so many is one of channels


@settings_class
class Npz:
    """No settings. Columns: `image` or `volume` (bytes), `label` (a class where whole numbers from
    0 repeat, else a number; or a list of the numbers of the labels that a row has), `split` where
    the arrays name parts.
    """

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() == ".npz" and path.is_file()

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        try:
            with zipfile.ZipFile(path) as archive:
                return _table(archive, path), path.parent
        except BadCell as error:
            raise GobelinError(f"{path}: {error}. Write it again with numpy.savez.") from error
        except DAMAGED_ZIP as error:
            raise GobelinError(
                f"{path}: is no .npz file, or is damaged ({first_line(error, 60)}). Write it"
                " again with numpy.savez."
            ) from error


def _table(archive: zipfile.ZipFile, path: Path) -> pa.Table:
    names = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
    parts: dict[str, dict[str, str]] = {}
    left_out = [n for n in archive.namelist() if not n.endswith(".npy")]
    for name, member in names.items():
        found = next((m for pattern in NAMED if (m := pattern.fullmatch(name))), None)
        if found is None:
            left_out.append(name)
            continue
        what = "pictures" if found["what"].lower() in PICTURES else "labels"
        parts.setdefault(found["part"], {})[what] = member
    if left_out:
        LOG.warning("%s: not read, as their names say nothing: %s.", path, ", ".join(left_out[:9]))
    if not any("pictures" in members for members in parts.values()):
        raise GobelinError(
            f"{path}: holds no images. Arrays named train_images and train_labels, x_train and"
            f" y_train, or images and labels were expected, found {some(names) or 'none'}."
        )
    kinds, rows, needed = set(), 0, 0
    for part, members in parts.items():
        if "pictures" not in members:
            raise GobelinError(f"{path}: {part}_labels has no images beside it. Add them.")
        header = _header(archive, members["pictures"])
        kinds.add(_kind(header, path, members["pictures"]))
        rows += header.shape[0]
        needed += header.count * header.kind.itemsize
    refuse(str(path), "rows", rows)
    refuse(str(path), "table_mb", needed)
    if len(kinds) > 1:
        raise GobelinError(f"{path}: holds both images and volumes. Write two files.")
    return _joined(archive, path, parts, kinds.pop())


def _joined(
    archive: zipfile.ZipFile, path: Path, parts: dict[str, dict[str, str]], kind: str
) -> pa.Table:
    """The rows of all parts, one after the other."""
    cells: list[bytes] = []
    labels: list[Any] = []
    split: list[str] = []
    for part, members in parts.items():
        before = len(cells)
        cells += map(_written, _items(archive, members["pictures"]))
        count = len(cells) - before
        labels += _labels(archive, members.get("labels"), count, path)
        split += [part] * count
    columns: dict[str, Any] = {kind: pa.array(cells, pa.binary())}
    if any(label is not None for label in labels):
        columns["label"] = pa.array(labels)
    if any(split):
        columns["split"] = pa.array(split)
    fields = [
        declared(n, c.type, "category")
        if n == "label" and _classes(labels)
        else pa.field(n, c.type)
        for n, c in columns.items()
    ]
    return pa.table(list(columns.values()), pa.schema(fields))


def _classes(labels: Sequence[Any]) -> bool:
    """Whether labels number the classes from 0, each with two rows on average at least."""
    known = [label for label in labels if isinstance(label, int) and not isinstance(label, bool)]
    found = set(known)
    whole = all(label is None or isinstance(label, int) for label in labels)
    return whole and found == set(range(len(found))) and 4 <= 2 * len(found) <= len(known)


def _header(archive: zipfile.ZipFile, member: str) -> NpyHeader:
    with npz_member(archive, member) as file:
        return npy_header(file)


def _kind(header: NpyHeader, path: Path, member: str) -> str:
    """'image' or 'volume'. Raises GobelinError for an array that is neither."""
    axes = len(header.shape)
    channels = axes > 3 and header.shape[-1] in CHANNELS
    if header.count and axes - channels in (3, 4):
        return "image" if axes - channels == 3 else "volume"
    shape = " x ".join(map(str, header.shape)) or "one number"
    raise GobelinError(
        f"{path}, {member}: images [N, H, W], [N, H, W, 3] or volumes [N, D, H, W] were expected,"
        f" found {shape}. Write them so."
    )


def _items(archive: zipfile.ZipFile, member: str) -> Iterator[np.ndarray]:
    """Each image or volume of an array; one is in memory, unless columns come first."""
    header = _header(archive, member)
    with npz_member(archive, member) as file:
        if header.by_column:
            yield from npy_array(file, lambda _: None)
            return
        npy_header(file)
        size = header.count // header.shape[0] * header.kind.itemsize
        for _ in range(header.shape[0]):
            data = file.read(size)
            if len(data) < size:
                raise BadCell("is cut short")
            yield np.frombuffer(data, header.kind).reshape(header.shape[1:])


def _written(item: np.ndarray) -> bytes:
    """An image as PNG, or as TIFF where PNG can't hold it; a volume as .npy."""
    out = io.BytesIO()
    if item.dtype == bool:
        item = item.astype(np.uint8) * 255
    channels = item.shape[-1] if item.ndim > 2 and item.shape[-1] in CHANNELS else 0
    if item.ndim - bool(channels) == 3:
        np.lib.format.write_array(out, np.ascontiguousarray(item), allow_pickle=False)
        return out.getvalue()
    item = item[..., 0] if channels == 1 else item
    if item.dtype == np.uint8:
        Image.fromarray(item).save(out, "PNG", compress_level=1)
    elif item.ndim == 2 and item.dtype.kind == "u" and item.dtype.itemsize == 2:
        Image.fromarray(item.astype(np.uint16)).save(out, "PNG", compress_level=1)
    elif item.ndim == 2:
        Image.fromarray(float32(item)).save(out, "TIFF")
    else:
        raise BadCell(f"holds colours of the type {item.dtype}; bytes (uint8) were expected")
    return out.getvalue()


def _labels(archive: zipfile.ZipFile, member: str | None, count: int, path: Path) -> list[Any]:
    """A label a row: a number, or a list of the numbers of the labels that are 1; None for none."""
    if member is None:
        return [None] * count
    with npz_member(archive, member) as file:
        values = npy_array(file, lambda h: refuse(str(path), "cells", h.count))
    if len(values.shape) not in (1, 2) or len(values) != count:
        raise GobelinError(
            f"{path}, {member}: {count} labels were expected, found an array of the shape"
            f" {' x '.join(map(str, values.shape))}. Write one a row."
        )
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 1:
        return list(values.tolist())
    if not np.isin(values, (0, 1)).all():
        raise GobelinError(
            f"{path}, {member}: several labels a row were expected as 0 and 1, found"
            f" {values[~np.isin(values, (0, 1))].flat[0]}. Write one label a row."
        )
    return [[str(k) for k in np.flatnonzero(row)] for row in values]
