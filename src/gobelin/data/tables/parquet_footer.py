"""What the footer of a Parquet file says of its chunks of columns.

It is decoded here, as pyarrow 26 ends the process where some fields of a chunk's metadata are
damaged, such as a histogram of another length. Format: Thrift's compact protocol, and
`parquet.thrift` of Apache Parquet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TAIL = 8  # bytes behind the footer: its length, and PAR1
DEEPEST = 32  # structures inside one another
DELTA_BYTE_ARRAY = 7
DICTIONARY_PAGE = 2
NEXT_I32 = 0x15  # the byte before a whole number that is the next field
# types of the compact protocol
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)

Wanted = Mapping[int, "Wanted"]
# fields of the footer that are kept, by their numbers; what else it holds takes no memory
SIZES: Wanted = {number: {} for number in (2, 5, 6, 7, 9, 11)}  # of a column's metadata
FOOTER: Wanted = {4: {1: {3: SIZES}}}  # groups of rows, their columns, the metadata of these


@dataclass(frozen=True)
class ColumnChunk:
    """One column of one group of rows."""

    values: int
    unpacked_bytes: int
    packed_bytes: int
    first_page: int  # its place in the file: that of the dictionary, if there is one
    continues: bool  # whether a text may continue the one before it


def chunks(path: Path) -> list[list[ColumnChunk]]:
    """For each group of rows the chunks of its columns. Raises ValueError for a damaged footer."""
    with path.open("rb") as file:
        size = file.seek(-TAIL, 2)
        length = int.from_bytes(file.read(4), "little")
        if length > size:
            raise ValueError("its footer is longer than the file")
        file.seek(size - length)
        footer = _FooterReader(file.read(length))
    try:
        groups = _listed(footer.structure(FOOTER), 4)
        return [[_chunk(column) for column in _listed(group, 1)] for group in groups]
    except IndexError as error:
        raise ValueError("its footer is cut off") from error


def dictionary_bytes(head: bytes) -> int | None:
    """The bytes, unpacked, of the page of a dictionary; 0 of another page, None where the header is
    of no known form. head: the first 32 bytes of the page, or more."""
    reader, numbers = _FooterReader(head), list[int]()
    try:
        while len(numbers) < 3 and reader.byte() == NEXT_I32:
            numbers.append(reader.signed())
    except (IndexError, ValueError):
        return None
    if len(numbers) < 3:
        return None
    return max(numbers[1:]) if numbers[0] == DICTIONARY_PAGE else 0


def _chunk(column: Any) -> ColumnChunk:  # noqa: ANN401 - whatever the file holds
    about = column.get(3) if isinstance(column, dict) else None
    if not isinstance(about, dict):
        raise ValueError("a column is encrypted, or has no metadata")
    return ColumnChunk(
        values=_number(about, 5),
        unpacked_bytes=_number(about, 6),
        packed_bytes=_number(about, 7),
        first_page=_number(about, 11) or _number(about, 9),
        continues=DELTA_BYTE_ARRAY in _listed(about, 2),
    )


def _listed(of: Any, field: int) -> list[Any]:  # noqa: ANN401
    found = of.get(field) if isinstance(of, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"field {field} of its footer is no list")
    return found


def _number(of: dict[int, Any], field: int) -> int:
    """0 where it is not there. Raises ValueError below 0 and beyond 63 bits."""
    found = of.get(field, 0)
    if not isinstance(found, int) or not 0 <= found < 2**63:
        raise ValueError(f"field {field} of a column's metadata is no size")
    return found


class _FooterReader:
    """Values in the compact protocol, one after the other. Past the end: IndexError."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def structure(self, wanted: Wanted, depth: int = 0) -> dict[int, Any]:
        """{number of a field: its value}, of the fields that are wanted."""
        found: dict[int, Any] = {}
        field = 0
        while head := self.byte():
            step, kind = head >> 4, head & 15
            field = field + step if step else self.signed()
            inside = wanted.get(field)
            # the kind tells the truth value of a field, which has no byte of its own
            value = None if kind in (TRUE, FALSE) else self._value(kind, inside, depth)
            if inside is not None:
                found[field] = value
        return found

    def _value(self, kind: int, wanted: Wanted | None, depth: int) -> Any:  # noqa: ANN401
        """One value; None of one that is not wanted."""
        if depth > DEEPEST:
            raise ValueError(f"its footer nests more than {DEEPEST} values")
        if kind == STRUCT:
            return self.structure(wanted or {}, depth + 1)
        if kind in (I16, I32, I64):
            return self.signed()
        if kind == BINARY:
            return self._skip(self._unsigned())
        if kind in (LIST, SET):
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self._unsigned()
            values = (self._value(head & 15, wanted, depth + 1) for _ in range(count))
            return list(values) if wanted is not None else deque(values, maxlen=0)
        if kind in (BYTE, TRUE, FALSE):  # a truth value in a list is one byte
            return self._skip(1)
        if kind == DOUBLE:
            return self._skip(8)
        if kind == MAP:
            count = self._unsigned()
            kinds = self.byte() if count else 0
            for _ in range(count):
                self._value(kinds >> 4, None, depth + 1)
                self._value(kinds & 15, None, depth + 1)
            return None
        raise ValueError(f"its footer has a value of kind {kind}")

    def byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self.data):
            raise IndexError(self.place)

    def _unsigned(self) -> int:
        number, shift = 0, 0
        while (byte := self.byte()) > 127:
            number |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("its footer has a number beyond 64 bits")
        return number | byte << shift

    def signed(self) -> int:
        number = self._unsigned()
        return number >> 1 ^ -(number & 1)
