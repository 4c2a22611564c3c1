"""What a record is made of: columns with a kind and a role, cell columns joined into fields, and the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ROLES = ("target", "id", "group", "time", "split", "weight", "ignore")
NO_NUMBER = {"nan", "na", "n/a", "null", "none", "-", "?"}  # words for a missing number or date
Cell = dict[str, Any]  # column -> value, the present columns of one field of one row


@dataclass(frozen=True)
class Bid:
    """An encoder's claim on a column: the kind that it sees there, how sure it is in [0, 1], and why."""

    kind: str
    confidence: float
    reason: str


@dataclass(frozen=True)
class Column:
    """One column: what it holds (`kind`: image, text, number, category, date, audio ...) and what it is for (`role`:
    'cell', or one of ROLES)."""

    name: str
    kind: str
    role: str = "cell"
    confidence: float = 1.0
    reason: str = ""


@dataclass(frozen=True)
class Field:
    """One key of the shared space: a cell column, or a declared group of columns that one encoder reads together."""

    name: str
    encoder: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Schema:
    """The columns, the fields that have an encoder, and the columns whose kind has none yet."""

    columns: tuple[Column, ...]
    fields: tuple[Field, ...]
    unread: tuple[str, ...] = ()

    def role(self, role: str) -> str | None:
        """The name of the column with this role, or None."""
        return next((c.name for c in self.columns if c.role == role), None)

    def kind(self, column: str) -> str:
        return next(c.kind for c in self.columns if c.name == column)

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)


@dataclass(frozen=True)
class Target:
    """What is to be predicted. A row without a value is unlabelled: it still serves alignment and generation.

    kind: 'class' or 'number'. values: int64 [N] class index, -1 = none; or float64 [N], nan = none.
    classes: the C names, most frequent first would depend on the rows, so sorted. scored: bool [C], False for a class that
    is too small to stand in every split and so is left out of balanced accuracy.
    """

    name: str
    kind: str
    values: np.ndarray
    classes: tuple[str, ...] = ()
    scored: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def present(self) -> np.ndarray:
        """bool [N]."""
        return ~np.isnan(self.values) if self.kind == "number" else self.values >= 0

    def rows(self, index: Sequence[int] | np.ndarray) -> Target:
        return Target(self.name, self.kind, self.values[np.asarray(index)], self.classes, self.scored)

    def __len__(self) -> int:
        return len(self.values)
