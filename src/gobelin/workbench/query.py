"""Queries of a user as cells, as a vector of the shared space, or as a class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.data.fields import Cell, Field
from gobelin.embedding.encoders import Encoder
from gobelin.embedding.schema import build_encoder
from gobelin.prediction.predictor import Model
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.space import RunSpace

Text = str | float | Path  # what a part of a query may be; a path names an image or a sound
Texts = Mapping[str, Text | Sequence[Text]]  # flag or column -> one text or several
Weights = Mapping[
    str, float | Sequence[float]
]  # flag or column -> a weight for all texts, or for each

ARGUMENTS = {  # of the public methods: what to do about one of another type
    "k": "Name the parts of a query: search(text='a lamp', k=5).",
    "query": "Give {'text': 'a lamp'}.",
    "without": "Give {'text': 'green'}.",
    "weights": "Give {'text': 0.5}.",
    "seeds": "Give [0, 1, 2] or range(16).",
    "settings": "Give {'align.steps': 0} or {'align': {'steps': 0}}.",
}


def refuse_none(k: int) -> None:
    """Raises GobelinError where fewer than one row is asked for."""
    if k < 1:
        raise GobelinError(f"k: 1 or more was expected, found {k}.")


def texts_of(query: Mapping[str, Text]) -> dict[str, str]:
    """The parts of a query as texts."""
    return {key: str(text) for key, text in query.items()}


def query_cells(data: RunData, query: Mapping[str, str]) -> dict[str, Cell]:
    """{field: cell} from {flag or column: text}.

    A flag, such as `text` or `image`, is given by the encoder of a field. Where several fields have
    it, the first one that has the columns in the text is meant. Raises GobelinError for an empty
    query and for an unknown flag or column.
    """
    cells: dict[str, Cell] = {}
    for key, text in query.items():
        field, encoder, value = _meant(data, key, text)
        cells[field.name] = {**cells.get(field.name, {}), **encoder.parse(value, field)}
    if not cells:
        raise GobelinError("query: is empty. Give --text, --image, --row or --query COLUMN=VALUE.")
    return cells


def _meant(data: RunData, key: str, text: str) -> tuple[Field, Encoder, str]:
    """The field of a flag or column, its encoder, and the text as that encoder reads it."""
    fields, choices = data.schema.fields, data.settings.choices
    column = next((f for f in fields if key in f.columns), None)
    if column is not None:
        encoder = build_encoder(column.encoder, choices)
        return column, encoder, f"{key}={text}" if encoder.joined else text
    flags = {f.name: catalog.declared("encoders", f.encoder, "flag") for f in fields}
    named = [f for f in fields if f.name == key] or [f for f in fields if flags[f.name] == key]
    if not named:
        known = {*flags.values(), *(c for f in fields for c in f.columns)}
        raise GobelinError(
            f"query: no field, column or flag {key!r} in this run.{nearest(key, known)}"
        )
    if len(named) > 1 and "=" in text:
        first = text.split("=")[0].strip()
        named = [f for f in named if first in f.columns] or named
    return named[0], build_encoder(named[0].encoder, choices), text


def weighted_parts(query: Texts, weights: Weights, without: Texts) -> list[tuple[str, str, float]]:
    """(flag or column, text, weight) of every part of a query.

    weights: a number for all texts of a flag, or one for each text; 1 by default. without: parts to
    avoid, with weight -1. Raises GobelinError for a weight without its part.
    """
    if unknown := sorted(set(weights) - set(query)):
        raise GobelinError(
            f"query: a weight for {unknown[0]!r}, which is not in the query. Add it, or leave the"
            " weight out."
        )
    parts = []
    for key, texts in query.items():
        given, weight = _list(texts), weights.get(key, 1.0)
        weights_of_texts = list(weight) if isinstance(weight, Sequence) else [weight] * len(given)
        if len(weights_of_texts) != len(given) or not all(map(math.isfinite, weights_of_texts)):
            raise GobelinError(
                f"query: {len(given)} texts and the weights {weights_of_texts} for {key!r}. Give"
                " one finite number a text."
            )
        parts += [(key, text, float(w)) for text, w in zip(given, weights_of_texts, strict=True)]
    return parts + [(key, text, -1.0) for key, texts in without.items() for text in _list(texts)]


def _list(texts: Text | Sequence[Text]) -> list[str]:
    return list(map(str, texts)) if isinstance(texts, list | tuple) else [str(texts)]


def mixed_vector(space: RunSpace, parts: Sequence[tuple[str, str, float]]) -> np.ndarray:
    """float32 [D]: the weighted sum of the parts' unit vectors, scaled to unit length.

    Columns of one field with the same weight are one cell of that field (a table row). Raises
    GobelinError where the parts cancel each other.
    """
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
        query_cells(data, {})  # raises for an empty query
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
    """The class index of a label, or its number. Raises GobelinError for an unknown label."""
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
            f"--label {label!r}: {model.target!r} has several labels a row, and a condition has"
            " one class. Use --text, --row or another field."
        )
    if label not in model.classes:
        raise GobelinError(
            f"--label {label!r}: no such class of {model.target!r}.{nearest(label, model.classes)}"
        )
    return model.classes.index(label)
