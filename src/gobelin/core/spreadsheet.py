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

# What may stand before a formula: blanks, letters without width or of control, and quotation marks,
# which end a cell where another program splits the line, as ;"" does.
BEFORE = (
    r"[\s\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    r"\ufff9-\ufffb\U000e0000-\U000e0fff\"]*"
)
# In full width, too: some programs read ＝ as =.
FORMULA = re.compile(BEFORE + r"[=+\-@\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)
# Where a program of another country splits a line, a new cell begins. A comma does it only where
# another sign stands between the cells of the file: else such a text is quoted. The bar stands
# between the classes of a prediction set, so somebody may split by it.
SEPARATORS = re.compile(r"([;\t\r\n|])")
SEPARATORS_AND_COMMA = re.compile(r"([;\t\r\n|,])")
SPLIT_BY_MANY = ("\t", "\r", "\n")


def text_cell(text: str, delimiter: str = ",") -> str:
    """The text as a cell that no spreadsheet computes. delimiter: between the cells of the file."""
    separators = SEPARATORS if delimiter == "," else SEPARATORS_AND_COMMA
    cell = "".join(_apostrophe(part) + part for part in separators.split(text))
    whole = text.startswith(SPLIT_BY_MANY) or (delimiter != "," and _apostrophe(text))
    return f"'{cell}" if whole and not cell.startswith("'") else cell


def _apostrophe(part: str) -> str:
    return "'" if FORMULA.match(part) and not NUMBER.fullmatch(part.strip().strip('"')) else ""


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
        text = text_cell(value, delimiter)
        changed += text != value
        return text

    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow([cell(name) for name in columns])
    writer.writerows([cell(row[name]) for name in columns] for row in rows)
    return changed
