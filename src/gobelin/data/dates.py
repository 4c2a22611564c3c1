"""Dates in cells: 2026-12-24, 2026/12/24, 24.12.2026, 12/24/2026, 24 Dec 2026, December 24, 2026,
and date objects.

With dots the day comes first. With slashes or hyphens and the year at the end, a column decides for
all its values: whoever writes 24/12/2026 once writes the day first. Where no value decides, nothing
is guessed. A year has four digits; names of months are English. A time of day may follow."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

ORDERS = ("day_first", "month_first")
MONTHS = (
    "january february march april may june july august september october november december".split()
)
TIME = r"(?:[ T,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?)?"
YEAR_FIRST = re.compile(r"\d{4}([-/])\d{1,2}\1")
SHORT = re.compile(r"-(\d)(?=[-T ]|$)")  # a month or day of one digit
NUMBERED = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<mark>[./-])(?P<other>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}){TIME}"
)
DAY_NAMED = re.compile(
    rf"(?P<day>\d{{1,2}})\.?[ -](?P<month>[a-z]{{3,9}})\.?,?[ -](?P<year>\d{{4}}){TIME}",
    re.IGNORECASE,
)
MONTH_NAMED = re.compile(
    rf"(?P<month>[a-z]{{3,9}})\.?[ -](?P<day>\d{{1,2}}),?[ -](?P<year>\d{{4}}){TIME}", re.IGNORECASE
)


def days(value: Any, order: str = "") -> float | None:  # noqa: ANN401 - a cell is any
    """Days since 1970-01-01; None for what is no date. order: of ORDERS, for dates whose order the
    value itself doesn't say."""
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
            return days(datetime.datetime.fromisoformat(SHORT.sub(r"-0\1", text.replace("/", "-"))))
        if found := NUMBERED.fullmatch(text):
            first, other = int(found["first"]), int(found["other"])
            if found["mark"] != "." and not order and first != other:
                return None
            day, month = (
                (first, other) if found["mark"] == "." or order == "day_first" else (other, first)
            )
        elif found := DAY_NAMED.fullmatch(text) or MONTH_NAMED.fullmatch(text):
            day, month = int(found["day"]), _month(found["month"])
        else:
            return None
        hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
        return days(datetime.datetime(int(found["year"]), month, day, hour, minute, second))
    except ValueError:  # a 30th of February
        return None


def _month(name: str) -> int:
    """1 to 12; 0 for no month."""
    return next((k for k, month in enumerate(MONTHS, 1) if month.startswith(name.lower())), 0)


def is_date(value: Any) -> bool:  # noqa: ANN401
    """Whether the value is a date in some order of day and month."""
    return any(days(value, order) is not None for order in ORDERS)


def undecided(values: Iterable[Any]) -> tuple[str, str]:
    """The order of most of those values that have one reading only, and the first value that has
    two; '' for none.

    An order reads every value but those that contradict it. A value with two readings and no order
    has to be asked about."""
    votes, doubtful = dict.fromkeys(ORDERS, 0), ""
    for value in values:
        if not isinstance(value, str) or days(value) is not None:
            continue
        read = [order for order in ORDERS if days(value, order) is not None]
        if len(read) == 1:
            votes[read[0]] += 1
        elif read:
            doubtful = doubtful or value
    return (max(ORDERS, key=lambda order: votes[order]) if any(votes.values()) else ""), doubtful
