"""Text that is safe to print: what a terminal or a reader's eye would obey is shown escaped.

Ids, class names, captions and file names come from others. A control character in them can move a
terminal's cursor or hide a line. A bidirectional or zero-width character can make a text read
differently from what it is. So everything that is printed, and every report and card, passes
through `printable`. JSON passes through `json_text`, which reads back to the same text.

What this can't show: letters that look like other letters.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable

# control, format (bidirectional and zero-width ones too), lone surrogates, line separators
ESCAPED_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Letters and marks that are invisible, but of other categories.
INVISIBLE = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
INVISIBLE_PLANE = range(0xE0000, 0xE1000)  # tags and selectors, most of them unassigned
# a word of 400 letters or more, its beginning and its end
LONG_WORD = re.compile(r"(?<!\S)(\S{100})\S{250,}(\S{50})(?!\S)")
MOST_LETTERS = 4_000  # of a line that is printed
WRITTEN_OUT = 1e15  # below it a number is written without a power of ten
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(value: object, lines: bool = False) -> str:
    r"""The value as a text of one line, with unsafe characters as in Python: \x1b, \n, \u202e.

    lines: the text may have several lines. Its line feeds stay."""
    return _escaped(str(value), "\n" if lines else "", _as_in_python)


def shortened(text: str) -> str:
    """The text with the middle of each long word left out, and the end of each long line: names
    and cells that a line quotes may have any length."""
    words = LONG_WORD.sub(lambda m: f"{m[1]}... ({len(m[0])} letters) ...{m[2]}", text)
    lines = (
        line if len(line) <= MOST_LETTERS else f"{line[:MOST_LETTERS]} ... ({len(line)} letters)"
        for line in words.split("\n")
    )
    return "\n".join(lines)


def json_text(value: object, indent: int | None = None) -> str:
    r"""JSON with unsafe characters as JSON writes them: \u001b, \u202e. Without `indent` it is one
    line."""
    return safe_json(json.dumps(value, indent=indent, ensure_ascii=False))


def safe_json(text: str) -> str:
    r"""JSON with unsafe characters as JSON writes them: \u001b, \u202e. It reads back to the same
    value, as such characters stand within texts alone. Line feeds between the entries stay."""
    return _escaped(text, "\n", _as_in_json)


def encodable_json(text: str) -> str:
    """JSON with lone surrogates escaped, so that it can be written as UTF-8. They come from file
    names that aren't UTF-8."""
    if text.isascii():  # known without reading the text
        return text
    return LONE_SURROGATE.sub(lambda found: _as_in_json(found[0]), text)


def counted(count: int, one: str, several: str) -> str:
    """'1 row', '3 rows'."""
    return f"{count} {one if count == 1 else several}"


def in_digits(value: float, digits: int = 4, sign: str = "") -> str:
    """A number rounded to so many digits. A large one is written out, without a power of ten, up to
    1e15: 11530 and not 1.153e+04. sign: '+' prints a plus sign."""
    text = f"{value:{sign}.{digits}g}"
    return f"{float(text):{sign}.0f}" if "e+" in text and abs(value) < WRITTEN_OUT else text


def number_of_cell(value: float) -> str:
    """A number of a cell, for a screen or a page: a whole one below 1e15 with all its digits,
    another one with at most 6."""
    whole = math.isfinite(value) and value == int(value) and abs(value) < WRITTEN_OUT
    return str(int(value)) if whole else in_digits(value, 6)


def _escaped(text: str, kept: str, escape: Callable[[str], str]) -> str:
    if text.isascii() and text.isprintable():
        return text
    return text.translate({ord(c): escape(c) for c in set(text) if c not in kept and _unsafe(c)})


def _unsafe(character: str) -> bool:
    return (
        unicodedata.category(character) in ESCAPED_CATEGORIES
        or character in INVISIBLE
        or ord(character) in INVISIBLE_PLANE
    )


def _as_in_python(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _as_in_json(character: str) -> str:
    return json.dumps(character)[1:-1]
