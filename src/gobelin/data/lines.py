"""The lines of a text file, one at a time, so that a file is never in memory as a whole."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.data.budget import MEGABYTE, limits, refuse

PIECE = 2**20  # bytes that are read at once


def text_lines(path: Path) -> Iterator[str]:
    """Every line of a file in UTF-8, or in UTF-16 with its mark of byte order, with '\\n' for any
    ending of a line. Raises GobelinError for another encoding, and for a file or a line over the
    budget, before they are in memory.
    """
    refuse(str(path), "table_mb", path.stat().st_size)
    longest = limits().cell_mb * MEGABYTE
    try:
        with path.open("rb") as file:
            wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with path.open(encoding="utf-16" if wide else "utf-8-sig") as file:
            while line := file.readline(longest + 1):
                refuse(str(path), "cell_mb", len(line))
                yield line
    except UnicodeError as error:
        if wide:
            raise GobelinError(
                f"{path}: begins as UTF-16 and is not UTF-16 ({error}). Save it as UTF-8."
            ) from error
        raise GobelinError(
            f"{path}, byte {_first_odd_byte(path)}: is not UTF-8. Save it as UTF-8 (iconv -f latin1"
            " -t utf-8)."
        ) from error


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
