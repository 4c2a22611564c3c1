"""DICOM files that are small and take much: each is refused by what it takes, and one that takes
little, made in the same way, has its values."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import DX, write
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, UID, JPEGBaseline8Bit, RLELossless

from gobelin.data.budget import Reading
from gobelin.data.dicom.files import modality_pixels, read, stored
from gobelin.data.dicom.headers import header_of
from gobelin.data.dicom.series import open_files
from gobelin.data.files import BadCell

SIDE = 24
PIXELS = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
LIMIT = 4  # MB a cell
FRAMES = b"\x00\x52\x30\x92"  # PerFrameFunctionalGroupsSequence


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    Reading(cell_mb=LIMIT).use()
    yield
    Reading().use()


def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    if kind in (b"OB", b"OW", b"SQ"):
        return struct.pack("<HH2sHI", group, number, kind, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


def elements(between: bytes = b"", kind: bytes = b"DX") -> bytes:
    """The elements of a picture. between: others, before its pixels."""
    numbers = {0x02: 1, 0x10: SIDE, 0x11: SIDE, 0x100: 16, 0x101: 16, 0x102: 15, 0x103: 0}
    out = element(0x08, 0x60, b"CS", kind) + element(0x28, 0x04, b"CS", b"MONOCHROME2")
    for number, value in numbers.items():
        out += element(0x28, number, b"US", struct.pack("<H", value))
    return out + between + element(0x7FE0, 0x10, b"OW", PIXELS.tobytes())


def whole(body: bytes, syntax: bytes, before: bytes = b"", length: int = -1) -> bytes:
    """A file. before: elements of its own header before the transfer syntax. length: that it says
    of that header."""
    meta = before + element(2, 0x10, b"UI", syntax)
    size = struct.pack("<I", len(meta) if length < 0 else length)
    return bytes(128) + b"DICM" + element(2, 0, b"UL", size) + meta + body


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACKED, EXPLICIT, IMPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
ZEROS = element(9, 0x1010, b"OB", bytes(2 * LIMIT * 10**6))
SMALL = element(2, 0x102, b"OB", packed(b"small"))  # which unpacks to five letters


@pytest.mark.parametrize(
    ("before", "length"),
    [(b"", -1), (element(2, 0x102, b"OB", bytes(6000)), -1), (SMALL, 12), (b"", 10**6)],
)
def test_a_packed_file_is_unpacked_within_the_limit(
    before: bytes, length: int, tmp_path: Path
) -> None:
    """Wherever its transfer syntax stands, and whatever length it says."""
    for middle in (b"", ZEROS):
        data = whole(packed(elements(middle)), PACKED, before, length)
        path = tmp_path / "a.dcm"
        path.write_bytes(data)
        if middle:
            for source in (data, path):
                with pytest.raises(BadCell, match="MB to decode"):
                    read(source)
            with pytest.raises(BadCell, match="MB to decode"):
                header_of(path)
        else:
            assert np.array_equal(modality_pixels(read(data)).values[0, ..., 0], PIXELS)
            assert header_of(path).shape[:2] == (SIDE, SIDE)


def items(count: int, inside: bytes = b"") -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(inside)).join([b""] * (count + 1)) + inside


def sequence(content: bytes, length: bool = True) -> bytes:
    size = len(content) if length else 0xFFFFFFFF
    end = b"" if length else struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return FRAMES + b"SQ\0\0" + struct.pack("<I", size) + content + end


MANY = 2 * LIMIT * 1000
EMPTY = b"".join(struct.pack("<HH2sH", 9, 0x1000 + k, b"LO", 0) for k in range(5 * MANY))


@pytest.mark.parametrize(
    "between",
    [
        sequence(items(MANY)),
        sequence(items(MANY), length=False),
        sequence(items(1, sequence(items(MANY)))),
        sequence(items(1, EMPTY)),
        EMPTY,
    ],
    ids=["items", "items without a length", "nested", "elements of an item", "elements"],
)
def test_many_elements_are_refused(between: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    for middle, refused in ((between[:0], False), (between, True)):
        path.write_bytes(whole(elements(middle), EXPLICIT))
        if refused:
            with pytest.raises(BadCell, match="MB to decode"):
                header_of(path)
        else:
            header_of(path)


def test_a_long_list_of_numbers_is_refused(tmp_path: Path) -> None:
    """Without kinds in the file an element may have any length."""
    path = tmp_path / "a.dcm"
    for count, refused in ((100, False), (10**5, True)):
        body = struct.pack("<HHI", 0x18, 0x60, 2 * count) + b"1\\" * (count - 1) + b"1 "
        path.write_bytes(whole(body, IMPLICIT))
        if refused:
            with pytest.raises(BadCell, match="an element is too long"):
                header_of(path)
        else:
            assert header_of(path).facts["kvp"] == 1


def coded(path: Path, frames: list[bytes], syntax: UID, side: int = SIDE) -> Path:
    """A picture of bytes whose header says one frame."""
    write(path, PIXELS.astype(np.uint8), Modality="DX", SOPClassUID=DX)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    data.Rows = data.Columns = side
    data.PixelData = encapsulate(frames)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)
    return path


def frame(kind: str, side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((side, side), 90, np.uint8)).save(out, kind)
    return out.getvalue()


def lying(side: int) -> bytes:
    """A stream of JPEG 2000 that says another size than it has."""
    data = frame("JPEG2000", SIDE)
    stream = bytearray(data[data.find(b"\xff\x4f\xff\x51") :])
    stream[8:16] = stream[24:32] = struct.pack(">II", side, side)
    return bytes(stream)


def runs(size: int) -> bytes:
    """A frame of run lengths that stands for so many zeros."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * -(-size // 128)


@pytest.mark.parametrize(
    ("content", "syntax"),
    [
        (frame("JPEG", 5000), JPEGBaseline8Bit),
        (frame("JPEG2000", 5000), JPEG2000),
        (lying(60_000), JPEG2000),
        (runs(10 * LIMIT * 10**6), RLELossless),
    ],
    ids=["JPEG", "JPEG 2000", "size that lies", "runs"],
)
def test_a_frame_larger_than_the_header_says_is_refused(
    content: bytes, syntax: UID, tmp_path: Path
) -> None:
    with pytest.raises(BadCell, match="holds a frame that is larger than it says"):
        stored(read(coded(tmp_path / "a.dcm", [content], syntax)))


@pytest.mark.parametrize("syntax", [JPEG2000, RLELossless])
def test_frames_beyond_those_of_the_header_are_not_decoded(syntax: UID, tmp_path: Path) -> None:
    one = frame("JPEG2000", SIDE) if syntax == JPEG2000 else runs(SIDE * SIDE)
    found = stored(read(coded(tmp_path / "a.dcm", [one] * 50, syntax)))
    assert found.shape == (1, SIDE, SIDE, 1)
    assert np.array_equal(found, np.full_like(found, 90 if syntax == JPEG2000 else 0))


def test_a_file_counts_with_all_its_bytes(tmp_path: Path) -> None:
    """Also with those that no pixel needs."""
    path = tmp_path / "a.dcm"
    path.write_bytes(whole(elements(ZEROS), EXPLICIT))
    assert header_of(path).shape[:2] == (SIDE, SIDE)
    with pytest.raises(BadCell, match="MB to decode"):
        open_files([path])
