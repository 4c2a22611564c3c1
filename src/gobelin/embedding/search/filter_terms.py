"""The parts of a filter (see `row_filter`): tokens, and terms that know their kind and SQL."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

MOST_CHARACTERS = 50_000  # of a filter
NANOSECOND_YEARS = range(1678, 2262)  # that 64-bit nanoseconds can count
# Its repeats give nothing back (++, *+), so that no text takes long to refuse.
TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*+')
    | (?P<quoted>`(?:[^`]|``)++`|"(?:[^"]|"")++")
    | (?P<number>(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+(?![\w.]))
    | (?P<word>[^\W\d]\w*(?:\.\w+)*)
    | (?P<sign><=|>=|<>|!=|==|[-+*/%=<>(),])
    )""",
    re.VERBOSE,
)
KINDS = {
    "number": "a number",
    "text": "a text",
    "date": "a date",
    "truth": "true or false",
    "other": "of a kind that only IS NULL can ask for",
}


@dataclass(frozen=True)
class Token:
    kind: str  # a group of `TOKEN`, or 'end'
    text: str
    start: int


@dataclass(frozen=True)
class Term:
    """A part of the filter as SQL for the engine."""

    kind: str  # one of KINDS
    sql: str
    token: Token  # where it begins
    literal: int | float | str | datetime.datetime | None = None
    column: pa.DataType | None = None  # of a bare column
    whole: bool = False  # a number of 64 bits without a fraction
    depth: int = 0  # of arithmetic


class FilterMistake(Exception):
    """What is wrong with a filter, and where."""

    def __init__(self, why: str, start: int) -> None:
        super().__init__(why)
        self.start = start


def tokens_of(where: str) -> list[Token]:
    if len(where) > MOST_CHARACTERS:
        raise FilterMistake(f"it is longer than {MOST_CHARACTERS:,} characters", MOST_CHARACTERS)
    try:
        where.encode()
    except UnicodeEncodeError as error:
        raise FilterMistake("it is not Unicode", error.start) from error
    if "\0" in where:
        raise FilterMistake("it holds a zero byte", where.index("\0"))
    tokens, at = [], 0
    end = len(where.rstrip())
    while at < end:
        found = TOKEN.match(where, at)
        if found is None:
            start = at + len(where[at:]) - len(where[at:].lstrip())
            quote = where[start] in "'\"`"
            why = "a quote is not closed" if quote else f"{where[start]!r} can't be read"
            raise FilterMistake(why, start)
        kind = str(found.lastgroup)
        tokens.append(Token(kind, found[kind], found.start(kind)))
        at = found.end()
    return [*tokens, Token("end", "", end)]


def kind_of(arrow: pa.DataType) -> str:
    types = pa.types
    if types.is_boolean(arrow):
        return "truth"
    if types.is_integer(arrow) or types.is_floating(arrow) or types.is_decimal(arrow):
        return "number"
    if types.is_string(arrow) or types.is_large_string(arrow):
        return "text"
    return "date" if types.is_date(arrow) or types.is_timestamp(arrow) else "other"


def compared(left: Term, sign: str, right: Term) -> Term:
    if left.kind == "truth" and sign not in ("=", "<>"):
        raise FilterMistake("conditions can be compared by = and != alone", left.token.start)
    one, other = alike(left, right)
    return Term("truth", f"({one} {sign} {other})", left.token)


def alike(left: Term, right: Term) -> tuple[str, str]:
    """SQL of two values that can be compared."""
    if left.kind == "date" and right.kind == "text" and right.literal is not None:
        right = date_term(right)
    elif right.kind == "date" and left.kind == "text" and left.literal is not None:
        left = date_term(left)
    if left.kind != right.kind or left.kind == "other":
        names = [f"{t.token.text[:60]!r} is {KINDS[t.kind]}" for t in (left, right)]
        raise FilterMistake(f"{names[0]}, {names[1]}, so they can't be compared", right.token.start)
    if left.kind == "date":
        _check_year(left, right)
        _check_year(right, left)
        return left.sql, right.sql
    if left.kind != "number" or (left.whole and right.whole):
        return left.sql, right.sql
    one, other = double(_rounded(left, right)), double(_rounded(right, left))
    return f"({one} + 0.0)", f"({other} + 0.0)"  # to the engine -0.0 is less than 0.0


def _rounded(term: Term, beside: Term) -> Term:
    """A number as precise as the column that it is compared with: .1 in 32 bits is not .1 in 64."""
    column = beside.column
    if column is None or not isinstance(term.literal, int | float):
        return term
    if column not in (pa.float32(), pa.float16()):
        return term
    with np.errstate(over="ignore"):
        value = float(np.asarray(term.literal, column.to_pandas_dtype()))
    return term if math.isinf(value) else number_term(value, term.token)


def double(term: Term) -> str:
    """SQL of a number in 64 bits with a fraction."""
    if isinstance(term.literal, int | float):
        return f"CAST({quoted_text(repr(float(term.literal)))} AS DOUBLE)"
    return f"CAST({term.sql} AS DOUBLE)" if term.whole else term.sql


def number_term(value: int | float, token: Token) -> Term:
    whole = isinstance(value, int) and -(2**63) < value < 2**63
    sql = f"({value})" if whole else double(Term("number", "", token, float(value)))
    return Term("number", sql, token, value, whole=whole)


def read_number(token: Token) -> int | float:
    if math.isinf(float(token.text)):
        raise FilterMistake("this is too large a number", token.start)
    digits = token.text.lstrip("0") or "0"
    return int(digits) if digits.isdigit() else float(token.text)


def date_term(term: Term) -> Term:
    """A text literal as a date, or as a date with a time, which is counted in UTC."""
    try:
        found = datetime.datetime.fromisoformat(str(term.literal).strip())
        if found.tzinfo is not None:
            found = found.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise FilterMistake(
            f"{str(term.literal)[:60]!r} is no date. Write it as '2020-02-01'", term.token.start
        ) from error
    sql = f"TIMESTAMP '{found.isoformat(' ')}'"
    if found.time() == datetime.time():
        sql = f"DATE '{found.date().isoformat()}'"
    return Term("date", sql, term.token, found)


def _check_year(term: Term, beside: Term) -> None:
    nanoseconds = beside.column is not None and str(beside.column).startswith("timestamp[ns")
    if (
        isinstance(term.literal, datetime.datetime)
        and nanoseconds
        and term.literal.year not in NANOSECOND_YEARS
    ):
        raise FilterMistake("a year from 1678 to 2261 was expected", term.token.start)


def quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
