"""The lines of a text file, one at a time, so that a file is never in memory as a whole."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.data.budget import MEGABYTE, limits, refuse

LOOKED_AT = 256  # bytes that tell the encoding
PIECE = 2**20  # bytes that are read at once
MARK = "\ufeff"  # of byte order
WORD = 24  # bytes before and behind the first odd one, that its word is cut from
WESTERN = "cp1252"  # the encoding that most files are in which are not UTF-8


def text_lines(path: Path) -> Iterator[str]:
    """Every line of a file in UTF-8, UTF-16 or UTF-32, with its ending as it is (a cell in quotes
    may go over several lines), and without a mark of byte order, which also stands within a file
    that was joined from several.

    Raises GobelinError for another encoding, and for a file or a line over the budget, before they
    are in memory.
    """
    refuse(str(path), "table_mb", path.stat().st_size)
    longest = limits().cell_mb * MEGABYTE
    try:
        with path.open("rb") as file:
            encoding = _encoding(file.read(LOOKED_AT))
        with path.open(encoding=encoding, newline="") as file:
            while line := file.readline(longest + 1):
                refuse(str(path), "cell_mb", len(line))
                yield line.removeprefix(MARK)
    except UnicodeError as error:
        if encoding != "utf-8-sig":
            name = encoding.upper()[:6]
            raise GobelinError(
                f"{path}: begins as {name} and is not {name} ({error}). Save it as UTF-8."
            ) from error
        place = _first_odd_byte(path)
        raise GobelinError(f"{path}, byte {place}: is not UTF-8. {_remedy(path, place)}") from error


def _remedy(path: Path, place: int) -> str:
    """The command that makes UTF-8 of a file, with its first odd word as that command reads it: so
    a person sees whether that is the encoding. place: of the first byte that is no UTF-8."""
    with path.open("rb") as file:
        file.seek(max(0, place - WORD))
        before, after = file.read(min(place, WORD)), file.read(WORD)
    start = re.split(rb"[\s,;|\"]", before)[-1]
    word = start + re.split(rb"[\s,;|\"]", after)[0]
    try:
        read = word.decode(WESTERN)
    except UnicodeDecodeError:
        return "Save it as UTF-8 (iconv -f ENCODING -t utf-8, with the file's own encoding)."
    return (
        f"Save it as UTF-8 (iconv -f {WESTERN} -t utf-8); if {read!r} is not what stands there, the"
        f" file has another encoding than {WESTERN}."
    )


def _encoding(head: bytes) -> str:
    """UTF-32 and UTF-16 by their mark of byte order; without one UTF-16 by the zero bytes of its
    Latin letters. UTF-8 for any other beginning.
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    pairs = len(head) // 2
    for encoding, start in (("utf-16-le", 1), ("utf-16-be", 0)):
        zeros, others = head[start::2].count(0), head[1 - start :: 2].count(0)
        if pairs > 1 and zeros > 0.8 * pairs and not others:
            return encoding
    return "utf-8-sig"


def _first_odd_byte(path: Path) -> int:
    """The place of the first byte that is no UTF-8."""
    place, rest = 0, b""
    with path.open("rb") as file:
        while True:
            piece = file.read(PIECE)
            try:
                (rest + piece).decode("utf-8")
            except UnicodeDecodeError as error:
                if not piece or len(rest + piece) - error.start > 3:
                    return place + error.start
                place, rest = place + error.start, (rest + piece)[error.start :]
            else:
                place, rest = place + len(rest + piece), b""
                if not piece:
                    return place
