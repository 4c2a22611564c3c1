"""Texts in cells: one cell may hold several columns (languages), or a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import BadCell, afford

LETTERS_SHOWN = 10_000  # of a text, that decide whether its column holds texts


def text_values(cell: Cell) -> list[str]:
    """The texts of a cell, trimmed. Raises BadCell for more letters than the budget allows."""
    texts = [
        str(t).strip()
        for value in cell.values()
        for t in (value if isinstance(value, list) else [value])
    ]
    afford("letters", sum(map(len, texts)))
    return texts


def joined_texts(cells: Sequence[Cell | None]) -> list[str]:
    """The texts of each cell as one, of the cells that are present and within the budget; the
    others are set aside later, with the reason.
    """
    out = []
    for cell in cells:
        try:
            out += [] if cell is None else [" ".join(text_values(cell))]
        except BadCell:
            continue
    return out


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


def text_query(text: str, field: Field) -> Cell:
    """A text given as a query, as a cell of the field. Raises GobelinError for an empty one."""
    if not text.strip():
        raise GobelinError("--text: is empty. Give some words.")
    return {field.columns[0]: text}
