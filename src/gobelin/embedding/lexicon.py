"""The words of a text, beside the vector of its meaning.

A sentence vector loses rare words: part numbers, names, findings of a report. A lexicon counts the
words and pairs of words that enough groups of training rows have, weighs them by rarity (Salton &
Buckley 1988) and reduces them to a few components (Deerwester et al. 1990). Only predictors read
it; the shared space doesn't.

What this cannot show: meaning. Two words for one thing are two words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from gobelin.core.files import fingerprint, load_arrays, read_json, save_arrays, write_json
from gobelin.core.lazy import sparse
from gobelin.data.coarse import coarse_counts
from gobelin.data.fields import Field
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.text_components import texts_of
from gobelin.networks.text.ngrams import directions, most_directions

LEXICAL = ("characters", "words")  # encoders of texts that keep words themselves
WIDTH = 128  # components, at most
MOST_TERMS = 4096  # words and pairs of words; the most frequent
MOST_WORDS = 5000  # read of a text
WORD = re.compile(r"\w[\w.+-]*\w|\w")  # a part number is a word


def wanted(field: Field) -> bool:
    """Whether a field has a lexicon: it holds texts, and its encoder keeps no words itself."""
    return field.kind == "text" and field.encoder not in LEXICAL


@dataclass(frozen=True, eq=False)
class Lexicon:
    """A fitted lexicon. terms: V words and pairs of words. components: float32 [W, V], the first
    directions of training texts times the rarity of each term."""

    terms: tuple[str, ...]
    components: np.ndarray

    @staticmethod
    def fit(cells: TrainingCells) -> Lexicon | None:
        """The lexicon of training texts; None where no term is shared by enough groups.

        The rarity of a term is rounded (`data.coarse`), so that one group can't be told by it."""
        texts, groups = texts_of(cells)
        having: Counter[str] = Counter()
        seen: dict[int, set[str]] = {}
        for text, group in zip(texts, groups.tolist(), strict=True):
            seen.setdefault(group, set()).update(terms_of(text))
        for found in seen.values():
            having.update(found)
        kept = [(n, t) for t, n in having.items() if n >= max(cells.least_groups, 2)]
        kept = sorted(kept, key=lambda pair: (-pair[0], pair[1]))[:MOST_TERMS]
        kept.sort(key=lambda pair: pair[1])  # another order would tell which is more common
        width = min(WIDTH, most_directions(texts, cells.least_groups), len(kept) - 1)
        if width < 1:
            return None
        terms = tuple(t for _, t in kept)
        every = np.array([*(n for n, _ in kept), len(seen)])
        *having_it, all_groups = coarse_counts(
            every, cells.least_groups, fingerprint(sorted(texts))
        )
        rarity = 1 - np.log(np.minimum(np.array(having_it) / all_groups, 1))
        counts = Lexicon(terms, np.zeros((0, len(terms)), np.float32)).weighted(texts)
        return Lexicon(terms, directions(counts, rarity, width))

    @property
    def width(self) -> int:
        return len(self.components)

    def weighted(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Sparse [n, V]: counts, flattened by a logarithm and scaled to unit length."""
        places = {term: k for k, term in enumerate(self.terms)}
        values: list[float] = []
        columns: list[int] = []
        ends = [0]
        for text in texts:
            counts = Counter(places[t] for t in terms_of(text) if t in places)
            flat = 1 + np.log(np.array(list(counts.values()), np.float64))
            values.extend((flat / max(float(np.linalg.norm(flat)), 1e-12)).tolist())
            columns.extend(counts)
            ends.append(len(columns))
        shape = (len(texts), len(self.terms))
        return sparse.csr_matrix((values, columns, ends), shape=shape)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, W] of n texts."""
        return np.asarray(self.weighted(texts) @ self.components.T, np.float32)

    def fingerprint(self) -> str:
        return fingerprint("lexicon", self.terms, self.components)

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        write_json(folder / "terms.json", {"terms": self.terms})
        save_arrays(folder / "weights.safetensors", {"components": self.components})

    @staticmethod
    def load(folder: Path) -> Lexicon:
        """The inverse of `save`. Raises ValueError for files that don't belong together."""
        terms = tuple(map(str, read_json(folder / "terms.json")["terms"]))
        components = load_arrays(folder / "weights.safetensors")["components"]
        if components.ndim != 2 or components.shape[1] != len(terms):
            raise ValueError("lexicon: terms and components don't belong together")
        return Lexicon(terms, components)


def cut(text: str) -> bool:
    """Whether a text has more words than are read."""
    return len(text) > 2 * MOST_WORDS and sum(1 for _ in WORD.finditer(text)) > MOST_WORDS


def terms_of(text: str) -> Iterator[str]:
    """The words of a text in small letters, and every two that stand side by side."""
    words = [
        m.group().lower() for _, m in zip(range(MOST_WORDS), WORD.finditer(text), strict=False)
    ]
    yield from words
    yield from (f"{a} {b}" for a, b in pairwise(words))
