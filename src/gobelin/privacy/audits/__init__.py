"""The contract of every audit: training images, exchangeable images that were held out, and made
ones in; findings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding


@dataclass(frozen=True)
class Material:
    """Images uint8 [n, H, W, C], all of one size.

    planted: changed copies of training images by the kind of change, the positive control: an audit
    that misses them says nothing. spaces: feature spaces, {name: images -> float32 [n, D]}. groups:
    of the held-out images, those of one group resemble each other; () = each is a group.
    exchangeable: why train and holdout can be exchanged ('random split by group'), or '' when they
    can't."""

    train: np.ndarray
    holdout: np.ndarray
    made: np.ndarray
    planted: Mapping[str, np.ndarray]
    spaces: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    train_ids: tuple[str, ...]
    made_ids: tuple[str, ...]
    exchangeable: str
    groups: tuple[str, ...] = ()

    def check(self, name: str) -> None:
        """Refuse rows that can't be exchanged: a difference would then be one of the rows and not
        of the generator."""
        if not self.exchangeable:
            raise GobelinError(
                f"audit {name}: training and held-out rows are not exchangeable (the split is by"
                " time or given by a column). Split at random by group, or leave this audit out."
            )
        if (found := len(set(self.groups)) if self.groups else len(self.holdout)) < 2:
            raise GobelinError(
                f"audit {name}: needs held-out images of two groups to compare with, found {found}."
                " Hold out more rows."
            )


@dataclass(frozen=True)
class Result:
    """findings, and a row for every made image: {made, nearest, flagged, ...}."""

    findings: tuple[Finding, ...]
    rows: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "findings": [f.to_dict() for f in self.findings],
            "rows": [dict(row) for row in self.rows],
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Result:
        return cls(tuple(Finding.from_dict(f) for f in told["findings"]), tuple(told["rows"]))


@runtime_checkable
class Audit(Protocol):
    """A frozen dataclass; its fields are its settings."""

    def run(self, material: Material) -> Result: ...
