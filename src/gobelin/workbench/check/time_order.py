"""What `check` says of rows with a time: series that reach past it, numbers that tell too much of
the target, and faults of the series. One line of warning for each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from gobelin.core.numbering import numbered
from gobelin.data.fields import set_kind
from gobelin.data.read import read
from gobelin.data.series.moments import Moment
from gobelin.data.split.splits import Split
from gobelin.data.values.dates import days, undecided
from gobelin.data.values.numbers import numbers_of
from gobelin.data.values.spelling import spelled
from gobelin.evidence.findings import Finding
from gobelin.quality import telling as telling_columns
from gobelin.quality.look_ahead import LookAhead, look_ahead
from gobelin.quality.series_faults import series_faults
from gobelin.quality.telling import PanelRows
from gobelin.quality.window_source import source_of
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.rows import Rows

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
LEAST_TIMES = 10  # different dates that an order needs
ORDERED = 0.9  # of the steps from row to row; each group begins anew
MOST_VALUES = 10  # of a category, the most frequent ones, that are compared with the target
LEAST_OF = 10  # rows of such a value
MOST_ROWS = 10_000  # of the table of cells that reach past the time of their row


def checked(run: Run, exhibits: Exhibits) -> list[Finding]:
    """Findings about time; each that is no praise is also a warning."""
    rows = run.checked.rows
    if (time := rows.schema.role("time")) is not None:
        _say_split(run.settings.split, time)
    elif column := _runs_through_time(rows):
        LOG.warning(
            "column %r: its dates go on from row to row, and rows of one time are in training and"
            " in test. If the future is to be predicted, use %s --set split.by=time.",
            column,
            set_kind(column, "time"),
        )
    path = run.settings.check.source
    source = source_of(read(path)) if path else None
    found = look_ahead(rows.dataset, rows.schema, run.encoders.embedder.encoders, source)
    _show(found, exhibits)
    findings = [*found.findings, *series_faults(rows.dataset, found), *_telling(run, found)]
    for finding in findings:
        if finding.value:
            LOG.warning("%s", finding.sentence())
    return findings


def _say_split(split: Split, time: str) -> None:
    """Tell what the split does not keep apart."""
    if split.by != "time":
        LOG.warning(
            "split.by = random: rows of one time are in training and in test. If the future is to"
            " be predicted, use --set split.by=time (column %s).",
            time,
        )
    elif split.purge is None:
        LOG.warning(
            "split.by = time: how long after its time a row's answer is known is not given, so no"
            " row is purged. Give it in days, or in the unit of %s: --set split.purge=7.",
            time,
        )


def _runs_through_time(rows: Rows) -> str:
    """The first column of dates in whose order the rows stand, whole or group by group; ''."""
    for column in rows.schema.columns:
        if column.kind != "date" or column.role != "cell":
            continue
        values = [v for v in rows.dataset.values(column.name) if v is not None]
        read = [days(v) for v in values]
        if None in read and (order := undecided(values)[0]):
            read = [days(v, order) for v in values]
        times = np.array([t for t in read if t is not None])
        steps = np.sign(np.diff(times))
        onward = max(float((steps >= 0).sum()), float((steps <= 0).sum()))
        if len(np.unique(times)) >= LEAST_TIMES and onward >= ORDERED * len(steps):
            return str(column.name)
    return ""


def _show(found: LookAhead, exhibits: Exhibits) -> None:
    """Add the table of all cells that reach past the time of their row."""
    if found.past:
        exhibits.table(
            "look_ahead",
            "Cells that reach past the time of their row.",
            ("row", "column", "time of the row", "last sample", "samples after it"),
            [(p.row, p.column, p.time, p.last, p.samples) for p in found.past[:MOST_ROWS]],
        )


def _telling(run: Run, found: LookAhead) -> list[Finding]:
    """Columns that tell more of the target than any earlier value; training rows alone are read."""
    rows, target = run.checked.rows, run.checked.rows.target
    if found.times is None or not (target.exclusive or target.kind == "number"):
        return []
    known = [k for k in rows.labelled("train") if found.times.moments[k] is not None]
    places = np.array(known, int)
    columns = {}
    for one in rows.schema.fields:
        for name in one.columns:
            if rows.schema.kind(name) == "number":
                values = numbers_of(rows.dataset.values(name))
                columns[name] = np.array([np.nan if v is None else v for v in values])[places]
            elif rows.schema.kind(name) == "category":
                columns[name] = _indicators(rows.dataset.values(name), places)
    series = [f.name for f in rows.schema.fields if f.kind == "series"]
    past = [run.features.plain.features[name][places] for name in series]
    features = np.concatenate([np.zeros((len(places), 0)), *past], axis=1)
    values = target.values[places]
    truths = (
        [values.astype(float)]
        if target.kind == "number"
        else telling_columns.binary(values, target.classes)
    )
    panel = _panel(run, found.times.moments, places)
    best: dict[str, Finding] = {}
    for truth in truths:
        for finding in telling_columns.telling(columns, features, truth, panel):
            name = finding.scope["column"]
            if name not in best or (finding.value or 0) > (best[name].value or 0):
                best[name] = finding
    return list(best.values())


def _indicators(values: Sequence[object], places: np.ndarray) -> np.ndarray:
    """float64 [n, K]: whether the value of a row is the k-th of the most frequent ones."""
    texts = ["" if values[k] is None else spelled(values[k]) for k in places]
    names = [text for text, count in Counter(texts).most_common(MOST_VALUES) if count >= LEAST_OF]
    return np.array([[text == name for name in names] for text in texts], float)


def _panel(run: Run, moments: Sequence[Moment | None], places: np.ndarray) -> PanelRows:
    """When these rows were, and of what: `trade.asset`, else the first column of categories that
    tells the rows of each time apart."""
    rows, split = run.checked.rows, run.settings.split
    if (order := rows.order(split)) is not None:
        time, gap = order.times[places], split.purge or 0.0
    else:
        time, gap = np.array([m.end for k in places if (m := moments[k])]), 0.0
    panel = PanelRows(time, np.zeros(len(places), int), gap)
    if len(np.unique(time)) == len(time) and not run.settings.trade.asset:
        return panel
    names = [run.settings.trade.asset] if run.settings.trade.asset else []
    names += [c.name for c in rows.schema.columns if c.kind == "category" and c.role == "cell"]
    for name in names:
        values = rows.dataset.values(name)
        asset = numbered([spelled(values[k]) for k in places])
        if name == run.settings.trade.asset or len(set(zip(time, asset, strict=True))) == len(time):
            return PanelRows(time, asset, gap)
    return panel
