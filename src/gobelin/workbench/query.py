"""Queries of a user as cells and as vectors of the shared space."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.data.fields import Cell, Field
from gobelin.embedding import recall
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.encoders import Encoder
from gobelin.embedding.schema import build_encoder
from gobelin.workbench.run.folder import Artefacts


def query_cells(made: Artefacts, query: Mapping[str, str]) -> dict[str, Cell]:
    """{field: cell} from {flag or column: text}. A flag means the first field whose encoder gives
    it that has the columns."""
    cells: dict[str, Cell] = {}
    for key, text in query.items():
        field, encoder, value = _asked(made, key, text)
        cells[field.name] = {**cells.get(field.name, {}), **encoder.parse(value, field)}
    if not cells:
        raise GobelinError("query: is empty. Give --text, --image, --row or --query COLUMN=VALUE.")
    return cells


def _asked(made: Artefacts, key: str, text: str) -> tuple[Field, Encoder, str]:
    fields = made.schema.fields
    column = next((f for f in fields if key in f.columns), None)
    if column is not None:
        encoder = build_encoder(column.encoder, made.settings.choices)
        return column, encoder, f"{key}={text}" if encoder.joined else text
    whole = next((f for f in fields if f.name == key), None)
    able = (
        [whole] if whole else [f for f in fields if catalog.find("encoders", f.encoder).flag == key]
    )
    if not able:
        known = {catalog.find("encoders", f.encoder).flag for f in fields} | {
            c for f in fields for c in f.columns
        }
        raise GobelinError(f"query: nothing in this run answers to {key!r}.{nearest(key, known)}")
    if len(able) > 1 and "=" in text:
        first = text.split("=")[0].strip()
        able = [f for f in able if first in f.columns] or able
    return able[0], build_encoder(able[0].encoder, made.settings.choices), text


def query(made: Artefacts, asked: Mapping[str, str]) -> Shared:
    """One row of the shared space."""
    return recall.query_vector(made.reader, made.alignment, query_cells(made, asked))


def label_index(made: Artefacts, label: str) -> int | float:
    """The class index of a label, or the number that it spells."""
    model = made.model
    if model.kind == "number":
        try:
            number = float(label)
        except ValueError as error:
            raise GobelinError(
                f"--label {label!r}: {model.target} is a number, found a word. Give a number."
            ) from error
        if not math.isfinite(number):
            raise GobelinError(
                f"--label {label!r}: {model.target} is a finite number. Give a number."
            )
        return number
    if model.kind == "labels":
        raise GobelinError(
            f"--label {label!r}: {model.target!r} has several labels a row, and generators are"
            " asked for one class. Ask with --text, --row or another field."
        )
    if label not in model.classes:
        raise GobelinError(
            f"--label {label!r}: no such class of {model.target!r}.{nearest(label, model.classes)}"
        )
    return model.classes.index(label)
