"""A finding: one statement with its interval. An exhibit: one table, plot or set of images."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, TypeGuard, TypeVar

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.printable import in_digits

Built = TypeVar("Built")
EXHIBIT_KINDS = (
    "table",
    "curve",
    "sheet",
    "pairs",
    "forest",
    "bars",
    "matrix",
    "records",
    "waterfall",
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One statement: what was measured, its value and how sure it is.

    Verbs make findings. Reports join and draw them, and compute nothing.
    """

    name: str  # what was measured, e.g. 'balanced_accuracy'
    # what it was measured on, e.g. {'arm': 'flow', 'class': 'melanoma'}
    scope: Mapping[str, str] = field(default_factory=dict)
    comparator: str = ""  # the other side of a difference; '' for a plain score
    value: float | None = None  # None: there is no number
    low: float | None = None  # lower end of the interval
    high: float | None = None  # upper end of the interval
    level: float = 0.95  # coverage of the interval
    method: str = ""  # how the interval was computed
    # 'share' (printed as per cent), 'points' (a difference of shares, printed in hundredths),
    # '' or the name of a unit
    unit: str = ""
    better: str = ""  # 'higher', 'lower' or ''
    chance: float | None = None  # score of guessing
    floor: float | None = None  # the best possible value: real images against real images
    verdict: str = ""
    # False: the study or the audit could not tell, so the verdict claims nothing
    sure: bool = True
    n: int = 0  # independent units of evidence
    needed_n: int | None = None  # units that would show the smallest effect that matters
    # What identifies single rows stands in these two fields alone, and `without_rows` empties them.
    rows: tuple[str, ...] = ()  # ids of the rows that the finding is about
    cells: tuple[str, ...] = ()  # cells that it is about: row, column, reason; or their values
    generator: str = ""  # name of the generator that is judged; '' if there is none
    note: str = ""
    source: str = ""  # verb that found it

    def to_dict(self) -> dict[str, Any]:
        """The values of one JSON line. Numbers that are not finite become None, and numpy's numbers
        become Python's."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Finding:
        """A finding from a line of findings.jsonl. GobelinError for a field of a later version, or
        a value of another type."""
        known = _upgraded(_known(cls, row))
        return _built(cls, {**known, "rows": tuple(known["rows"]), "cells": tuple(known["cells"])})

    def sentence(self) -> str:
        """The finding in plain words, one line."""
        where = ", ".join(
            f"{PLAIN_KEYS.get(key, key)} {value}" for key, value in self.scope.items()
        )
        name = PLAIN_NAMES.get(self.name, self.name.replace("_", " "))
        subject = name + (f" ({where})" if where else "")
        against = f" against {self.comparator}" if self.comparator else ""
        signed = bool(self.comparator)
        told = [text.rstrip(".") for text in (plain_verdict(self.verdict), self.remark) if text]
        if self.value is None and told:  # words alone
            return f"{subject}{against}: " + " ".join(
                f"{text}." for text in [*told, *self._units()]
            )
        parts = [f"{subject}{against}: {number(self.value, self.unit, signed)}"]
        if finite(self.low) and finite(self.high):
            bounds = " to ".join(number(end, self.unit, signed) for end in (self.low, self.high))
            parts.append(f"{100 * self.level:.4g} % interval {bounds}")
        marks = (("chance", self.chance), ("best to expect", self.floor))
        parts += [f"{word} {number(mark, self.unit)}" for word, mark in marks if finite(mark)]
        if self.better:
            parts.append(f"{self.better} is better")
        if self.unit or self.value != self.n or self.needed_n:  # else the number says it
            parts += self._units()
        return "; ".join(parts) + "." + "".join(f" {text}." for text in told)

    def _units(self) -> list[str]:
        """n, and how many there should be."""
        if self.value is None and self.needed_n:
            return [f"n = {self.n}, {self.needed_n} needed"]
        if not self.n or not self.needed_n:
            return [f"n = {self.n}"] if self.n else []
        what = "the smallest difference that matters"
        return [f"n = {self.n}, about {self.needed_n} needed to show {what}"]

    @property
    def remark(self) -> str:
        """The note, and the rows and cells that the finding is about."""
        rows = f"rows {', '.join(self.rows)}" if self.rows else ""
        return ": ".join(text for text in (self.note, rows, "; ".join(self.cells)) if text)

    def without_rows(self) -> Finding:
        """The finding for others, who must not learn which rows it is about."""
        return replace(self, rows=(), cells=())


# In a sentence: key of the scope -> plain words, name -> plain words
PLAIN_KEYS = {"arm": "training set"}
PLAIN_NAMES = {"sign_flip_p": "p value of a second test, signs flipped at random"}
PLAIN_VERDICTS = {
    "helped, and so does a rival": "helped, and so does a baseline method",
    "helped, rivals undecided": "helped, baseline methods undecided",
}


def plain_verdict(word: str) -> str:
    """The word of a verdict as it is shown."""
    return PLAIN_VERDICTS.get(word, word)


def finite(value: object) -> TypeGuard[float]:
    """Whether this is a finite number."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object, unit: str = "", signed: bool = False) -> str:
    """A number with its unit, 'no number' if it is not finite. signed: with a plus sign."""
    return printed(value, unit, "+" if signed else "") if finite(value) else "no number"


