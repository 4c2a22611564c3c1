"""Numbers in cells, as the world writes them: 1234.5, 1,234.5, 1.234,5, 1 234,5, 1'234.5, (12),
$ 3, 3 EUR, 12 %.

Where a comma or a point can be a decimal mark or part thousands, the values of a column decide
together, as with dates. Codes are no numbers: 1_0 is a text. A per cent is a hundredth.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable
from typing import Any

from gobelin.data.fields import NO_NUMBER

LARGEST = 1e300  # a larger number counts as this, so that no difference of two overflows
COMMA, POINTED_COMMA = ",", ".,"  # decimal marks of a column: 1,5; 1.234,5. '' is the point
SPACES = "[  \u202f\u2009'’]"  # between thousands
MONEY = (
    "(?:[$€£¥₹₽₩₺₪฿]|(?:US|A|C|NZ|HK|R)\\$|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK"
    "|HUF|BRL|ZAR|kr\\.?|zł|Fr\\.)"
)
WRITTEN = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+−])?\s*(?:{MONEY}\s*)?(?P<second>[-+−])?"
    rf"(?P<digits>\d(?:[\d.,]|{SPACES})*|[.,]\d+)\s*(?P<percent>%)?\s*(?:{MONEY})?\s*(?P<close>\))?"
)
SPACED = re.compile(rf"\d{{1,3}}(?:{SPACES}\d{{3}})+(?:[.,]\d+)?")
POINT = re.compile(
    r"\d+(?:\.\d*)?|\.\d+|[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|[1-9]\d?(?:,\d{2})+,\d{3}"
)
DECIMAL_COMMA = re.compile(r"\d+|\d*,\d+|[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
LEADING_ZERO = re.compile(r"[-+]?0\d+")


def number(value: Any, mark: str = "") -> float | None:  # noqa: ANN401 - a cell is any
    """The number in a cell; None for a value that is none. mark: of its column (`decimal_mark`)."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, datetime.date | bytes | list | dict):
        return None
    text = str(value).strip().replace("\u00a0", "")
    if mark == POINTED_COMMA:
        point, comma = _readings(text)
        if comma is not None:
            return comma
    if "_" not in text:
        try:
            return _clipped(float(text))
        except ValueError:
            pass
    point, comma = _readings(text)
    first, second = (comma, point) if mark else (point, comma)
    return first if first is not None else second


def decimal_mark(values: Iterable[Any]) -> tuple[str, str]:
    """The decimal mark of a column ('', ',' or '.,'), and the first value that is a number with
    either mark where no value decides; '' for none. Undecided, a comma parts thousands.
    """
    commas = points = 0
    doubtful, thousands = "", False
    for value in values:
        if not isinstance(value, str) or not ("," in value or "." in value):
            continue
        point, comma = _readings(value.strip().replace("\u00a0", ""))
        if point is None or comma is None:
            commas += point is None and comma is not None
            points += comma is None and point is not None
            thousands |= comma is not None and "." in value
        elif point != comma:
            doubtful = doubtful or (value if "," in value else "")
            thousands |= "." in value
    if commas > points:
        return POINTED_COMMA if thousands else COMMA, ""
    return "", "" if points else doubtful


def numbers_of(values: Iterable[Any]) -> list[float | None]:
    """The numbers of a column [N], None for other values and for words that mean none."""
    column = list(values)
    mark = decimal_mark(column)[0]
    return [None if v is None or means_none(v) else number(v, mark) for v in column]


def means_none(value: Any) -> bool:  # noqa: ANN401
    """Whether a cell says in a word that it holds no number and no date."""
    return isinstance(value, str) and value.strip().lower() in NO_NUMBER


def is_code(value: Any) -> bool:  # noqa: ANN401
    """Whether digits name something, as in 007: a number is not written with zeros before it."""
    return isinstance(value, str) and bool(LEADING_ZERO.fullmatch(value.strip()))


def _readings(text: str) -> tuple[float | None, float | None]:
    """The number with a point, and the number with a comma as decimal mark."""
    match = WRITTEN.fullmatch(text)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None, None
    digits = match["digits"].strip()
    if SPACED.fullmatch(digits):
        digits = re.sub(SPACES, "", digits)
    negative = (match["sign"] or "") + (match["second"] or "") in ("-", "−")
    scale = (-1 if negative or match["open"] else 1) * (0.01 if match["percent"] else 1)
    point = float(digits.replace(",", "")) if POINT.fullmatch(digits) else None
    comma = (
        float(digits.replace(".", "").replace(",", "."))
        if DECIMAL_COMMA.fullmatch(digits)
        else None
    )
    return (
        None if point is None else _clipped(point * scale),
        None if comma is None else _clipped(comma * scale),
    )


def _clipped(value: float) -> float | None:
    """The number, not beyond LARGEST; None for one that is not finite."""
    return min(max(value, -LARGEST), LARGEST) if math.isfinite(value) else None
