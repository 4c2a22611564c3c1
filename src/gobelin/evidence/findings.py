"""A finding: one statement with its interval. An exhibit: one thing to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeGuard

import numpy as np

from gobelin.core.errors import GobelinError

EXHIBIT_KINDS = ("table", "curve", "sheet", "pairs", "forest", "bars")


@dataclass(frozen=True)
class Finding:
    """One judgement. Reports join findings and draw them; they compute nothing.

    name: what was measured, 'balanced_accuracy'. scope: of what, {'arm': 'flow', 'class':
    'melanoma'}. comparator: the other side of a difference, '' for a plain score. value, low, high:
    None where there is none. unit: 'share' (printed as per cent), 'points' (a difference of shares,
    in hundredths), '' or a unit's name. better: 'higher', 'lower' or ''. chance: what guessing
    scores. floor: the best that could be seen (real against real). n: units of evidence. needed_n:
    how many would be needed to see the smallest effect. source: the verb and stage that found it.
    """

    name: str
    scope: Mapping[str, str] = field(default_factory=dict)
    comparator: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""
    unit: str = ""
    better: str = ""
    chance: float | None = None
    floor: float | None = None
    verdict: str = ""
    n: int = 0
    needed_n: int | None = None
    note: str = ""
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for one JSON line: a number that is not finite becomes None, numpy's numbers become
        Python's."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Finding:
        return cls(**_known(cls, row))

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
            + "".join(f" {text.rstrip('.')}." for text in (self.verdict, self.note) if text)
        )

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
