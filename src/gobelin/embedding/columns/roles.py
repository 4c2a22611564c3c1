"""The role that a column's name and content suggest together: neither is enough alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gobelin.core.printable import counted
from gobelin.data.dataset import SPLIT_COLUMN, WEIGHT_COLUMN, Dataset
from gobelin.data.fields import ROLES, Column, set_kind
from gobelin.data.split.part_names import flagged, maybe_flagged, name_parts, part_of
from gobelin.data.values.numbers import number

# with these names a value that is different in every row is an id, whatever it looks like
PLAIN_ID = ("id", "uid", "uuid", "key", "record_id", "row_id")
ID_NAME = re.compile(r"(?i:(?:.*[^a-z])?(?:id|uid|uuid|guid))|(?i:key)|.*[a-z](?:Id|ID)")
# of pandas and R, which write the names of the rows as a column
INDEX_NAME = re.compile(r"Unnamed: ?\d+(?:\.\d+)?|__index_level_\d+__")
ROW_NUMBER = re.compile(
    r"level_\d+|[XV]1?|\.\.\.1|_c0|column1"
    r"|(?i:index|idx|#|n[o°r]?\.?|№|pk|serial|case|obs|nummer|number)"
    r"|(?i:(?:row|line|record|serial|case|obs|observation|sl?|sr|lfd)[ _.]*"
    r"(?:numbers?|num|no|nr|index|names?)?\.?|rowid)"
)
SPLIT_NAME = re.compile(
    r"(?i:.*(?:split|subset|partition|fold|phase|usage|stage|train|test|valid|purpose).*"
    r"|set|data[ _]?(?:set|type)|part|cv)"
)
PARTS_NUMBERED = re.compile(r"(?i:.*(?:split|partition|fold)s?)")
WEIGHTS = re.compile(
    r"(?i:(?:sample|case|row|instance|obs(?:ervation)?|survey|sampling|final|person|design)"
    r"[ _.-]*(?:weights?|wgts?|wts?)|fnlwgt|pweight|importance[ _.-]weights?)"
)
MOST_FOLDS = 20
WORK_OF_ROLE = {
    "ignore": "not used",
    "id": "names the rows and is no feature",
    "group": "a row and its copies stay in one part of the split, and it is no feature",
    "split": "its parts are used as they are, and it is no feature",
    "weight": "the weight of each row",
}
EMPTY_CELLS = {
    "group": "each is a group of its own",
    "split": "they are training rows",
    "weight": "their weight is 1",
}
SHORT = 64  # letters of an id, at most


def role_of(
    name: str, values: Sequence[Any], rows: int, different: Callable[[], int] | None = None
) -> tuple[str, str] | None:
    """A role and why, '' where the name leaves no doubt; None for a column that is a feature.

    values: present ones, of so many rows. different: counts the rows that repeat no earlier row,
    cell for cell. Where only such repeats share an id, it is still one, and a group: a row and its
    copy stay in the same part of the split.
    """
    if name in (WEIGHT_COLUMN, SPLIT_COLUMN):
        return name.removeprefix("gobelin_"), "written by gobelin curate"
    texts = {str(v) for v in values}
    if SPLIT_NAME.fullmatch(name) and name_parts(texts):
        return "split", "its words name the parts of a split"
    if flagged(name, values):
        return "split", "its name and its yes and no name the parts of a split"
    if len(values) < rows or rows < 2 or not all(isinstance(v, str | int | float) for v in values):
        return None
    if len(texts) < rows:
        if different is None or not _names_rows(name) or len(texts) < different():
            return None
        found = role_of(name, list({str(v): v for v in values}.values()), len(texts))
        if found is None or found[0] != "id":
            return found
        repeats = rows - len(texts)
        return (
            "group",
            f"an id by its name, and {counted(repeats, 'row is a copy', 'rows are copies')}",
        )
    if INDEX_NAME.fullmatch(name):
        return "ignore", "an index of rows by its name, and different in every row"
    if ROW_NUMBER.fullmatch(name) and _consecutive(values):
        return "ignore", "numbers the rows"
    if name.lower() in PLAIN_ID:
        return "id", ""
    if ID_NAME.fullmatch(name) and all(map(_id_like, texts)):
        return "id", "an id by its name, and different in every row"
    return None


def different_rows(dataset: Dataset) -> int:
    """How many rows repeat no earlier one, cell for cell."""
    columns = [dataset.values(name) for name in dataset.column_names]
    return len(set(map(repr, zip(*columns, strict=True))))


def declared_column(name: str, given: str, read: bool, taken: bool) -> Column:
    """A column whose kind or role the reader of the data gives.

    given: that kind or role. read: whether an encoder reads a kind. taken: whether the user gives
    the role to another column.
    """
    reason = "by the reader of the data"
    if given not in ROLES:
        return Column(
            name,
            given,
            reason=reason,
            remark="" if read else f"not used, no encoder reads {given}.",
        )
    if taken:
        other = f"not used: another column has the role {given}."
        return Column(name, "category", "ignore", 1.0, reason, remark=other)
    remark = f"the {given}, {reason}. Otherwise: {set_kind(name, 'ignore')}."
    return Column(name, "category", given, 1.0, reason, remark=remark)


def role_remark(name: str, values: Sequence[Any]) -> str:
    """What a user should know of a feature that may be the parts of a split, or say how much a row
    counts; '' for another one."""
    if WEIGHTS.fullmatch(name) and all(number(v) is not None for v in values):
        return (
            "may say how much each row counts, and is read as a feature. If it does:"
            f" {set_kind(name, 'weight')}."
        )
    if all(part_of(str(v)) for v in values) and name_parts({str(v) for v in values}):
        return (
            "its words name the parts of a split, and it is read as a feature. If it is the split:"
            f" {set_kind(name, 'split')}."
        )
    if part := maybe_flagged(name, values):
        return (
            f"its yes and no may say which rows are {part} rows, and it is read as a feature. If"
            f" they do: {set_kind(name, 'split')}."
        )
    if PARTS_NUMBERED.fullmatch(name) and 1 < len({str(v) for v in values}) <= MOST_FOLDS:
        if all(number(v) is not None for v in values):
            return (
                "may number the folds of a split, and is read as a feature. If it does, leave it"
                f" out: {set_kind(name, 'ignore')}."
            )
    return ""


def with_empty_cells(dataset: Dataset, column: Column) -> Column:
    """The column, with a remark on what its empty cells mean for the role."""
    meaning = EMPTY_CELLS.get(column.role, "")
    if not meaning or not (empty := sum(v is None for v in dataset.values(column.name))):
        return column
    said = f"{counted(empty, 'row has', 'rows have')} no {column.role}: {meaning}."
    return replace(column, remark=" ".join(filter(None, (column.remark, said))))


def _names_rows(name: str) -> bool:
    """Whether a name may be that of an index or an id."""
    names = (INDEX_NAME, ROW_NUMBER, ID_NAME)
    return name.lower() in PLAIN_ID or any(one.fullmatch(name) for one in names)


def _consecutive(values: Sequence[Any]) -> bool:
    """Whether the values, which differ, are whole numbers without a gap."""
    numbers = [number(v) for v in values]
    x = np.array([np.nan if v is None else v for v in numbers])
    return bool((x == np.round(x)).all() and x.max() - x.min() == len(x) - 1)


def _id_like(text: str) -> bool:
    return len(text) <= SHORT and len(text.split()) == 1
