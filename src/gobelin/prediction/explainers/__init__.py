"""The contract of every explainer: a row's field, or all its fields, in parts that can be hidden,
and how much each part moved the answer.

An explainer asks the predictor alone: it knows no head and no encoder. What it needs is a way to
hide a part, so any encoder and any fusion can be explained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from gobelin.core.lazy import torch
from gobelin.data.fields import Cell
from gobelin.data.texts import joined
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction.attribution.parts import Attribution, Parts


@dataclass(frozen=True, eq=False)
class Question:
    """One row, and the answer that is explained."""

    rows: Embeddings  # one row, features of the encoders
    cells: Mapping[str, Cell]  # {field: cell} of the fields that it has
    fields: tuple[str, ...]  # those that prediction uses
    embedder: Embedder
    root: Path  # where relative paths in cells start
    answer: Callable[[Embeddings], np.ndarray]  # rows -> float64 [n, V], log odds or numbers
    output: int  # which of the V is explained
    # K rows that take the place of what is hidden; None: what is hidden is missing
    others: Embeddings | None
    other_cells: Mapping[str, Sequence[Cell | None]]  # {field: K cells}
    seed: int
    # (one row, field, other features of that field, float [n, D_f]) -> float64 [n, V]: the answers,
    # differentiable in the features; None where a head has no gradient
    differentiable: Callable[[Embeddings, str, torch.Tensor], torch.Tensor] | None = None

    @cached_property
    def present(self) -> tuple[str, ...]:
        """The fields that the row has and prediction uses."""
        has = dict(zip(self.rows.fields, self.rows.present[0], strict=True))
        return tuple(f for f in self.rows.fields if has[f] and f in self.fields)

    def explained(self, rows: Embeddings) -> np.ndarray:
        """float64 [n]: the explained answer of rows."""
        return self.answer(rows)[:, self.output]

    def with_cells(self, field: str, cells: Sequence[Cell]) -> np.ndarray:
        """float64 [n]: the explained answer of the row with another cell in a field, n times. Equal
        cells are encoded once. Raises BadCell."""
        encoder, lexicon = self.embedder.encoders[field], self.embedder.lexicons.get(field)
        keys = [repr(sorted(cell.items())) for cell in cells]
        first = {key: k for k, key in reversed(list(enumerate(keys)))}
        place = {key: k for k, key in enumerate(first)}
        once = [cells[k] for k in first.values()]
        vectors = encoder.embed([encoder.decode(cell, self.root)[0] for cell in once])
        words = None if lexicon is None else lexicon.embed([joined(cell) for cell in once])
        return self.with_features(field, vectors, words)[[place[key] for key in keys]]

    def with_features(
        self, field: str, vectors: np.ndarray, words: np.ndarray | None = None
    ) -> np.ndarray:
        """float64 [n]: the explained answer of the row with other features of a field. vectors:
        float32 [n, D_f]. words: float32 [n, W], those of texts."""
        rows = self.rows.rows(np.zeros(len(vectors), np.int64))
        spoken = {} if words is None else {field: words}
        return self.explained(
            replace(
                rows, features={**rows.features, field: vectors}, words={**rows.words, **spoken}
            )
        )


@runtime_checkable
class Explainer(Protocol):
    """A frozen dataclass. Its fields are its settings."""

    kinds: ClassVar[tuple[str, ...]]  # of the fields that it looks into; (): the fields themselves
    unit: ClassVar[str]  # what one part is: field, column, word, pixel ...

    def parts(self, question: Question, field: str) -> Parts | None:
        """The row in parts; None where there are fewer than two. field: the one that it looks
        into; '' for the fields themselves. Raises BadCell where the cell can't be opened."""
        ...

    def explain(self, parts: Parts, seed: int) -> Attribution:
        """How much each part moved the answer."""
        ...
