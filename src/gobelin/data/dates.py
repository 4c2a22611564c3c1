"""Dates in cells: 2026-12-24, 2026/12/24, 24.12.2026, 12/24/2026, 24 Dec 2026, December 24, 2026,
and date objects.

With dots the day comes first. With slashes or hyphens and the year at the end, the values of a
column decide together: one 24/12/2026 shows that the day comes first in all. Where no value
decides, nothing is guessed. A year has four digits; it may have two with slashes, with dots
(24.12.26) or after the name of a month, and 69 to 99 are then of the last century. Names of months
are English. A time of day may follow, with AM or PM, and a zone: UTC, Z, +02:00.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

DATE_ORDERS = ("day_first", "month_first")
FIRST_SHORT_YEAR = 69  # as Python reads %y: 69 is 1969, 68 is 2068
MONTHS = (
    "january february march april may june july august september october november december".split()
)
TIME = (
    r"(?:[ T,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?"
    r"(?:\s?(?P<half>[APap])\.?[Mm]\.?)?"
    r"(?:\s?(?:UTC|GMT|Z|(?P<zone>[+-]\d{2}):?(?P<more>\d{2})))?)?"
)
YEAR = r"(?P<year>\d{4}|\d{2})"
TIMED = re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}}){TIME}")
YEAR_FIRST = re.compile(r"\d{4}([-/])\d{1,2}\1")
ONE_DIGIT = re.compile(r"-(\d)(?=[-T ]|$)")  # a month or day of one digit
NUMBERED = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<mark>[./-])(?P<other>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}){TIME}"
)
SLASHED = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<mark>/)(?P<other>\d{{1,2}})/(?P<year>\d{{2}}){TIME}"
)
DOTTED = re.compile(rf"(?P<first>\d{{2}})(?P<mark>\.)(?P<other>\d{{2}})\.(?P<year>\d{{2}}){TIME}")
DAY_NAMED = re.compile(
    rf"(?P<day>\d{{1,2}})\.?[ -](?P<month>[a-z]{{3,9}})\.?,?[ -]{YEAR}{TIME}",
    re.IGNORECASE,
)
MONTH_NAMED = re.compile(
    rf"(?P<month>[a-z]{{3,9}})\.?[ -](?P<day>\d{{1,2}}),?[ -](?P<year>\d{{4}}){TIME}", re.IGNORECASE
)


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
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        if YEAR_FIRST.match(text):
            text = ONE_DIGIT.sub(r"-0\1", text.replace("/", "-"))
            match = TIMED.fullmatch(text)
            if match is None or not (match["half"] or text.endswith(("UTC", "GMT"))):
                return days(datetime.datetime.fromisoformat(text))
            day, month = int(match["day"]), int(match["month"])
        elif match := NUMBERED.fullmatch(text) or SLASHED.fullmatch(text) or DOTTED.fullmatch(text):
            first, last = int(match["first"]), int(match["other"])
            if match["mark"] != "." and not order and first != last:
                return None
            day_first = match["mark"] == "." or order == "day_first"
            day, month = (first, last) if day_first else (last, first)
        elif match := DAY_NAMED.fullmatch(text) or MONTH_NAMED.fullmatch(text):
            day, month = int(match["day"]), _month(match["month"])
        else:
            return None
        hour, minute, seconds = (int(match[part] or 0) for part in ("hour", "minute", "second"))
        if half := match["half"]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + 12 * (half in "Pp")
        year = int(match["year"])
        if len(match["year"]) == 2:
            year += 1900 if year >= FIRST_SHORT_YEAR else 2000
        shift = int(match["zone"] or 0) * 60
        shift += int(match["more"] or 0) * (-1 if (match["zone"] or "").startswith("-") else 1)
        moment = days(datetime.datetime(year, month, day, hour, minute, seconds))
        return None if moment is None else moment - shift / (24 * 60)
    except ValueError:  # a 30th of February
        return None


def _month(name: str) -> int:
    """1 to 12; 0 for a word that is no month."""
    return next((k for k, month in enumerate(MONTHS, 1) if month.startswith(name.lower())), 0)


def is_date(value: Any) -> bool:  # noqa: ANN401
    """Whether the value is a date in at least one order of day and month."""
    return any(days(value, order) is not None for order in DATE_ORDERS)


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
