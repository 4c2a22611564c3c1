"""The rows nearest to a query of several parts, each on the scale of `nearness`.

A part is compared with every field that a row has. Three rules stand above the scale:

- A row that has the very cell that was asked for comes before all others. Texts are compared as
  texts, in every column of the fields that the part was read as; images and sounds by their
  vectors.
- Of facts (numbers, categories, dates) the cells themselves are compared, where they are stored:
  the more categories are equal the better, then by the mean of 1 / (1 + distance) over the numbers
  and dates, in robust deviations of their column. The vector of a few facts says as much of which
  columns are empty as of their values. So where only some columns of a field were asked
  for, a row that has none of them is neither near nor far (score 0).
- The score of a query is the weighted sum of the scores of its parts, so that parts of different
  fields can stand beside each other, and a negative weight pushes away what is near.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gobelin.core.arrow import floats, levels, texts, true_places
from gobelin.embedding.search.index_rows import is_list_of_texts
from gobelin.embedding.search.nearness import SAME, Scale, lifted, normal_scores, over_fields

NORMAL_QUARTILES = 1.349  # between the quartiles of a standard normal
EQUAL = 1e-9  # relative difference up to which two numbers are one


@dataclass(frozen=True)
class Fact:
    """A number, date or category that was asked for."""

    value: float | str
    read: Callable[[Any], float | str | None]  # a stored cell, in the form of `value`


@dataclass(frozen=True)
class Part:
    """A part of a query.

    fields: places of the A fields that it was read as. vectors: float32 [A, D], of unit length.
    texts: {column: text}, where it is a text. facts: {column: fact}, where it is facts."""

    fields: tuple[int, ...]
    vectors: np.ndarray
    weight: float = 1.0
    texts: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    text_columns: tuple[str, ...] = ()  # of its fields: a single text may stand in any of them
    whole: bool = True  # whether the facts are all columns of their field


@dataclass(frozen=True)
class Found:
    """The k best of n rows.

    places: int64 [k], among the rows that were compared. scores: float64 [k]. equal: bool [k],
    whether some part's very cell is the row's. best: int64 [k], the field that is nearest to the
    query."""

    places: np.ndarray
    scores: np.ndarray
    equal: np.ndarray
    best: np.ndarray


def nearest(
    parts: Sequence[Part],
    cosines: np.ndarray,
    present: np.ndarray,
    scale: Scale,
    columns: pa.Table,
    k: int,
    allowed: np.ndarray | None = None,
) -> Found:
    """The k nearest of n rows, best first; equal ones in their order.

    cosines: float32 [n, F, m], of every field with the vectors of all parts. present: bool [n, F].
    columns: cells of the n rows, those that are known. allowed: bool [n], the rows to choose from;
    None for all. It changes no score."""
    count = len(present)
    total, tie = np.zeros(count), np.zeros(count)
    equal, some = np.zeros(count, bool), np.zeros(count, bool)
    strongest, best = np.full(count, -np.inf), np.zeros(count, int)
    start = 0
    for part in parts:
        own = cosines[:, :, start : start + len(part.fields)]
        start += len(part.fields)
        scores = scale.scores(own, part.fields)
        known = _facts_known(part, columns)
        first = same = _same_cells(part, own, present, columns)
        compared = present
        agreement = None
        if known:
            agreement = agreements(part.facts, columns)
            compared = present.copy()
            compared[:, list(part.fields)] = False
            first, same = agreement.equal, agreement.exact
        score = first_of_ties = over_fields(scores, compared)
        through = np.where(compared, scores, -np.inf).argmax(1)
        if agreement is not None:
            first_of_ties = np.where(agreement.known, agreement.scores, score)
            score = score if part.whole else np.zeros(count)  # of rows without these columns
            score = np.where(agreement.known, agreement.scores, score)
            through = np.where(agreement.known, part.fields[0], through)
        theirs = np.where(present, scores, -np.inf)[:, list(part.fields)].argmax(1)
        through = np.where(first, np.array(part.fields)[theirs], through)
        lift = lifted(score, first, 0 if agreement is None else agreement.closeness)
        finite = np.isfinite(lift)
        total += part.weight * np.where(finite, lift, 0)
        tie += part.weight * np.where(np.isfinite(first_of_ties), first_of_ties, 0)
        some |= finite
        if part.weight > 0:
            equal |= same
            higher = np.where(finite, part.weight * lift, -np.inf) > strongest
            best = np.where(higher, through, best)
            strongest = np.where(higher, part.weight * lift, strongest)
    total = np.where(some if allowed is None else some & allowed, total, -np.inf)
    order = _first(total, equal, tie, k)
    order = order[np.isfinite(total[order])]
    return Found(order, total[order], equal[order], best[order])


def _first(total: np.ndarray, equal: np.ndarray, tie: np.ndarray, k: int) -> np.ndarray:
    """int64 [k]: the places of the largest totals."""
    total = np.round(total, 6)  # sums of float32 products differ by less
    if 0 < k < len(total):
        least = np.partition(total, len(total) - k)[len(total) - k]
        near = np.flatnonzero(total >= least)
    else:
        near = np.arange(len(total))
    keys = (near, -np.round(tie[near], 6), ~equal[near], -total[near])
    return near[np.lexsort(keys)][:k]


def _facts_known(part: Part, columns: pa.Table) -> bool:
    """Whether the cells of all facts of a part are stored."""
    names = set(columns.column_names)
    return bool(part.facts) and set(part.facts) <= names


def _same_cells(
    part: Part, cosines: np.ndarray, present: np.ndarray, columns: pa.Table
) -> np.ndarray:
    """bool [n]: the rows that have the very cell of a part.

    cosines: [n, F, A], of the part's own vectors."""
    stored = set(columns.column_names)
    of_one_field = len(part.fields) == 1  # or one text, which may stand in any of several fields
    if of_one_field and len(part.texts) > 1 and set(part.texts) <= stored:
        whole = [_equal_texts(columns[c], text) for c, text in part.texts.items()]
        return np.logical_and.reduce(whole)
    if places := [c for c in dict.fromkeys(part.text_columns) if c in stored]:
        (text, *others) = set(part.texts.values())
        if not others:
            return np.logical_or.reduce([_equal_texts(columns[c], text) for c in places])
    same = np.zeros(len(present), bool)
    for k, place in enumerate(part.fields):
        same |= present[:, place] & (cosines[:, place, k] >= SAME)
    return same


