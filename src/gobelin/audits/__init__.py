"""The contract of every audit: training rows, exchangeable rows that were held out, and made rows in; findings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gobelin.errors import GobelinError
from gobelin.evidence import Finding


@dataclass(frozen=True)
class Material:
    """The same images in several spaces, {space: float32 [n, D]}, or [n, V, D]: V views of an image, itself the first.

    Views (shifts by a pixel) make a shifted copy as near as an exact one. train has one view.
    planted: slightly changed copies of training rows, the positive control: an audit that misses them says nothing.
    exchangeable: why train and holdout can be exchanged ('random split by group'), or '' when they can't.
    """

    train: Mapping[str, np.ndarray]
    holdout: Mapping[str, np.ndarray]
    made: Mapping[str, np.ndarray]
    planted: Mapping[str, np.ndarray]
    train_ids: tuple[str, ...]
    made_ids: tuple[str, ...]
    exchangeable: str

    def check(self, name: str) -> None:
        """Refuse rows that can't be exchanged: a difference would then be one of the rows and not of the generator."""
        if not self.exchangeable:
            raise GobelinError(
                f"audit {name}: training and held-out rows are not exchangeable (the split is by time or given by a column). "
                "Split at random by group, or leave this audit out."
            )


@dataclass(frozen=True)
class Result:
    """findings, and a row for every made image: {made, nearest, flagged, ...}."""

    findings: tuple[Finding, ...]
    rows: tuple[Mapping[str, Any], ...]


@runtime_checkable
class Audit(Protocol):
    """A frozen dataclass; its fields are its settings."""

    def run(self, material: Material) -> Result: ...
