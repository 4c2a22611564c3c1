"""Which words of a text moved the answer: Shapley values of words that are left out.

A hidden word is not in the text. Words stand where blanks divide the text; where a script has no
blanks between words (Chinese, Japanese, Thai ...), each letter is one. Of a text with more than 32
words, several words that follow each other are one part. Up to seven parts are exact, with
interactions; of more, orders are drawn.

What this cannot show: grammar. A text with a hole is none that anybody would write, and an encoder
of sentences may read it in another way. Without any word the field holds an empty text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.data.texts import joined
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.attribution.shapley import shapley
from gobelin.prediction.explainers import Question

# letters of scripts without blanks between words, by the ranges of Unicode: Thai and Lao, Burmese,
# Khmer, kana, Chinese; the marks above and below them stay with their letter
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
MARKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059"
    "\u17b4-\u17d3\u3099\u309a\u30fc\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
PIECE = re.compile(f"[{UNSPACED}][{MARKS}]*|[^{UNSPACED}]+")


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
        found = list(pieces(joined(question.cells.get(field, {}))))
        count = min(len(found), self.parts_of_text)
        if count < 2:
            return None
        places = np.array_split(np.arange(len(found)), count)
        runs = tuple(tuple(found[k] for k in some) for some in places)
        return WordParts(question, field, runs)

    def explain(self, parts: Parts, seed: int) -> Attribution:
        return shapley(parts, self.most, self.orders, seed)


class Piece(NamedTuple):
    """What can be left out of a text: a word, or a letter of a script without blanks."""

    text: str
    word: int  # that it is in, counted by blanks


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a text, in order."""
    for k, word in enumerate(text.split()):
        yield from (Piece(found, k) for found in PIECE.findall(word))


def written(shown: Iterable[Piece]) -> str:
    """The text of some of its pieces: a blank where they are of other words."""
    out, last = "", None
    for piece in shown:
        out += f"{'' if last in (None, piece.word) else ' '}{piece.text}"
        last = piece.word
    return out


@dataclass(frozen=True, eq=False)
class WordParts:
    """A text in its words. runs: the pieces of each part."""

    question: Question
    field: str
    runs: tuple[tuple[Piece, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(written, self.runs))

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, 1]."""
        column = next(iter(self.question.cells[self.field]))
        texts = [
            written(p for run, there in zip(self.runs, mask, strict=True) if there for p in run)
            for mask in kept > 0.5
        ]
        return self.question.with_cells(self.field, [{column: t} for t in texts])[:, None]

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(len(self.runs))
