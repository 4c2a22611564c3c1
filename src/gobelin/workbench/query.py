"""Queries of a user as cells, as parts of a search, or as a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.data.dates import YEAR_ALONE, days, span
from gobelin.data.fields import Cell, Field
from gobelin.data.numbers import number
from gobelin.data.spelling import spelled
from gobelin.embedding.encoders import Encoder
from gobelin.embedding.features import Embeddings
from gobelin.embedding.row_filter import column_name
from gobelin.embedding.row_search import Fact, Part
from gobelin.embedding.schema import build_encoder
from gobelin.prediction.predictor import Model
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.space import RunSpace

Text = str | float | Path  # what a part of a query may be; a path names an image or a sound
Row = Mapping[str, Any]  # column -> value, as row={"weight": 120}; missing values say nothing
Given = Text | Row
Texts = Mapping[str, Given | Sequence[Given]]  # flag or column -> one text or several
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


def texts_of(query: Mapping[str, Given]) -> dict[str, str]:
    """The parts of a query as texts; those of a row by their columns."""
    return {k: str(text) for key, given in query.items() for k, text in _columns(key, given)}


def _columns(key: str, given: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - what a user gives
    """(column, value) of every value that a row has, such as row={"weight": 120}; (key, given) of
    another part of a query. Raises GobelinError for a row without a value."""
    if not hasattr(given, "items"):
        return [(key, given)]
    said = [(str(column), value) for column, value in given.items() if not _missing(value)]
    if not said:
        raise GobelinError(f"{key}: the row has no values. Give {{'COLUMN': value}}.")
    return said


def _missing(value: Any) -> bool:  # noqa: ANN401 - a cell of any kind
    """Whether a cell says nothing: None, NaN, NaT, and NA of pandas, which has no truth."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True
    except ValueError:  # several values
        return False


def query_cells(data: RunData, query: Mapping[str, str]) -> dict[str, Cell]:
    """{field: cell} from {flag or column: text}.

    A flag, such as `text` or `image`, is given by the encoder of a field. Where several fields have
    it, the first one that has the columns in the text is meant. Raises GobelinError for an empty
    query and for an unknown flag or column.
    """
    cells: dict[str, Cell] = {}
    for key, text in query.items():
        field, encoder, cell = _meant(data, key, text)
        cell = _dated(data, cell or _parsed(data, encoder, text, field))
        cells[field.name] = {**cells.get(field.name, {}), **cell}
    if not cells:
        raise GobelinError("query: is empty. Give --text, --image, --row or --query COLUMN=VALUE.")
    return cells


def _meant(data: RunData, key: str, text: str) -> tuple[Field, Encoder, Cell | None]:
    """The field of a flag or column, its encoder, and the cell where a column of facts is named:
    its text is one value, whatever commas are in it."""
    fields, choices = data.schema.fields, data.settings.choices
    key = _usual(data, key)
    column = next((f for f in fields if key in f.columns), None)
    if column is not None:
        encoder = build_encoder(column.encoder, choices)
        return column, encoder, {key: text.strip()} if encoder.joined else None
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
    return named[0], build_encoder(named[0].encoder, choices), None


def _parsed(data: RunData, encoder: Encoder, text: str, field: Field) -> Cell:
    """The cell of a text. Raises GobelinError for facts of a column that holds something else."""
    others = {c: f for f in data.schema.fields for c in f.columns if f.encoder != field.encoder}
    for fact in text.split(",") if encoder.joined else ():
        name, equals, _ = fact.partition("=")
        if equals and name.strip() in others:
            raise GobelinError(
                f"--{_flag(field)} {text!r}: column {name.strip()!r} holds"
                f" {others[name.strip()].kind}. Use --query '{name.strip()}=...'."
            )
    return encoder.parse(text, field)


def _dated(data: RunData, cell: Cell) -> Cell:
    """The cell with the first day of a year in the place of the year, in columns of dates."""
    return {
        c: f"{v.strip()}-01-01"
        if data.schema.kind(c) == "date" and isinstance(v, str) and YEAR_ALONE.fullmatch(v.strip())
        else v
        for c, v in cell.items()
    }


def kind_of(data: RunData, key: str, text: str) -> str:
    """The kind of the field that a part of a query means; '' of a prompt that no field reads."""
    try:
        return _meant(data, key, text)[0].kind
    except GobelinError:
        return ""


def _usual(data: RunData, key: str) -> str:
    """The flag that another name of it means, where no field or column has this name."""
    names = {name for f in data.schema.fields for name in (f.name, *f.columns)}
    return key if key in names else catalog.OTHER_FLAGS.get(key, key)


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
        weight = weights.get(key, 1.0)
        if hasattr(texts, "items"):
            if isinstance(weight, Sequence):
                raise GobelinError(f"weights: one number for all columns of {key!r} was expected.")
            found = ((column, _list(value)) for column, value in _columns(key, texts))
            parts += [(c, text, float(weight)) for c, values in found for text in values]
            continue
        given = _list(texts)
        weights_of_texts = list(weight) if isinstance(weight, Sequence) else [weight] * len(given)
        if len(weights_of_texts) != len(given) or not all(map(math.isfinite, weights_of_texts)):
            raise GobelinError(
                f"query: {len(given)} texts and the weights {weights_of_texts} for {key!r}. Give"
                " one finite number a text."
            )
        parts += [(key, text, float(w)) for text, w in zip(given, weights_of_texts, strict=True)]
    avoided = (part for key, texts in without.items() for part in _columns(key, texts))
    return parts + [(key, text, -1.0) for key, texts in avoided for text in _list(texts)]


def _list(texts: Any) -> list[str]:  # noqa: ANN401 - one text or several
    return list(map(str, texts)) if isinstance(texts, list | tuple) else [str(texts)]


