"""Bytes of rows written out. Oracle: the rows as Python holds them, and their plain columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.arrow_sizes import BESIDE, written_bytes

TEXTS = ["", "a", "bb" * 50, None, "cé"]
NUMBERS = pa.array([0, 1, 2], pa.int32())
LISTS = [["aaaa", "b"], [], None, ["c" * 30]]


def views(values: list[str | None]) -> pa.Array:
    return pa.array(values, pa.string_view())


KINDS = {
    "dictionary": pa.array([*TEXTS, *TEXTS[::-1]]).dictionary_encode(),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 7], pa.int32()), TEXTS[1:4]),
    "views": views([*TEXTS, "d" * 100]),
    "lists": pa.array(LISTS),
    "wide lists": pa.array(LISTS, pa.large_list(pa.large_string())),
    "overlapping lists": pa.ListViewArray.from_arrays(
        pa.array([0, 0, 1, 3], pa.int32()), pa.array([3, 3, 2, 0], pa.int32()), TEXTS[:3]
    ),
    "lists of one length": pa.array(
        [["a", "bbb"], ["", "c"], ["dd", "dd"]], pa.list_(pa.string(), 2)
    ),
    "lists of dictionaries": pa.ListArray.from_arrays(
        pa.array([0, 2, 3], pa.int32()), pa.array(["e" * 9, "e" * 9, "f"]).dictionary_encode()
    ),
    "structs": pa.array([{"a": "xyz", "b": 1}, {"a": None, "b": 2}, {"a": "", "b": None}]),
    "maps": pa.array([[("k", "value")], [], [("a", "b"), ("c", "d")]], pa.map_("string", "string")),
    "numbers": pa.array([1.5, None, 2.0]),
    "bytes": pa.array([b"abc", None, b"\0" * 40]),
}


def by_hand(value: Any, kind: pa.DataType) -> int:  # noqa: ANN401
    """Bytes of one value, by what Python holds of it."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return by_hand(value, kind.value_type)
    if pa.types.is_struct(kind):
        return sum(by_hand((value or {}).get(f.name), f.type) for f in kind)
    if pa.types.is_map(kind):
        return BESIDE + sum(
            by_hand(k, kind.key_type) + by_hand(v, kind.item_type) for k, v in value
        )
    if pa.types.is_nested(kind):
        return BESIDE + sum(by_hand(v, kind.value_type) for v in value or [])
    if any(word in str(kind) for word in ("string", "binary")):
        data = value.encode() if isinstance(value, str) else value or b""
        return BESIDE + len(data)
    return kind.bit_width // 8


@pytest.mark.parametrize("name", KINDS)
def test_each_row_has_the_bytes_that_it_has_written_out(name: str) -> None:
    array = KINDS[name]
    for part in (array, array.slice(1), array.slice(1, 2)):
        expected = [by_hand(v, array.type) for v in part.to_pylist()]
        assert written_bytes(pa.table({"x": part})).tolist() == expected


def test_columns_and_pieces_add_up() -> None:
    column = pa.chunked_array([KINDS["dictionary"], KINDS["dictionary"].slice(3)])
    table = pa.table({"x": column, "y": pa.array(range(len(column)), pa.int64())})
    alone = [written_bytes(pa.table({"x": c})) for c in column.chunks]
    assert np.array_equal(written_bytes(table), np.concatenate(alone) + 8)
