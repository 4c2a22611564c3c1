"""JSON lines: one object a line. Or JSON: an array of objects, or an object of columns.

A key that an object lacks is missing in that row; a list is several values in one cell.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from gobelin.core import parse
from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError, first_lines
from gobelin.data.budget import refuse, refuse_table
from gobelin.data.tables.lines import text_lines

# Bytes that a value takes in Python; there are at most as many as there are of these marks
VALUE = 64
ROWS_AT_ONCE = 1024  # that are read between two looks at the budget
MARKS = "[{,"
# an escape in a JSON text: a pair of halves that is one character, a half alone, any other
ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
HALF = "\\ufffd"
HALVES = (
    "%s: %d lines hold half a character, as of a cut emoji%s. It is read as"
    " \N{REPLACEMENT CHARACTER}."
)

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@settings_class
class Jsonl:
    """No settings."""

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".jsonl", ".ndjson", ".json")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        if not _in_lines(path):
            return _whole_table(path), path.parent
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
            raise GobelinError(*first_lines(mistakes, "lines"))
        if halves:
            LOG.warning(HALVES, path, len(halves), f" (first: line {halves[0]})")
        refuse_table(str(path), count, len(columns))
        if not count:
            raise GobelinError(f"{path}: holds no row. At least one was expected.")
        return _table(path, columns, count), path.parent


def _in_lines(path: Path) -> bool:
    """Whether each line is an object; else the file is one value. Only a file called .json may be
    one object.
    """
    lines = (line for line in text_lines(path) if line.strip())
    first, second = next(lines, "").strip(), next(lines, "")
    if first.startswith("["):
        return False
    if path.suffix.lower() != ".json":
        return True
    return bool(second) and first.endswith("}")


def _whole_table(path: Path) -> pa.Table:
    """The table of a file that is one JSON value. Raises GobelinError."""
    text, needed, halves = [], 0, 0
    for line in text_lines(path):
        needed += len(line) + VALUE * sum(map(line.count, MARKS))
        refuse(str(path), "table_mb", needed)
        text.append(ESCAPE.sub(_whole, line))
        halves += text[-1] != line
    if halves:
        LOG.warning(HALVES, path, halves, "")
    try:
        value = parse.json_value("".join(text))
    except ValueError as error:
        raise GobelinError(f"{path}: is not JSON ({error}). Correct or restore it.") from error
    if isinstance(value, dict) and _is_columns(value):
        count = len(next(iter(value.values())))
        refuse_table(str(path), count, len(value))
        return _table(path, {name: (list(range(count)), v) for name, v in value.items()}, count)
    if not (isinstance(value, list) and value and all(isinstance(row, dict) for row in value)):
        raise GobelinError(
            f"{path}: an array of objects [{{...}}, {{...}}] was expected, or one object a line."
            " pandas writes it with frame.to_json(PATH, orient='records')."
        )
    columns: dict[str, tuple[list[int], list[Any]]] = {}
    for k, row in enumerate(value):
        for name, cell in row.items():
            rows, cells = columns.setdefault(name, ([], []))
            rows.append(k)
            cells.append(cell)
    refuse_table(str(path), len(value), len(columns))
    return _table(path, columns, len(value))


def _table(path: Path, columns: dict[str, tuple[list[int], list[Any]]], count: int) -> pa.Table:
    """The table of `count` rows. columns: of each name the numbers of the rows that have it, and
    their values."""
    for name, (_, values) in columns.items():
        refuse(f"{path}, column {name!r}", "keys", _keys(values))
    return pa.table({n: _column(*c, count) for n, c in columns.items()})


def _is_columns(value: dict[str, Any]) -> bool:
    """Whether an object holds columns: lists of one length, and not empty."""
    lists = [v for v in value.values() if isinstance(v, list) and v and not _has_objects(v)]
    return bool(lists) and len(lists) == len(value) and len({len(v) for v in lists}) == 1


def _has_objects(values: list[Any]) -> bool:
    return any(isinstance(v, dict) for v in values)


def _whole(escape: re.Match[str]) -> str:
    """The escape; U+FFFD for one half of a pair."""
    return HALF if escape["half"] else escape[0]


def _row(line: str, where: str, mistakes: list[str]) -> dict[str, Any] | None:
    """The object of a line; None where it is none, with a line more in `mistakes`."""
    try:
        row = parse.json_value(line)
    except ValueError as error:
        mistakes.append(f"{where}: is not JSON ({error}). {_remedy(line.strip())}")
        return None
    if isinstance(row, dict):
        return row
    mistakes.append(f"{where}: an object {{...}} was expected, found {type(row).__name__}.")
    return None


def _remedy(line: str) -> str:
    """What mends a line that is not JSON."""
    if line.startswith("{'"):
        return "It is a dict as Python prints it: write json.dumps of it."
    if line.endswith("},"):
        return "Leave out the comma after the object."
    if re.search(r"\}\s*\{", line):
        return "Write one object a line."
    return "Correct or restore it."


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
