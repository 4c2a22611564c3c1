"""What the header of an image file promises: the memory that decoding will take, and the metadata
in front of the pixels.
"""

from __future__ import annotations

from PIL import Image

# Bytes a pixel that a decoder needs beside the image itself: OpenJPEG holds four components of 32
# bits, libavif and libwebp the planes and a copy, libtiff may turn the planes of a strip.
BESIDE = {"JPEG2000": 16, "AVIF": 12, "WEBP": 12, "TIFF": 4}
COEFFICIENTS = 6  # bytes a pixel of the whole file that a progressive JPEG holds
SMALL_MODES = {"1", "L", "P"}  # Pillow holds one byte a pixel; four or less of the others
PLAIN = 4  # bytes a pixel of the RGB image that is made from it
TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of a TIFF
MOST_METADATA = 16_000_000  # bytes of comments and application data before the pixels


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


def metadata_bytes(data: bytes) -> int:
    """Bytes of comments and application data before the pixels of a GIF or a JPEG; 0 for other
    formats, whose opener limits them. Pillow joins these piece by piece, at a cost that grows with
    the square of their count.
    """
    if data.startswith(b"GIF8"):
        return _before_gif_pixels(data)
    if data.startswith(b"\xff\xd8"):
        return _before_jpeg_pixels(data)
    return 0


def _before_gif_pixels(data: bytes) -> int:
    """Bytes of the extension blocks before the first image of a GIF."""
    flags = data[10] if len(data) > 10 else 0
    place = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    total = 0
    while data[place : place + 1] == b"!":
        place += 2
        while place < len(data) and (size := data[place]):
            place += 1 + size
            total += size
        place += 1
    return total


def _before_jpeg_pixels(data: bytes) -> int:
    """Bytes of the segments before the first scan of a JPEG."""
    place, total = 2, 0
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == 0xDA:
            break
        if marker == 0xFF or marker == 0 or 0xD0 <= marker <= 0xD9:
            place += 1 if marker == 0xFF else 2
            continue
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        place += 2 + size
        total += size
    return total
