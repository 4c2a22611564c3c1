"""American stocks: 64 days of prices, a chart, facts; whether each rises in the next five days.

Daily closes come with the package skfolio (BSD-3), adjusted for splits and dividends, and are read
where it is installed; it is not imported. The prices of a row have their dates, so the look-ahead
guard of `check` compares each with the row's day. The chart is drawn here: closes in one colour,
their mean over 21 days in another, on a logarithmic scale.

The right answer is near chance. This set checks that the tool says so, after costs.

What this cannot show: whether anybody could trade on an answer. These are companies that still
existed in 2022, so holding them did better than anybody could have known (survivorship).
"""

from __future__ import annotations

import csv
import datetime
import gzip
import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import atomic_folder

FILE = "datasets/data/sp500_dataset.csv.gz"  # in the package
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
TRADING_DAYS = 252  # of a year
MONTH, WEEK = 21, 5  # trading days
ANSWER_KNOWN = 12.0  # days: five trading days and any holidays between them
PRICE_COLOUR, MEAN_COLOUR = (20, 60, 160), (220, 120, 20)
LINE_WIDTH = 0.02  # of the image's side


@settings_class
class Finance:
    """Settings of the sample set."""

    stocks: tuple[str, ...] = setting(
        default=("AAPL", "JPM", "KO", "XOM"),
        min_length=1,
        description="Stocks by their symbols, of the 20 of the package.",
    )
    since: int = setting(default=2000, ge=1990, le=2021, description="First year of the rows.")
    window: int = setting(default=64, ge=22, le=512, description="Days that a row shows.")
    step: int = setting(
        default=10, ge=5, description="Trading days from one row of a stock to the next."
    )
    size: int = setting(default=64, ge=16, le=512, description="Side of the charts in pixels.")

    target: ClassVar[str] = "next_week"
    credit: ClassVar[str] = (
        "Daily closes of stocks of the S&P 500, 1990 to 2022, as the package skfolio has them"
        " (BSD-3)"
    )
    generates: ClassVar[bool] = False  # an image of a chart that never was helps nobody

    def settings(self) -> Mapping[str, Any]:
        return {
            "schema": {"day": "time", "week": "group", "next_return": "ignore"},
            "split": {"by": "time", "purge": ANSWER_KNOWN},
            "trade": {"returns": "next_return", "asset": "stock", "cost": 0.0005},
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        falling = "[100, 101, 99, 97, 98, 95, 91, 92, 88, 86]"
        return ({"row": "volatility=0.6"}, {"prices": falling})

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.parquet and the charts (some seconds). Nothing is drawn at random."""
        if (folder / "records.parquet").is_file():
            return folder / "records.parquet"
        days, closes = _closes()
        if unknown := [name for name in self.stocks if name not in closes]:
            raise GobelinError(
                f"samples.finance: stocks = {unknown[0]!r} is none of {', '.join(sorted(closes))}."
                " Choose some of them."
            )
        first = next(k for k, day in enumerate(days) if day.year >= self.since)
        lasts = range(first + self.window - 1, len(days) - WEEK, self.step)
        with atomic_folder(folder) as temporary:
            (temporary / "charts").mkdir()
            rows = []
            for last in lasts:
                for name in self.stocks:
                    row = self._row(days, closes[name], name, last)
                    window = closes[name][last - self.window + 1 : last + 1]
                    chart(window, self.size).save(temporary / row["chart"])
                    rows.append(row)
            pq.write_table(pa.Table.from_pylist(rows), temporary / "records.parquet")
        return folder / "records.parquet"

    def _row(
        self, days: list[datetime.date], close: np.ndarray, name: str, last: int
    ) -> dict[str, Any]:
        """The row of a window. Only `next_week` and `next_return` use days after `day`."""
        day, window = days[last], slice(last - self.window + 1, last + 1)
        steps = np.diff(np.log(close[window]))
        dates = [one.isoformat() for one in days[window]]
        ahead = float(close[last + WEEK] / close[last] - 1)
        return {
            "id": f"{name} {day.isoformat()}",
            "day": day.isoformat(),
            "week": "{}-W{:02d}".format(*day.isocalendar()[:2]),
            "stock": name,
            "prices": json.dumps(dict(zip(dates, close[window].tolist(), strict=True))),
            "chart": f"charts/{name}_{day.isoformat()}.png",
            "weekday": WEEKDAYS[day.weekday()],
            "month": day.month,
            "volatility": round(float(steps[-MONTH:].std() * TRADING_DAYS**0.5), 5),
            "past_week": round(float(steps[-WEEK:].sum()), 6),
            "past_month": round(float(steps[-MONTH:].sum()), 6),
            "below_peak": round(float(np.log(close[last] / close[window].max())), 6),
            "next_return": round(ahead, 6),
            "next_week": "up" if ahead > 0 else "down",
        }


def chart(closes: np.ndarray, size: int) -> Image.Image:
    """A line of prices [T] and of their mean over 21 days, on a logarithmic scale that the window
    fills."""
    logs = np.log(closes)
    span = max(float(logs.max() - logs.min()), 1e-9)
    means = np.array([logs[max(0, k - MONTH + 1) : k + 1].mean() for k in range(len(logs))])
    image = Image.new("RGB", (size, size), "white")
    pen, width = ImageDraw.Draw(image), max(1, round(LINE_WIDTH * size))
    across = np.linspace(0, size - 1, len(logs))
    for values, colour in ((means, MEAN_COLOUR), (logs, PRICE_COLOUR)):
        down = (size - 1) * (1 - (values - logs.min()) / span)
        pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), colour, width)
    return image


def _closes() -> tuple[list[datetime.date], dict[str, np.ndarray]]:
    """The trading days, and {symbol: closes float64 [days]}. Raises MissingExtra."""
    package = importlib.util.find_spec("skfolio")
    places = (package.submodule_search_locations if package else None) or []
    path = next((p for place in places if (p := Path(place) / FILE).is_file()), None)
    if path is None:
        raise MissingExtra(
            "The finance sample set's package skfolio", command="pip install --no-deps skfolio"
        )
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    days = [datetime.date.fromisoformat(row["Date"]) for row in rows]
    names = [name for name in rows[0] if name != "Date"]
    closes = {name: np.array([float(row[name] or math.nan) for row in rows]) for name in names}
    return days, {name: x for name, x in closes.items() if np.isfinite(x).all()}