@dataclass
class _Cells:
    """A part of a query before it is embedded: one cell as each of some fields."""

    cells: dict[str, Cell]
    weight: float
    joined: bool  # whether other columns of the same field may join the cell


def search_parts(space: RunSpace, parts: Sequence[tuple[str, str, float]]) -> list[Part]:
    """The parts of a query, for `row_search`.

    A flag looks in every field that it fits: a text in all fields of text, facts in the fields of
    their columns. Columns of one field with the same weight are one cell of that field. Raises
    GobelinError where the parts cancel each other.
    """
    found: list[_Cells] = []
    for key, text, weight in parts:
        for new in _cells_of(space.features.data, key, text, weight):
            same = (old for old in found if new.joined and _joins(old, new))
            if old := next(same, None):
                ((field, cell),) = new.cells.items()
                old.cells[field] |= cell
            else:
                found.append(new)
    if not found:
        query_cells(space.features.data, {})  # raises for an empty query
    built = [_embedded(space, cells) for cells in found]
    total = sum(part.weight * part.vectors[0] for part in built)
    if float(np.linalg.norm(total)) < 1e-6:
        raise GobelinError(
            "query: its parts cancel each other, nothing is left to search for. Change a weight."
        )
    return built


def parts_of_row(space: RunSpace, cells: Mapping[str, Cell], embeddings: Embeddings) -> list[Part]:
    """The fields of a row, {field: cell}, as parts of a search: one for each. embeddings: of this
    row alone."""
    parts = []
    for name in cells:
        own = embeddings.only([name])
        if name in space.alignment.fields and own.present.any():
            parts.append(_embedded(space, _Cells({name: cells[name]}, 1.0, False), own))
    return parts


def _joins(old: _Cells, new: _Cells) -> bool:
    """Whether the columns of a new part belong to the cell of an earlier one."""
    if not old.joined or old.weight != new.weight or set(old.cells) != set(new.cells):
        return False
    ((field, cell),) = new.cells.items()
    return not set(old.cells[field]) & set(cell)


def _cells_of(data: RunData, key: str, text: str, weight: float) -> list[_Cells]:
    """The parts that a flag or column and its text mean."""
    field, encoder, given = _meant(data, key, text)
    key = _usual(data, key)
    if given is not None:
        return [_Cells({field.name: given}, weight, True)]
    alone = key in field.columns or key == field.name
    if not encoder.joined:
        like = [field] if alone else [f for f in data.schema.fields if _flag(f) == key]
        return [_Cells({f.name: encoder.parse(text, f) for f in like}, weight, False)]
    texts: dict[str, list[str]] = {}  # of each field of facts
    for fact in text.split(","):
        name = fact.partition("=")[0].strip()
        fits = (f for f in data.schema.fields if name in f.columns and _flag(f) == _flag(field))
        texts.setdefault(next(fits, field).name, []).append(fact)
    return [
        _Cells(
            {name: _parsed(data, encoder, ",".join(facts), data.schema.field(name))}, weight, True
        )
        for name, facts in texts.items()
    ]


def _flag(field: Field) -> str:
    return str(catalog.declared("encoders", field.encoder, "flag"))


def _embedded(space: RunSpace, part: _Cells, ready: Embeddings | None = None) -> Part:
    """The part with its vectors, and with its cells in a form that stored cells compare with.
    ready: the embeddings of its only field, where they are there already."""
    embedder, schema = space.features.embedder, space.features.data.schema
    embedded = (
        [ready]
        if ready is not None
        else [
            embedder.embed_cells({field: _dated(space.features.data, cell)})
            for field, cell in part.cells.items()
        ]
    )
    vectors = [space.alignment.project(x).pooled()[0] for x in embedded]
    fields = tuple(space.alignment.fields.index(field) for field in part.cells)
    texts: dict[str, str] = {}
    facts: dict[str, Fact] = {}
    columns: list[str] = []
    for field, cell in part.cells.items():
        known = getattr(embedder.encoders[field], "columns", {})
        for column, value in cell.items():
            kind = schema.kind(column)
            if kind == "text":
                texts[column_name(column)] = str(value)
            elif (fact := _fact(kind, value, known.get(column, {}))) is not None:
                facts[column_name(column)] = fact
        if schema.field(field).kind == "text":
            columns += map(column_name, schema.field(field).columns)
    whole = all(set(schema.field(f).columns) == set(cell) for f, cell in part.cells.items())
    return Part(fields, np.stack(vectors), part.weight, texts, facts, tuple(columns), whole)


def _fact(kind: str, value: Any, learned: Mapping[str, Any]) -> Fact | None:  # noqa: ANN401
    """A fact that stored cells can be compared with; None for a value that tells nothing.

    learned: how the column writes its numbers or dates."""
    read: Callable[[Any], float | str | None]
    if kind == "number":
        read = partial(number, mark=learned.get("mark", ""))
    elif kind == "date":
        read = partial(days, order=learned.get("order", ""))
        if isinstance(value, str) and (asked := span(value)) is not None:
            return Fact(asked[0], partial(_beyond, read, asked))
    elif kind == "category":
        read = spelled
    else:
        return None
    wanted = read(value)
    return None if wanted is None else Fact(wanted, read)


def _beyond(
    read: Callable[[Any], float | str | None],
    asked: tuple[float, float],
    value: Any,  # noqa: ANN401
) -> float | None:
    """The day of a stored date: the first one of the asked ones for all of them, and as far from it
    as from the nearest asked one for others."""
    day, (first, last) = read(value), asked
    if not isinstance(day, float):
        return None
    return min(day, first) if day < last + 1 else day - (last - first)


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
