"""The target column as a `Target`: one class a row, one of ordered levels, a number, or any number
of labels.

Labels are a list (Parquet, JSON lines) or a text with | or ; between them. An empty list, or a text
of separators only, means that no label holds; an empty cell means that nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError, first_lines, nearest
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target, set_kind
from gobelin.data.target_reading import MAX_LEVELS, labels_of, levels_in_order
from gobelin.data.values.numbers import Writing, is_infinite
from gobelin.data.values.spelling import named, spelled, usual

TARGET_KINDS = ("number", "category", "ordinal", "labels")  # that a user can set
MAX_CLASSES = 1000


def target_of(dataset: Dataset, schema: Schema, classes: tuple[str, ...] = ()) -> Target:
    """The target of every row. classes: of an earlier fit; rows with another class then have no
    target. Raises GobelinError for values that can't be such a target.
    """
    name = schema.role("target")
    if name is None:
        return Target("", "class", np.full(len(dataset), -1))
    values = dataset.values(name) if name in dataset.column_names else [None] * len(dataset)
    kind, missing = schema.kind(name), set(schema.column(name).missing)
    if missing:
        values = [
            None if isinstance(v, str) and v.strip().lower() in missing else v for v in values
        ]
    if kind == "labels":
        return _labels(dataset, name, values, classes)
    _check_single_values(dataset, name, values)
    if kind == "number":
        return Target(name, "number", _numbers(values, name, dataset))
    if kind == "ordinal":
        levels = classes or schema.column(name).levels
        return _ordinal(dataset, name, values, levels, bool(classes))
    return Target(name, "class", *_indexed(dataset, name, values, classes))


def _check_single_values(dataset: Dataset, name: str, values: Sequence[Any]) -> None:
    lists = [k for k, v in enumerate(values) if isinstance(v, list)]
    if lists:
        raise GobelinError(
            f"{dataset.source}, column {name!r}: {len(lists)} rows hold a list (first: row"
            f" {dataset.ids[lists[0]]}), one value was expected. May a row have several?"
            f" {set_kind(name, 'labels')}."
        )


def _indexed(
    dataset: Dataset, name: str, values: Sequence[Any], classes: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    known = classes or tuple(sorted(usual(v for v in values if v is not None).values()))
    _check_count(dataset, name, known, "classes")
    index, written = (
        {c: k for k, c in enumerate(known)},
        {spelled(c): k for k, c in enumerate(known)},
    )
    places = [-1 if v is None else index.get(named(v), written.get(spelled(v), -1)) for v in values]
    return np.array(places, np.int64), known


def _check_count(dataset: Dataset, name: str, known: Sequence[str], word: str) -> None:
    most = MAX_LEVELS if word == "levels" else MAX_CLASSES
    if len(known) > most:
        remedy = f"Is it a number? {set_kind(name, 'number')}."
        if word == "labels":
            remedy = "Leave out those that few rows have, or join them to one."
        raise GobelinError(
            f"{dataset.source}, column {name!r}: {len(known)} different {word}, at most {most} are"
            f" allowed. {remedy}"
        )


def _ordinal(
    dataset: Dataset, name: str, values: Sequence[Any], levels: tuple[str, ...], known_levels: bool
) -> Target:
    """Levels in the order of `levels`; if it is empty, in that of the numbers that they are or
    hold, or of a scale of words. known_levels: levels are those of an earlier fit, and rows with
    another one have no target.
    """
    present = [v for v in values if v is not None]
    levels = levels or levels_in_order(present)
    if not levels:
        numbers = _numbers(values, name, dataset, "--set data.order=LOWEST,...,HIGHEST")
        levels = tuple(named(float(v)) for v in np.unique(numbers[~np.isnan(numbers)]))
        values = [None if math.isnan(v) else float(v) for v in numbers]
    _check_count(dataset, name, levels, "levels")
    index = {spelled(c): k for k, c in enumerate(levels)}
    words = [None if v is None else spelled(v) for v in values]
    unknown = [k for k, w in enumerate(words) if w is not None and w not in index]
    if unknown and not known_levels:
        word = str(words[unknown[0]])
        raise GobelinError(
            f"{dataset.source}, row {dataset.ids[unknown[0]]}, column {name!r}: {word[:40]!r} is no"
            f" level of data.order.{nearest(word, levels)} Mend it, or name all levels there."
        )
    return Target(
        name,
        "ordinal",
        np.array([-1 if w is None else index.get(w, -1) for w in words], np.int64),
        levels,
    )


def _labels(dataset: Dataset, name: str, values: Sequence[Any], classes: tuple[str, ...]) -> Target:
    """The target of kind 'labels', values int64 [N, C]."""
    raw_values = dataset.table[name].to_pylist() if name in dataset.column_names else values
    rows: list[list[str] | None] = []
    for value, cell in zip(values, raw_values, strict=True):
        if isinstance(value, list):
            rows.append([named(v).strip() for v in value])
        elif value is None:
            # an empty list means no label, an empty cell that nothing is known
            rows.append([] if isinstance(cell, list) and not cell else None)
        else:
            rows.append(labels_of(named(value)))
    known = classes or tuple(sorted({label for row in rows for label in row or ()}))
    _check_count(dataset, name, known, "labels")
    index = {c: k for k, c in enumerate(known)}
    indicators = np.zeros((len(rows), len(known)), np.int64)
    for k, row in enumerate(rows):
        if row is None:
            indicators[k] = -1
        else:
            indicators[k, [index[label] for label in row if label in index]] = 1
    return Target(name, "labels", indicators, known)


def _numbers(values: Sequence[Any], name: str, dataset: Dataset, instead: str = "") -> np.ndarray:
    """float64 [N], nan where missing. Raises GobelinError that lists values that are no numbers.
    instead: the option that the message suggests.
    """
    numbers, wrong = np.full(len(values), np.nan), []
    writing = Writing.of(v for v in values if v is not None)
    for k, v in enumerate(values):
        if v is None or (writing.means_none(v) and not is_infinite(v)):
            continue
        if (x := writing.number(v)) is not None:
            numbers[k] = x
        else:
            wrong.append(
                f"{dataset.source}, row {dataset.ids[k]}, column {name!r}: {str(v)[:40]!r} is not a"
                f" number. Mend it, or {instead or set_kind(name, 'category')}."
            )
    if wrong:
        raise GobelinError(*first_lines(wrong, "rows"))
    return numbers
