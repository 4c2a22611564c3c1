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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.data.fields import Cell
from gobelin.embedding.encoders import EncodesColumns
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
        encoder = self.question.embedder.encoders[self.field]
        cells = [self._of(self.question.cells[self.field])]
        cells += [self._of(other) for other in self._others()]
        if not isinstance(encoder, EncodesColumns):
            return self._encoded_together(kept, cells)
        # Each cell is encoded once: drawn orders ask for as many mixtures as there are columns.
        own, *others = encoder.embed([encoder.decode(c, self.question.root)[0] for c in cells])
        places = encoder.places()
        there = np.zeros((len(kept), len(own)), bool)
        for k, column in enumerate(self.names):
            there[:, places[column]] = kept[:, [k]] > 0.5
        mixed = np.where(there[:, None], own, np.stack(others))  # [k, K, D]
        answers = self.question.with_features(self.field, mixed.reshape(-1, len(own)))
        return answers.reshape(mixed.shape[:2])

    def _encoded_together(self, kept: np.ndarray, cells: Sequence[Cell]) -> np.ndarray:
        """float64 [k, K]: the answers, where every mixture of columns has to be encoded. cells: the
        own one and K others."""
        own, *others = cells
        asked: list[Cell] = []
        for mask in kept > 0.5:
            mine = {c: own[c] for c, there in zip(self.names, mask, strict=True) if there}
            asked += [{**other, **mine} for other in others]
        return self.question.with_cells(self.field, asked).reshape(len(kept), len(others))

    def _others(self) -> Sequence[Cell | None]:
        """The rows that take the place of what is hidden; one without cells where none is known."""
        return list(self.question.other_cells.get(self.field, ()))[: self.draws] or [None]

    def _of(self, cell: Cell | None) -> Cell:
        """What a row holds in these columns."""
        return {c: v for c, v in (cell or {}).items() if c in self.names}

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(self.names))