def _equal_texts(column: pa.ChunkedArray, text: str) -> np.ndarray:
    """bool [n]: the cells that are this text, but for spaces around it."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_list_of_texts(column.type):
        same, start = np.zeros(len(column), bool), 0
        for chunk in column.chunks:
            among = _equal_texts(pa.chunked_array([chunk.flatten()]), text)
            rows = floats(pa.chunked_array([pc.list_parent_indices(chunk)])).astype(np.int64)
            same[start + rows[among]] = True
            start += len(chunk)
        return same
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return np.zeros(len(column), bool)
    try:
        wanted = texts([text.strip()])[0]
    except UnicodeEncodeError:  # half a character, which no stored text has
        return np.zeros(len(column), bool)
    same = np.zeros(len(column), bool)
    same[true_places(pc.equal(pc.utf8_trim_whitespace(column), wanted))] = True
    return same


@dataclass(frozen=True)
class Agreement:
    """How well n rows agree with some facts.

    known: bool [n], whether a row has any of their columns. scores: float64 [n]. exact: bool [n],
    all facts are equal. equal: bool [n], all categories are equal, or without categories all
    numbers. closeness: float64 [n], of the numbers and dates, in 0 .. 1."""

    known: np.ndarray
    scores: np.ndarray
    exact: np.ndarray
    equal: np.ndarray
    closeness: np.ndarray


def agreements(facts: Mapping[str, Fact], columns: pa.Table) -> Agreement:
    """How well every row agrees with these facts. columns: has their columns."""
    count = len(columns)
    known, exact = np.zeros(count, bool), np.ones(count, bool)
    words, numbers = np.zeros(count), np.zeros(count)
    asked_words = sum(isinstance(f.value, str) for f in facts.values())
    asked_numbers = len(facts) - asked_words
    for name, fact in facts.items():
        values = _read(columns[name], fact)
        if isinstance(fact.value, str):
            same = np.array(values == fact.value, bool)
            known |= np.array([v is not None for v in values.tolist()], bool)
            words += same
            continue
        there = np.isfinite(values)
        known |= there
        away = np.where(there, np.abs(values - fact.value), np.inf)
        exact &= away <= EQUAL * max(abs(fact.value), 1.0)
        numbers += np.where(there, 1 / (1 + away / _deviation(values[there])), 0)
    closeness = numbers / asked_numbers if asked_numbers else np.ones(count)
    exact &= known & (words == asked_words)
    equal = known & (words == asked_words) if asked_words else exact
    agreement = words + closeness / 2  # no closeness makes up for a category
    scores = np.full(count, -np.inf)
    if known.any():
        scores[known] = normal_scores(agreement[known])
    return Agreement(known, scores, exact, equal, closeness)


def _read(column: pa.ChunkedArray, fact: Fact) -> np.ndarray:
    """[n] of a column's cells in the form of the fact: float64 with nan, or objects with None."""
    counted = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    if isinstance(fact.value, float) and counted:
        return floats(column)
    values, codes = levels(column)
    words = [None if v is None else fact.read(v) for v in values]
    if isinstance(fact.value, float):
        read = [np.nan if w is None else float(w) for w in words]
        return np.array([*read, np.nan], np.float64)[codes]
    return np.array([*words, None], object)[codes]


def _deviation(values: np.ndarray) -> float:
    """The robust deviation of some numbers: of a normal distribution its standard deviation."""
    if not len(values):
        return 1.0
    low, high = np.percentile(values, [25, 75])
    spread = (high - low) / NORMAL_QUARTILES or float(values.std())
    return float(spread) or 1.0
