"""Dates and times of Arrow that Python can't hold: years before 1 or after 9999, unknown zones.

A column with such a value becomes texts, so that the value is set aside as any text that is no
date, and the others are read. A time in an unknown zone is read as UTC. Both are said in a line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from gobelin.core.errors import GobelinError, repeated

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
# what Arrow raises where it can't make a value of Python
OUT_OF_REACH = (OverflowError, ValueError, TypeError, pa.ArrowException)


def readable(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """The column with values that Python can hold. where: the data set and the column. Raises
    GobelinError for an object that has one key twice."""
    kinds = list(_kinds(column.type))
    for kind in kinds:
        if pa.types.is_struct(kind) and (twice := repeated([f.name for f in kind])) is not None:
            raise GobelinError(f"{where}: its objects have {twice!r} twice. Rename one.")
    if unknown := [kind.tz for kind in kinds if _unknown_zone(kind)]:
        LOG.warning(
            "%s: the time zone %r is not known here; its times are read as UTC.", where, unknown[0]
        )
        column = column.cast(_changed(column.type, _without_unknown_zone))
    if any(map(pa.types.is_temporal, kinds)) and not all(
        _within_reach(part) for chunk in column.chunks for part in _parts(chunk)
    ):
        LOG.warning(
            "%s: has dates or times outside of the years 1 to 9999; its values are read as texts.",
            where,
        )
        column = column.cast(_changed(column.type, _without_zone))
        column = column.cast(_changed(column.type, _as_text))
    return column


def _kinds(kind: pa.DataType) -> Iterator[pa.DataType]:
    """The type and all types within it."""
    yield kind
    if pa.types.is_dictionary(kind):
        yield from _kinds(kind.value_type)
    for k in range(kind.num_fields):
        yield from _kinds(kind.field(k).type)


def _parts(array: pa.Array) -> Iterator[pa.Array]:
    """The values of dates and times within an array."""
    kind = array.type
    if pa.types.is_temporal(kind):
        yield array
    elif pa.types.is_dictionary(kind):
        yield from _parts(array.dictionary)
    elif pa.types.is_map(kind):
        yield from _parts(array.keys)
        yield from _parts(array.items)
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from _parts(part)
    elif any(test(kind) for test in LISTS):
        yield from _parts(array.flatten())


def _within_reach(times: pa.Array) -> bool:
    """Whether Python can hold the least and the largest of these values."""
    numbers = pa.types.is_duration(times.type)
    ends = pc.min_max(times.cast(pa.int64()) if numbers else times)
    try:
        for end in (ends["min"], ends["max"]):
            (pa.scalar(end.as_py(), times.type) if numbers else end).as_py()
    except OUT_OF_REACH:
        return False
    return True


def _changed(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with dates and times changed, wherever they stand in it."""
    if pa.types.is_temporal(kind):
        return change(kind)
    if pa.types.is_dictionary(kind):
        return _changed(kind.value_type, change)
    if pa.types.is_map(kind):
        return pa.map_(_changed(kind.key_type, change), _changed(kind.item_type, change))
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_changed(f.type, change)) for f in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_changed(kind.value_type, change), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_changed(kind.value_type, change))
    return pa.list_(_changed(kind.value_type, change)) if pa.types.is_list(kind) else kind


def _unknown_zone(kind: pa.DataType) -> bool:
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        return False
    try:
        pa.scalar(0, kind).as_py()
    except OUT_OF_REACH:
        return True
    return False


def _without_unknown_zone(kind: pa.DataType) -> pa.DataType:
    return _without_zone(kind) if _unknown_zone(kind) else kind


def _without_zone(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind


def _as_text(kind: pa.DataType) -> pa.DataType:
    return pa.string()
