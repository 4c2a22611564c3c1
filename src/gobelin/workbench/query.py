"""Queries of a user: as cells, as a vector of the shared space, as a class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.data.fields import Cell, Field
from gobelin.embedding.encoders import Encoder
from gobelin.embedding.schema import build_encoder
from gobelin.prediction.predictor import Model
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.space import RunSpace

Texts = Mapping[str, str | Sequence[str]]  # flag or column -> one text or several
Weights = Mapping[str, float | Sequence[float]]  # the same -> one weight for all texts, or one each


def query_cells(data: RunData, query: Mapping[str, str]) -> dict[str, Cell]:
    """{field: cell} from {flag or column: text}. A flag means the first field whose encoder gives
    it that has the columns."""
    cells: dict[str, Cell] = {}
    for key, text in query.items():
        field, encoder, value = _meant(data, key, text)
        cells[field.name] = {**cells.get(field.name, {}), **encoder.parse(value, field)}
    if not cells:
        raise GobelinError("query: is empty. Give --text, --image, --row or --query COLUMN=VALUE.")
    return cells


def _meant(data: RunData, key: str, text: str) -> tuple[Field, Encoder, str]:
    """The field that a flag or column names, its encoder, and the text as that encoder reads it."""
    fields, choices = data.schema.fields, data.settings.choices
    column = next((f for f in fields if key in f.columns), None)
    if column is not None:
        encoder = build_encoder(column.encoder, choices)
        return column, encoder, f"{key}={text}" if encoder.joined else text
    flags = {f.name: catalog.find("encoders", f.encoder).flag for f in fields}
    named = [f for f in fields if f.name == key] or [f for f in fields if flags[f.name] == key]
    if not named:
        known = {*flags.values(), *(c for f in fields for c in f.columns)}
        raise GobelinError(f"query: nothing in this run answers to {key!r}.{nearest(key, known)}")
    if len(named) > 1 and "=" in text:
        first = text.split("=")[0].strip()
        named = [f for f in named if first in f.columns] or named
    return named[0], build_encoder(named[0].encoder, choices), text


def weighted_parts(query: Texts, weights: Weights, without: Texts) -> list[tuple[str, str, float]]:
    """(flag or column, text, weight) of every part of a query.

    weights: one number for all texts of a flag, or one a text; 1 where none is given. without:
    what is to be avoided; it weighs -1.
    """
    if unknown := sorted(set(weights) - set(query)):
        raise GobelinError(
            f"query: a weight for {unknown[0]!r}, which isn't asked for. Ask for it, or leave the"
            " weight out."
        )
    parts = []
    for key, texts in query.items():
        given, weight = _list(texts), weights.get(key, 1.0)
        each = list(weight) if isinstance(weight, Sequence) else [weight] * len(given)
        if len(each) != len(given) or not all(math.isfinite(w) for w in each):
            raise GobelinError(
                f"query: {len(given)} texts and the weights {each} for {key!r}. Give one finite"
                " number a text."
            )
        parts += [(key, text, float(w)) for text, w in zip(given, each, strict=True)]
    return parts + [(key, text, -1.0) for key, texts in without.items() for text in _list(texts)]


def _list(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def mixed_vector(space: RunSpace, parts: Sequence[tuple[str, str, float]]) -> np.ndarray:
    """float32 [D]: the weighted sum of the parts' unit vectors, of unit length again. Different
    columns of one field with the same weight are one cell of it (a table row)."""
    data, embedder = space.features.data, space.features.embedder
    cells: list[tuple[str, Cell, float]] = []
    for key, text, weight in parts:
        ((field, cell),) = query_cells(data, {key: text}).items()
        joined = next(
            (c for f, c, w in cells if (f, w) == (field, weight) and not set(c) & set(cell)), None
        )
        if joined is None:
            cells.append((field, cell, weight))
        else:
            joined |= cell
    if not cells:
        query_cells(data, {})  # says what to give
    total = sum(
        weight * space.alignment.project(embedder.embed_cells({field: cell})).pooled()[0]
        for field, cell, weight in cells
    )
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise GobelinError(
            "query: its parts cancel each other, nothing is left to search for. Change a weight."
        )
    return np.asarray(total / length, np.float32)


def label_index(model: Model, label: str) -> int | float:
    """The class index of a label, or the number that it spells."""
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
