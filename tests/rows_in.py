"""Looks for training rows in the files that a fitted thing left: a second look at what is stored,
which knows nothing of the code that stored it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

LEAST_WIDTH = 8  # shorter vectors are like each other by chance
SAME = 0.995  # correlation from which two vectors are one up to scale and shift


def arrays_of(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of every safetensors file, and every list of numbers of every JSON file."""
    for path in sorted(folder.rglob("*.safetensors")):
        for name, array in load_file(path).items():
            yield f"{path.relative_to(folder)}: {name}", array.astype(np.float64)
    for path in sorted(folder.rglob("*.json")):
        for name, numbers in _lists(json.loads(path.read_text(encoding="utf-8")), path.stem):
            yield f"{path.relative_to(folder)}: {name}", numbers


def _lists(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lists(inner, f"{name}.{key}")
    elif isinstance(value, list):
        try:
            yield name, np.array(value, np.float64)
        except (TypeError, ValueError):
            for place, inner in enumerate(value):
                yield from _lists(inner, f"{name}.{place}")


def vectors_of(array: np.ndarray, width: int) -> np.ndarray:
    """float64 [m, width]: the array's vectors of this length along any axis, and its parts of this
    length along any longer axis and of the whole, wherever it divides."""
    found = [array.reshape(-1, width)] if array.size % width == 0 else []
    for axis, length in enumerate(array.shape):
        if length % width == 0:
            found.append(np.moveaxis(array, axis, -1).reshape(-1, width))
        elif length > width:  # the first ones, beside whatever follows
            found.append(np.moveaxis(array, axis, -1)[..., :width].reshape(-1, width))
    return np.concatenate(found) if found else np.zeros((0, width))


def rows_found(folder: Path, rows: np.ndarray, same: float = SAME) -> list[str]:
    """The names of the arrays that hold one of these rows [n, D], up to scale and shift."""
    rows = _centred(np.asarray(rows, np.float64))
    assert rows.shape[1] >= LEAST_WIDTH
    names = []
    for name, array in arrays_of(folder):
        vectors = _centred(vectors_of(array, rows.shape[1]))
        if len(vectors) and np.abs(vectors @ rows.T).max(initial=0) > same:
            names.append(name)
    return names


def numbers_found(folder: Path, numbers: np.ndarray) -> list[float]:
    """Those of these numbers that stand in an array, to 9 digits (or those of float32)."""
    held = np.sort(np.concatenate([np.full(1, np.inf), *(a.ravel() for _, a in arrays_of(folder))]))
    place = np.searchsorted(held, numbers)
    near = np.minimum(
        np.abs(held[np.clip(place, 0, len(held) - 1)] - numbers),
        np.abs(held[np.clip(place - 1, 0, len(held) - 1)] - numbers),
    )
    return np.asarray(numbers)[near <= 1e-9 * np.abs(numbers)].tolist()


def _centred(x: np.ndarray) -> np.ndarray:
    """Rows [m, D] without their mean, of unit length; a constant row is zero."""
    x = x - x.mean(1, keepdims=True)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 1e-9, length, np.inf)
