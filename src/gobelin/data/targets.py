"""The target column as a `Target`: one class a row, one of ordered levels, a number, or any number
of labels.

Labels are a list (Parquet, JSON lines) or a text with | or ; between them. An empty list, or a text
of separators only, means that no label holds; an empty cell means that nothing is known.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError, nearest
from gobelin.data.dataset import Dataset
from gobelin.data.fields import NO_NUMBER, Schema, Target
from gobelin.data.numbers import decimal_mark, is_code, means_none, number
from gobelin.data.spelling import named, spelled, usual

TARGET_KINDS = ("number", "category", "ordinal", "labels")  # that a user can set
MAX_CLASSES = 1000
MAX_LEVELS = 50
FEW_NUMBERS = 20  # different whole numbers may also be classes
MISSING_WORDS = {"nan", "nat", "<na>", "n/a", "#n/a", "null"}  # never a class by themselves
WHOLE = re.compile(r"[-+]?\d+")
Words = tuple[str, ...]
SEPARATORS = re.compile(r"[|;]")


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


@dataclass(frozen=True)
class TargetReading:
    """How the values of a target are read. missing: words that say that nothing is known. remark:
    the reading and the other one, where there are two.
    """

    kind: str
    missing: tuple[str, ...] = ()
    remark: str = ""


def target_reading(
    name: str, values: Sequence[Any], bid: str, chosen: str, missing: Words
) -> TargetReading:
    """The reading of a target. values: present ones. bid: the kind that an encoder sees in them.
    chosen: the user's kind, '' for none. missing: the user's words for a missing answer.
    """
    words = Counter(str(v).strip().lower() for v in values if isinstance(v, str))
    kind = chosen or ("number" if bid == "number" else "category")
    numbers = [v for v in values if not means_none(v)]
    different = {spelled(v) for v in numbers}
    few = bool(numbers) and len(different) <= FEW_NUMBERS and all(map(WHOLE.fullmatch, different))
    codes = [v for v in numbers if is_code(v)]
    if kind == "number" and not chosen and (codes or (few and words["none"])):
        kind = "category"
    remarks = []
    if codes and not chosen and bid == "number":
        remarks.append(
            f"codes such as {codes[0][:40]!r}, read as {len(different)} classes; as numbers with"
            f" --set schema.{name}=number"
        )
    elif kind == "number" and few and not chosen:
        remarks.append(
            f"{len(different)} different whole numbers, read as a number; as classes with --set"
            f" schema.{name}=category"
        )
    unknown = missing or tuple(sorted(w for w in MISSING_WORDS if words[w]))
    doubtful = [w for w in sorted(NO_NUMBER) if words[w]]
    for word in doubtful if not missing else ():
        if word in unknown or kind == "number":
            other = "" if kind == "number" else "; where it is a class, give it another name"
            remarks.append(f"{words[word]} rows say {word!r}, read as missing{other}")
        else:
            remarks.append(
                f"{words[word]} rows say {word!r}, read as a class; as missing with --set"
                f" data.missing={word}"
            )
    return TargetReading(kind, unknown, f"the target: {'; '.join(remarks)}." if remarks else "")


def _check_single_values(dataset: Dataset, name: str, values: Sequence[Any]) -> None:
    lists = [k for k, v in enumerate(values) if isinstance(v, list)]
    if lists:
        raise GobelinError(
            f"{dataset.source}, column {name!r}: {len(lists)} rows hold a list (first: row"
            f" {dataset.ids[lists[0]]}), one value was expected. May a row have several? --set"
            f" schema.{name}=labels."
        )


def _indexed(
    dataset: Dataset, name: str, values: Sequence[Any], classes: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    known = classes or tuple(sorted(usual(v for v in values if v is not None).values()))
    _check_count(dataset, name, known, MAX_CLASSES)
    index, written = (
        {c: k for k, c in enumerate(known)},
        {spelled(c): k for k, c in enumerate(known)},
    )
    places = [-1 if v is None else index.get(named(v), written.get(spelled(v), -1)) for v in values]
    return np.array(places, np.int64), known


def _check_count(dataset: Dataset, name: str, known: Sequence[str], most: int) -> None:
    if len(known) > most:
        word = "classes" if most == MAX_CLASSES else "levels"
        raise GobelinError(
            f"{dataset.source}, column {name!r}: {len(known)} different {word}, at most {most} are"
            f" allowed. Is it a number? --set schema.{name}=number."
        )


def _ordinal(
    dataset: Dataset, name: str, values: Sequence[Any], levels: tuple[str, ...], known_levels: bool
) -> Target:
    """Levels in the order of `levels`; if it is empty they must be numbers. known_levels: levels
    are those of an earlier fit, and rows with another one have no target.
    """
    if not levels:
        numbers = _numbers(values, name, dataset, "data.order=LOWEST,...,HIGHEST")
        levels = tuple(named(float(v)) for v in np.unique(numbers[~np.isnan(numbers)]))
        values = [None if math.isnan(v) else float(v) for v in numbers]
    _check_count(dataset, name, levels, MAX_LEVELS)
    index, words = (
        {c: k for k, c in enumerate(levels)},
        [None if v is None else _level(v, levels) for v in values],
    )
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


def _level(value: Any, levels: Sequence[str]) -> str:  # noqa: ANN401
    """A cell as one of the levels: '2' and 2.0 are the level 2."""
    word = named(value)
    if word in levels:
        return word
    try:
        return named(float(value))
    except (TypeError, ValueError):
        return word


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
            rows.append([part.strip() for part in SEPARATORS.split(named(value)) if part.strip()])
    known = classes or tuple(sorted({label for row in rows for label in row or ()}))
    _check_count(dataset, name, known, MAX_CLASSES)
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
    instead: the setting that the message suggests.
    """
    numbers, wrong = np.full(len(values), np.nan), []
    mark = decimal_mark(values)[0]
    for k, v in enumerate(values):
        if v is None or means_none(v):
            continue
        if (x := number(v, mark)) is not None:
            numbers[k] = x
        else:
            wrong.append(
                f"{dataset.source}, row {dataset.ids[k]}, column {name!r}: {str(v)[:40]!r} is not a"
                f" number. Mend it, or --set {instead or f'schema.{name}=category'}."
            )
    if wrong:
        raise GobelinError(
            "\n".join(
                wrong[:5] + ([f"... and {len(wrong) - 5} more rows."] if len(wrong) > 5 else [])
            )
        )
    return numbers
