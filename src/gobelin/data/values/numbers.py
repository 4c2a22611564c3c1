"""Numbers in cells, as the world writes them: 1234.5, 1,234.5, 1.234,5, 1 234,5, 1'234.5, (12),
$ 3, 3 EUR, 12,-, 12-, 12 %, 1,5e3, 3.3 ± 0.1, 52°31'N.

Where a comma or a point can be a decimal mark or part thousands, the values of a column decide
together, as with dates. One unit that all cells of a column have, as in 5 kg, is no part of the
number; several of one dimension are converted to the most frequent one, others are not. An error
behind ± is left out. A time of day, and a duration as 1:30, are hours. Codes are no
numbers: 1_0 is a text. A per cent is a hundredth.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gobelin.data.fields import NO_NUMBER
from gobelin.data.values.angles import degrees
from gobelin.data.values.spelling import TRUTH
from gobelin.data.values.units import convertible, factor

LARGEST = 1e300  # a larger number counts as this, so that no difference of two overflows
COMMA, POINTED_COMMA = ",", ".,"  # decimal marks of a column: 1,5; 1.234,5. '' is the point
SPACES = "[  \u202f\u2009'’]"  # between thousands
SIGN = "[-+−–—‐‑－]"  # people write all of these lines for a minus
MINUS = "-−–—‐‑－"
MONEY = (
    "(?:[$€£¥₹₽₩₺₪฿₴₦₫₨]|(?:US|A|C|NZ|HK|S|R)\\$|USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|NZD|SEK|NOK"
    "|DKK|PLN|CZK|HUF|RON|BRL|ZAR|RUB|TRY|KRW|MXN|SGD|HKD|kr\\.?|zł|Kč|Ft|lei|Fr\\.|Rs\\.?)"
)
ONE_MONEY = (  # signs and names of one currency; the rest are their own
    ("$", "usd", "us$"),
    ("€", "eur"),
    ("£", "gbp"),
    ("¥", "jpy", "cny", "rmb"),
    ("₹", "rs", "inr"),
    ("₽", "rub"),
    ("₩", "krw"),
    ("₺", "try"),
    ("zł", "pln"),
    ("kč", "czk"),
    ("ft", "huf"),
    ("lei", "ron"),
    ("r$", "brl"),
    ("s$", "sgd"),
    ("c$", "cad"),
    ("a$", "aud"),
    ("fr", "chf"),
    ("kr", "sek", "nok", "dkk"),
)
WRITTEN = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>{SIGN})?\s*(?:{MONEY}\s*)?(?P<second>{SIGN})?"
    rf"(?P<digits>\d(?:[\d.,]|{SPACES})*?|[.,]\d+)(?:[eE](?P<exponent>[-+]?\d{{1,3}}))?"
    rf"(?:[.,][-–—])?(?P<behind>[-−])?(?:\s*(?:±|\+/[-−])\s*[\d.,]+)?"
    rf"\s*(?P<percent>[%‰])?\s*(?:{MONEY})?\s*(?P<close>\))?"
)
# hours, minutes and seconds, with days before them or a half of the day after them
CLOCK = re.compile(
    r"(?:(?P<days>-?\d+) days?,? \+?)?(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d)"
    r"(?::(?P<seconds>[0-5]\d(?:[.,]\d+)?))?(?:\s?(?P<half>[APap])\.?[Mm]\.?)?"
)
UNITED = re.compile(
    r"(?P<number>.*\d)\s*(?P<unit>[^\W\d_](?:[^\W\d_]|[./^²³·°-])*[²³\d]?|°[CFK]?|[\"'′″])"
)
LONGEST = 64  # letters of a number, at most
WITH_DIGITS = re.compile(r"\W*\d")
SPACED = re.compile(rf"\d{{1,3}}(?:{SPACES}\d{{3}})+(?:[.,]\d+)?")
POINT = re.compile(
    r"\d+(?:\.\d*)?|\.\d+|[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|[1-9]\d?(?:,\d{2})+,\d{3}"
)
DECIMAL_COMMA = re.compile(r"\d+|\d*,\d+|[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
INFINITE = {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "∞", "+∞", "-∞"}
PLAIN_STARTS = frozenset("0123456789+-.")  # of a text without a sign of money before its number
LEADING_ZERO = re.compile(r"[-+]?0\d+")


def number(
    value: Any,  # noqa: ANN401 - a cell is any
    mark: str = "",
    unit: str = "",
) -> float | None:
    """The number in a cell; None for a value that is none. mark, unit: of its column
    (`Writing`).
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, datetime.time):
        return value.hour + value.minute / 60 + (value.second + value.microsecond / 1e6) / 3600
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.date | bytes | list | dict):
        return None
    text = str(value).strip().replace("\u00a0", "")
    match = _united(text) if unit else None
    if match and (times := factor(_singular(match["unit"]), unit)):
        found = _of_text(match["number"].strip(), mark)
        return None if found is None else found * times
    return _of_text(text, mark)


