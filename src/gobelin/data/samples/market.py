"""64 trading days of the American stock market, and whether the S&P 500 rises in the next five.

Daily figures come with the package arch (NCSA licence) and are read where it is installed: S&P 500,
NASDAQ with their volumes, and the price of WTI crude oil, which has real holes. A row has two
series, prices and trading, and a table of facts of its last day. VIX is left out: it begins in
2014, so no training row would have it. The right answer is near chance; this set checks that the
tool says so.

Nothing leaks over time. The days are divided into blocks of half a year. The window of a row and
the five days that it predicts lie within one block, and no block is in two parts of the split,
which is by time. So no day is on both sides of it, nor in two folds of a cross-fit: between the
last question of a part and the first of the next are 64 days, more than any embargo needs (López
de Prado 2018, ch. 7). Rows follow each other by five days, so their answers share no day either.

What this cannot show: whether anybody could trade on an answer. There are no costs in it, and it is
one market in one period.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import atomic_folder

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
TRADING_DAYS = 252  # of a year
Day = dict[str, float]  # figures of one day: {column: figure}


@settings_class
class Market:
    """Settings of the sample set, in trading days."""

    window: int = setting(default=64, ge=22, description="Days that a row shows.")
    ahead: int = setting(default=5, ge=1, description="Days from a row to its answer.")
    step: int = setting(default=5, ge=1, description="Days from one row to the next.")
    block: int = setting(
        default=126, description="Days of a block. Rows of two blocks share no day."
    )

    target: ClassVar[str] = "next_week"
    credit: ClassVar[str] = (
        "Daily figures of S&P 500, NASDAQ and WTI, 1999 to 2018, as the package arch has them"
        " (NCSA)"
    )

    def __post_init__(self) -> None:
        if (
            min(self.ahead, self.step) < 1
            or self.window < 22
            or self.block < self.window + self.ahead
        ):
            raise GobelinError(
                f"samples.market: window = {self.window}, ahead = {self.ahead}, step = {self.step},"
                f" block = {self.block}; expected a window of at least 22 days and a block that"
                " holds it with the days ahead. Change them."
            )

    def settings(self) -> Mapping[str, Any]:
        return {"schema": {"day": "time", "block": "group"}, "split": {"by": "time"}}

    def queries(self) -> tuple[Mapping[str, str], ...]:
        # three channels that fall together
        falling = "[0, 0.01, -0.01, -0.03, -0.02, -0.05, -0.09, -0.08, -0.12, -0.15]"
        return (
            {"row": "volatility=0.4,month=10"},
            {"prices": f"[{falling}, {falling}, {falling}]"},
        )

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.parquet (a second). Nothing is drawn at random."""
        if (folder / "records.parquet").is_file():
            return folder / "records.parquet"
        days, figures = _figures()
        starts = [
            start
            for first in range(0, len(days) - self.block + 1, self.block)
            for start in range(first, first + self.block - self.window - self.ahead + 1, self.step)
        ]
        rows = [self._row(days, figures, start) for start in starts]
        with atomic_folder(folder) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary / "records.parquet")
        return folder / "records.parquet"

    def _row(
        self, days: Sequence[datetime.date], figures: Mapping[str, np.ndarray], start: int
    ) -> dict[str, Any]:
        """The row of a window. Only `next_week` uses days after `day`."""
        last = start + self.window - 1
        window = {name: values[start : last + 1] for name, values in figures.items()}
        close = figures["sp500"]
        returns = np.diff(np.log(window["sp500"]))
        oil = window["oil"][~np.isnan(window["oil"])]
        return {
            "id": days[last].isoformat(),
            "day": days[last].isoformat(),
            "block": f"{start // self.block:02d}",
            "prices": [_relative(window[name]) for name in ("sp500", "nasdaq", "oil")],
            "trading": [
                _relative(window[name]) for name in ("sp500_volume", "nasdaq_volume", "range")
            ],
            "month": days[last].month,
            "weekday": WEEKDAYS[days[last].weekday()],
            "volatility": round(float(returns[-21:].std() * TRADING_DAYS**0.5), 5),
            "past_week": round(float(returns[-5:].sum()), 6),
            "past_month": round(float(returns[-21:].sum()), 6),
            "oil_change": round(float(np.log(oil[-1] / oil[0])), 6) if len(oil) > 1 else None,
            "below_peak": round(float(np.log(window["sp500"][-1] / window["sp500"].max())), 6),
            "next_week": "up" if close[last + self.ahead] > close[last] else "down",
        }


def _relative(values: np.ndarray) -> list[float | None]:
    """Logarithms less that of the first known day, [T]; None for a hole."""
    logs = np.log(values)
    first = logs[~np.isnan(logs)][:1]
    return [None if math.isnan(v) else round(float(v - first[0]), 6) for v in logs]


def _figures() -> tuple[list[datetime.date], dict[str, np.ndarray]]:
    """The trading days and {column: figures [days]}; nan where a figure is missing. Raises
    MissingExtra.
    """
    try:
        import arch
    except ImportError as error:
        raise MissingExtra("The market sample set", "finance") from error
    home = Path(arch.__file__).parent / "data"
    index, other, oil = (
        _table(home / name / f"{name}.csv.gz") for name in ("sp500", "nasdaq", "wti")
    )
    days = sorted(set(index) & set(other))

    def column(table: Mapping[datetime.date, Day], name: str) -> np.ndarray:
        return np.array([table.get(day, {}).get(name, math.nan) for day in days])

    return days, {
        "sp500": column(index, "Close"),
        "nasdaq": column(other, "Close"),
        "oil": column(oil, "DCOILWTICO"),
        "sp500_volume": column(index, "Volume"),
        "nasdaq_volume": column(other, "Volume"),
        "range": column(index, "High") / column(index, "Low"),
    }


def _table(path: Path) -> dict[datetime.date, Day]:
    """{day: figures} of a gzipped CSV file, whose dates are month/day/year."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    days = {}
    for row in rows:
        month, day, year = (int(part) for part in row.pop("Date").split("/"))
        days[datetime.date(year, month, day)] = {
            name: number for name, v in row.items() if (number := _positive(v))
        }
    return days


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:  # the source writes a point where there was no trade
        return None
    return number if number > 0 else None
