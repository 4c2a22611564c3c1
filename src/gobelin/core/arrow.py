"""Arrow arrays of texts, without pandas.

`pyarrow.array` loads pandas to ask whether a list is one of its series, which takes longer than
reading the rows of a question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

MOST_BYTES = 2**31 - 1  # of all texts of one array, whose offsets are int32


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


def whole_numbers(values: Sequence[int] | np.ndarray) -> pa.Array:
    """An int64 array of N numbers, none missing."""
    numbers = np.ascontiguousarray(values, np.int64)
    return pa.Int64Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])
