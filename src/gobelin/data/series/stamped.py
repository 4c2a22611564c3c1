"""Series whose samples have dates: the date of each sample and its values.

A cell is a list of [date, value, ...], a list of objects with a date among their values, an object
{date: value}, the same as JSON text, a text '2026-01-02: 1.5; 2026-01-05: 1.6', or a table file
(`.csv`, `.tsv`, `.txt`) with one column of dates. Samples are put in the order of their dates. A
date that stands there twice counts once where its values are equal, else the cell can't be used.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.parse import json_value
from gobelin.data.fields import NO_NUMBER
from gobelin.data.files import BadCell, afford, cell_bytes
from gobelin.data.series.moments import Moment, moments
from gobelin.data.values.dates import is_date, undecided

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
DATED = re.compile(r"\d{4}|\d[./-]\d")  # what every date has that is looked for in a text
USUAL = re.compile(r"\d{4}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])(?:[T ]\d{2}:\d{2}(?::\d{2})?)?")
LINE_START = 400  # letters of a line in which its date is looked for
NUMBER_KEY = 8  # letters of a number that can be a date, at least


@dataclass(frozen=True)
class StampedSeries:
    """T dated samples, as they are written.

    stamps: [T]. values: float64 [C, T], nan for a hole.
    """

    stamps: tuple[Any, ...]
    values: np.ndarray

    @cached_property
    def moments(self) -> list[Moment]:
        """Of every sample, [T]. Raises BadCell for a stamp that is no date."""
        found = moments(self.stamps)
        for stamp, moment in zip(self.stamps, found, strict=True):
            if moment is None:
                order, doubtful = undecided(map(str, self.stamps))
                if doubtful and not order:
                    raise BadCell(
                        f"has the date {doubtful[:40]!r}, which can be read with the day first and"
                        " with the month first; write 2026-12-24"
                    )
                raise BadCell(f"has {str(stamp)[:40]!r} where a date was expected")
        return [moment for moment in found if moment is not None]

    @cached_property
    def order(self) -> np.ndarray:
        """int [T]: the places of the samples in the order of time."""
        return np.argsort([_moment_key(m) for m in self.moments], kind="stable")

    @cached_property
    def doubled(self) -> np.ndarray:
        """bool [T], in the order of time: samples whose moment is that of the one before."""
        keys = np.array([_moment_key(m) for m in self.moments])[self.order]
        return np.concatenate([[False], np.diff(keys) == 0]) if len(keys) else np.zeros(0, bool)

    @property
    def unsorted(self) -> bool:
        return bool((np.diff(self.order) < 0).any())

    def series(self) -> np.ndarray:
        """float64 [C, t]: the values in the order of time, every moment once. Raises BadCell where
        a moment has two different values."""
        ordered = self.values[:, self.order]
        for place in np.flatnonzero(self.doubled):
            if not np.array_equal(ordered[:, place - 1], ordered[:, place], equal_nan=True):
                stamp = str(self.stamps[self.order[place]])[:40]
                raise BadCell(f"has two different values for {stamp}; one was expected")
        return ordered[:, ~self.doubled]

    def until(self, last: Moment) -> StampedSeries:
        """The samples that were known when `last` was over."""
        known = [k for k, moment in enumerate(self.moments) if not moment.after(last)]
        return StampedSeries(tuple(self.stamps[k] for k in known), self.values[:, known])

    def cell(self) -> list[list[Any]]:
        """The series as a cell: a list of [date, value, ...]."""
        rows = self.values.T.tolist()
        return [
            [_written(stamp), *(None if v != v else v for v in row)]
            for stamp, row in zip(self.stamps, rows, strict=True)
        ]


def stamped_series(value: Any, root: Path) -> StampedSeries | None:  # noqa: ANN401 - a cell is any
    """The dated samples of a cell; None for a cell without dates. Raises BadCell for one that mixes
    samples with and without a date, and for samples that are no numbers."""
    rows = _rows(value, root)
    if rows is None:
        return None
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise BadCell(
            f"has {min(widths) - 1} values at one date and {max(widths) - 1} at another; the same"
            " count was expected"
        )
    afford("samples", sum(len(row) - 1 for row in rows))
    values = np.array([[_number(v) for v in row[1:]] for row in rows], np.float64)
    return StampedSeries(tuple(row[0] for row in rows), values.T)


def _rows(value: Any, root: Path) -> list[list[Any]] | None:  # noqa: ANN401
    """The samples of a cell, each [date, value, ...]; None for a cell without dates."""
    if isinstance(value, str):
        if value[-4:].lower() in TABLE_SUFFIXES:
            return _of_table(value, root)
        return _of_text(value)
    if isinstance(value, Mapping):
        return _of_object(value)
    if not isinstance(value, list | tuple) or not value:
        return None
    if all(isinstance(v, Mapping) for v in value):
        return _of_objects(value)
    if not all(isinstance(v, list | tuple) and len(v) > 1 for v in value):
        return None
    rows = [list(v) for v in value]
    dated = [_stamp(row[0]) for row in rows]
    if not any(dated):
        return None
    if not all(dated):
        raise BadCell(f"has a sample without a date, {str(rows[dated.index(False)][0])[:40]!r}")
    return rows


def _of_object(value: Mapping[Any, Any]) -> list[list[Any]] | None:
    """{date: value}; a value can be a list. None for another object."""
    if not value or not all(map(_stamp, value)):
        return None
    return [[key, *(v if isinstance(v, list | tuple) else [v])] for key, v in value.items()]


def _of_objects(value: Sequence[Mapping[str, Any]]) -> list[list[Any]] | None:
    """Objects with one date and numbers, in the order of the first one's names."""
    names = list(value[0])
    stamps = [name for name in names if all(_stamp(one.get(name)) for one in value)]
    if len(stamps) != 1:
        return None
    others = [name for name in names if name != stamps[0]]
    return [[one[stamps[0]], *(one.get(name) for name in others)] for one in value]


