"""The dated series that windows without dates were cut from, and where in it a window ends.

The source is a table: a column of dates, and a column of numbers for each series (or a column of
names beside them, where the series stand below each other). A window is compared with the source as
it is, with its logarithm, its differences, the differences of its logarithm and its relative
changes, each up to a factor and a constant: so prices, prices over the first one, and returns are
found. First the window is compared with the place where it should end, at the moment of its row;
only if it is not that one, all places are looked at.

What this cannot show: where a window ends that is smoothed, filtered or sampled in another way than
the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.series.moments import Moment, moments
from gobelin.data.values.numbers import numbers_of

LEAST_SAMPLES = 5  # of a window, to be told apart from others
LEAST_STEPS = 4  # different steps in it
MOST_ERROR = 0.02  # of rounding, over the standard deviation of a window
NEXT = 5  # later places that a window must differ from, to be told apart
ALIKE = 0.99  # correlation with the window of a place that is compared sample by sample
SMALLEST = 1e-300
ROUNDED = 1e-9  # relative error of a float that was written with all its digits
MOST_DECIMALS = 12


@dataclass(frozen=True)
class DatedSeries:
    """One series of the source, in the order of time: T stamps as written, their moments, and
    values, float64 [T]."""

    name: str
    stamps: tuple[Any, ...]
    moments: tuple[Moment, ...]
    values: np.ndarray

    @cached_property
    def forms(self) -> list[tuple[np.ndarray, float]]:
        """The values as they may stand in a window, float64 [T] with nan where there is none, and
        the error that the rounding of the source makes in each."""
        x, error = self.values, _rounding(self.values)
        relative = error / max(float(np.abs(x).min()), error, SMALLEST)
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.log(np.where(x > 0, x, np.nan))
            changes = np.concatenate([[np.nan], x[1:] / x[:-1] - 1])
        steps = [np.concatenate([[np.nan], np.diff(v)]) for v in (x, logs)]
        return [
            (x, error),
            (logs, relative),
            (steps[0], 2 * error),
            (steps[1], 2 * relative),
            (changes, 3 * relative),
        ]

    @cached_property
    def ends(self) -> np.ndarray:
        """float64 [T]: when each sample was known, on the clock as written."""
        return np.array([m.end for m in self.moments])

    def known(self, last: Moment) -> int:
        """How many samples were known when `last` was over."""
        place = int(np.searchsorted(self.ends, last.end - 1.5))
        while place < len(self.moments) and not self.moments[place].after(last):
            place += 1
        while place and self.moments[place - 1].after(last):
            place -= 1
        return place


@dataclass(frozen=True)
class WindowEnd:
    """Where a window ends. samples: how many of the source's samples lie between the moment of its
    row and its end; 0 or less: none of the future."""

    series: str
    stamp: Any
    samples: int


@dataclass(frozen=True)
class Source:
    """The series that windows were cut from."""

    series: tuple[DatedSeries, ...]

    def ends(
        self, windows: Mapping[int, np.ndarray], times: Sequence[Moment | None]
    ) -> dict[int, WindowEnd | None]:
        """{row: where its window [C, T] ends}; None where that is not found. Of several channels
        the one that ends last decides. times: of all rows."""
        return {
            row: None if (last := times[row]) is None else self._end(window, last)
            for row, window in windows.items()
        }

    def _end(self, window: np.ndarray, last: Moment) -> WindowEnd | None:
        found = [end for channel in window if (end := self._channel_end(channel, last))]
        return max(found, key=lambda end: end.samples, default=None)

    def _channel_end(self, window: np.ndarray, last: Moment) -> WindowEnd | None:
        if len(window) < LEAST_SAMPLES or len(np.unique(np.diff(window))) < LEAST_STEPS:
            return None
        error = _rounding(window)
        if error > MOST_ERROR * window.std():
            return None
        places = [series.known(last) for series in self.series]
        for series, known in zip(self.series, places, strict=True):
            for form in series.forms:
                if _ends_at(window, form, known, error):
                    after = range(known + 1, known + NEXT + 1)
                    if any(_ends_at(window, form, stop, error) for stop in after):
                        return None  # so smooth that a later window looks the same
                    return WindowEnd(series.name, series.stamps[known - 1], 0)
        for series, known in zip(self.series, places, strict=True):
            if (stop := _anywhere(window, series, error, known)) is not None:
                return WindowEnd(series.name, series.stamps[stop - 1], stop - known)
        return None


def _ends_at(window: np.ndarray, form: tuple[np.ndarray, float], stop: int, error: float) -> bool:
    """Whether window [T] equals the samples of a form of a series that end before `stop`."""
    values, own = form
    start = stop - len(window)
    return 0 <= start and stop <= len(values) and _equal(window, values[start:stop], error, own)


def _rounding(window: np.ndarray) -> float:
    """Half of the last decimal that the samples of a window are written with."""
    size = float(np.abs(window).max())
    for decimals in range(MOST_DECIMALS):
        if np.allclose(np.round(window, decimals), window, rtol=0, atol=ROUNDED * 10.0**-decimals):
            return 0.5 * 10.0**-decimals + ROUNDED * size
    return ROUNDED * size


def _equal(window: np.ndarray, values: np.ndarray, error: float, own: float) -> bool:
    """Whether window [T] is a constant plus a positive factor times values [T], by least squares,
    up to the rounding of each sample: error of the window's, own of the values'."""
    if not np.isfinite(values).all():
        return False
    x, y = values - values.mean(), window - window.mean()
    power = float(x @ x)
    if power <= 0 or (factor := float(x @ y) / power) <= 0:
        return False
    allowed = 2 * (error + factor * own) + ROUNDED * float(np.abs(y).max())
    return bool(np.abs(y - factor * x).max() <= allowed)


def _anywhere(window: np.ndarray, series: DatedSeries, error: float, known: int) -> int | None:
    """The stop of the place in a series that equals the window, the nearest one to `known`; None
    for none. Places of little correlation with the window are sorted out first."""
    y = window - window.mean()
    if len(series.values) < len(window):
        return None
    found = []
    least = min(ALIKE, 1 - (4 * error / window.std()) ** 2)
    for form in series.forms:
        views = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(form[0]), len(window))
        powers = np.einsum("ij,ij->i", views, views) - len(window) * views.mean(1) ** 2
        norms = np.sqrt(np.maximum(powers, SMALLEST) * float(y @ y))
        for start in np.flatnonzero(views @ y / norms >= least):
            stop = int(start) + len(window)
            if _ends_at(window, form, stop, error):
                found.append(stop)
    return min(found, key=lambda stop: abs(stop - known), default=None)


def source_of(dataset: Dataset) -> Source:
    """The series of a table. Raises GobelinError for a table without a column of dates, or without
    numbers."""
    named = {name: dataset.values(name) for name in dataset.column_names}
    found = {name: moments(values) for name, values in named.items()}
    dates = next((n for n, m in found.items() if m and all(m)), None)
    if dates is None:
        raise GobelinError(
            f"check.source: {dataset.source} has no column of dates only. Give a table with a date"
            " in each row."
        )
    numbers = {}
    for name, values in named.items():
        if name != dates:
            column = np.array([np.nan if v is None else v for v in numbers_of(values)], float)
            if np.isfinite(column).mean() > 0.5:
                numbers[name] = column
    if not numbers:
        raise GobelinError(f"check.source: {dataset.source} has no column of numbers. Add one.")
    names = _names(named, {dates, *numbers}, [m for m in found[dates] if m])
    series = []
    for label in dict.fromkeys(names):
        rows = np.flatnonzero(np.array([n == label for n in names]))
        for name, known_values in numbers.items():
            keys = [m.end - (m.ahead or 0.0) for k in rows if (m := found[dates][k])]
            order = rows[np.argsort(keys, kind="stable")]
            known = np.flatnonzero(np.isfinite(known_values[order]))
            if not len(known):
                continue
            order = order[known[0] : known[-1] + 1]
            series.append(
                DatedSeries(
                    f"{label} {name}".strip(),
                    tuple(named[dates][k] for k in order),
                    tuple(m for k in order if (m := found[dates][k]) is not None),
                    _without_holes(known_values[order]),
                )
            )
    return Source(tuple(series))


def _without_holes(values: np.ndarray) -> np.ndarray:
    """float64 [T] with its holes filled as those of a window are."""
    known = np.flatnonzero(np.isfinite(values))
    return np.interp(np.arange(len(values)), known, values[known])


def _names(
    named: Mapping[str, Sequence[Any]], known: set[str], dates: Sequence[Moment]
) -> list[str]:
    """The name of the series of each row [N]: that of a column of words where dates repeat, else
    ''."""
    repeated = len({m.end for m in dates}) < len(dates)
    words = next((n for n in named if n not in known), None) if repeated else None
    return [""] * len(dates) if words is None else [str(v) for v in named[words]]
