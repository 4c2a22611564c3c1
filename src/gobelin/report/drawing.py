"""Turns the data of an exhibit into values for the page: places in percent of an axis, printed
numbers, embedded images.

Places are in percent, so that a plot's text keeps the size of the page's text on a telephone and on
a wide screen. `DRAWINGS` has one function for each kind of exhibit. The templates do the rest.

What this cannot show: a curve between its recorded points. Of more than 600 points it leaves some
out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gobelin.evidence.findings import finite, number, plain_verdict
from gobelin.report.pictures import picture, views

HUNDREDTHS = ("share", "points")  # units that are printed in hundredths
CURVE_POINTS = 600  # points drawn of a curve
CURVE_ROWS = 12  # rows of a curve in its table
NUMERIC_COLUMNS = {
    "value",
    "interval",
    "chance",
    "floor",
    "n",
    "confidence",
    "95 % interval",
}
# of generated and of real images, volumes or meshes ("made images": of earlier versions)
NUMERIC_COLUMN = re.compile(r"(generated|made|real) \w+s")
Drawing = dict[str, Any]


@dataclass(frozen=True)
class PrintedTable:
    """A table of printed cells."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    foot: str = ""  # a note that holds for every row
    # columns that are set to the right
    numeric: set[str] = field(default_factory=lambda: NUMERIC_COLUMNS)


@dataclass(frozen=True)
class AxisScale:
    """A linear axis whose ends are ticks."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Iterable[float | None]) -> AxisScale:
        """An axis that holds all the values, in about four to nine steps of 1, 2 or 5 times a power
        of ten."""
        numbers = [float(v) for v in values if finite(v)] or [0.0, 1.0]
        low, high = min(numbers), max(numbers)
        high = high if high > low else low + (abs(low) or 1.0)
        raw = (high - low) / 4
        size = 10.0 ** math.floor(math.log10(raw))
        step = max(size * k for k in (1, 2, 5) if size * k <= raw * (1 + 1e-9))
        return cls(step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9), step)

    def at(self, value: float | None) -> float | None:
        """The place of a value in percent of the axis's length."""
        return (
            round(100 * (float(value) - self.low) / (self.high - self.low), 2)
            if finite(value)
            else None
        )

    def ticks(self, unit: str = "", sign: str = "") -> list[tuple[float | None, str]]:
        """[(place in percent, printed number)]."""
        factor = 100 if unit in HUNDREDTHS else 1
        places = [
            self.low + k * self.step for k in range(round((self.high - self.low) / self.step) + 1)
        ]
        return [
            (
                self.at(place),
                f"{round(factor * place, 10) + 0.0:{sign if abs(place) > 1e-12 else ''}.6g}",
            )
            for place in places
        ]


def words(name: str) -> str:
    return name.replace("_", " ")


def bounds(low: float | None, high: float | None, unit: str = "", signed: bool = False) -> str:
    """An interval without its unit, '' if there is none."""
    shown = [
        number(bound, unit if unit in HUNDREDTHS else "", signed).removesuffix(" points")
        for bound in (low, high)
    ]
    if finite(low) and finite(high):
        return f"{shown[0]} to {shown[1]}"
    return f"from {shown[0]}" if finite(low) else f"up to {shown[1]}" if finite(high) else ""


