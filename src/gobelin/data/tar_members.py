"""Files inside an archive (tar), named in cells by their place in it: `SHARD.tar!OFFSET+SIZE/NAME`.

So a table of shards holds no content, and a file is read alone. Headers are read by Python's own
tarfile, which takes what they say: `members` limits it.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_HEADER = 2**18  # bytes of all headers of one member; a long name has some thousands
MOST_KEYS = 100  # of headers for all members, which are copied for each of them
EXTENDED = (b"x", b"g", b"X")  # types of a header that holds records
TYPE = slice(156, 157)  # where a header says its type
DIGITS = re.compile(rb"\d{64}")  # tarfile takes the square of so long a number
LENGTH = re.compile(rb"(\d{1,9}) ")  # how a record begins

MEMBER = re.compile(r"(?P<archive>.+\.tar)!(?P<start>\d{1,18})\+(?P<size>\d{1,18})/(?P<name>[^/]*)")


@dataclass(frozen=True)
class TarMember:
    """One file. archive: path of the archive. start, size: in bytes."""

    archive: str
    start: int
    size: int
    name: str

    @property
    def cell(self) -> str:
        """What a cell holds for it."""
        return f"{self.archive}!{self.start}+{self.size}/{self.name}"


def member_of(value: Any) -> TarMember | None:  # noqa: ANN401 - a cell is any
    """The file inside an archive that a cell names; None for any other value."""
    if not isinstance(value, str) or ".tar!" not in value:
        return None
    if (found := MEMBER.fullmatch(value)) is None:
        return None
    return TarMember(found["archive"], int(found["start"]), int(found["size"]), found["name"])


def members(archive: Path) -> Iterator[tarfile.TarInfo]:
    """The headers of an unpacked archive, in its order. Raises tarfile.TarError, OSError or
    ValueError for a damaged one, and for one that is made to take memory or time: long headers,
    chains of them, sizes that lead back.
    """
    with _Headers(archive) as file, tarfile.open(fileobj=file, mode="r:") as opened:
        last = -1
        while (member := opened.next()) is not None:
            if member.offset <= last or member.size < 0:
                raise ValueError("a size in it leads back")
            if len(opened.pax_headers) > MOST_KEYS:
                raise ValueError(f"over {MOST_KEYS} keys for all members")
            opened.members.clear()  # type: ignore[attr-defined]  # or it keeps every header
            last, file.left = member.offset, MOST_HEADER
            yield member


class _Headers(io.BufferedReader):
    """An archive as tarfile reads it. left: bytes of headers that may be read before the next
    member. Raises ValueError beyond them, and for records that are not as the standard has them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(str(path)))
        self.left = MOST_HEADER
        self.type = b""  # of the last header

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= self.left:
            raise ValueError(f"a member has over {MOST_HEADER} bytes of headers")
        self.left -= size
        data = super().read(size)
        if size > tarfile.BLOCKSIZE and self.type in EXTENDED:
            _check_records(data)
        self.type = data[TYPE]
        return data


def _check_records(data: bytes) -> None:
    """ValueError unless these are records `LENGTH KEY=VALUE`, a line each, and zeros."""
    place = 0
    while place < len(data) and data[place]:
        found = LENGTH.match(data, place)
        record = data[place : place + int(found[1])] if found else b""
        if b"=" not in record or not record.endswith(b"\n"):
            raise ValueError("a header of other records than tar has")
        place += len(record)
    if DIGITS.search(data):
        raise ValueError("a number of 64 digits in a header")