def _of_text(text: str) -> list[list[Any]] | None:
    """JSON, or dates and values with a colon between them."""
    text = text.strip()
    if not DATED.search(text[:200]):
        return None
    if text[:1] in "[{":
        afford("cell_mb", 8 * len(text))
        try:
            value = json_value(text)
        except (ValueError, RecursionError):
            return None
        return None if isinstance(value, str) else _rows(value, Path())
    if ";" not in text and "\n" not in text:
        return None
    parts = [part for part in re.split(r"[;\n]", text) if part.strip()]
    pairs = [_pair(part) for part in parts]
    return [pair for pair in pairs if pair] if all(pairs) else None


def _pair(text: str) -> list[Any] | None:
    """[date, value] of '2026-01-02 16:00: 1.5'; the last mark is the one between them."""
    place = max(text.rfind(":"), text.rfind("="))
    if place < 0:
        return None
    stamp, value = text[:place].strip(), text[place + 1 :].strip()
    return [stamp, value] if _stamp(stamp) else None


def _of_table(path: str, root: Path) -> list[list[Any]] | None:
    """The rows of a table file whose first column of dates is put first; None for no such column.
    A first line without a date holds names."""
    try:
        lines = [v for v in cell_bytes(path, root).decode("utf-8-sig").split("\n") if v.strip()]
    except UnicodeDecodeError as error:
        raise BadCell("is not UTF-8") from error
    start = lines[-1][:LINE_START] if lines else ""
    mark = next((m for m in (";", "\t", ",") if m in start), None)
    column = next((k for k, part in enumerate(_split(start, mark)) if _stamp(part)), None)
    if mark is None or column is None:
        return None
    width = max(line.count(mark) for line in lines)
    afford("channels", width)
    afford("samples", width * len(lines))
    rows = [_split(line, mark) for line in lines]
    if not (len(rows[0]) > column and _stamp(rows[0][column])):
        rows = rows[1:]
    if bad := next((r for r in rows if len(r) <= column or not _stamp(r[column])), None):
        raise BadCell(f"has a line without a date, {' '.join(bad)[:40]!r}")
    return [[row[column], *row[:column], *row[column + 1 :]] for row in rows]


def _split(line: str, mark: str | None) -> list[str]:
    """The parts of a line of a table, without their quotes."""
    return [part.strip().strip("\"'") for part in line.split(mark)]


def _stamp(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a date. A number is one only where its digits leave no doubt."""
    if isinstance(value, datetime.date):
        return True
    if not isinstance(value, str):
        return False
    text = value.strip()
    if USUAL.fullmatch(text):
        return True
    if text.isdigit():
        return len(text) == NUMBER_KEY and text[:2] in ("19", "20") and bool(moments([text])[0])
    return is_date(text)


def _number(value: Any) -> float:  # noqa: ANN401
    """The number of a sample, nan for a hole. Raises BadCell."""
    if value is None or (isinstance(value, str) and value.strip().lower() in NO_NUMBER | {""}):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadCell(f"holds {str(value)[:40]!r}; numbers were expected") from error


def _moment_key(moment: Moment) -> float:
    """By which the samples of one cell are sorted."""
    return moment.end - (moment.ahead or 0.0)


def _written(stamp: Any) -> Any:  # noqa: ANN401
    """A stamp as JSON can hold it."""
    return stamp.isoformat() if isinstance(stamp, datetime.date) else stamp


def cut(value: Any, root: Path, last: Any) -> Any:  # noqa: ANN401
    """A dated cell without the samples after a time, as a list of [date, value, ...]; a cell
    without dates stays as it is. Raises BadCell, and GobelinError where `last` is no date."""
    found, moment = stamped_series(value, root), moments([last])[0]
    if moment is None:
        raise GobelinError(f"cut: {str(last)[:40]!r} is no date. Write 2026-12-24.")
    return value if found is None else found.until(moment).cell()