def _of_text(text: str, mark: str) -> float | None:
    """The number in a text without a unit."""
    if mark == POINTED_COMMA:
        point, comma = _readings(text)
        if comma is not None:
            return comma
    if "_" not in text:
        try:
            return _clipped(float(text))
        except ValueError:
            pass
    if clock := CLOCK.fullmatch(text):
        return _hours(clock)
    if "°" in text or "º" in text:
        return degrees(text)
    point, comma = _readings(text)
    first, second = (comma, point) if mark else (point, comma)
    return first if first is not None else second


def is_clock(value: Any) -> bool:  # noqa: ANN401
    """Whether a cell is a time of day or a duration in hours."""
    return isinstance(value, datetime.time) or (
        isinstance(value, str) and bool(CLOCK.fullmatch(value.strip()))
    )


@dataclass(frozen=True)
class Writing:
    """How the numbers of a column are written.

    mark: the decimal mark ('', ',' or '.,'). unit: that cells are converted to, '' for none. word:
    that stands where there is no number, beside the usual ones; '' for none. doubtful: the first
    value that is a number with either mark, where no value decides; '' for none.
    """

    mark: str = ""
    unit: str = ""
    word: str = ""
    doubtful: str = ""

    @staticmethod
    def of(values: Iterable[Any]) -> Writing:
        """How these present values are written."""
        column = [v for v in values if not means_none(v)]
        unit = _unit(column)
        if unit:
            column = [_without_unit(v, unit) for v in column]
        mark, doubtful = decimal_mark(column)
        return Writing(mark, unit, "" if unit else _word(column, mark), doubtful)

    def number(self, value: Any) -> float | None:  # noqa: ANN401
        """The number in a cell; None for a value that is none."""
        return number(value, self.mark, self.unit)

    def means_none(self, value: Any) -> bool:  # noqa: ANN401
        """Whether a cell says in a word that it holds no number."""
        return means_none(value) or self.is_word(value)

    def is_word(self, value: Any) -> bool:  # noqa: ANN401
        """Whether a cell is the column's own word for a missing number."""
        return bool(self.word) and isinstance(value, str) and value.strip().lower() == self.word

    @property
    def stored(self) -> dict[str, str]:
        """What an encoder keeps: the parts that are not empty."""
        parts = {"mark": self.mark, "unit": self.unit, "word": self.word}
        return {name: part for name, part in parts.items() if part}


def _unit(values: Sequence[Any]) -> str:
    """The unit of all values, in lower case and without a plural's s: the most frequent one where
    they have several that are converted into each other; '' for none."""
    found: Counter[str] = Counter()
    for value in values:
        match = _united(value) if isinstance(value, str) else None
        if match is None or number(match["number"]) is None or number(value) is not None:
            return ""
        found[_singular(match["unit"])] += 1
        if not convertible(found):
            return ""
    return max(found, key=lambda unit: (found[unit], unit), default="")


def converted(values: Iterable[Any], unit: str) -> str:
    """The first text that has another unit than that of its column; '' for none."""
    return next((v for v in values if isinstance(v, str) and _unit([v]) not in ("", unit)), "")


def _united(text: str) -> re.Match[str] | None:
    """A number and its unit."""
    return UNITED.fullmatch(text.strip()) if len(text) <= LONGEST else None


def _singular(unit: str) -> str:
    """3 stars and 1 star have one unit."""
    lower = unit.lower()
    return lower[:-1] if len(lower) > 2 and lower.endswith("s") else lower


def _without_unit(text: str, unit: str) -> str:
    """The number before the unit; the text itself where it ends otherwise."""
    match = _united(text)
    has_unit = match and factor(_singular(match["unit"]), unit)
    return match["number"].strip() if match and has_unit else text


def _word(values: Sequence[Any], mark: str) -> str:
    """A word that stands more than once where most values are numbers, in lower case; '' where
    there is none, or more than one.
    """
    others = Counter(
        v.strip().lower() if isinstance(v, str) else "" for v in values if number(v, mark) is None
    )
    if len(others) != 1 or sum(others.values()) > len(values) / 2:
        return ""
    ((word, count),) = others.items()
    known = word in TRUTH or any(c.isdigit() for c in word)
    return word if count > 1 and not known else ""


def _hours(clock: re.Match[str]) -> float | None:
    """The hours of a time or of a duration; None for 13:00 PM."""
    hours = float(clock["hours"])
    if half := clock["half"]:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + 12 * (half in "Pp")
    seconds = float((clock["seconds"] or "0").replace(",", "."))
    return 24.0 * int(clock["days"] or 0) + hours + int(clock["minutes"]) / 60 + seconds / 3600


