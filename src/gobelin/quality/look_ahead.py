"""Series that reach past the date of their row: the model would see the future.

Dated samples (`data.series.stamped`): each cell is cut at the moment of its row and encoded again;
the features must be equal to the last bit, and no sample may lie after the row's moment. Windows
without dates: each is looked up in the series that it was cut from (`check.source`), whose dates
say where the window ends. A column of dates that lie after the row's is named too.

What this cannot show: a number that was computed from later values (`quality.telling` warns of
some), a later date in a text, a picture of a later window, a figure that was corrected afterwards,
and a window without dates whose source is not given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell, Field, Schema
from gobelin.data.files import BadCell
from gobelin.data.series.moments import Moment, moments
from gobelin.data.series.stamped import StampedSeries, stamped_series
from gobelin.data.series.windows import open_series
from gobelin.embedding.encoders import FittedEncoder
from gobelin.evidence.findings import Finding
from gobelin.quality.giveaways import leave_out_option
from gobelin.quality.window_source import Source, WindowEnd

NAMED_ROWS = 20  # that a finding names; the table of the report has all
NAME = "look_ahead"


@dataclass(frozen=True)
class PastCell:
    """A cell that reaches past the moment of its row."""

    row: str  # id
    column: str
    time: str  # of the row
    last: str  # time of the last sample
    samples: int  # after the row's moment; of each channel
    changed: bool  # whether other features come out where the cell is cut


@dataclass
class ColumnCells:
    """The cells of one column of series that can be opened, by the number of their row."""

    dated: dict[int, StampedSeries] = field(default_factory=dict)
    undated: dict[int, np.ndarray] = field(default_factory=dict)  # windows, float64 [C, T]


@dataclass(frozen=True)
class RowTimes:
    """The column with the role time, as written and as moments; N each."""

    column: str
    written: Sequence[Any]
    moments: Sequence[Moment | None]


@dataclass(frozen=True)
class LookAhead:
    """What the guard found. past: every cell that reaches past the moment of its row. columns: the
    series of each column, for further checks."""

    findings: tuple[Finding, ...] = ()
    past: tuple[PastCell, ...] = ()
    columns: Mapping[str, ColumnCells] = field(default_factory=dict)
    times: RowTimes | None = None


def look_ahead(
    dataset: Dataset,
    schema: Schema,
    encoders: Mapping[str, FittedEncoder],
    source: Source | None = None,
) -> LookAhead:
    """Check every series and every date of the rows against the moment of the row.

    source: the series that windows without dates were cut from. Without a column with the role
    time nothing is compared.
    """
    columns = {
        column: _cells(dataset, column)
        for one in schema.fields
        for column in one.columns
        if schema.kind(column) == "series"
    }
    name = schema.role("time")
    if name is None or name not in dataset.column_names:
        return LookAhead(columns=columns)
    values = dataset.values(name)
    times = RowTimes(name, values, moments(values))
    findings, past = [], []
    for one in schema.fields:
        for column in one.columns:
            if column in columns:
                cells = columns[column]
                found = _past_stamps(dataset, one, column, cells, times, encoders[one.name])
                ends = None if source is None else source.ends(cells.undated, times.moments)
                found += _past_ends(dataset, column, ends or {}, times)
                past += sorted(found, key=lambda cell: dataset.ids.index(cell.row))
                findings += _findings(column, found, cells, times, ends)
            elif schema.kind(column) == "date":
                findings += _later_dates(dataset, column, times)
    return LookAhead(tuple(findings), tuple(past), columns, times)


def _cells(dataset: Dataset, column: str) -> ColumnCells:
    """The cells of a column that can be opened; `check` names the others elsewhere."""
    cells = ColumnCells()
    for row, value in enumerate(dataset.values(column)):
        if value is None:
            continue
        try:
            found = None if isinstance(value, bytes) else stamped_series(value, dataset.root)
            if found is None:
                cells.undated[row] = open_series(value, dataset.root)[0]
            elif found.moments:
                cells.dated[row] = found
        except BadCell:
            continue
    return cells


def _past_stamps(
    dataset: Dataset,
    one: Field,
    column: str,
    cells: ColumnCells,
    times: RowTimes,
    encoder: FittedEncoder,
) -> list[PastCell]:
    """Dated cells with a sample after the moment of their row, or with other features once cut."""
    found: list[PastCell] = []
    whole = dataset.cells(one) if cells.dated else []
    for row, series in cells.dated.items():
        moment, cell = times.moments[row], whole[row]
        if moment is None or cell is None:
            continue
        cut = series.until(moment)
        late = len(series.stamps) - len(cut.stamps)
        changed = not _same_features(encoder, cell, {**cell, column: cut.cell()}, dataset.root)
        if late or changed:
            last = str(series.stamps[series.order[-1]])
            time = str(times.written[row])
            found.append(PastCell(dataset.ids[row], column, time, last, late, changed))
    return found


def _same_features(encoder: FittedEncoder, cell: Cell, other: Cell, root: Path) -> bool:
    """Whether two cells have features that are equal to the last bit."""
    try:
        first, second = (encoder.embed([encoder.decode(c, root)[0]]) for c in (cell, other))
    except BadCell:  # too few samples are left
        return False
    return first.tobytes() == second.tobytes()


def _past_ends(
    dataset: Dataset, column: str, ends: Mapping[int, WindowEnd | None], times: RowTimes
) -> list[PastCell]:
    """Windows that end in their source after the moment of their row."""
    return [
        PastCell(
            dataset.ids[row], column, str(times.written[row]), str(end.stamp), end.samples, True
        )
        for row, end in ends.items()
        if end is not None and end.samples > 0
    ]


def _findings(
    column: str,
    past: Sequence[PastCell],
    cells: ColumnCells,
    times: RowTimes,
    ends: Mapping[int, WindowEnd | None] | None,
) -> list[Finding]:
    """The finding of a column of series, and one of its windows that could not be checked."""
    without = sum(times.moments[row] is None for row in (*cells.dated, *cells.undated))
    placed = {} if ends is None else {row: end for row, end in ends.items() if end is not None}
    dated = [row for row in cells.dated if times.moments[row] is not None]
    checked = len(dated) + len(placed)
    findings = []
    if checked:
        findings.append(_finding(column, past, checked, times.column))
    unknown = len(cells.undated) - len(placed)
    notes = []
    if unknown and ends is None:
        notes.append(
            f"{unknown} windows have no dates, so nobody can see whether they reach past"
            f" {times.column}. Give the series that they were cut from: --set check.source=FILE"
        )
    elif unknown:
        notes.append(
            f"{unknown} windows are not found in check.source, or are too plain to be told apart"
        )
    if without:
        notes.append(f"{without} rows have no date in {times.column}")
    if notes:
        findings.append(
            Finding(
                name="look_ahead_unchecked",
                scope={"column": column},
                value=float(unknown + without),
                n=len(cells.dated) + len(cells.undated),
                note=". ".join(notes),
                source="check",
            )
        )
    return findings


def _finding(column: str, past: Sequence[PastCell], checked: int, time: str) -> Finding:
    note = f"of {checked} cells none has a sample after {time} of its row"
    if past:
        changed = sum(one.changed for one in past)
        note = (
            f"{len(past)} of {checked} cells reach past {time} of their row; cut there, the"
            f" features of {changed} change. Cut each cell at {time} (in Python:"
            f" gobelin.data.series.stamped.cut), or leave it out: {leave_out_option(column)}"
        )
    return Finding(
        name=NAME,
        scope={"column": column},
        value=float(len(past)),
        n=checked,
        better="lower",
        rows=tuple(one.row for one in past[:NAMED_ROWS]),
        cells=tuple(f"{p.row}: {p.last} after {p.time}, samples: {p.samples}" for p in past[:3]),
        note=note,
        source="check",
    )


def _later_dates(dataset: Dataset, column: str, times: RowTimes) -> list[Finding]:
    """A finding where dates of a column lie after the moment of their row."""
    pairs = zip(moments(dataset.values(column)), times.moments, strict=True)
    later = [row for row, (own, last) in enumerate(pairs) if own and last and own.after(last)]
    if not later:
        return []
    return [
        Finding(
            name="later_dates",
            scope={"column": column},
            value=float(len(later)),
            n=len(dataset),
            rows=tuple(dataset.ids[row] for row in later[:NAMED_ROWS]),
            note=(
                f"dates of {column} lie after {times.column} of their row. Were they known then?"
                f" If not, leave it out: {leave_out_option(column)}"
            ),
            source="check",
        )
    ]
