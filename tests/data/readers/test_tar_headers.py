"""Archives whose headers claim, chain or lead back: one line, or the files that are whole."""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.data.tar_members import MOST_HEADER, MOST_KEYS


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """One block, as Python's own tarfile writes it; sizes below 0 as GNU's tar writes numbers."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"%011o\0" % size if size >= 0 else size.to_bytes(12, "big", signed=True)
    return summed(block)


def summed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(data), kind) + data + bytes(-len(data) % 512)


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = next(n for n in range(len(rest), len(rest) + 9) if n == len(rest) + len(str(n)))
    return b"%d" % length + rest


def with_holes(name: str, stored: bytes, size: int) -> bytes:
    """A file as old GNU tar stores one with holes: its data, and then nothing up to its size."""
    block = bytearray(header(name, len(stored), tarfile.GNUTYPE_SPARSE))
    block[386:410] = b"%011o\0%011o\0" % (0, len(stored))
    block[482:495] = b"\0" + b"%011o\0" % size
    return summed(block) + stored + bytes(-len(stored) % 512)


WHOLE = b"".join(member(f"{k}.txt", b"text %d" % k) for k in range(3))
BACK = -3 * 512  # to the header with this size, two blocks before the data of its member
MANY = "".join(record(f"k{k:06d}", "v").decode() for k in range(MOST_KEYS + 1)).encode()
TRICKS: dict[str, Callable[[], bytes]] = {
    "a long record": lambda: member("p", record("comment", "a" * MOST_HEADER), b"x"),
    "a long name": lambda: member("n", b"a" * MOST_HEADER + b"\0", b"L"),
    "a long link": lambda: member("n", b"a" * MOST_HEADER + b"\0", b"K"),
    "a chain of names": lambda: member("n", b"a\0", b"L") * 2000,
    "a chain of records": lambda: member("p", record("a", "b"), b"x") * 2000,
    "a chain for all": lambda: member("p", record("a", "b"), b"g") * 2000,
    "many keys for all": lambda: member("p", MANY, b"g"),
    "records within records": lambda: member("p", b"2 " * 5000 + b"=\n", b"x"),
    "a number without end": lambda: member("p", record("a", "1" * 5000), b"x"),
    "a name below 0": lambda: header("n", -512, b"L"),
    "a file below 0": lambda: header("9.txt", -512),
    "back to its header": lambda: (
        member("p", record("size", str(BACK)), b"x") + member("9.txt", b"")
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_headers_made_to_take_the_machine_are_refused_in_one_line(
    trick: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(WHOLE + TRICKS[trick]() + WHOLE + bytes(1024))
    with pytest.raises(GobelinError, match="is no tar archive that is read") as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [9, 2000, 9_000_000, 2**32])
@pytest.mark.parametrize("name", ["8.txt", "8.png", "8.json"])
def test_a_file_with_holes_is_left_out_and_told(
    size: int, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its bytes don't stand side by side, so its place would name those of other files."""
    path = tmp_path / "a.tar"
    path.write_bytes(WHOLE + with_holes(name, b"12345", size) + WHOLE.replace(b"text", b"TEXT"))
    with caplog.at_level(logging.WARNING):
        found = read(path).table
    assert found.column_names == ["text"]
    assert found["text"].to_pylist() == [f"{t} {k}" for t in ("text", "TEXT") for k in range(3)]
    assert "1 file that tar stored with holes" in caplog.text


def test_long_names_and_records_of_real_archives_are_read(tmp_path: Path) -> None:
    """Written by Python's tarfile in both of its formats with extended headers."""
    names = [f"{'folder/' * 300}{k}.txt" for k in range(4)]
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / f"{kind}.tar"
        with tarfile.open(path, "w", format=kind, pax_headers={"comment": "ä" * 300}) as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(name))
        assert len(read(path)) == len(names)
