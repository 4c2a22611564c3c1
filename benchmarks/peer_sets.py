"""The sets of `peers.py`: a table of training rows and one of held-out rows, drawn by group."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer_tables import ROWS as OWN_ROWS

from gobelin.core import catalog
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
    "units": ("units", {}, 0),
    "letters": ("letters", {}, 0),
    "surfaces": ("surfaces", {}, 0),
    "flights": ("flights", {}, 5000),
    "tuxpaint": ("tuxpaint", {}, 0),
    "openmoji": ("openmoji", {}, 0),
    "fashion": ("fashion", {"rows": 3000}, 3000),
}
TARGETS = {  # {set: what is asked, and of which fields}
    "sweethome": "category of furniture (image, names, tags, sizes)",
    "sweethome height": "log height, in standard deviations (the same fields)",
    "openmoji 300": "group of an emoji (image, captions, facts; 300 rows)",
    "digits 300": "digit (image; 300 rows)",
    "fashion 300": "kind of clothes (image; 300 rows)",
    "market": "rise in five days (series, facts), by half-years",
    "units": "race of a game's unit (image, name, description, sound, numbers)",
    "letters": "spoken letter (sound)",
    "surfaces": "fault of a drawn plate (image, camera, temperature), by plates",
    "flights": "late or in time (numbers, categories, plane, weather), by days",
    "tuxpaint": "kind of stamp (image, captions, speech, sound)",
    "openmoji": "group of an emoji (the same, all rows)",
    "fashion": "kind of clothes (image; 3,000 rows)",
}
OWN = {  # {set that is no sample: (target, column of groups)}
    "units": ("race", ""),
    "letters": ("letter", ""),
    "surfaces": ("fault", "plate"),
    "flights": ("late", "date"),
}
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
    if sample in OWN:
        target, group = OWN[sample]
        folder.mkdir(parents=True, exist_ok=True)
        rows, path = OWN_ROWS[sample](keep, folder), folder / "records.csv"
        settings = {"schema": {group: "group"}} if group else {}
    else:
        source = catalog.build("samples", sample, own)
        target, path = source.target, source.write(folder, 0)
        rows = [row for row in table(path) if row[target]]
        settings = {k: v for k, v in source.settings().items() if k != "generator"}
    schema = settings.get("schema", {})
    group = next((c for c, role in schema.items() if role == "group"), "id")
    rows = [{"id": f"{k:05}", **row} for k, row in enumerate(rows)]  # where it has none
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
