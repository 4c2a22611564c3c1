"""What a DICOM file takes of the machine, looked up while it is read and before it is decoded.

A few bytes can stand for an element, for an item of a sequence or for millions of pixels, and a
frame says a size of its own, beside that in the header.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from gobelin.data.budget import MEGABYTE, excess, limits
from gobelin.data.files import BadCell, afford
from gobelin.data.image.headers import TooCostly, check_pieces, check_scans

ELEMENT = 1000  # bytes that an element or an item takes in pydicom, about
OF_SEQUENCE = 20  # bytes that a byte of a sequence takes when it is looked at
LONGEST = 2**16  # bytes of an element that is no sequence, no pixels and no table of colours
ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # how an item begins, in both orders of bytes
# elements that hold pixels and tables, as long as they need to be
BULK = re.compile("PixelData$|LookupTableData$|^ExtendedOffsetTable|^LUTData$")
# the start of a file of explicit elements that are not packed
PLAIN = bytes(128) + b"DICM\x02\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"
SIZ = re.compile(rb"\xff\x4f\xff\x51.{4}(.{4})(.{4})(.{4})(.{4}).{16}(..)", re.DOTALL)  # JPEG 2000
SOF = re.compile(
    rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7]...(..)(..)(.)", re.DOTALL
)  # JPEG
COLOURS = 4  # samples of a pixel that a frame may have, whatever the header says
DECODED_RUN = 64  # bytes that a byte of run lengths (RLE) stands for, at most


class Packed(Exception):
    """pydicom is about to unpack the rest of a file. place: where that begins."""

    def __init__(self, place: int) -> None:
        super().__init__("is packed")
        self.place = place


class Counted:
    """A file for pydicom, which takes an element by one reading of it or several. Where they take
    more than a cell may, `reason` says so and a BadCell ends the reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.readings = file, 0
        self.reason = ""

    def read(self, size: int = -1) -> bytes:
        """As of a file. Raises Packed where all of the rest is asked for."""
        if size < 0:
            raise Packed(self.file.tell())
        self.readings += 1
        if self.readings % ELEMENT == 0:
            self.reason = excess("cell_mb", self.readings * ELEMENT)
            if self.reason:
                raise BadCell(self.reason)
        return self.file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self.file.seek(place, whence)

    def tell(self) -> int:
        return self.file.tell()


def unpacked(file: BinaryIO, place: int) -> bytes:
    """The file without its packing, as one that was never packed. Raises BadCell where it would be
    larger than the budget allows.
    """
    file.seek(place)
    unpacker, out, most = zlib.decompressobj(wbits=-15), bytearray(PLAIN), limits().cell_mb
    while len(out) <= most * MEGABYTE and (piece := unpacker.unconsumed_tail or file.read(2**16)):
        out += unpacker.decompress(piece, 2**20)
    afford("cell_mb", len(out))
    return bytes(out)


def too_long(data: Any, name: str) -> bool:  # noqa: ANN401 - of pydicom
    """Whether an element holds more bytes than its kind ever has."""
    raw = data.get_item(name).value if name in data else None
    if not isinstance(raw, bytes | bytearray) or name.endswith("Sequence"):
        return False
    return len(raw) > LONGEST and not BULK.search(name)


def check_elements(data: Any) -> None:  # noqa: ANN401 - of pydicom
    """Raises BadCell where elements of a file that was read take more than they may when they are
    looked at: pydicom leaves them as bytes until then.
    """
    needed = 0
    for name in data.dir():
        raw = data.get_item(name).value
        if name.endswith("Sequence") and isinstance(raw, bytes | bytearray):
            needed += OF_SEQUENCE * len(raw) + ELEMENT * max(map(raw.count, ITEMS))
        elif too_long(data, name):
            raise BadCell("is a damaged DICOM file (an element is too long)")
    afford("cell_mb", needed)


def check_frames(
    frames: Iterator[bytes], size: tuple[int, int, int], runs: bool, needed: float
) -> None:
    """Raises BadCell where a coded frame stands for more pixels than the header says.

    size: rows, columns, samples a pixel. runs: whether frames are coded as run lengths (RLE).
    needed: bytes that the file takes by its header.
    """
    rows, columns, samples = size
    for frame in frames:
        if runs:
            bound = DECODED_RUN * len(frame)
            most = 2 * rows * columns + DECODED_RUN
            if excess("cell_mb", bound + needed) and _longest_run(frame, most) > most:
                raise BadCell("holds a frame that is larger than it says")
            continue
        try:
            check_pieces(frame)
            check_scans(frame)
        except TooCostly as error:
            raise BadCell(str(error)) from error
        if any(p > rows * columns * max(samples, COLOURS) for p in _promised(frame)):
            raise BadCell("holds a frame that is larger than it says")


def _promised(frame: bytes) -> Iterator[int]:
    """The samples of each picture whose header is somewhere in a frame of JPEG or JPEG 2000. A
    picture within another one, which a decoder does not look at, is smaller.
    """
    for found in SIZ.finditer(frame):
        right, down, left, up = (int.from_bytes(found[k], "big") for k in range(1, 5))
        yield max(0, right - left) * max(0, down - up) * int.from_bytes(found[5], "big")
    if frame.startswith(b"\xff\xd8"):
        for found in SOF.finditer(frame):
            height, width, count = (int.from_bytes(found[k], "big") for k in (1, 2, 3))
            yield height * width * count


def _longest_run(frame: bytes, most: int) -> int:
    """Bytes that the longest segment of a frame of run lengths stands for; counting ends beyond
    `most`.
    """
    if len(frame) < 64:
        return 0
    header = struct.unpack("<16I", frame[:64])
    places = [*header[1 : 1 + min(header[0], 15)], len(frame)]
    longest = 0
    for start, end in zip(places, places[1:], strict=False):
        place, size = start, 0
        while place < min(end, len(frame)) and size <= most:
            step = frame[place]
            size += step + 1 if step < 128 else 257 - step if step > 128 else 0
            place += step + 2 if step < 128 else 2 if step > 128 else 1
        longest = max(longest, size)
    return longest
