"""Faults of series that a reader must know of: gaps, doubled and unsorted dates, zones that don't
match, and jumps like those of a stock split. One finding for each kind and column.

What this cannot show: a gap shorter than three working days, and a split whose price was adjusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gobelin.data.dataset import Dataset
from gobelin.data.series.stamped import StampedSeries
from gobelin.evidence.findings import Finding
from gobelin.quality.look_ahead import NAMED_ROWS, ColumnCells, LookAhead, RowTimes

MOST_MISSING = 2  # working days in a row that a daily series may lack: holidays
MOST_STEPS = 5.0  # a step over so many usual ones is a gap, where samples are not daily
SPLITS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0)
SPLIT_ERROR = 0.06  # in logarithms: the market moves on the day of a split too
PRICE_STEP = 0.1  # the usual step of a price is smaller; that of a count is not
MOST_SPREADS = 8.0  # a jump is so many times the usual step, at least
NOTES = {
    "gaps": "days are missing inside. They are not filled in: the samples count as following each"
    " other",
    "doubled": "a date stands there twice with equal values, and counts once",
    "unsorted": "the samples are not in the order of time. They were sorted",
    "zones": "some samples name a time zone and others, or the rows, do not. Those are compared by"
    " the clock as it is written",
    "jumps": "a jump of 2, 3, 1/2 ... from one sample to the next, as a stock split makes it. Give"
    " prices that are adjusted for splits",
}


def series_faults(dataset: Dataset, found: LookAhead) -> list[Finding]:
    """A finding for each kind of fault in each column of series."""
    return [
        Finding(
            name="series_faults",
            scope={"column": column, "what": kind},
            value=float(len(rows)),
            n=len(cells.dated) + len(cells.undated),
            rows=tuple(dataset.ids[row] for row in rows[:NAMED_ROWS]),
            note=NOTES[kind],
            source="check",
        )
        for column, cells in found.columns.items()
        for kind, rows in _faults(cells, found.times).items()
        if rows
    ]


def _faults(cells: ColumnCells, times: RowTimes | None) -> Mapping[str, Sequence[int]]:
    """{kind: rows whose cell has the fault}."""
    dated = cells.dated
    windows = {row: one.values for row, one in dated.items()} | cells.undated
    return {
        "gaps": [row for row, one in dated.items() if has_gap(one)],
        "doubled": [row for row, one in dated.items() if one.doubled.any()],
        "unsorted": [row for row, one in dated.items() if one.unsorted],
        "zones": [row for row, one in dated.items() if _zones_differ(one, times, row)],
        "jumps": [row for row, window in windows.items() if any(map(has_jump, window))],
    }


def _zones_differ(series: StampedSeries, times: RowTimes | None, row: int) -> bool:
    """Whether some of the moments that are compared name a zone, and some do not. A whole day
    needs none."""
    known = list(series.moments)
    if times is not None and (moment := times.moments[row]) is not None:
        known.append(moment)
    named = {m.ahead is not None for m in known if m.end == m.start}
    return len(named) > 1


def has_gap(series: StampedSeries) -> bool:
    """Whether samples are missing inside: of a daily series more than two working days in a row, of
    another a step of more than five usual ones."""
    moments = [series.moments[k] for k in series.order]
    starts = np.array([m.start for m in moments])[~series.doubled]
    if len(starts) < 3:
        return False
    steps = np.diff(starts)
    usual = float(np.median(steps))
    if not 0.9 < usual < 1.6:
        return bool((steps > max(MOST_STEPS * usual, 4.5 if usual < 1 else 0)).any())
    days = np.floor(starts).astype(np.int64).astype("datetime64[D]")
    return bool((np.busday_count(days[:-1], days[1:]) - 1 > MOST_MISSING).any())


def has_jump(window: np.ndarray) -> bool:
    """Whether positive values [T] have a step like that of a stock split."""
    known = window[np.isfinite(window)]
    if len(known) < 5 or (known <= 0).any():
        return False
    steps = np.diff(np.log(known))
    low, high = np.quantile(steps, [0.25, 0.75])
    usual = float(high - low) / 1.349
    if not 0 < usual < PRICE_STEP:
        return False
    large = np.abs(steps)[np.abs(steps) > MOST_SPREADS * usual]
    near = np.abs(large[:, None] - np.log(SPLITS)) < SPLIT_ERROR
    return bool(near.any())
