"""Arrow arrays of texts, without pandas.

`pyarrow.array` loads pandas to ask whether a list is one of its series, which takes longer than
reading the rows of a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOST_BYTES = 2**31 - 1  # of all texts of one array, whose offsets are int32

WIDE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}


def texts(values: Sequence[str | None]) -> pa.Array:
    """A string array of N texts, None for a missing one. Raises UnicodeEncodeError for half a
    character, as `pyarrow.array` does."""
    cells = [b"" if v is None else v.encode() for v in values]
    ends = np.cumsum([0, *map(len, cells)], dtype=np.int64)
    if ends[-1] > MOST_BYTES:
        return pa.array(values, pa.string())
    there = np.packbits(np.array([v is not None for v in values], bool), bitorder="little")
    offsets, data, present = map(pa.py_buffer, (ends.astype(np.int32), b"".join(cells), there))
    missing = sum(v is None for v in values)
    return pa.StringArray.from_buffers(len(values), offsets, data, present, missing)


def wide(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of texts or bytes whose rows can be joined in one array: where they have more bytes
    than its offsets reach, the type with offsets of int64. Arrow raises where it takes rows of the
    other, and joins its chunks on the way. Lists and structs of them too; other columns as they
    are.
    """
    large = roomy(column.type, column.nbytes)
    return column if large == column.type else column.cast(large)


def roomy(kind: pa.DataType, needed: int) -> pa.DataType:
    """The type, with offsets of int64 where one array of it must hold so many bytes."""
    return _wide(kind) if needed > MOST_BYTES else kind


def _wide(kind: pa.DataType) -> pa.DataType:
    """The type with offsets of int64 for texts and bytes, in lists and structs too."""
    if kind in WIDE:
        return WIDE[kind]
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_wide(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inside = _wide(kind.value_type)
        return kind if inside == kind.value_type else pa.large_list(inside)
    return kind


def whole_numbers(values: Sequence[int] | np.ndarray) -> pa.Array:
    """An int64 array of N numbers, none missing."""
    numbers = np.ascontiguousarray(values, np.int64)
    return pa.Int64Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def floats(column: pa.ChunkedArray) -> np.ndarray:
    """float64 [N] of a column of numbers or of true and false, nan for a missing one; not through
    Arrow's own way to numpy, which loads pandas."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if column.type != pa.float64():
        column = column.cast(pa.float64(), safe=False)
    parts = [_values(chunk, np.float64) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros(0)


def true_places(column: pa.ChunkedArray) -> np.ndarray:
    """int64 [n]: where a column of true and false is true."""
    starts = np.cumsum([0, *map(len, column.chunks)])
    parts = [
        np.frombuffer(found.buffers()[1], np.uint64, len(found)).astype(np.int64) + start
        for chunk, start in zip(column.chunks, starts, strict=False)
        if len(found := pc.indices_nonzero(chunk))
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def levels(column: pa.ChunkedArray) -> tuple[list[Any], np.ndarray]:
    """The different values of a column, and int64 [N], the place of each row's among them; of a
    missing one, their count."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    coded = coded.unify_dictionaries()
    values: list[Any] = coded.chunk(0).dictionary.to_pylist() if coded.num_chunks else []
    parts = []
    for chunk in coded.chunks:
        codes = _values(chunk.indices.cast(pa.float64()), np.float64)
        parts.append(np.where(np.isnan(codes), len(values), codes).astype(np.int64))
    return values, np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _values(chunk: pa.Array, kind: type) -> np.ndarray:
    """The numbers of an array, nan for a missing one."""
    there, data = chunk.buffers()
    if data is None:
        return np.full(len(chunk), np.nan)
    values: np.ndarray = np.frombuffer(data, kind)[chunk.offset : chunk.offset + len(chunk)]
    if not chunk.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(there, np.uint8), bitorder="little")
    return np.where(bits[chunk.offset : chunk.offset + len(chunk)].astype(bool), values, np.nan)


def array(values: Sequence[Any]) -> pa.Array:
    """What `pyarrow.array` makes of N values: of texts or of floats alone without pandas."""
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return texts(values)
    if kinds == {float}:
        numbers = np.array(values, np.float64)
        return pa.DoubleArray.from_buffers(
            pa.float64(), len(numbers), [None, pa.py_buffer(numbers)]
        )
    return pa.array(values)
