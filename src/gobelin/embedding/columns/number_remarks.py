"""What a user should know of a column of numbers or dates: how they are written, and how else they
could be read.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gobelin.data.fields import set_kind
from gobelin.data.values.dates import days, has_zone, needs_a_word, undecided
from gobelin.data.values.numbers import Writing, converted, is_clock, is_code, means_none, mixed

MOST_DIGITS = 15  # that a float keeps
# numbers that people write where they know nothing
STAND_INS = {0, *(sign * (10**digits - 1) for sign in (-1, 1) for digits in (2, 3, 4, 5))}
TENTH = re.compile(r"\d+\.[1-9]")  # 1.1, which 1.10 is too, but for versions
CODE = re.compile(r"\d+(?:[eE]\d+)?")  # 79E6 is a number too; programs write 7.9e+07
TIME_NAME = re.compile(
    r"(?i:.*(?:date|time|datum|zeit|fecha|stamp|epoch)|.*[_ ]at|.*[a-z]At)|.*(?:Date|Time).*"
)


def number_remark(
    name: str, values: Sequence[Any], writing: Writing | None = None, of_target: bool = False
) -> str:
    """The remarks on a column of numbers, as one line; '' for plain numbers.

    name: of the column. values: present ones, also words for a missing number. writing: theirs,
    where it is known. of_target: a target says these words itself.
    """
    writing = writing or Writing.of(values)
    words = "" if of_target else _words(values, writing)
    return " ".join(
        filter(None, (words, _doubt(name, values, writing), _stand_in(values, writing)))
    )


def date_remark(values: Sequence[Any]) -> str:
    """How a week, a month, a quarter or a year of two digits is read, a day that may stand where
    nothing is known, and a time without a zone among such with one; '' for other dates."""
    order, _ = undecided(values)
    said = ""
    for value in values:
        if needs_a_word(value) and (read := days(value, order)) is not None:
            said = f"{value[:40]!r} is read as {_date(read)}."
            break
    return " ".join(filter(None, (said, _stand_in_day(values, order), _without_zone(values))))


def _without_zone(values: Sequence[Any]) -> str:
    """The first time that names no zone, where others name one."""
    bare = next((v for v in values if has_zone(v) is False), None)
    if bare is None or not any(map(has_zone, values)):
        return ""
    return f"{str(bare)[:40]!r} names no time zone, as other times do; it is read as UTC."


def _stand_in_day(values: Sequence[Any], order: str) -> str:
    """The first or last day, such as 9999-12-31, where it stands often and far from all others."""
    counts = Counter(x for v in values if not means_none(v) and (x := days(v, order)) is not None)
    for x in (min(counts, default=0), max(counts, default=0)):
        others = [other for other in counts if other != x]
        if _often(counts[x], counts.total()) and len(others) > 2 and is_far(x, others):
            return f"{_date(x)} is read as a date; where it means missing, leave the cell empty."
    return ""


def _date(day: float) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def _words(values: Sequence[Any], writing: Writing) -> str:
    words = Counter(str(v).strip() for v in values if writing.means_none(v))
    if not words:
        return ""
    listed = ", ".join(repr(word) for word, _ in words.most_common(3))
    return f"{listed} {'is' if len(words) == 1 else 'are'} read as missing."


def _doubt(name: str, values: Sequence[Any], writing: Writing) -> str:
    """How the numbers are read, where a person may read them otherwise or where they are not
    written plainly.
    """
    texts = [v for v in values if isinstance(v, str) and not writing.means_none(v)]
    code = next((v for v in texts if is_code(v)), "")
    if all(CODE.fullmatch(v.strip()) for v in texts):
        code = code or next((v for v in texts if not v.strip().isdigit()), "")
    if code:
        return (
            f"{code[:40]!r} is read as {writing.number(code):.15g}; as the name of something with"
            f" {set_kind(name, 'category')}."
        )
    if doubtful := writing.doubtful:
        read = f"{doubtful[:40]!r} is read as {writing.number(doubtful):.15g}"
        if "," in doubtful:
            return f"{read}: its comma parts thousands. Where it is a decimal mark, write a point."
        if len(texts) > 2:
            return f"{read}: its point is a decimal mark. Where it parts thousands, leave it out."
    if two := mixed(texts):
        one, other = (f"{v[:40]!r} as {writing.number(v):.15g}" for v in two)
        return f"{one} and {other} are read, of two units. If they should be one, write one."
    tenth = {v.strip() for v in texts if TENTH.fullmatch(v.strip())}
    if one := next((v for v in texts if v.strip()[-1:] == "0" and v.strip()[:-1] in tenth), ""):
        return (
            f"{one.strip()[:-1][:40]!r} and {one.strip()[:40]!r} are read as one number; as"
            f" versions or other names with {set_kind(name, 'category')}."
        )
    odd = [
        v
        for v in texts
        if (_plain(v) is None or writing.mark) and (x := writing.number(v)) and _plain(v) != x
    ]
    if writing.unit and (other := converted(texts, writing.unit)):
        read = f"{writing.number(other):.6g} {writing.unit}"
        return f"{other[:40]!r} is read as {read}: most cells have this unit."
    if odd:
        clock = is_clock(odd[0])
        read = f"{writing.number(odd[0]):.{6 if clock else 15}g}"
        unit = " hours" if clock else f", the unit of all cells is {writing.unit!r}"
        return f"{odd[0][:40]!r} is read as {read}{unit if clock or writing.unit else ''}."
    if long := next((v for v in values if _too_long(v)), None):
        return (
            f"{str(long)[:40]!r} has more digits than a number keeps ({MOST_DIGITS}); as the name"
            f" of something with {set_kind(name, 'category')}."
        )
    known = [v for v in values if not means_none(v)]
    timed = known and TIME_NAME.fullmatch(name)
    if timed and all(days(v) is not None for v in known):
        return f"read as numbers; as dates with {set_kind(name, 'date')}."
    return ""


def _stand_in(values: Sequence[Any], writing: Writing) -> str:
    """A number such as -999 that stands often and far from all others."""
    numbers = [
        x for v in values if not writing.means_none(v) and (x := writing.number(v)) is not None
    ]
    counts = Counter(numbers)
    for x in sorted(STAND_INS & set(counts)):
        others = [n for n in counts if n != x and n not in STAND_INS]
        if _often(counts[x], len(numbers)) and len(others) > 2 and is_far(x, others):
            return f"{x:g} is read as a number; where it means missing, leave the cell empty."
    return ""


def _often(count: int, of: int) -> bool:
    return count >= max(3, 0.02 * of)


def is_far(x: float, others: Sequence[float]) -> bool:
    """Whether a number is further from all others than these are from each other."""
    low, high = min(others), max(others)
    return x < low - (high - low) or x > high + (high - low)


def _too_long(value: Any) -> bool:  # noqa: ANN401 - a cell is any
    """Whether a whole number has digits that a float does not keep."""
    text = str(value).strip().lstrip("+-") if isinstance(value, str | int) else ""
    if len(text) <= MOST_DIGITS or not (text.isascii() and text.isdigit()):
        return False
    return f"{float(text):.0f}" != (text.lstrip("0") or "0")  # an int has fewer digits than a text


def _plain(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