def decimal_mark(values: Iterable[Any]) -> tuple[str, str]:
    """The decimal mark of a column ('', ',' or '.,'), and the first value that is a number with
    either mark where no value decides; '' for none. Undecided, a comma parts thousands and a point
    is a decimal mark; unless the numbers go on where those with a point begin (`_go_on`).
    """
    commas = points = 0
    doubtful, thousands = "", False
    pointed: list[float] = []  # numbers with either mark, read with the point as decimal mark
    whole: list[str] = []
    for value in values:
        if not isinstance(value, str):
            continue
        if not ("," in value or "." in value):
            whole.append(value)
            continue
        point, comma = _readings(value.strip().replace("\u00a0", ""))
        if point is None or comma is None:
            commas += point is None and comma is not None
            points += comma is None and point is not None
            thousands |= comma is not None and "." in value
        elif point != comma:
            doubtful = doubtful or value
            thousands |= "." in value
            pointed += [point] if "." in value and point is not None else []
    if commas > points:
        return POINTED_COMMA if thousands else COMMA, ""
    if not points and "." in doubtful and _go_on(whole, pointed):
        return POINTED_COMMA, ""
    return "", "" if points else doubtful


def _go_on(whole: Sequence[str], pointed: Sequence[float]) -> bool:
    """Whether 850, 937 and 999 go on as 1.075 and 1.542: with the point as decimal mark every whole
    number, and there are three different ones, would be larger than every number with a point, and
    yet none has four digits. So a point parts thousands.

    whole: texts without a mark. pointed: numbers with three digits behind a point."""
    read = (_readings(text.strip())[0] for text in set(whole))
    counts = {abs(x) for x in read if x}
    return (
        len(counts) > 2
        and all(x.is_integer() and x < 1000 for x in counts)
        and min(counts) > max(map(abs, pointed))
    )


def numbers_of(values: Iterable[Any]) -> list[float | None]:
    """The numbers of a column [N], None for other values and for words that mean none."""
    column = list(values)
    writing = Writing.of(v for v in column if v is not None)
    return [None if v is None or writing.means_none(v) else writing.number(v) for v in column]


def means_none(value: Any) -> bool:  # noqa: ANN401
    """Whether a cell says in a word that it holds no number and no date, or is infinite."""
    return is_infinite(value) or (isinstance(value, str) and value.strip().lower() in NO_NUMBER)


def is_infinite(value: Any) -> bool:  # noqa: ANN401
    """Whether a cell says that its number is larger than all others, or smaller."""
    if isinstance(value, float):
        return math.isinf(value)
    return isinstance(value, str) and value.strip().lower() in INFINITE


def is_code(value: Any) -> bool:  # noqa: ANN401
    """Whether digits name something, as in 007: a number is not written with zeros before it."""
    return isinstance(value, str) and bool(LEADING_ZERO.fullmatch(value.strip()))


def mixed(texts: Sequence[str]) -> tuple[str, str] | None:
    """The first two texts with different signs of money, or one with a per cent and one without;
    None where all are alike. Money without a sign goes with any."""
    if all(text[:1] in PLAIN_STARTS and text[-1:].isdigit() for text in texts):
        return None
    money: dict[str, str] = {}
    percent: dict[bool, str] = {}
    for text in texts:
        match = WRITTEN.fullmatch(text.strip()) if len(text) <= LONGEST else None
        if match is None or not float(re.sub("[^1-9]", "", match["digits"]) or 0):
            continue  # nothing is 0 in any unit
        percent.setdefault(bool(match["percent"]), text)
        if sign := re.search(MONEY, text):
            name = sign[0].lower().rstrip(".")
            same = next((some[0] for some in ONE_MONEY if name in some), name)
            money.setdefault(same, text)
    for found in (list(money.values()), list(percent.values())):
        if len(found) > 1:
            return found[0], found[1]
    return None


def looks_written(values: Sequence[Any]) -> str:
    """The first of the texts, where nearly all begin with a digit, as numbers, dates and codes do;
    '' for other texts.
    """
    texts = [v for v in values if isinstance(v, str) and not means_none(v)]
    digits = [v for v in texts if WITH_DIGITS.match(v)]
    return digits[0] if texts and len(digits) >= 0.9 * len(texts) else ""


def _readings(text: str) -> tuple[float | None, float | None]:
    """The number with a point, and the number with a comma as decimal mark."""
    match = WRITTEN.fullmatch(text) if len(text) <= LONGEST else None
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None, None
    digits = match["digits"].strip()
    if SPACED.fullmatch(digits):
        digits = re.sub(SPACES, "", digits)
    signs = "".join(match[sign] or "" for sign in ("sign", "second", "behind"))
    negative = len(signs) == 1 and signs in MINUS
    scale = {"%": 0.01, "‰": 0.001}.get(match["percent"] or "", 1.0)
    scale *= -1.0 if negative or match["open"] else 1.0
    power = f"e{match['exponent'] or 0}"
    point = float(digits.replace(",", "") + power) if POINT.fullmatch(digits) else None
    comma = (
        float(digits.replace(".", "").replace(",", ".") + power)
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
