"""What the files of a data set held when a run was made from them, so that a file changed under its
old name is noticed.

Size and times are looked at first, and only a file that was touched is read again. The order of the
files follows from the data set, whose own fingerprint holds their paths.

What this cannot show: a change that restores a file's size and both its times."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file, load_arrays, save_arrays
from gobelin.core.workers import in_order
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.data.files import BadCell, content_key

FILE, AHEAD = "files.safetensors", 64
IN_CELLS = ("text", "number", "category", "date")  # kinds whose cells are no paths
NO_FILE = bytes(16)


def write(folder: Path, dataset: Dataset, schema: Schema, workers: int) -> None:
    """Into the run folder, of every file that a cell leads to: size and times int64 [n, 3], content
    uint8 [n, 16]."""
    names = paths(dataset, schema)
    _keep(folder, _stats(names, dataset.root), _contents(names, dataset.root, workers))


def check(folder: Path, dataset: Dataset, schema: Schema, workers: int) -> None:
    """Raises a GobelinError where a file holds something else than when the run was made. A run
    without a record passes."""
    if not (folder / FILE).is_file():
        return
    said, names = load_arrays(folder / FILE), paths(dataset, schema)
    if len(said["stat"]) != len(names):
        raise GobelinError(
            f"{folder / FILE}: is of other data than {dataset.source}. Choose another --run."
        )
    now = _stats(names, dataset.root)
    touched = np.flatnonzero((now != said["stat"]).any(1))
    if not len(touched):
        return
    content = _contents([names[k] for k in touched], dataset.root, workers)
    if changed := [
        names[k]
        for k, differs in zip(touched, (content != said["content"][touched]).any(1), strict=True)
        if differs
    ]:
        raise GobelinError(
            f"{folder}: {len(changed)} of {len(names)} files changed since this run was made from"
            f" them (first: {changed[0]}). Put them back, or choose another --run."
        )
    if os.access(folder, os.W_OK):
        _keep(folder, now, said["content"])  # touched, and the same: not read again next time


def _keep(folder: Path, stat: np.ndarray, content: np.ndarray) -> None:
    with atomic_file(folder / FILE) as temporary:
        save_arrays(temporary, {"stat": stat, "content": content})


def paths(dataset: Dataset, schema: Schema) -> list[str]:
    """Every different path in the cells that encoders read, sorted."""
    found: set[str] = set()
    for column in schema.columns:
        if (
            column.role == "cell"
            and column.kind not in IN_CELLS
            and column.name in dataset.column_names
        ):
            for value in dataset.values(column.name):
                found.update(
                    v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)
                )
    return sorted(found)


def _stats(names: list[str], root: Path) -> np.ndarray:
    """int64 [n, 3]: size and both times in nanoseconds; -1 where no file is."""
    out = np.full((len(names), 3), -1, np.int64)
    for k, name in enumerate(names):
        try:
            found = os.stat(os.path.join(root, name))
        except (OSError, ValueError):
            continue
        out[k] = found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return out


def _contents(names: list[str], root: Path, workers: int) -> np.ndarray:
    """uint8 [n, 16]; zeros where no file can be read."""

    def key(name: str) -> bytes:
        try:
            return content_key(name, root)
        except BadCell:
            return NO_FILE

    found = b"".join(in_order(key, names, workers, AHEAD))
    return np.frombuffer(found, np.uint8).reshape(len(names), 16).copy()
