"""Which words of a text moved the answer: Shapley values of words that are left out.

A hidden word is not in the text. Words stand where blanks divide the text. Of a text with more than
32 words, several words that follow each other are one part. Up to seven parts are exact, with
interactions; of more, orders are drawn.

What this cannot show: grammar. A text with a hole is none that anybody would write, and an encoder
of sentences may read it in another way. Without any word the field holds an empty text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.data.texts import joined
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.attribution.shapley import shapley
from gobelin.prediction.explainers import Question


@settings_class
class Words:
    """Shapley values of the words of one field."""

    parts_of_text: int = setting(
        default=32, ge=2, le=1000, description="Parts of a text, at most; each has several words."
    )
    most: int = setting(default=7, ge=1, le=16, description="Parts that are explained exactly.")
    orders: int = setting(
        default=20, ge=2, le=100_000, description="Drawn orders where there are more parts."
    )

    kinds: ClassVar[tuple[str, ...]] = ("text",)
    unit: ClassVar[str] = "word"

    def parts(self, question: Question, field: str) -> Parts | None:
        words = joined(question.cells.get(field, {})).split()
        count = min(len(words), self.parts_of_text)
        if count < 2:
            return None
        runs = [" ".join(run) for run in np.array_split(np.array(words, object), count)]
        return WordParts(question, field, tuple(runs))

    def explain(self, parts: Parts, seed: int) -> Attribution:
        return shapley(parts, self.most, self.orders, seed)


@dataclass(frozen=True, eq=False)
class WordParts:
    """A text in its words."""

    question: Question
    field: str
    names: tuple[str, ...]

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, 1]."""
        column = next(iter(self.question.cells[self.field]))
        texts = [
            " ".join(w for w, there in zip(self.names, mask, strict=True) if there)
            for mask in kept > 0.5
        ]
        return self.question.with_cells(self.field, [{column: t} for t in texts])[:, None]

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(self.names))
