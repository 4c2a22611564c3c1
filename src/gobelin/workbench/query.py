"""What a user asks with: {flag or column: text}, read as cells of fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from gobelin.core import catalog
from gobelin.core.errors import GobelinError, nearest
from gobelin.data.fields import Cell, Field
from gobelin.data.values.dates import YEAR_ALONE
from gobelin.embedding.columns.schema import build_encoder
from gobelin.embedding.encoders import Encoder
from gobelin.workbench.run.data import RunData

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
    refuse_empty(query)
    cells: dict[str, Cell] = {}
    for key, text in query.items():
        field, encoder, cell = meant(data, key, text)
        cell = with_first_days(data, cell or parsed(data, encoder, text, field))
        cells[field.name] = {**cells.get(field.name, {}), **cell}
    return cells


def refuse_empty(query: Sized) -> None:
    """Raises GobelinError for a query without any part."""
    if not len(query):
        raise GobelinError("query: is empty. Give --text, --image, --row or --query COLUMN=VALUE.")


def meant(data: RunData, key: str, text: str) -> tuple[Field, Encoder, Cell | None]:
    """The field of a flag or column, its encoder, and the cell where a column of facts is named:
    its text is one value, whatever commas are in it."""
    fields, choices = data.schema.fields, data.settings.choices
    key = usual_name(data, key)
    column = next((f for f in fields if key in f.columns), None)
    if column is not None:
        encoder = build_encoder(column.encoder, choices)
        return column, encoder, {key: text.strip()} if encoder.joined else None
    flags = {f.name: flag_of(f) for f in fields}
    named = [f for f in fields if f.name == key] or [f for f in fields if flags[f.name] == key]
    if not named and key == data.settings.data.target:
        raise GobelinError(
            f"query: {key!r} is the target, which is no part of a row here. Leave it out; to keep"
            " found rows by it, give search --where."
        )
    if not named:
        known = {*flags.values(), *(c for f in fields for c in f.columns)}
        raise GobelinError(
            f"query: no field, column or flag {key!r} in this run.{nearest(key, known)}"
        )
    if len(named) > 1 and "=" in text:
        first = text.split("=")[0].strip()
        named = [f for f in named if first in f.columns] or named
    return named[0], build_encoder(named[0].encoder, choices), None


def parsed(data: RunData, encoder: Encoder, text: str, field: Field) -> Cell:
    """The cell of a text. Raises GobelinError for facts of a column that holds something else."""
    others = {c: f for f in data.schema.fields for c in f.columns if f.encoder != field.encoder}
    for fact in text.split(",") if encoder.joined else ():
        name, equals, _ = fact.partition("=")
        if equals and name.strip() in others:
            raise GobelinError(
                f"--{flag_of(field)} {text!r}: column {name.strip()!r} holds"
                f" {others[name.strip()].kind}. Use --query '{name.strip()}=...'."
            )
    return encoder.parse(text, field)


def flag_of(field: Field) -> str:
    """The flag of a query for this field, such as `text`; '' for none."""
    return str(catalog.declared("encoders", field.encoder, "flag"))


def with_first_days(data: RunData, cell: Cell) -> Cell:
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
        return meant(data, key, text)[0].kind
    except GobelinError:
        return ""


def usual_name(data: RunData, key: str) -> str:
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
