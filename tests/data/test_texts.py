"""Long texts in pieces. Oracle: the text itself, and lengths."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.data.texts import LETTERS_AT_ONCE, pieces


@pytest.mark.parametrize("sign", [" ", "\n"])
def test_pieces_are_the_text_and_end_at_blanks(sign: str) -> None:
    words = ["x" * k for k in np.random.default_rng(0).integers(1, 12, 20_000)]
    text = sign.join(words)
    found = pieces(text)
    assert "".join(found) == text and sign.join(found).split() == text.split()
    assert max(map(len, found)) <= LETTERS_AT_ONCE and len(found) < 10
    assert pieces("a b") == ["a b"] and pieces("") == [""]


def test_a_word_without_end_is_cut() -> None:
    found = pieces("y" * (2 * LETTERS_AT_ONCE + 5))
    assert [len(p) for p in found] == [LETTERS_AT_ONCE, LETTERS_AT_ONCE, 5]


def test_a_letter_that_stands_for_many_counts_as_those() -> None:
    """U+FDFA is eighteen letters to a model."""
    found = pieces("\ufdfa" * LETTERS_AT_ONCE)
    assert 18 <= len(found) <= 20 and max(map(len, found)) <= LETTERS_AT_ONCE
    assert pieces("\ufdfa" * 10) == ["\ufdfa" * 10]
