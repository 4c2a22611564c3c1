"""The parts of a row: columns with a kind and a role, cell columns joined into fields, and the
target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gobelin.core.printable import in_digits
from gobelin.core.shell import set_option

ROLES = ("target", "id", "group", "time", "split", "weight", "ignore")
NO_NUMBER = {
    *("nan", "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "<na>", "nat", "-nan", "1.#qnan", "1.#ind"),
    *("null", "(null)", "#null!", "none", "nil", "undefined", "nodata", "no data", "\\n"),
    *("unknown", "missing", "not available", "k.a.", "n.d.", "#div/0!", "#ref!", "#value!"),
    *("#num!", "#name?", "-", "--", "---", "–", "—", ".", "..", "...", "?", "??", "*"),
    *("0000-00-00", "0000-00-00 00:00:00", "00/00/0000", "00.00.0000"),
}  # words for a missing number or date
# Kinds of columns whose cells are files, as bytes or by their paths, and those that may be
PATH_KINDS = ("image", "audio", "video", "volume", "mesh")
FILE_KINDS = (*PATH_KINDS, "series")
Cell = dict[str, Any]  # column -> value, the present columns of one field of one row


def set_kind(column: str, kind: str) -> str:
    """The option that sets the kind or the role of a column, as a shell takes it."""
    return set_option(f"schema.{column}", kind)


@dataclass(frozen=True)
class Bid:
    """An encoder's claim on a column: the kind of its values, how sure the encoder is, 0 to 1, and
    why. remark: what a user should know, such as another reading of the values.
    """

    kind: str
    confidence: float
    reason: str
    remark: str = ""


@dataclass(frozen=True)
class Column:
    """One column.

    kind: of its values: image, text, number, category, date, audio ... role: 'cell', or one of
    ROLES. confidence, reason: of the bid that gave the kind. levels: of an ordinal target whose
    order was set, lowest first. missing: words of a target that say that nothing is known. remark:
    one line for the user, '' for none.
    """

    name: str
    kind: str
    role: str = "cell"
    confidence: float = 1.0
    reason: str = ""
    levels: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Field:
    """One key of the shared space: a cell column, or a group of columns that one encoder reads
    together.
    """

    name: str
    encoder: str  # the component that reads it
    columns: tuple[str, ...]
    kind: str  # of its columns: image, text, audio, number ...; 'table' where they differ

    @staticmethod
    def of(name: str, encoder: str, columns: Sequence[Column]) -> Field:
        """The field of these columns. Its kind follows from theirs, so no file has to hold it."""
        kinds = {column.kind for column in columns}
        kind = kinds.pop() if len(kinds) == 1 else "table"
        return Field(name, encoder, tuple(column.name for column in columns), kind)


@dataclass(frozen=True)
class Schema:
    """The columns, the fields that have an encoder, and the names of columns whose kind has no
    encoder.
    """

    columns: tuple[Column, ...]
    fields: tuple[Field, ...]
    unread: tuple[str, ...] = ()

    def without_cells(self) -> Schema:
        """The schema as a saved run has it: reasons and remarks may quote a cell of one row."""
        return replace(self, columns=tuple(replace(c, reason="", remark="") for c in self.columns))

    def role(self, role: str) -> str | None:
        """The name of the column with this role, or None."""
        return next((c.name for c in self.columns if c.role == role), None)

    @cached_property
    def _kinds(self) -> dict[str, str]:
        return {c.name: c.kind for c in self.columns}

    def kind(self, column: str) -> str:
        return self._kinds[column]

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)


@dataclass(frozen=True)
class Target:
    """The column to be predicted. A row without a value is unlabelled: alignment and generation
    still use it.

    kind: 'class'; 'ordinal', classes in an order; 'number'; or 'labels', any number of the classes.
    values: int64 [N] class index, -1 = none; float64 [N], nan = none; for labels int64 [N, C], 1 or
    0, a row of -1 = none. classes: the C names, sorted, as an order by frequency would depend on
    the rows; of an ordinal in its order. scored: bool [C], False for a class that is too small for
    every part of the split and is left out of balanced accuracy.
    """

    name: str
    kind: str
    values: np.ndarray
    classes: tuple[str, ...] = ()
    scored: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def present(self) -> np.ndarray:
        """bool [N]: the rows that have a target."""
        if self.kind == "labels":
            return self.values.min(1, initial=0) >= 0
        return ~np.isnan(self.values) if self.kind == "number" else self.values >= 0

    @property
    def exclusive(self) -> bool:
        """Whether a row has exactly one of the classes."""
        return self.kind in ("class", "ordinal")

    @property
    def strata(self) -> np.ndarray:
        """int64 [N]: the stratum that splits and folds spread evenly: the class; the rarest of a
        row's labels (C = the row has none of them); 0 for a number; -1 = no target.
        """
        if self.kind == "number":
            return np.where(self.present, 0, -1)
        if self.kind == "class" or self.kind == "ordinal":
            return self.values
        counts = (self.values == 1).sum(0)
        rarity = np.where(self.values == 1, counts, np.iinfo(np.int64).max)
        rarest = np.where(
            (self.values == 1).any(1), rarity.argmin(1) if len(counts) else 0, len(counts)
        )
        return np.where(self.present, rarest, -1)

    def scored_rows(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` (int [n]) that have a label, and whose class is in every part of the
        data: no predictor can have learned a class of one row that it has not seen."""
        rows = rows[self.present[rows]]
        if not self.exclusive or not len(self.scored):
            return rows
        return rows[self.scored[self.values[rows]]]

    def counts(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """int64 [C]: how many of these rows have each class."""
        values = self.values[np.asarray(rows, dtype=np.int64)]
        if self.kind == "labels":
            return (values == 1).sum(0)
        return np.bincount(values[values >= 0], minlength=len(self.classes))

    def text(self, row: int) -> str:
        """What a row has, in words: its class; its labels, with a bar between them; its number.
        '' where nothing is known."""
        value = self.values[row]
        if not self.rows([row]).present[0]:
            return ""
        if self.kind == "labels":
            named = [name for name, on in zip(self.classes, value, strict=True) if on]
            return " | ".join(named) or "none of the labels"
        return self.classes[int(value)] if self.exclusive else in_digits(value, 6)

    def without(self, rows: np.ndarray) -> Target:
        """The same target, unknown in these rows. rows: bool [N]."""
        hidden = rows[:, None] if self.kind == "labels" else rows
        values = np.where(hidden, np.nan if self.kind == "number" else -1, self.values)
        return replace(self, values=values.astype(self.values.dtype))

    def rows(self, index: Sequence[int] | np.ndarray) -> Target:
        return Target(
            self.name, self.kind, self.values[np.asarray(index)], self.classes, self.scored
        )

    def __len__(self) -> int:
        return len(self.values)
