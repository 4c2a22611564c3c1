"""When a value was known: the moment of a row, and of each sample of a series.

A time without a time of day lasts until its end: a figure of 24 December is known at the end of
that day, and a figure of May at the end of May. Two moments that both name a zone are compared in
UTC. Else their clocks are compared as they are written, and the caller can say so.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from gobelin.data.values.dates import PERIOD, WHOLE, ZONES, days, span, undecided

INSTANT = 2e-8  # days, two milliseconds: a day ends so long before the next one begins
REMEMBERED = 65_536  # texts whose moment is kept
MINUTES = 1440  # of a day
HALF = 5e-9  # days; moments nearer than this are one
NAMED_ZONE = rf"(?:{'|'.join(sorted(ZONES, key=len, reverse=True))})"
ZONE_LAST = re.compile(
    rf"(?<=[\d\sAPMapm.])\s?(?:{NAMED_ZONE}|[+-]\d{{2}}:?\d{{2}}|\[?[A-Z][A-Za-z_]+/[A-Za-z_/]+\]?)$"
)
ZONE_INSIDE = re.compile(rf"(?<=:\d\d) {NAMED_ZONE}(?= \d{{4}}$)")  # as Unix writes it


@dataclass(frozen=True)
class Moment:
    """A moment, or the time that a day, week, month or quarter lasts.

    start: days since 1970 on the clock that it is written by. end: when it is over; start itself
    for a moment. ahead: days that this clock is ahead of UTC; None where no zone is named.
    """

    start: float
    end: float
    ahead: float | None = None

    def after(self, other: Moment) -> bool:
        """Whether this was known only after the other one was over."""
        if self.ahead is None or other.ahead is None:
            return self.end > other.end + HALF
        return self.end - self.ahead > other.end - other.ahead + HALF


def moments(values: Sequence[Any]) -> list[Moment | None]:
    """The moment of each value [n], None for a value that is no date. They are read together: one
    24/12/2026 shows that the day comes first in all, and midnight is a moment only where some value
    has another time of day.
    """
    found = [_moment(value, "") for value in values]
    if any(moment is None for moment in found):
        order, _ = undecided(v for v in values if isinstance(v, str))
        found = [_moment(value, order) for value in values] if order else found
    known = [m for m in found if m is not None]
    if any(m.start % 1 for m in known):
        return found
    return [m if m is None or m.end > m.start else replace(m, end=_day_end(m.start)) for m in found]


def _moment(value: Any, order: str) -> Moment | None:  # noqa: ANN401 - a cell is any
    """The moment of one value; a whole day is a moment at midnight unless no time can be meant."""
    return _of_text(value, order) if isinstance(value, str) else _of_value(value, order)


@lru_cache(maxsize=REMEMBERED)
def _of_text(text: str, order: str) -> Moment | None:
    """The moment of a text. Windows that overlap have the same dates again and again."""
    return _of_value(text, order)


def _of_value(value: Any, order: str) -> Moment | None:  # noqa: ANN401
    start = days(value, order)
    if start is None:
        return None
    if isinstance(value, datetime.datetime):
        offset = value.utcoffset()
        if offset is None:
            return Moment(start, start)
        ahead = offset.total_seconds() / 86400
        return Moment(start + ahead, start + ahead, ahead)
    if isinstance(value, datetime.date):
        return Moment(start, _day_end(start))
    text = str(int(value)) if isinstance(value, int | float) else str(value).strip()
    if WHOLE.fullmatch(text):  # 20261224, or the time since 1970, which is in UTC
        return Moment(start, _day_end(start)) if len(text) == 8 else Moment(start, start, 0.0)
    if PERIOD.fullmatch(text):
        lasts = span(text)  # None of a single day of a week
        return Moment(start, _day_end(lasts[1] if lasts else start))
    if ":" not in text:
        return Moment(start, _day_end(start))
    for zone in (ZONE_LAST, ZONE_INSIDE):
        local = days(zone.sub("", text).rstrip(), order) if zone.search(text) else None
        if local is not None:
            return Moment(local, local, round((local - start) * MINUTES) / MINUTES)
    return Moment(start, start)


def _day_end(start: float) -> float:
    return start // 1 + 1 - INSTANT
