"""One value written in several ways: 1, 1.0, True and "1 " are one category."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

TRUTH = {"true": "1", "false": "0"}
# what is cut from both ends: spaces of all kinds, and signs without a width
BLANK = "".join(map(chr, [*range(9, 14), 32, 0x85, 0xA0, 0xAD, 0x1680, *range(0x2000, 0x2010)]))
BLANK += "".join(map(chr, [0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF]))
DECIMALS = re.compile(r"([-+]?(?:0|[1-9]\d*))\.(\d*?)0*")


def named(value: Any) -> str:  # noqa: ANN401 - a cell is any
    """A value as text. 2.0 is '2': a column of whole numbers with an empty cell is read as
    floats.
    """
    whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    return str(int(value)) if whole else str(value)


def spelled(value: Any) -> str:  # noqa: ANN401
    """The same text for every way to write a value. Digits that start with a zero are a code, and
    stay as they are.
    """
    text = unicodedata.normalize("NFC", named(value)).strip(BLANK)
    if match := DECIMALS.fullmatch(text):
        text = match[1] + (f".{match[2]}" if match[2] else "")
    return TRUTH.get(text.lower(), text)


def one_value(values: Iterable[Any]) -> bool:
    """Whether there is one value alone, in one or several spellings; the first other one ends it,
    as a text of each takes time and memory."""
    first = None
    for value in values:
        text = spelled(value)
        if first not in (None, text):
            return False
        first = text
    return first is not None


def usual(values: Iterable[Any]) -> dict[str, str]:
    """{`spelled` value: how it is mostly written} of the present values."""
    counts: dict[str, Counter[str]] = {}
    for value in values:
        counts.setdefault(spelled(value), Counter())[named(value).strip()] += 1
    return {
        s: min(written, key=lambda text: (-written[text], text)) for s, written in counts.items()
    }


def case_remark(values: Iterable[Any]) -> str:
    """What a user should know of values that differ in case or in spaces alone; '' for others."""
    written: dict[str, str] = {}
    for value in values:
        one = spelled(value)
        other = written.setdefault(" ".join(one.casefold().split()), one)
        if other != one:
            return f"{other[:40]!r} and {one[:40]!r} are read as two different values."
    return ""
