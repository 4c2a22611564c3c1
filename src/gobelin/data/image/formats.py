"""Formats of image files: told by their first bytes, read or not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gobelin.data.dicom.files import is_dicom
from gobelin.data.files import share_of_files
from gobelin.data.image.headers import opened
from gobelin.data.image.svg import is_svg

IMAGE_SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".j2k", ".j2c"),
    *(".jpc", ".jpx", ".jpf", ".avif", ".svg"),
}
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of images that are not read: how a file begins -> its name and suffix
UNREAD = {
    b"v/1\x01": ("OpenEXR", "exr"),
    b"#?RADIANCE": ("Radiance HDR", "hdr"),
    b"SIMPLE  =": ("FITS", "fits"),
    b"\0\0\1\0": ("an icon", "ico"),
}
IMAGE_SIGNATURES = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", *TIFF_SIGNATURES),
    *(b"\0\0\0\x0cjP  ", b"\xffO\xffQ"),
)
BRANDS = {b"WEBP", b"ftypavif", b"ftypavis"}  # from the eighth and the fourth byte on
HEIC_BRANDS = {b"ftyp" + b for b in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1")}


def is_image(head: bytes) -> bool:
    """Whether a file with these first bytes is an image, of a format that is read or not."""
    if head.startswith(IMAGE_SIGNATURES) or head[8:12] in BRANDS or head[4:12] in BRANDS:
        return True
    if is_svg(head) or is_dicom(head) or unread_format(head):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(head) and bool(opened(head).format)
    except Exception:  # Pillow's decoders raise many kinds of errors on files of other formats
        return False


def unread_format(head: bytes) -> str:
    """The name of a format of images that is not read, with the command that converts it; '' for
    other files. head: the first bytes of the file.
    """
    if head[4:12] in HEIC_BRANDS:
        return "HEIC, which is not read; convert it: magick IN.heic OUT.png"
    if head.startswith(b"8BPS"):
        return "a Photoshop file, which is not read; convert it: magick IN.psd[0] OUT.png"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL, which is not read; convert it: djxl IN.jxl OUT.png"
    for start, (name, suffix) in UNREAD.items():
        if head.startswith(start):
            return f"{name}, which is not read; convert it: magick IN.{suffix} OUT.png"
    return ""


def image_share(values: Sequence[Any], root: Path) -> float:
    """The share of the values that look like images: bytes and a few files by their content, other
    paths by their suffix.
    """
    return share_of_files(values, root, IMAGE_SUFFIXES, is_image)


def unidentified(head: bytes) -> str:
    """What a file is that Pillow can't open, with these first bytes."""
    if head.startswith(TIFF_SIGNATURES):
        return (
            "a TIFF that is damaged, or of a kind that is not read (64-bit or half floats, 2 or 5"
            " channels); convert it: magick IN.tif OUT.png"
        )
    return unread_format(head) or "not an image"
