"""Columns of Arrow as numpy, without pandas. Oracle: `to_pylist`, of columns in chunks, cut, with
holes."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core import arrow
from gobelin.core.arrow import floats, levels, true_places, wide
from gobelin.data.dataset import FILE_TYPE

COLUMNS = {
    "float64": pa.array([1.5, None, -2.0, 3.25, None, 0.0, 7.0, 8.0, 9.0, None]),
    "float32": pa.array([1.5, None, -2.0], pa.float32()),
    "int64": pa.array([1, None, 3, 4]),
    "uint8": pa.array([1, 2, 255], pa.uint8()),
    "bool": pa.array([True, None, False, True]),
    "empty": pa.array([], pa.float64()),
    "nothing": pa.nulls(4, pa.float64()),
    "text": pa.array(["a", None, "b", "a", "c", None, "b"]),
    "coded": pa.array(["a", None, "b", "a"]).dictionary_encode(),
}


def cut(array: pa.Array) -> list[pa.ChunkedArray]:
    """The same values whole, from within, and in chunks."""
    half = len(array) // 2
    parts = [array[:half], array[half:], array[:0]]
    return [
        pa.chunked_array([array]),
        pa.chunked_array([array[1:]]),
        pa.chunked_array(parts),
        pa.chunked_array([], array.type),
    ]


@pytest.mark.parametrize(
    "name", ["float64", "float32", "int64", "uint8", "bool", "empty", "nothing"]
)
def test_numbers_are_those_of_python(name: str) -> None:
    for column in cut(COLUMNS[name]):
        wanted = [math.nan if v is None else float(v) for v in column.to_pylist()]
        assert np.array_equal(floats(column), wanted, equal_nan=True)


@pytest.mark.parametrize("name", ["text", "coded", "int64", "bool"])
def test_levels_and_their_places_give_the_column_back(name: str) -> None:
    for column in cut(COLUMNS[name]):
        values, places = levels(column)
        assert [[*values, None][k] for k in places] == column.to_pylist()


def test_true_places_are_those_of_python() -> None:
    for column in cut(COLUMNS["bool"]):
        wanted = [k for k, v in enumerate(column.to_pylist()) if v]
        assert true_places(column).tolist() == wanted


CELLS: dict[pa.DataType, object] = {
    FILE_TYPE: {"bytes": b"x" * 40, "path": None},
    pa.list_(pa.struct([("a", pa.list_(pa.string())), ("n", pa.int8())])): [
        {"a": ["x" * 40, None], "n": 3},
        None,
    ],
}


@pytest.mark.parametrize(
    ("kind", "large"),
    [
        (pa.string(), pa.large_string()),
        (pa.binary(), pa.large_binary()),
        (pa.list_(pa.string()), pa.large_list(pa.large_string())),
        (pa.list_(pa.binary()), pa.large_list(pa.large_binary())),
        (FILE_TYPE, pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])),
        (
            pa.list_(pa.struct([("a", pa.list_(pa.string())), ("n", pa.int8())])),
            pa.large_list(pa.struct([("a", pa.large_list(pa.large_string())), ("n", pa.int8())])),
        ),
        (pa.float64(), pa.float64()),
        (pa.large_string(), pa.large_string()),
    ],
)
def test_cells_of_more_bytes_than_one_array_holds_get_wide_offsets(
    kind: pa.DataType, large: pa.DataType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two gigabytes, and here of fewer, Arrow takes no rows: it joins the chunks first."""
    cell = CELLS.get(kind, ["x" * 40, None] if pa.types.is_list(kind) else "x" * 40)
    values = [1.0, None] * 30 if kind == pa.float64() else [cell, None] * 30
    column = pa.chunked_array([pa.array(values, kind)] * 2)
    assert wide(column).type == kind
    monkeypatch.setattr(arrow, "MOST_BYTES", 1000)
    found = wide(column)
    assert found.type == large and found.to_pylist() == column.to_pylist()
    assert found.take(arrow.whole_numbers([0, 100])).to_pylist() == [
        column[k].as_py() for k in (0, 100)
    ]
