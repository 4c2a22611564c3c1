"""Draws rows of the data, and counts of rows by class and prediction.

What this cannot show: more than their exhibits hold, which cut long cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gobelin.report.answer import few_cells
from gobelin.report.drawing import Drawing, PrintedTable, cell
from gobelin.report.pictures import picture

DARKEST = 0.75  # opacity of a cell with every row of its class


def records(data: Mapping[str, Any], folder: Path) -> Drawing:
    """Rows with their pictures and cells."""
    drawn: list[Drawing] = []
    for row in data["rows"]:
        name, title = str(row["id"]), str(row.get("title") or "")
        alt = f"row {name}, {title}" if title else f"row {name}"
        pictured = row.get("pictured") if row.get("image") else None
        every = [(str(k), cell(value)) for k, value in row["cells"] if k != pictured]
        cells, others = few_cells(every)
        drawn.append(
            {
                "id": name,
                "title": title,
                "note": str(row.get("note") or ""),
                "cells": cells,
                "others": others,
                "picture": picture(folder, row["image"], alt) if row.get("image") else None,
            }
        )
    shown = [key for key in ("id", "title", "note") if any(row[key] for row in drawn)]
    heads = {"id": "row", "title": "what", "note": "how"}
    rows = [
        [
            *(row[key] for key in shown),
            "; ".join(filter(None, [*(f"{k}: {v}" for k, v in row["cells"]), row["others"]])),
        ]
        for row in drawn
    ]
    table = PrintedTable("", [*(heads[key] for key in shown), "cells"], rows)
    return {"records": drawn, "table": table, "note": ""}


def matrix(data: Mapping[str, Any], folder: Path) -> Drawing:
    """Counts [C, C] by class and prediction. The more rows of its class, the darker a cell."""
    labels, counts = [str(name) for name in data["labels"]], data["counts"]
    lines = []
    for name, row in zip(labels, counts, strict=True):
        total = sum(row)
        cells = [
            {
                "count": str(count) if count else "",
                "shade": round(DARKEST * count / total, 3) if total else 0.0,
                "right": labels[place] == name,
            }
            for place, count in enumerate(row)
        ]
        lines.append({"label": name, "cells": cells, "total": str(total)})
    rows = [[name, *map(str, row), str(sum(row))] for name, row in zip(labels, counts, strict=True)]
    heads = ["class", *labels, "rows"]
    table = PrintedTable("", heads, rows, "", set(heads[1:]))
    note = f"{data['right']} of {data['count']} rows are right." if "right" in data else ""
    return {"labels": labels, "lines": lines, "table": table, "note": note}
