"""A waterfall: from the answer without any part, one step for each part, to the answer.

What this cannot show: interactions. A step holds its half of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import category, east_asian_width

from PIL import Image, ImageDraw

from gobelin.evidence.findings import number
from gobelin.report.drawing import AxisScale, Drawing, PrintedTable
from gobelin.report.lettering import font_of, unknown, wrapped

MOST_STEPS = 12  # that are shown; the others are one step together
WIDTH, LINE, NAMES, NUMBERS = 720, 26, 230, 110  # pixels of a PNG: page, row, columns at the sides
EDGE, SIZE = 12, 14  # pixels: left of the letters, and of a letter
RISE, FALL, ENDS, INK = (192, 57, 43), (41, 98, 180), (120, 120, 120), (20, 20, 20)
BAR = 28  # letters of a bar in a text
LONGEST = 28  # letters of a name in a text


def steps(
    parts: Sequence[tuple[str, float]], base: float, whole: float, start: str
) -> list[dict[str, Any]]:
    """The rows of a waterfall: {label, value, low, high}, low and high the ends of its bar. parts:
    (name, value), shown by size; the smallest ones together where there are many. start: what the
    base is called."""
    ranked = sorted(parts, key=lambda part: -abs(part[1]))
    shown, rest = ranked, ranked[:0]
    if len(ranked) > MOST_STEPS:
        shown, rest = ranked[: MOST_STEPS - 1], ranked[MOST_STEPS - 1 :]
    if rest:
        shown = [*shown, (f"{len(rest)} others", sum(value for _, value in rest))]
    rows: list[dict[str, Any]] = [{"label": start, "value": base, "from": 0.0, "to": base}]
    at = base
    for name, value in shown:
        rows.append({"label": name, "value": value, "from": at, "to": at + value})
        at += value
    return [*rows, {"label": "answer", "value": whole, "from": 0.0, "to": whole}]


def waterfall(data: Mapping[str, Any], folder: Path) -> Drawing:
    """The marks of a waterfall, as `drawing.bars` has them."""
    rows, unit = data["rows"], str(data.get("unit") or "")
    scale = AxisScale.around([0.0, *(row[end] for row in rows for end in ("from", "to"))])
    marks: list[dict[str, Any]] = []
    for k, row in enumerate(rows):
        ends = sorted((scale.at(row["from"]) or 0.0, scale.at(row["to"]) or 0.0))
        signed = 0 < k < len(rows) - 1
        marks.append(
            {
                "label": str(row["label"]),
                "value": number(row["value"], "", signed),
                "interval": "",
                "n": "",
                "verdict": "",
                "at": ends[1],
                "low": None,
                "high": None,
                "start": ends[0],
                "width": round(ends[1] - ends[0], 2),
            }
        )
    table = PrintedTable("", ["what", "value"], [[m["label"], m["value"]] for m in marks])
    return {
        "marks": marks,
        "table": table,
        "ticks": scale.ticks(),
        "zero": scale.at(0.0),
        "unit": unit,
        "chance": None,
        "band": None,
        "axis": "",
        "note": "",
    }


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same as text, a line for each row."""
    ends = [float(row[end]) for row in rows for end in ("from", "to")]
    low, high = min(0.0, *ends), max(0.0, *ends)
    size = (high - low) or 1.0
    names = [_short(str(row["label"])) for row in rows]
    wide = max(map(columns, names))
    out = []
    for k, row in enumerate(rows):
        a, b = (round(BAR * (float(row[end]) - low) / size) for end in ("from", "to"))
        bar = " " * min(a, b) + ("█" * max(abs(b - a), 1) if row["value"] else "")
        signed = 0 < k < len(rows) - 1
        value = number(row["value"], "", signed)
        out.append(f"  {names[k]}{' ' * (wide - columns(names[k]))} {value:>9}  {bar}".rstrip())
    return out


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: a Chinese letter two, a mark above one none."""
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(category(letter) in ("Mn", "Me") for letter in text)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else label[: LONGEST - 3] + "..."


def drawn(rows: Sequence[Mapping[str, Any]], title: str, foot: str) -> tuple[Image.Image, str]:
    """The same as a picture, with a line above and one below it; and the letters that stand in it
    as boxes, because no font here has them."""
    names = [_short(str(row["label"])) for row in rows]
    text = "".join([title, foot, *names])
    font = font_of(text, SIZE)
    below = wrapped(foot, font, WIDTH - 2 * EDGE)
    page = Image.new("RGB", (WIDTH, LINE * (len(rows) + 2) + LINE * len(below)), "white")
    pen = ImageDraw.Draw(page)
    pen.text((EDGE, 8), title, fill=INK, font=font)
    ends = [float(row[end]) for row in rows for end in ("from", "to")]
    low, high = min(0.0, *ends), max(0.0, *ends)
    size, room = (high - low) or 1.0, WIDTH - NAMES - NUMBERS - 20

    def across(value: float) -> float:
        return NAMES + room * (value - low) / size

    top = LINE + 8
    zero = across(0.0)
    pen.line([zero, top, zero, top + LINE * len(rows)], fill=(200, 200, 200))
    for k, row in enumerate(rows):
        y, inner = top + LINE * k, 0 < k < len(rows) - 1
        a, b = sorted((across(float(row["from"])), across(float(row["to"]))))
        colour = ENDS if not inner else RISE if row["value"] > 0 else FALL
        pen.text((EDGE, y + 4), names[k], fill=INK, font=font)
        pen.rectangle([a, y + 4, max(b, a + 1), y + LINE - 5], fill=colour)
        value = number(row["value"], "", inner)
        pen.text((WIDTH - NUMBERS, y + 4), value, fill=INK, font=font)
    for k, line in enumerate(below):
        pen.text((EDGE, top + LINE * len(rows) + 10 + 20 * k), line, fill=ENDS, font=font)
    return page, unknown(text, font)
