"""Rows that must not be learned from: their answer reaches into the time of rows that judge.

A row's answer is known some time after the row: next week's return, a week later. `purge` is that
time, so the answer of a row at t covers (t, t + purge]. A training row whose answer overlaps that
of a validation or test row is purged, and a validation row whose answer overlaps that of a test row
(López de Prado 2018, ch. 7.4.1). `embargo` is a time more that must lie between them (ch. 7.4.2),
here on both sides: features look back, and what follows a test row still echoes it.

A purged row loses its answer and nothing else: it still serves alignment and generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.numbering import numbered
from gobelin.data.split.splits import Split, row_moments

EXACT = 1e-9  # days; times nearer than this are one


@dataclass(frozen=True)
class TimeOrder:
    """The times of N rows, float64 [N], nan where a row has none, and the time that must lie
    between a row that is learned from and one that judges, in the same unit (days for dates)."""

    times: np.ndarray
    gap: float

    def overlap(self, times: np.ndarray) -> np.ndarray:
        """bool [N]: rows whose answer overlaps that of a row at one of these times. For intervals
        (t, t + gap] that is a distance below the gap; without a gap nothing overlaps."""
        others = np.sort(times[np.isfinite(times)])
        if not self.gap or not len(others):
            return np.zeros(len(self.times), bool)
        place = np.searchsorted(others, np.nan_to_num(self.times))
        before = others[np.clip(place - 1, 0, len(others) - 1)]
        after = others[np.clip(place, 0, len(others) - 1)]
        nearest = np.minimum(np.abs(self.times - before), np.abs(self.times - after))
        return np.asarray(nearest < self.gap - EXACT)  # nan is not


def time_order(settings: Split, times: Sequence[object] | None) -> TimeOrder | None:
    """The order in time of a split by time; None for another split. times: of each row [N].
    Raises GobelinError for times that are neither dates nor numbers, where a gap was asked for."""
    if settings.by != "time" or times is None:
        return None
    moments = [value for _, value in row_moments(times, np.zeros(0, int))]
    if any(isinstance(v, str) for v in moments):
        if settings.gap:
            raise GobelinError(
                "split.purge: the times are neither dates nor numbers, so no time between rows is"
                " known. Write dates as 2026-12-24, or leave split.purge and split.embargo out."
            )
        return TimeOrder(numbered([str(v) for v in moments]).astype(float), 0.0)
    known = [t is not None for t in times]
    return TimeOrder(np.where(known, np.array(moments, float), np.nan), settings.gap)


def purged(order: TimeOrder, parts: np.ndarray, present: np.ndarray) -> np.ndarray:
    """bool [N]: labelled rows whose answer overlaps that of a row of a later part. parts: str [N].
    present: bool [N], the labelled rows."""
    out = np.zeros(len(parts), bool)
    for part, judges in (("valid", ("test",)), ("train", ("valid", "test"))):
        judging = np.isin(parts, judges) & present & ~out
        out |= (parts == part) & present & order.overlap(order.times[judging])
    return out