def printed(value: float, unit: str, sign: str = "") -> str:
    """A finite number with its unit: shares in per cent, differences of shares in points. sign: '+'
    prints a plus sign."""
    if unit in ("share", "points"):
        tenths = round(100 * value, 1) or 0.0  # no '-0.0'
        return f"{tenths:{sign}.1f} " + ("%" if unit == "share" else "points")
    return f"{in_digits(value or 0.0, sign=sign)} {unit}".rstrip()


@dataclass(frozen=True)
class Exhibit:
    """A table, a plot or images, for the report. ValueError for an unknown kind."""

    name: str  # verb and name, 'augment/by_class'
    kind: str  # one of EXHIBIT_KINDS
    data: str  # path of its JSON file, relative to the run folder
    caption: str = ""
    credit: str = ""  # source of the images or sounds

    def __post_init__(self) -> None:
        if self.kind not in EXHIBIT_KINDS:
            raise ValueError(
                f"exhibit {self.name}: kind {self.kind!r} is not one of {', '.join(EXHIBIT_KINDS)}"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Exhibit:
        """An exhibit from a line of exhibits.jsonl. GobelinError as for a finding, and for a kind
        of a later version."""
        return _built(cls, _known(cls, row))


TAKES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a text", lambda v: isinstance(v, str)),
    "bool": ("true or false", lambda v: isinstance(v, bool)),
    "float": ("a number", lambda v: finite(v)),
    "float | None": ("a number", lambda v: v is None or finite(v)),
    "int": ("a whole number", lambda v: isinstance(v, int)),
    "int | None": ("a whole number", lambda v: v is None or isinstance(v, int)),
    "tuple[str, ...]": ("a list of texts", lambda v: isinstance(v, list | tuple) and _texts(v)),
    "Mapping[str, str]": ("texts by name", lambda v: isinstance(v, Mapping) and _texts(v.values())),
}


def _upgraded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of an earlier version. There, `rows`, `cells`, `generator` and `sure` stood in texts
    alone."""
    scope = dict(row.get("scope", {}))
    note, verdict = str(row.get("note", "")), str(row.get("verdict", ""))
    start = "copies of training rows "  # such a note held nothing else
    of_batch = str(scope.get("generator", "")).split(",")[0]  # 'flow, training seed 0'
    of_arm = str(scope.get("arm", "")).partition(" by ")[2]  # 'generated by flow'
    before = {
        "rows": note.removeprefix(start).split(", ") if note.startswith(start) else [],
        "generator": of_batch or of_arm,
        "sure": verdict != "no evidence" and not verdict.startswith("can't say"),
        "cells": note.split("; ") if row.get("name") == "cells_set_aside" and note else [],
    }
    moved = any(before[name] and name not in row for name in ("rows", "cells"))
    emptied = {"note": ""} if moved else {}
    return {**before, **row, **emptied}


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _known(cls: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row. GobelinError if it holds fields that this version does not know."""
    if not isinstance(row, Mapping):
        raise GobelinError(f"{cls.__name__}: an object was expected, found {str(row)[:40]!r}.")
    takes = {known.name: TAKES[str(known.type)] for known in fields(cls)}
    unknown = sorted(set(row) - set(takes))
    if unknown:
        names = ", ".join(unknown)
        raise GobelinError(
            f"{cls.__name__}: unknown fields {names}, written by another version. Use that version."
        )
    needed = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
    for name in [*needed, *row]:
        words, fits = takes[name]
        if name not in row or not fits(row[name]):
            found = repr(row[name])[:40] if name in row else "nothing"
            raise GobelinError(f"{cls.__name__}, {name}: {words} was expected, found {found}.")
    return dict(row)


def _built(cls: type[Built], row: Mapping[str, Any]) -> Built:
    """The dataclass from a file's values. GobelinError where its own checks refuse them."""
    try:
        return cls(**row)
    except (ValueError, TypeError) as error:
        raise GobelinError(f"{cls.__name__}: {error}. Use the version that wrote it.") from error


def _texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
