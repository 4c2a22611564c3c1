"""Fonts of pictures: the one that has the letters is taken, letters that none has are named, and
lines are as wide as they may be. Oracles: fonts of planted letters, and Pillow's own widths."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gobelin.report import heat, lettering, waterfall

OWN = lettering._opened("", 12)  # Pillow's, which is there on every machine


class Planted:
    """A font that draws some letters, and boxes for others."""

    def __init__(self, letters: str) -> None:
        self.letters = letters

    def getmask(self, text: str) -> bytes:
        return text.encode() if text in self.letters else b"box"


FONTS = {"latin": Planted("éß"), "wide": Planted("éß苹果"), "": Planted("é")}


@pytest.mark.parametrize(
    ("text", "taken", "left"),
    [
        ("red", "latin", ""),
        ("Größe é", "latin", "ö"),
        ("苹果 ß", "wide", ""),
        ("苹果 ཀ ཀ", "wide", "ཀ"),
        ("한국", "latin", "국한"),
    ],
)
def test_the_first_font_that_has_most_letters_is_taken(
    monkeypatch: pytest.MonkeyPatch, text: str, taken: str, left: str
) -> None:
    monkeypatch.setattr(lettering, "_installed", lambda: ("latin", "wide"))
    monkeypatch.setattr(lettering, "_opened", lambda name, size: FONTS[name])
    font = lettering.font_of(text, 14)
    assert font is FONTS[taken] and lettering.unknown(text, font) == left


def test_pillows_own_font_has_the_letters_of_english_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lettering, "_installed", tuple)
    assert lettering.unknown("Größe, é: 苹果", lettering.font_of("x", 12)) == "ßéö果苹"


@pytest.mark.parametrize("text", ["a few short words " * 20, "苹果" * 90, "w" * 300, "one", ""])
def test_lines_are_no_wider_than_they_may_be(text: str) -> None:
    lines = lettering.wrapped(text, OWN, 200)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(OWN.getlength(line) <= 200 for line in lines)
    assert len(lines) <= 2 + 2 * OWN.getlength(text) / 200


@pytest.mark.parametrize("name", ["红色的苹果", "ひらがな", "한국어", "ཀ"])
def test_pictures_of_explanations_name_the_letters_that_are_boxes_in_them(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(lettering, "_installed", tuple)
    rows = waterfall.steps([(name, 1.0), ("plain", 2.0)], 0.0, 3.0, "start")
    for page, letters in (
        waterfall.drawn(rows, "title", "foot"),
        waterfall.drawn(rows[:1], name, ""),
        waterfall.drawn(rows[:1], "title", name),
        heat.overlay(np.zeros((4, 4, 3)), np.eye(4), name),
    ):
        assert isinstance(page, Image.Image) and set(letters) == set(name)
    assert waterfall.drawn(rows[:1], "title", "foot")[1] == ""
