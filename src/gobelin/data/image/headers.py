"""Image files with their header read: what it promises of the memory that decoding will take, and
what a file of few bytes would cost to open.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from gobelin.data.files import HEAD

# The formats that are opened. No other decoder of Pillow runs: some start programs (EPS), some are
# hardly used by anybody. A new format needs its name here, a suffix and, where it has one, a
# signature.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF")
# Bytes a pixel that a decoder needs beside the image itself: OpenJPEG holds four components of 32
# bits, libavif and libwebp the planes and a copy, libtiff may turn the planes of a strip.
BESIDE = {"JPEG2000": 16, "AVIF": 12, "WEBP": 12, "TIFF": 4}
COEFFICIENTS = 6  # bytes a pixel of the whole file that a progressive JPEG holds
SMALL_MODES = {"1", "L", "P"}  # Pillow holds one byte a pixel; four or less of the others
PLAIN = 4  # bytes a pixel of the RGB image that is made from it
TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of a TIFF
MOST_METADATA = 16_000_000  # bytes of comments and application data before the pixels
MOST_PIECES = 100_000  # chunks, segments or blocks that a file is cut into
MOST_SCANS = 100  # of a JPEG; each costs a pass over all pixels, however few bytes it has
# In the coded data of a JPEG: a marker that neither stands for a byte nor restarts the decoder
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}  # markers of a JPEG that stand alone
COUNTED = (b"GIF8", b"\xff\xd8", b"\x89PNG")  # the formats whose pieces are counted


class TooCostly(OSError):
    """A file of few bytes that would keep a decoder busy; `str(error)` is the reason in a few
    words. An OSError, as those that Pillow raises."""


def opened(data: bytes | Path | BinaryIO) -> Image.Image:
    """The image file with its header read, not yet its pixels. The only place where Pillow opens a
    file. Raises what Pillow raises, and TooCostly, an OSError, for a file that is made to keep it
    busy.
    """
    if isinstance(data, Path):
        data = data.read_bytes()
    if not isinstance(data, bytes):
        start = data.tell()
        counted = data.read(HEAD).startswith(COUNTED)
        data.seek(start)
        if not counted:
            return Image.open(data, formats=FORMATS)
        data = data.read()
    check_pieces(data)
    return Image.open(io.BytesIO(data), formats=FORMATS)


def full_bytes(image: Image.Image) -> int:
    """Bytes that a file needs at its full size, however small it is read."""
    if image.info.get("progressive"):
        return COEFFICIENTS * image.width * image.height
    tags = getattr(image, "tag_v2", None)
    if tags is not None and TILE_WIDTH in tags:  # a tile may claim to be larger than the image
        width, length = tags.get(TILE_WIDTH, 0), tags.get(TILE_LENGTH, 0)
        return 4 * int(width) * int(length)
    return 0


def decoded_bytes(image: Image.Image, most_padded: int) -> int:
    """Bytes that decoding the opened image and padding it to a square take, at the size that it is
    read at. most_padded: pixels of the largest square; a larger image is reduced first.
    """
    pixels = image.width * image.height
    own = 1 if image.mode in SMALL_MODES else 4
    square = 0 if image.width == image.height else min(max(image.size) ** 2, most_padded)
    return (own + PLAIN + BESIDE.get(image.format or "", 0)) * pixels + PLAIN * square


def check_pieces(data: bytes) -> None:
    """TooCostly for a PNG, JPEG or GIF that is cut into too many pieces, or has too much metadata
    before its pixels. Pillow handles each piece on its own and joins metadata piece by piece, at a
    cost that grows with the square of their count. It limits the metadata of a PNG itself. data: a
    whole file; of other formats nothing is looked at.
    """
    if data.startswith(b"\xff\xd8"):
        pieces = _before_scan(data)
    elif data.startswith(b"GIF8"):
        pieces = _gif_blocks(data)
    elif data.startswith(b"\x89PNG"):
        pieces = (0 for _ in _png_chunks(data))
    else:
        return
    total = 0
    for count, size in enumerate(pieces):
        total += size
        if count >= MOST_PIECES:
            raise TooCostly(f"has more than {MOST_PIECES} pieces in its file")
        if total > MOST_METADATA:
            raise TooCostly(f"has over {MOST_METADATA} bytes of metadata before its pixels")


def check_scans(data: bytes) -> None:
    """TooCostly for a JPEG of more scans than any program writes. data: a whole file."""
    if data.startswith(b"\xff\xd8") and sum(1 for _ in _scans(data)) > MOST_SCANS:
        raise TooCostly(f"has more than {MOST_SCANS} scans in its file")


def _gif_blocks(data: bytes) -> Iterator[int]:
    """Bytes of each extension block before the first image of a GIF."""
    flags = data[10] if len(data) > 10 else 0
    place = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    while data[place : place + 1] == b"!":
        place += 2
        while place < len(data) and (size := data[place]):
            place += 1 + size
            yield size
        place += 1


def _png_chunks(data: bytes) -> Iterator[int]:
    """Bytes of each chunk of a PNG."""
    place = 8
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        place += 12 + size
        yield size


def _before_scan(data: bytes) -> Iterator[int]:
    """Bytes of each segment before the first scan of a JPEG."""
    for marker, place in _segments(data):
        if marker == 0xDA:
            return
        yield int.from_bytes(data[place : place + 2], "big")


def _scans(data: bytes) -> Iterator[int]:
    """Where each scan of a JPEG begins, one more than `MOST_SCANS` at most."""
    found = 0
    for marker, place in _segments(data):
        if marker == 0xDA:
            yield place
            found += 1
            if found > MOST_SCANS:
                return


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The marker of each segment of a JPEG, and where its length stands. What stands between two
    segments is skipped, coded pixels among it, as decoders do."""
    place = 2
    while found := MARKER.search(data, place):
        marker, place = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return
        if marker in WITHOUT_LENGTH:
            continue
        yield marker, place
        place += max(2, int.from_bytes(data[place : place + 2], "big"))
