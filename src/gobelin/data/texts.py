"""Texts in cells: one cell may hold several columns (languages), or a list."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import afford

LETTERS_SHOWN = 10_000  # of a text, that decide whether its column holds texts
WORD, LEAST_WORDS = re.compile(r"[^\W\d_]{3,}"), 3  # that names share
LETTERS_AT_ONCE = 20_000  # of a text, that an encoder reads; it takes some kilobytes a letter


def text_values(cell: Cell) -> list[str]:
    """The texts of a cell, trimmed. Raises BadCell for more letters than the budget allows."""
    texts = [
        str(t).strip()
        for value in cell.values()
        for t in (value if isinstance(value, list) else [value])
    ]
    afford("letters", sum(map(len, texts)))
    return texts


def pieces(text: str) -> list[str]:
    """The text, or a long one cut at blanks into pieces that an encoder can read at once; within a
    word where one is as long. A letter that stands for several (as an Arabic word in one sign does)
    counts as those."""
    cut = _cut(text)
    if text.isascii():
        return cut
    out: list[str] = []
    for piece in cut:
        written_out = unicodedata.normalize("NFKC", piece)
        out += [piece] if len(written_out) <= LETTERS_AT_ONCE else _cut(written_out)
    return out


def _cut(text: str) -> list[str]:
    """The text in pieces of LETTERS_AT_ONCE letters at most."""
    out, start = [], 0
    while len(text) - start > LETTERS_AT_ONCE:
        until = start + LETTERS_AT_ONCE
        blank = max(text.rfind(sign, start + 1, until) for sign in " \n")
        end = blank if blank > 0 else until
        out.append(text[start:end])
        start = end
    return [*out, text[start:]]


def joined(cell: Cell) -> str:
    """The texts of a cell as one, with a blank between two. Raises BadCell as `text_values`."""
    return " ".join(text_values(cell))


def text_key(cell: Cell) -> bytes:
    """16 bytes that name the texts of a cell."""
    return bytes.fromhex(fingerprint(text_values(cell)))[:16]


def text_bid(values: Sequence[Any]) -> Bid | None:
    """A bid for a column of strings of several words, most of them different; None for another
    column.
    """
    strings = [
        " ".join(v) if isinstance(v, list) and all(isinstance(t, str) for t in v) else v
        for v in values
    ]
    strings = [s[:LETTERS_SHOWN] if isinstance(s, str) else s for s in strings]
    if not strings or not all(isinstance(v, str) for v in strings):
        return None
    share_different, mean_words = (
        len(set(strings)) / len(strings),
        float(np.mean([len(s.split()) for s in strings])),
    )
    letters = float(
        np.mean([sum(c.isalpha() or c.isspace() for c in s) / max(len(s), 1) for s in strings])
    )
    if letters < 0.6 and share_different > 0.8 and _share_words(strings):
        return Bid("text", 0.5, "names of words and numbers")
    if letters < 0.6 or (mean_words < 1.5 and share_different < 0.5):
        return None
    many_sentences = mean_words >= 2.5 and len(set(strings)) > 20
    confidence = min(0.95, 0.35 + 0.3 * share_different + 0.1 * min(mean_words, 4))
    confidence = (
        max(confidence, 0.97)
        if many_sentences
        else confidence
        if share_different > 0.3
        else confidence / 2
    )
    return Bid(
        "text", confidence, f"{share_different:.0%} different, {mean_words:.1f} words a cell"
    )


def _share_words(strings: Sequence[str]) -> bool:
    """Whether most of these have a word that some others have, too, and not all, as names of
    products do; numbers of phones, hashes and the like have none."""
    words = [set(WORD.findall(s.casefold())) for s in strings]
    counts = Counter(word for one in words for word in one)
    least, most = max(3, 0.01 * len(strings)), 0.9 * len(strings)
    shared = {word for word, n in counts.items() if least <= n <= most}
    share = float(np.mean([bool(one & shared) for one in words]))
    return len(shared) >= LEAST_WORDS and share >= 0.75


def text_query(text: str, field: Field) -> Cell:
    """A text given as a query, as a cell of the field. Raises GobelinError for an empty one."""
    if not text.strip():
        raise GobelinError("--text: is empty. Give some words.")
    return {field.columns[0]: text}
