"""How many bytes each row of an Arrow array has once it is written out.

Arrow can name one long text in a million rows: by a dictionary, by runs, by views, by lists that
overlap, by a choice of rows. So the bytes of an array say little of what it becomes as a plain
column. Here nothing is written out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BESIDE = 8  # bytes of a text or a list beside its content
VIEW = 4  # numbers of 32 bits in a view; the first one is the length


def written_bytes(table: pa.Table) -> np.ndarray:
    """int64 [rows]: bytes of each row of a table, all columns together. Raises pyarrow's errors."""
    total = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        start = 0
        for chunk in column.chunks:
            total[start : start + len(chunk)] += _bytes(chunk)
            start += len(chunk)
    return total


def _bytes(array: pa.Array) -> np.ndarray:
    """int64 [rows] of one array."""
    kind, rows = array.type, len(array)
    if not rows:
        return np.zeros(0, np.int64)
    if isinstance(array, pa.ExtensionArray):
        return _bytes(array.storage)
    if pa.types.is_dictionary(kind):
        known = np.append(_bytes(array.dictionary), BESIDE)  # the last one for a missing value
        return known[array.indices.cast(pa.int64()).fill_null(len(known) - 1).to_numpy()]
    if pa.types.is_run_end_encoded(kind):
        ends = array.run_ends.to_numpy()
        return _bytes(array.values)[np.searchsorted(ends, array.offset + np.arange(rows), "right")]
    if pa.types.is_struct(kind):
        return sum(map(_bytes, array.flatten()), np.zeros(rows, np.int64))
    if kind in (pa.string_view(), pa.binary_view()):
        views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, VIEW)
        return BESIDE + views[array.offset : array.offset + rows, 0].astype(np.int64)
    if pa.types.is_fixed_size_list(kind):
        held = array.values.slice(array.offset * kind.list_size, rows * kind.list_size)
        return BESIDE + _bytes(held).reshape(rows, kind.list_size).sum(axis=1)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        starts = array.offsets.to_numpy().astype(np.int64)
        return _of_lists(_items(array), starts[:-1], starts[1:])
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        starts = array.offsets.to_numpy().astype(np.int64)
        return _of_lists(array.values, starts, starts + array.sizes.to_numpy())
    if _has_length(kind):
        lengths = pc.binary_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        return BESIDE + lengths.astype(np.int64)
    try:
        width = kind.bit_width // 8
    except ValueError:  # no width of its own: an empty column, a union
        width = array.nbytes // rows
    return np.full(rows, max(1, width), np.int64)


def _items(array: pa.Array) -> pa.Array:
    """What the lists of an array hold, whatever its offset."""
    if not pa.types.is_map(array.type):
        return array.values
    return pa.StructArray.from_arrays([array.keys, array.items], ["key", "item"])


def _of_lists(items: pa.Array, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    before = np.append(0, np.cumsum(_bytes(items)))
    return BESIDE + before[ends] - before[starts]


def _has_length(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )
    return any(test(kind) for test in tests)
