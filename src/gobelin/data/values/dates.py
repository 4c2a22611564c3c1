"""Dates in cells: 2026-12-24, 2026/12/24, 24.12.2026, 12/24/2026, 24 Dec 2026, December 24th, 2026,
2026-W05, 2026-05, 2026Q2, and date objects.

With dots the day comes first. With slashes or hyphens and the year at the end, the values of a
column decide together: one 24/12/2026 shows that the day comes first in all. Where no value
decides, nothing is guessed. A year has four digits; it may have two with slashes, with dots
(24.12.26) or after the name of a month, and 69 to 99 are then of the last century. A week, a month
or a quarter is its first day. A name of a day before the date is not looked at. A time of day may
follow, with AM or PM, and a zone: UTC, Z, +02:00, EST, Europe/Berlin.

Whole numbers are dates only where the user says so: 20261224, and the seconds, milliseconds,
microseconds or nanoseconds since 1970.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterable
from typing import Any

DATE_ORDERS = ("day_first", "month_first")
FIRST_SHORT_YEAR = 69  # as Python reads %y: 69 is 1969, 68 is 2068
LONGEST = 80  # letters of a date, at most
# of English, German, French, Spanish, Italian, Portuguese and Dutch, in the order of the year
MONTHS = (
    "january januar janvier enero gennaio janeiro januari",
    "february februar février fevrier febrero febbraio fevereiro februari",
    "march märz maerz mrz mars marzo março marco maart",
    "april avril abril aprile",
    "may mai mayo maggio maio mei",
    "june juni juin junio giugno junho",
    "july juli juillet julio luglio julho",
    "august août aout agosto augustus",
    "september septembre septiembre settembre setembro",
    "october oktober octobre octubre ottobre outubro",
    "november novembre noviembre novembro",
    "december dezember décembre decembre diciembre dicembre dezembro",
)
# hours from UTC; names that two countries use for two zones are left out
ZONES = {
    **dict.fromkeys(("UTC", "GMT", "Z", "UT", "WET"), 0),
    **dict.fromkeys(("CET", "BST", "WEST"), 1),
    **dict.fromkeys(("CEST", "EET"), 2),
    **dict.fromkeys(("EEST", "MSK"), 3),
    **{"EST": -5, "EDT": -4, "CDT": -5, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8},
    **{"JST": 9, "KST": 9, "AEST": 10, "AEDT": 11},
}
TIME = (
    r"(?:[ T,]+(?:at )?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"(?:\s?(?P<half>[APap])\.?[Mm]\.?)?"
    r"(?:\s?(?:Uhr|(?P<named>[A-Z]{1,4})|(?P<zone>[+-]\d{2}):?(?P<more>\d{2})))?)?"
)
YEAR = r"(?P<year>\d{4}|\d{2})"
NAME = r"(?P<month>[^\W\d_]{3,10})"
WEEKDAY = re.compile(r"(?P<name>[^\W\d_]{2,10})\.?,?\s+(?=\d|[^\W\d_]{3,10}\.?\s+\d)")
PLACE = re.compile(r" ?\[?(?P<place>UTC|[A-Z][A-Za-z_]+/[A-Za-z_/]+)\]?$")
TIMED = re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}}){TIME}")
YEAR_FIRST = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}(?=[T ,]|$)")
ONE_DIGIT = re.compile(r"-(\d)(?=[-T ,]|$)")  # a month or day of one digit
NUMBERED = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<mark>[./-])(?P<other>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}){TIME}"
)
SLASHED = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<mark>/)(?P<other>\d{{1,2}})/(?P<year>\d{{2}}){TIME}"
)
DOTTED = re.compile(rf"(?P<first>\d{{2}})(?P<mark>\.)(?P<other>\d{{2}})\.(?P<year>\d{{2}}){TIME}")
NTH = r"(?:st|nd|rd|th)?"
DAY_NAMED = re.compile(
    rf"(?P<day>\d{{1,2}}){NTH}\.?(?: de| of)?[ -]{NAME}\.?,?(?: de)?[ -]{YEAR}{TIME}"
)
MONTH_NAMED = re.compile(rf"{NAME}\.?[ -](?P<day>\d{{1,2}}){NTH},?[ -](?P<year>\d{{4}}){TIME}")
YEAR_LAST = re.compile(  # as C and Unix write it
    rf"{NAME} +(?P<day>\d{{1,2}}) +(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?: (?P<named>[A-Z]{3,4}))? (?P<year>\d{4})"
)
EAST_ASIAN = re.compile(
    r"(?P<year>\d{4})\s?[年년]\s?(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日일]"
)
WEEK = re.compile(r"(?P<year>\d{4})-?W(?P<week>\d{2})(?:-?(?P<day>[1-7]))?")
MONTH = re.compile(
    rf"(?P<year>\d{{4}})[-/](?P<number>\d{{1,2}})|(?P<number2>\d{{1,2}})/(?P<year2>\d{{4}})"
    rf"|{NAME}\.?[ -](?P<year3>\d{{4}})"
)
QUARTER = re.compile(
    r"(?P<year>\d{4})[ /-]?Q(?P<quarter>[1-4])|Q(?P<quarter2>[1-4])[ /-](?P<year2>\d{4})"
)
PERIOD = re.compile("|".join(re.sub(r"\?P<\w+>", "?:", p.pattern) for p in (WEEK, MONTH, QUARTER)))
YEAR_ALONE = re.compile(r"[12]\d{3}")
CLOCK_END = re.compile(
    r"\d:\d{2}(?::\d{2})?(?:[.,]\d+)?(?:\s?[APap]\.?[Mm]\.?)?"
    r"(?P<zone>\s?(?:[A-Z]{1,4}|[+-]\d{2}:?(?:\d{2})?))?$"
)
# seconds and less since 1970, by the count of their digits
EPOCHS = {10: 1.0, 13: 1e3, 16: 1e6, 19: 1e9}
WHOLE = re.compile(r"\d{8}|\d{10}|\d{13}|\d{16}|\d{19}")


def days(value: Any, order: str = "") -> float | None:  # noqa: ANN401 - a cell is any
    """Days since 1970-01-01; None for a value that is no date. order: one of DATE_ORDERS, for dates
    whose order can't be seen.
    """
    if isinstance(value, datetime.datetime):
        return (
            value.timestamp() / 86400
            if value.tzinfo
            else (value - datetime.datetime(1970, 1, 1)).total_seconds() / 86400
        )
    if isinstance(value, datetime.date):
        return float((value - datetime.date(1970, 1, 1)).days)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        value = str(int(value)) if abs(value) < 1e20 else ""
    if not isinstance(value, str) or len(value) > LONGEST:
        return None
    text = value.strip()
    try:
        if WHOLE.fullmatch(text):
            return _of_digits(text)
        if (period := _period(text)) is not None:
            return period
        return _of_text(text, order)
    except (ValueError, OverflowError):  # a 30th of February
        return None


def has_zone(value: Any) -> bool | None:  # noqa: ANN401 - a cell is any
    """Whether a time names its zone; None for a value without a time of day."""
    if isinstance(value, datetime.datetime):
        return value.tzinfo is not None
    text = value.strip() if isinstance(value, str) and len(value) <= LONGEST else ""
    if _without_place(text)[1]:
        return True
    match = CLOCK_END.search(text)
    return None if match is None else match["zone"] is not None


def span(text: str) -> tuple[float, float] | None:
    """First and last day, since 1970-01-01, of a year (1979), a quarter, a month or a week of seven
    days; None for another text, as one day, and where the last day is beyond the calendar."""
    text = text.strip()
    try:
        if YEAR_ALONE.fullmatch(text):
            year = int(text)
            return _days(datetime.datetime(year, 1, 1)), _days(datetime.datetime(year, 12, 31))
        first = _period(text)
        if first is None:
            return None
        if match := WEEK.fullmatch(text):
            return None if match["day"] else (first, first + 6)
        months = 3 if QUARTER.fullmatch(text) else 1
        start = datetime.date(1970, 1, 1) + datetime.timedelta(first)
        years, month = divmod(start.month - 1 + months, 12)
        after = datetime.datetime(start.year + years, month + 1, 1)
    except (ValueError, OverflowError):
        return None
    return first, _days(after) - 1


def _of_digits(text: str) -> float:
    """20261224, or the time since 1970. Raises ValueError."""
    if len(text) == 8:
        return _days(datetime.datetime(int(text[:4]), int(text[4:6]), int(text[6:])))
    return int(text) / EPOCHS[len(text)] / 86400


def _period(text: str) -> float | None:
    """The first day of a week, a month or a quarter; None for another text. Raises ValueError."""
    if match := WEEK.fullmatch(text):
        day = int(match["day"] or 1)
        first = datetime.date.fromisocalendar(int(match["year"]), int(match["week"]), day)
        return float((first - datetime.date(1970, 1, 1)).days)
    if match := MONTH.fullmatch(text):
        year = match["year"] or match["year2"] or match["year3"]
        number = match["number"] or match["number2"]
        month = int(number) if number else _month(match["month"])
        return _days(datetime.datetime(int(year), month, 1))
    if match := QUARTER.fullmatch(text):
        year, quarter = match["year"] or match["year2"], match["quarter"] or match["quarter2"]
        return _days(datetime.datetime(int(year), 3 * int(quarter) - 2, 1))
    return None


def _of_text(text: str, order: str) -> float | None:
    """A date that names its day; None for another text. Raises ValueError."""
    text, place = _without_place(text)
    if (weekday := WEEKDAY.match(text)) and not _month(weekday["name"]):
        text = text[weekday.end() :]
    match: re.Match[str] | None
    if YEAR_FIRST.match(text):
        head, tail = text[:10].replace("/", "-").replace(".", "-"), text[10:]
        text = ONE_DIGIT.sub(r"-0\1", head + tail)
        match = TIMED.fullmatch(text)
        if match is None:
            return days(datetime.datetime.fromisoformat(text))
        day, month = int(match["day"]), int(match["month"])
    elif match := NUMBERED.fullmatch(text) or SLASHED.fullmatch(text) or DOTTED.fullmatch(text):
        first, last = int(match["first"]), int(match["other"])
        if match["mark"] != "." and not order and first != last:
            return None
        day_first = match["mark"] == "." or order == "day_first"
        day, month = (first, last) if day_first else (last, first)
    elif (
        match := DAY_NAMED.fullmatch(text)
        or MONTH_NAMED.fullmatch(text)
        or YEAR_LAST.fullmatch(text)
    ):
        day, month = int(match["day"]), _month(match["month"])
    elif match := EAST_ASIAN.fullmatch(text):
        return _days(datetime.datetime(int(match["year"]), int(match["month"]), int(match["day"])))
    else:
        return None
    return _moment(match, month, day, place)


def _moment(match: re.Match[str], month: int, day: int, place: str) -> float | None:
    """Days of this day and of the time and zone in `match`. Raises ValueError."""
    parts = match.groupdict()
    hour, minute, seconds = (int(parts[part] or 0) for part in ("hour", "minute", "second"))
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half in "Pp")
    year = int(parts["year"])
    if len(parts["year"]) == 2:
        year += 1900 if year >= FIRST_SHORT_YEAR else 2000
    whole = hour == 24 and not minute and not seconds  # the end of the day, in ISO 8601
    moment = datetime.datetime(year, month, day, 0 if whole else hour, minute, seconds)
    if place:
        return moment.replace(tzinfo=zoneinfo.ZoneInfo(place)).timestamp() / 86400 + whole
    zone, named = parts.get("zone") or "", parts.get("named")
    if named and named not in ZONES:
        return None
    shift = 60 * ZONES.get(named or "", 0) + 60 * int(zone or 0)
    shift += int(parts.get("more") or 0) * (-1 if zone.startswith("-") else 1)
    return _days(moment) + whole - shift / (24 * 60)


def _without_place(text: str) -> tuple[str, str]:
    """The text before the name of a zone such as Europe/Berlin, and that name; '' for none."""
    match = PLACE.search(text)
    if match is None or ":" not in text:
        return text, ""
    try:
        zoneinfo.ZoneInfo(match["place"])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return text, ""
    return text[: match.start()], match["place"]


def _days(moment: datetime.datetime) -> float:
    return (moment - datetime.datetime(1970, 1, 1)).total_seconds() / 86400


def is_month(word: str) -> bool:
    """Whether a word of three letters or more is a month, or begins one."""
    return len(word) > 2 and _month(word) > 0


def _month(name: str) -> int:
    """1 to 12; 0 for a word that is no month."""
    start = name.lower()
    return next(
        (k for k, names in enumerate(MONTHS, 1) if any(m.startswith(start) for m in names.split())),
        0,
    )


def is_date(value: Any) -> bool:  # noqa: ANN401
    """Whether the value is a date in at least one order of day and month, and no number."""
    if isinstance(value, int | float) or (
        isinstance(value, str) and WHOLE.fullmatch(value.strip())
    ):
        return False
    return any(days(value, order) is not None for order in DATE_ORDERS)


def needs_a_word(value: Any) -> bool:  # noqa: ANN401
    """Whether a date is read as one day where a person may think of another, or of several: a week,
    a month, a quarter, a year of two digits.
    """
    if not isinstance(value, str) or len(value) > LONGEST:
        return False
    text = value.strip()
    short = SLASHED.fullmatch(text) or DOTTED.fullmatch(text)
    named = DAY_NAMED.fullmatch(text)
    return bool(short or (named and len(named["year"]) == 2) or PERIOD.fullmatch(text))


def undecided(values: Iterable[Any]) -> tuple[str, str]:
    """The order of day and month in a column, and the first value that is a date in both orders; ''
    for none.

    The order is that of most values that are a date in one order only. Where it is '' and there is
    a value with both orders, the caller has to ask the user.
    """
    votes, doubtful = dict.fromkeys(DATE_ORDERS, 0), ""
    for value in values:
        if not isinstance(value, str) or days(value) is not None:
            continue
        orders = [order for order in DATE_ORDERS if days(value, order) is not None]
        if len(orders) == 1:
            votes[orders[0]] += 1
        elif orders:
            doubtful = doubtful or value
    return (
        max(DATE_ORDERS, key=lambda order: votes[order]) if any(votes.values()) else ""
    ), doubtful
