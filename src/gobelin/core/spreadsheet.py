"""CSV that other people open in a spreadsheet: a text that would become a formula stays a text.

A spreadsheet computes a cell that begins with = + - or @, and a formula can send data away or, in
some programs, start another. Such a text gets an apostrophe before it, as OWASP advises ("CSV
Injection"). Numbers stay as they are. `gobelin predict --raw-csv` writes every text as it is.

Our own reader gives such a cell back with its apostrophe: a file of others may hold a text that
begins so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

# In full width, too: some programs read ＝ as =.
FORMULA = re.compile(r"[\s\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)
# Where a program of another country splits a line, a new cell begins.
SEPARATORS = re.compile(r"([;\t\r\n])")
SPLIT_BY_MANY = ("\t", "\r", "\n")


def text_cell(text: str) -> str:
    """The text as a cell that no spreadsheet computes."""
    parts = [_apostrophe(part) + part for part in SEPARATORS.split(text)]
    return ("'" if text.startswith(SPLIT_BY_MANY) else "") + "".join(parts)


def _apostrophe(part: str) -> str:
    return "'" if FORMULA.match(part) and not NUMBER.fullmatch(part.strip()) else ""


def write_csv(
    file: TextIO,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, object]],
    raw: bool = False,
    delimiter: str = ",",
) -> int:
    """Write a header and the rows. Returns how many cells got an apostrophe; none with `raw`."""
    changed = 0

    def cell(value: object) -> object:
        nonlocal changed
        if raw or not isinstance(value, str):
            return value
        text = text_cell(value)
        changed += text != value
        return text

    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow([cell(name) for name in columns])
    writer.writerows([cell(row[name]) for name in columns] for row in rows)
    return changed
