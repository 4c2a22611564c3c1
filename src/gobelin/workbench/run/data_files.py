"""A record of the files of a data set, so that a file with a new content under its old name is
found.

Size and times are compared first. Only a file that differs in them is read again. The order of the
files follows from the data set, whose fingerprint holds their paths.

What this cannot show: a change that restores the size and both times of a file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file, load_arrays, save_arrays, size_and_times
from gobelin.core.workers import in_order
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.data.files import BadCell, content_key, statuses

RECORD = "files.safetensors"  # name of the record in the run folder
AHEAD = 64  # files that are read ahead
IN_CELLS = ("text", "number", "category", "date")  # kinds of columns whose cells are no paths
NO_FILE = bytes(16)  # content key of a file that can't be read


def write(folder: Path, dataset: Dataset, schema: Schema, workers: int) -> None:
    """Write the record: size and times, int64 [n, 3], and a content key, uint8 [n, 16], of each
    file.
    """
    names = paths(dataset, schema)
    _keep(folder, _stats(names, dataset.root), _contents(names, dataset.root, workers))


def check(folder: Path, dataset: Dataset, schema: Schema, workers: int) -> None:
    """Raises GobelinError where the content of a file differs from the record. A run without a
    record passes.
    """
    if not (folder / RECORD).is_file():
        return
    stored, names = load_arrays(folder / RECORD), paths(dataset, schema)
    shapes = {name: array.shape for name, array in stored.items()}
    if shapes != {"stat": (len(names), 3), "content": (len(names), 16)}:
        raise GobelinError(
            f"{folder / RECORD}: is of other data than {dataset.source}. Choose another --run."
        )
    now = _stats(names, dataset.root)
    touched = np.flatnonzero((now != stored["stat"]).any(1))
    if not len(touched):
        return
    content = _contents([names[k] for k in touched], dataset.root, workers)
    if changed := [
        names[k]
        for k, differs in zip(touched, (content != stored["content"][touched]).any(1), strict=True)
        if differs
    ]:
        raise GobelinError(
            f"{folder}: {len(changed)} of {len(names)} files changed since this run was made from"
            f" them (first: {changed[0]}). Put them back, or choose another --run."
        )
    if os.access(folder, os.W_OK):
        _keep(folder, now, stored["content"])  # other times, same content: not read again next time


def unchanged(folder: Path, before: Dataset, after: Dataset, schema: Schema, workers: int) -> bool:
    """Whether the files of `after`, which are among those of `before`, are as the record of
    `before` says; False without a record."""
    if not (folder / RECORD).is_file():
        return False
    stored, names = load_arrays(folder / RECORD), paths(after, schema)
    place = {name: k for k, name in enumerate(paths(before, schema))}
    if not set(names) <= set(place) or len(stored["stat"]) != len(place):
        return False
    at = np.array([place[name] for name in names], np.int64)
    touched = np.flatnonzero((_stats(names, after.root) != stored["stat"][at]).any(1))
    content = _contents([names[k] for k in touched], after.root, workers)
    return bool((content == stored["content"][at[touched]]).all())


def _keep(folder: Path, stat: np.ndarray, content: np.ndarray) -> None:
    with atomic_file(folder / RECORD) as temporary:
        save_arrays(temporary, {"stat": stat, "content": content})


def paths(dataset: Dataset, schema: Schema) -> list[str]:
    """Every different path in the cells that encoders read, sorted; those of cells that were set
    aside too, so that rows before and after that have the same."""
    dataset = replace(dataset, bad=frozenset())
    names: set[str] = set()
    for column in schema.columns:
        if (
            column.role == "cell"
            and column.kind not in IN_CELLS
            and column.name in dataset.column_names
        ):
            for value in dataset.values(column.name):
                names.update(
                    v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)
                )
    return sorted(names)


def _stats(names: list[str], root: Path) -> np.ndarray:
    """int64 [n, 3]: size and both times in nanoseconds; -1 where there is no file. Of several files
    behind a name the sum of the sizes, and the latest times.
    """
    out = np.full((len(names), 3), -1, np.int64)
    for k, name in enumerate(names):
        if found := [size_and_times(status) for status in statuses(name, str(root))]:
            sizes, *times = zip(*found, strict=True)
            out[k] = [sum(sizes), *map(max, times)]
    return out


def _contents(names: list[str], root: Path, workers: int) -> np.ndarray:
    """uint8 [n, 16]; zeros where no file can be read."""

    def key(name: str) -> bytes:
        try:
            return content_key(name, root)
        except BadCell:
            return NO_FILE

    content = b"".join(in_order(key, names, workers, AHEAD))
    return np.frombuffer(content, np.uint8).reshape(len(names), 16).copy()
