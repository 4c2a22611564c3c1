"""A query of several parts, each with a weight: the weighted sum of their unit vectors, of unit
length again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Cell
from gobelin.embedding import recall
from gobelin.workbench.query import query_cells
from gobelin.workbench.run.folder import Artefacts

Texts = Mapping[str, str | Sequence[str]]  # flag or column -> one text or several
Weights = Mapping[
    str, float | Sequence[float]
]  # flag or column -> one weight for all its texts, or one a text


def parts(query: Texts, weights: Weights, without: Texts) -> list[tuple[str, str, float]]:
    """(flag or column, text, weight) of every part. weights: one number for all texts of a flag, or
    one a text; 1 where none is given. What is to be avoided weighs -1."""
    if unknown := sorted(set(weights) - set(query)):
        raise GobelinError(
            f"query: a weight for {unknown[0]!r}, which isn't asked for. Ask for it, or leave the"
            " weight out."
        )
    out = []
    for key, texts in query.items():
        given, weight = _list(texts), weights.get(key, 1.0)
        each = list(weight) if isinstance(weight, Sequence) else [weight] * len(given)
        if len(each) != len(given) or not all(math.isfinite(w) for w in each):
            raise GobelinError(
                f"query: {len(given)} texts and the weights {each} for {key!r}. Give one finite"
                " number a text."
            )
        out += [(key, text, float(w)) for text, w in zip(given, each, strict=True)]
    return out + [(key, text, -1.0) for key, texts in without.items() for text in _list(texts)]


def _list(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def mixed(made: Artefacts, asked: Sequence[tuple[str, str, float]]) -> np.ndarray:
    """float32 [D]: the query's vector. Different columns of one field with the same weight are one
    cell of it (a table row)."""
    cells: list[tuple[str, Cell, float]] = []
    for key, text, weight in asked:
        ((field, cell),) = query_cells(made, {key: text}).items()
        joined = next(
            (c for f, c, w in cells if (f, w) == (field, weight) and not set(c) & set(cell)), None
        )
        if joined is None:
            cells.append((field, cell, weight))
        else:
            joined |= cell
    if not cells:
        query_cells(made, {})  # says what to give
    total = sum(
        w * recall.query_vector(made.reader, made.alignment, {f: cell}).pooled()[0]
        for f, cell, w in cells
    )
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise GobelinError(
            "query: its parts cancel each other, nothing is left to search for. Change a weight."
        )
    return np.asarray(total / length, np.float32)
