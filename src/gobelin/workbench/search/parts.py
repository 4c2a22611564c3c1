"""The parts of a search, for `embedding.search.row_search`: of a query, or of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Cell
from gobelin.data.values.dates import days, span
from gobelin.data.values.numbers import number
from gobelin.data.values.spelling import spelled
from gobelin.embedding.features import Embeddings
from gobelin.embedding.search.row_filter import column_name
from gobelin.embedding.search.row_search import Fact, Part
from gobelin.workbench.query import (
    flag_of,
    meant,
    parsed,
    refuse_empty,
    usual_name,
    with_first_days,
)
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.space import RunSpace


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
    refuse_empty(found)
    embed, data = space.features.embedder.embed_cells, space.features.data
    built = []
    for part in found:
        dated = {field: with_first_days(data, cell) for field, cell in part.cells.items()}
        built.append(_part(space, part, [embed({f: cell}) for f, cell in dated.items()]))
    total = sum(part.weight * part.vectors[0] for part in built)
    if float(np.linalg.norm(total)) < 1e-6:
        raise GobelinError(
            "query: its parts cancel each other, nothing is left to search for. Change a weight."
        )
    return built


def parts_of_row(space: RunSpace, cells: Mapping[str, Cell], embeddings: Embeddings) -> list[Part]:
    """The fields of a row, {field: cell}, as parts of a search: one for each. embeddings: of this
    row alone."""
    alone = {name: embeddings.only([name]) for name in cells if name in space.alignment.fields}
    return [
        _part(space, _Cells({name: cells[name]}, 1.0, False), [row])
        for name, row in alone.items()
        if row.present.any()
    ]


def _joins(old: _Cells, new: _Cells) -> bool:
    """Whether the columns of a new part belong to the cell of an earlier one."""
    if not old.joined or old.weight != new.weight or set(old.cells) != set(new.cells):
        return False
    ((field, cell),) = new.cells.items()
    return not set(old.cells[field]) & set(cell)


def _cells_of(data: RunData, key: str, text: str, weight: float) -> list[_Cells]:
    """The parts that a flag or column and its text mean."""
    field, encoder, given = meant(data, key, text)
    key = usual_name(data, key)
    if given is not None:
        return [_Cells({field.name: given}, weight, True)]
    alone = key in field.columns or key == field.name
    if not encoder.joined:
        like = [field] if alone else [f for f in data.schema.fields if flag_of(f) == key]
        return [_Cells({f.name: encoder.parse(text, f) for f in like}, weight, False)]
    texts: dict[str, list[str]] = {}  # of each field of facts
    for fact in text.split(","):
        name = fact.partition("=")[0].strip()
        fits = (f for f in data.schema.fields if name in f.columns and flag_of(f) == flag_of(field))
        texts.setdefault(next(fits, field).name, []).append(fact)
    return [
        _Cells(
            {name: parsed(data, encoder, ",".join(facts), data.schema.field(name))}, weight, True
        )
        for name, facts in texts.items()
    ]


def _part(space: RunSpace, part: _Cells, embedded: Sequence[Embeddings]) -> Part:
    """The part with its vectors, and with its cells in a form that stored cells compare with.
    embedded: one row for each field, with that field alone."""
    schema, encoders = space.features.data.schema, space.features.embedder.encoders
    vectors = [space.alignment.project(x).pooled()[0] for x in embedded]
    fields = tuple(space.alignment.fields.index(field) for field in part.cells)
    texts: dict[str, str] = {}
    facts: dict[str, Fact] = {}
    columns: list[str] = []
    for field, cell in part.cells.items():
        known = getattr(encoders[field], "columns", {})
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