def cell(value: object) -> str:
    """One cell of a table as text."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(part)}" for key, part in value.items())
    return ", ".join(map(cell, value)) if isinstance(value, list | tuple) else str(value)


def bars(data: Mapping[str, Any], folder: Path) -> Drawing:
    """Bars from 0, with intervals, and a line at the score of chance."""
    unit, rows, chance = data.get("unit") or "", data["rows"], data.get("chance")
    values = [0.0, chance] + [row.get(name) for row in rows for name in ("value", "low", "high")]
    share = unit == "share" and all(0 <= value <= 1 for value in values if finite(value))
    scale = AxisScale.around([*values, 1.0] if share else values)
    note = f"Dashed line: chance, {number(chance, unit)}." if finite(chance) else ""
    return _plot(rows, scale, unit, 0.0, "") | {"chance": scale.at(chance), "note": note}


def forest(data: Mapping[str, Any], folder: Path) -> Drawing:
    """Differences with intervals, and a band of the smallest effect that matters."""
    unit, rows, zero, smallest = (
        data.get("unit") or "",
        data["rows"],
        data.get("zero") or 0,
        data.get("smallest"),
    )
    edges = [zero - 1.5 * (smallest or 0), zero + 1.5 * (smallest or 0)]
    scale = AxisScale.around(
        edges + [row.get(name) for row in rows for name in ("value", "low", "high")]
    )
    plot = _plot(rows, scale, unit, zero, "+") | {"axis": data.get("axis") or ""}
    if not smallest:
        return plot
    band = (scale.at(zero - smallest), round(200 * smallest / (scale.high - scale.low), 2))
    return plot | {
        "band": band,
        "note": f"Shaded: below the smallest effect that matters, {number(smallest, unit)}.",
    }


def _plot(
    rows: Sequence[Mapping[str, Any]], scale: AxisScale, unit: str, zero: float, sign: str
) -> Drawing:
    marks = [_mark(row, scale, unit, zero, bool(sign)) for row in rows]
    shown = [
        name for name in ("value", "interval", "n", "verdict") if any(mark[name] for mark in marks)
    ]
    table = PrintedTable(
        "", ["what", *shown], [[mark["label"], *(mark[name] for name in shown)] for mark in marks]
    )
    return {
        "marks": marks,
        "table": table,
        "ticks": scale.ticks(unit, sign),
        "zero": scale.at(zero),
        "unit": unit,
        "chance": None,
        "band": None,
        "axis": "",
        "note": "",
    }


def _mark(
    row: Mapping[str, Any], scale: AxisScale, unit: str, zero: float, signed: bool
) -> Drawing:
    at, start = scale.at(row.get("value")), scale.at(zero)
    ends = (at, start) if at is not None and start is not None else (0.0, 0.0)
    return {
        "label": str(row["label"]),
        "value": number(row.get("value"), unit, signed),
        "interval": bounds(row.get("low"), row.get("high"), unit, signed),
        "n": cell(row.get("n")),
        "verdict": plain_verdict(cell(row.get("verdict"))),
        "at": at,
        "low": scale.at(row.get("low")),
        "high": scale.at(row.get("high")),
        "start": min(ends),
        "width": round(max(ends) - min(ends), 2),
    }


def curve(data: Mapping[str, Any], folder: Path) -> Drawing:
    """Lines that break where a value is missing, and bands around them. A long line is thinned to
    every k-th point and the last, and a note says so."""
    x, series, bands = data["x"], data["series"], data.get("bands") or {}
    ends = [band[end] for band in bands.values() for end in ("low", "high")]
    across = AxisScale.around(x)
    up = AxisScale.around(value for line in (*series.values(), *ends) for value in line)
    every = math.ceil(len(x) / CURVE_POINTS) or 1
    drawn = [k for k in range(len(x)) if k % every == 0 or k == len(x) - 1]
    lines = []
    for name, line in series.items():
        pieces = _pieces([(across.at(x[k]), up.at(line[k])) for k in drawn if k < len(line)])
        dots = all(len(piece) == 1 for piece in pieces)
        lines.append({"name": str(name), "pieces": pieces, "dots": dots, "alt": _ends(x, line)})
    table_every = math.ceil(len(x) / CURVE_ROWS) or 1
    shown = [k for k in range(len(x)) if k % table_every == 0 or k == len(x) - 1]
    rows = [
        [
            cell(x[k]),
            *(cell(line[k]) if k < len(line) else "" for line in series.values()),
            *(bounds(band["low"][k], band["high"][k]) for band in bands.values()),
        ]
        for k in shown
    ]
    label = str(data.get("x_label") or "x")
    foot = f"One point in {table_every} of {len(x)}." if table_every > 1 else ""
    columns = [label, *map(str, series), *(f"95 % interval of {name}" for name in bands)]
    return {
        "lines": lines,
        "bands": [_outline(x, band, across, up) for band in bands.values()],
        "across": across.ticks(),
        "up": up.ticks(),
        "x_label": label,
        "y_label": str(data.get("y_label") or ""),
        "note": f"One point in {every} of {len(x)} is drawn." * (every > 1),
        "table": PrintedTable("", columns, rows, foot, set(columns)),
    }


def _outline(
    x: Sequence[float], band: Mapping[str, Any], across: AxisScale, up: AxisScale
) -> list[tuple[float, float]]:
    """The corners of a band: its lower ends from left to right, then its upper ends back. y is
    counted downwards."""
    ends = [("low", range(len(x))), ("high", range(len(x) - 1, -1, -1))]
    points = [(across.at(x[k]), up.at(band[end][k])) for end, places in ends for k in places]
    return [(a, round(100 - b, 2)) for a, b in points if a is not None and b is not None]


def _pieces(points: Sequence[tuple[float | None, float | None]]) -> list[list[tuple[float, float]]]:
    """Runs of points that have a value. y is counted downwards."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if x is not None and y is not None:
            pieces[-1].append((x, round(100 - y, 2)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _ends(x: Sequence[float], line: Sequence[float | None]) -> str:
    """A line in words: its first and its last point."""
    points = [(at, value) for at, value in zip(x, line, strict=False) if finite(value)]
    ends = [f"{number(value)} at {cell(at)}" for at, value in (*points[:1], *points[-1:])]
    return " to ".join(ends) or "empty"


def table(data: Mapping[str, Any], folder: Path) -> Drawing:
    """A table of printed cells. Columns of numbers are set to the right."""
    columns, rows = [str(name) for name in data["columns"]], data["rows"]
    numeric = {
        name
        for k, name in enumerate(columns)
        if rows and all(finite(row[k]) or row[k] is None for row in rows)
    }
    numeric |= {c for c in columns if c in NUMERIC_COLUMNS or NUMERIC_COLUMN.fullmatch(c)}
    return {
        "table": PrintedTable(
            "", columns, [[cell(value) for value in row] for row in rows], "", numeric
        ),
        "note": "",
    }


def sheet(data: Mapping[str, Any], folder: Path) -> Drawing:
    """Groups of images, each with its condition and the source image."""
    groups = []
    for group in data["groups"]:
        label, images = str(group["label"]), group["images"]
        alts = [f"generated image {k + 1} of {len(images)}, {label}" for k in range(len(images))]
        source = (
            picture(folder, group["source"], f"source, {label}") if group.get("source") else None
        )
        pictures = [picture(folder, path, alt) for path, alt in zip(images, alts, strict=True)]
        drawn = {"label": label, "source": source, "images": pictures}
        groups.append(drawn | {"views": views(folder, group.get("views", ()), label)})
    return {"groups": groups}


def pairs(data: Mapping[str, Any], folder: Path) -> Drawing:
    """Pairs of images with captions. The right ones of wide pairs have numbers in them."""
    left, right = str(data.get("left") or "left"), str(data.get("right") or "right")
    wide = bool(data.get("wide"))
    drawn = [
        {
            "left": picture(folder, pair["left"], f"{left}, pair {k + 1}"),
            "right": picture(folder, pair["right"], f"{right}, pair {k + 1}", wide),
            "caption": str(pair.get("caption") or ""),
        }
        for k, pair in enumerate(data["pairs"])
    ]
    return {"left": left, "right": right, "pairs": drawn, "wide": wide}


DRAWINGS: dict[str, Callable[[Mapping[str, Any], Path], Drawing]] = {
    "bars": bars,
    "forest": forest,
    "curve": curve,
    "table": table,
    "sheet": sheet,
    "pairs": pairs,
}
