"""How a text table is written: the character between two cells, and how cells are quoted."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gobelin.data.budget import MEGABYTE, limits

DELIMITERS = ",;\t|"
RARE = ":^~\x01\x1f¬§ "  # tried where no usual one makes two cells in every line
SNIFFED = 2**16  # letters that the dialect is chosen by
QUOTED = re.compile('"[^"]*"?')
SEPARATOR_LINE = re.compile('"?sep=(\\\\t|.)"?\\s*', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """quote: around a cell. escaped: whether a backslash stands before a quote in a cell. spaced:
    whether a space may stand before a quote.
    """

    delimiter: str
    quote: str = '"'
    escaped: bool = False
    spaced: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """Of `csv.reader`."""
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote,
            "doublequote": not self.escaped,
            "escapechar": "\\" if self.escaped else None,
            "skipinitialspace": self.spaced,
        }


def sniffed(start: Sequence[str], delimiter: str) -> Dialect:
    """The dialect by which most of these lines have as many cells as the first, and of several the
    one that gives most cells. A line that is too long to be cut into cells twice is left out.

    delimiter: where it is known, else ''.
    """
    csv.field_size_limit(limits().cell_mb * MEGABYTE)
    short = [line.rstrip("\r\n") + "\n" for line in start if len(line) <= SNIFFED]
    if len(start[0]) > SNIFFED:
        return Dialect(delimiter or max(DELIMITERS, key=start[0].count))
    marks = delimiter or DELIMITERS
    plain = max((Dialect(mark) for mark in marks), key=lambda d: _score(short, d))
    text = "".join(short)
    others = [
        *(Dialect(m, spaced=True) for m in marks if f'{m} "' in text),
        *(Dialect(m, escaped=True) for m in marks if '\\"' in text and not _sound(short, m)),
        *(Dialect(m, quote="'") for m in marks if _in_apostrophes(text, m)),
    ]
    if not delimiter and _score(short, plain)[1] < 2 and len(short) > 2:
        others += [Dialect(mark) for mark in RARE if mark in short[0]]
        others += [Dialect(" ", spaced=True)] * ("  " in text)  # one blank or several
    best = max(others, key=lambda d: _score(short, d), default=plain)
    return (
        best
        if _score(short, best) > (*_score(short, plain)[:1], 1) and _whole(best, short)
        else plain
    )


def _in_apostrophes(text: str, delimiter: str) -> bool:
    """Whether a cell stands in apostrophes, and none in quotes."""
    mark = re.escape(delimiter)
    quoted = re.compile(f"(?:^|{mark})'(?:[^'\n]|'')*'(?:{mark}|\r?$)", re.MULTILINE)
    return bool(quoted.search(text)) and not re.search(f'(?:^|{mark})"', text, re.MULTILINE)


def _sound(lines: Sequence[str], delimiter: str) -> bool:
    """Whether each quote opens a cell, closes one, or is doubled in one: a backslash before a quote
    is then a letter of its cell."""
    try:
        return bool(list(csv.reader(lines, delimiter=delimiter, strict=True)))
    except csv.Error:
        return False


def _whole(dialect: Dialect, lines: Sequence[str]) -> bool:
    """Whether every line has as many cells as the first."""
    return _score(lines, dialect)[0] == 1.0


def _score(lines: Sequence[str], dialect: Dialect) -> tuple[float, int]:
    """The share of the lines that have as many cells as the first, and how many these are. 0 for a
    single cell.
    """
    widths: list[int] = []
    reader = csv.reader(lines, strict=dialect != Dialect(dialect.delimiter), **dialect.settings)
    try:
        widths.extend(len(row) for row in reader if row)
    except csv.Error as error:
        # The lines may end within a cell. An apostrophe alone (don't) doesn't open a cell.
        if "unexpected end" not in str(error) or (dialect.quote == "'" and len(widths) < 2):
            return 0.0, 0
    if not widths or widths[0] < 2:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


def without_notes(start: list[str], delimiter: str) -> int:
    """How many lines at the start are notes before the header: they begin with # and have fewer
    cells than the first line that doesn't. A delimiter within quotes parts no cells.
    """
    notes = next((k for k, line in enumerate(start) if not line.startswith("#")), len(start))
    if not 0 < notes < len(start):
        return 0
    marks = delimiter or DELIMITERS
    parting = [
        max(map(QUOTED.sub("", line).count, marks), default=0) for line in start[: notes + 1]
    ]
    return notes if max(parting[:notes]) < parting[notes] else 0
