"""Rows as a person sees them: their own cells as short texts, and a small picture.

What this cannot show: the whole of a long cell. Texts are cut, and lists show their first items.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.printable import number_of_cell
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Field, Schema
from gobelin.data.files import BadCell, file_values
from gobelin.data.image.images import Opening, open_image, png_bytes
from gobelin.data.media import kinds, medium

LONGEST_CELL = 60  # characters of one cell
SHOWN_ITEMS = 3  # of a list
PLAIN_NUMBER = re.compile(r"\s*[-+]?\d{1,300}\.\d+(e[-+]?\d{1,2})?\s*", re.I)
PICTURE_PIXELS = 128  # the longer side of a small picture
PICTURES = "images/rows"  # in the run folder


def shown_cells(
    dataset: Dataset, schema: Schema, rows: Sequence[int] | np.ndarray
) -> list[dict[str, str]]:
    """{column: short text} of the present cells of these rows, in the order of the fields. The
    target, ids and columns that no field reads are left out."""
    chosen = dataset.rows(np.asarray(rows, np.int64))
    held = set(chosen.column_names)
    names = [c for f in schema.fields for c in f.columns if c in held]
    columns = {name: chosen.values(name) for name in names}
    numbers = {c.name for c in schema.columns if c.kind == "number"}
    return [
        {
            name: cell_text(as_number(values[k]) if name in numbers else values[k])
            for name, values in columns.items()
            if values[k] is not None
        }
        for k in range(len(chosen))
    ]


def as_number(value: Any) -> Any:  # noqa: ANN401 - a cell is any
    """A cell of a column of numbers that a file holds as text, as 142.0833282470703, as a float;
    one that is written in another way, as 5 kg, as it is."""
    return float(value) if isinstance(value, str) and PLAIN_NUMBER.fullmatch(value) else value


def cell_text(value: Any) -> str:  # noqa: ANN401 - a cell is any
    """One cell as a text of one line, at most `LONGEST_CELL` characters."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return cut(", ".join(f"{k} {cell_text(v)}" for k, v in value.items()))
    if isinstance(value, list | tuple):
        more = f" ... ({len(value)})" if len(value) > SHOWN_ITEMS else ""
        return cut(", ".join(map(cell_text, value[:SHOWN_ITEMS]))) + more
    if isinstance(value, float):
        return number_of_cell(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return cut(str(value))


def cut(text: str, most: int = LONGEST_CELL) -> str:
    """The text in one line; a longer one ends in three dots."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3].rstrip() + "..."


def record(
    dataset: Dataset, row: int, cells: Mapping[str, str], field: Field | None, folder: Path | None
) -> dict[str, Any]:
    """A row as an exhibit holds it. field: of the picture. folder: the run's; None = no picture."""
    image = picture_of(folder, dataset, field, row) if folder else None
    return {
        "id": dataset.ids[row],
        "cells": list(cells.items()),
        "image": image,
        # the column whose path needs not stand beside the picture
        "pictured": field.columns[0] if field and image else "",
    }


def picture_field(schema: Schema) -> Field | None:
    """The first field of images or volumes."""
    return next((f for f in schema.fields if f.kind in kinds()), None)


def picture_of(folder: Path, dataset: Dataset, field: Field | None, row: int) -> str | None:
    """A small copy of the row's first image in the run folder; its path there. None without one.

    It is a plain PNG: nothing that a camera wrote goes with it."""
    if field is None:
        return None
    cell = dataset.rows([row]).cells(field)[0]
    try:
        value = file_values(cell)[0] if cell else None
        if value is None:
            return None
        opening = dataset.opening(field.columns[0])
        if field.kind == "image" and isinstance(opening, Opening):
            image, _ = open_image(value, dataset.root, opening, PICTURE_PIXELS)
            image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
            pixels = np.asarray(image.convert("RGB"))
        else:
            of_kind = medium(field.kind)
            array = of_kind.opened(value, dataset.root, opening, PICTURE_PIXELS // 2)
            pixels = of_kind.picture(array)
    except (BadCell, OSError, ValueError):
        return None
    name = f"{PICTURES}/{row}.png"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(png_bytes(pixels))
    return name
