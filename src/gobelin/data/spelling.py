"""One value written in several ways: 1, 1.0, True and "1 " are one category."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

TRUTH = {"true": "1", "false": "0"}
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
    text = unicodedata.normalize("NFC", named(value)).strip()
    if match := DECIMALS.fullmatch(text):
        text = match[1] + (f".{match[2]}" if match[2] else "")
    return TRUTH.get(text.lower(), text)


def usual(values: Iterable[Any]) -> dict[str, str]:
    """{`spelled` value: how it is mostly written} of the present values."""
    counts: dict[str, Counter[str]] = {}
    for value in values:
        counts.setdefault(spelled(value), Counter())[named(value).strip()] += 1
    return {
        s: min(written, key=lambda text: (-written[text], text)) for s, written in counts.items()
    }
