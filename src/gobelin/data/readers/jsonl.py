"""JSON lines: one object a line.

A key that a line lacks is missing in that row; a list is several values in one cell.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from gobelin.core import parse
from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError
from gobelin.data.budget import refuse, refuse_table
from gobelin.data.lines import text_lines

# Bytes that a value takes in Python; there are at most as many as there are of these marks
VALUE = 64
ROWS_AT_ONCE = 1024  # that are read between two looks at the budget
MARKS = "[{,"
# an escape in a JSON text: a pair of halves that is one character, a half alone, any other
ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
HALF = "\\ufffd"

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@settings_class
class Jsonl:
    """No settings."""

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".jsonl", ".ndjson")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        columns: dict[str, tuple[list[int], list[Any]]] = {}  # name -> numbers of rows, values
        mistakes: list[str] = []
        count, needed = 0, 0
        halves: list[int] = []
        for k, line in enumerate(text_lines(path), 1):
            if not line.strip():
                continue
            needed += len(line) + VALUE * sum(map(line.count, MARKS))
            refuse(str(path), "table_mb", needed)
            if (whole := ESCAPE.sub(_whole, line)) != line:
                halves.append(k)
            row = _row(whole, f"{path}, line {k}", mistakes)
            if row is None:
                continue
            width = len(columns)
            for name, value in row.items():
                rows, values = columns.setdefault(name, ([], []))
                rows.append(count)
                values.append(value)
            count += 1
            if len(columns) > width or not count % ROWS_AT_ONCE:
                refuse_table(str(path), count, len(columns))
        if mistakes:
            raise GobelinError(
                "\n".join(
                    mistakes[:5]
                    + ([f"... and {len(mistakes) - 5} more lines."] if len(mistakes) > 5 else [])
                )
            )
        if halves:
            LOG.warning(
                "%s: %d lines hold half a character, as of a cut emoji (first: line %d). It is read"
                " as \N{REPLACEMENT CHARACTER}.",
                path,
                len(halves),
                halves[0],
            )
        refuse_table(str(path), count, len(columns))
        if not count:
            raise GobelinError(f"{path}: holds no row. At least one was expected.")
        for name, (_, values) in columns.items():
            refuse(f"{path}, column {name!r}", "keys", _keys(values))
        return pa.table({n: _column(*c, count) for n, c in columns.items()}), path.parent


def _whole(escape: re.Match[str]) -> str:
    """The escape; U+FFFD for one half of a pair."""
    return HALF if escape["half"] else escape[0]


def _row(line: str, where: str, mistakes: list[str]) -> dict[str, Any] | None:
    """The object of a line; None where it is none, with a line more in `mistakes`."""
    try:
        row = parse.json_value(line)
    except ValueError as error:
        mistakes.append(f"{where}: is not JSON ({error}).")
        return None
    if isinstance(row, dict):
        return row
    mistakes.append(f"{where}: an object {{...}} was expected, found {type(row).__name__}.")
    return None


def _keys(values: list[Any]) -> int:
    """How many different keys the objects in these cells have, those in one another too. A table
    holds each of them for each object: n objects with a key each take n x n cells.
    """
    found: set[tuple[int, str]] = set()  # place of the object, key
    places: dict[tuple[int, str], int] = {}
    left: list[tuple[int, Any]] = [(0, v) for v in values if isinstance(v, dict | list)]
    while left:
        place, value = left.pop()
        if isinstance(value, list):
            left += [(place, v) for v in value if isinstance(v, dict | list)]
            continue
        for key, inner in value.items():
            found.add((place, key))
            if isinstance(inner, dict | list):
                left.append((places.setdefault((place, key), len(places) + 1), inner))
    return len(found)


def _column(rows: list[int], values: list[Any], count: int) -> pa.Array:
    """A column of `count` rows with these values in the rows of these numbers, else empty."""
    if any(isinstance(v, list) for v in values):
        values = [v if v is None or isinstance(v, list) else [v] for v in values]
    try:
        present = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        present = pa.array([None if v is None else str(v) for v in values])
    if len(rows) == count:
        return present
    places = pa.nulls(count, pa.int64()).to_numpy(zero_copy_only=False)
    places[rows] = range(len(rows))
    return present.take(pa.array(places, from_pandas=True).cast(pa.int64()))
