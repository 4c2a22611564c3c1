"""A finding: one statement with its interval. An exhibit: one thing to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeGuard

import numpy as np

from gobelin.core.errors import GobelinError

EXHIBIT_KINDS = ("table", "curve", "sheet", "pairs", "forest", "bars")


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
    rows: tuple[str, ...] = ()  # ids of the rows that the finding is about
    generator: str = ""  # name of the generator that is judged; '' where there is only one
    note: str = ""
    source: str = ""  # verb that found it

    def to_dict(self) -> dict[str, Any]:
        """Ready for one JSON line: a number that is not finite becomes None, numpy's numbers become
        Python's."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Finding:
        """A finding from a line of findings.jsonl. GobelinError for a field of a later version."""
        known = _upgraded(_known(cls, row))
        return cls(**{**known, "rows": tuple(known["rows"])})

    def sentence(self) -> str:
        """The finding in plain words, one line."""
        where = ", ".join(f"{key} {value}" for key, value in self.scope.items())
        subject = self.name.replace("_", " ") + (f" ({where})" if where else "")
        against = f" against {self.comparator}" if self.comparator else ""
        signed = bool(self.comparator)
        parts = [f"{subject}{against}: {self._number(self.value, signed)}"]
        if _finite(self.low) and _finite(self.high):
            bounds = f"{self._number(self.low, signed)} to {self._number(self.high, signed)}"
            parts.append(f"{100 * self.level:.4g} % interval {bounds}")
        marks = (("chance", self.chance), ("floor", self.floor))
        parts += [f"{word} {self._number(mark, False)}" for word, mark in marks if _finite(mark)]
        if self.better:
            parts.append(f"{self.better} is better")
        if self.n:
            parts.append(f"n = {self.n}" + (f", {self.needed_n} needed" if self.needed_n else ""))
        return (
            "; ".join(parts)
            + "."
            + "".join(f" {text.rstrip('.')}." for text in (self.verdict, self.remark) if text)
        )

    @property
    def remark(self) -> str:
        """The note, and the ids of the rows that the finding is about."""
        rows = f"rows {', '.join(self.rows)}" if self.rows else ""
        return ": ".join(text for text in (self.note, rows) if text)

    def _number(self, value: float | None, signed: bool) -> str:
        if not _finite(value):
            return "no number"
        sign = "+" if signed else ""
        return printed(value, self.unit, sign)


def printed(value: float, unit: str, sign: str = "") -> str:
    """A number as people read it: shares in per cent, differences of shares in points. sign: '+'
    shows a plus."""
    if unit in ("share", "points"):
        return f"{100 * value:{sign}.1f} " + ("%" if unit == "share" else "points")
    return f"{value:{sign}.4g} {unit}".rstrip()


@dataclass(frozen=True)
class Exhibit:
    """Something to look at. data: path relative to the run folder. credit: whose pictures or sounds
    these are."""

    name: str
    kind: str
    data: str
    caption: str = ""
    credit: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EXHIBIT_KINDS:
            raise ValueError(
                f"exhibit {self.name}: kind {self.kind!r} is not one of {', '.join(EXHIBIT_KINDS)}"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Exhibit:
        return cls(**_known(cls, row))


def _upgraded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of an earlier version. There, `rows`, `generator` and `sure` stood in texts alone."""
    scope = dict(row.get("scope", {}))
    note, verdict = str(row.get("note", "")), str(row.get("verdict", ""))
    start = "copies of training rows "  # such a note held nothing else
    of_batch = str(scope.get("generator", "")).split(",")[0]  # 'flow, training seed 0'
    of_arm = str(scope.get("arm", "")).partition(" by ")[2]  # 'generated by flow'
    before = {
        "rows": note.removeprefix(start).split(", ") if note.startswith(start) else [],
        "generator": of_batch or of_arm,
        "sure": verdict != "no evidence" and not verdict.startswith("can't say"),
    }
    emptied = {"note": ""} if "rows" not in row and before["rows"] else {}
    return {**before, **row, **emptied}


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _known(cls: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row, or a clear refusal of fields that this version doesn't know."""
    unknown = sorted(set(row) - {one.name for one in fields(cls)})
    if unknown:
        names = ", ".join(unknown)
        raise GobelinError(
            f"{cls.__name__}: unknown fields {names}, written by another version. Use that version."
        )
    return dict(row)
