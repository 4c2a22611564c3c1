"""Which columns of a table moved the answer: Shapley values of numbers, categories and dates.

A hidden column holds what other rows hold there, a few drawn training rows one after the other, and
the answer is the mean (Lundberg & Lee 2017, equation 11). In a run that was saved without its data
a hidden column is empty. Up to seven columns are exact, with interactions; of more, orders are
drawn.

What this cannot show: whether a column is a cause, and how two columns that tell the same share it.
Drawn values can make pairs of columns that no row has. An empty column is a state that the
predictor knows only where training rows had it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.data.fields import Cell
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.attribution.shapley import shapley
from gobelin.prediction.explainers import Question


@settings_class
class Columns:
    """Shapley values of the columns of one field."""

    draws: int = setting(
        default=20, ge=1, le=10_000, description="Rows whose values take the place of hidden ones."
    )
    most: int = setting(default=7, ge=1, le=16, description="Columns that are explained exactly.")
    orders: int = setting(
        default=20, ge=2, le=100_000, description="Drawn orders where there are more columns."
    )

    kinds: ClassVar[tuple[str, ...]] = ("table", "number", "category", "date")
    unit: ClassVar[str] = "column"

    def parts(self, question: Question, field: str) -> Parts | None:
        names = tuple(question.cells.get(field, {}))
        return ColumnParts(question, field, names, self.draws) if len(names) > 1 else None

    def explain(self, parts: Parts, seed: int) -> Attribution:
        return shapley(parts, self.most, self.orders, seed)


@dataclass(frozen=True, eq=False)
class ColumnParts:
    """The cell of a table in its columns."""

    question: Question
    field: str
    names: tuple[str, ...]
    draws: int

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, K]."""
        own = self.question.cells[self.field]
        others = list(self.question.other_cells.get(self.field, ()))[: self.draws] or [None]
        asked: list[Cell] = []
        for mask in kept > 0.5:
            mine = {c: own[c] for c, there in zip(self.names, mask, strict=True) if there}
            asked += [{**self._of(other), **mine} for other in others]
        return self.question.with_cells(self.field, asked).reshape(len(kept), len(others))

    def _of(self, other: Cell | None) -> Cell:
        """What another row holds in these columns."""
        return {c: v for c, v in (other or {}).items() if c in self.names}

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(self.names))
