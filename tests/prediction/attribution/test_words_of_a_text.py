"""The words of a text, in scripts with and without blanks. Oracle: the text itself, put together
again by hand."""

from __future__ import annotations

import pytest

from gobelin.prediction.explainers.words import pieces, written
from gobelin.report import waterfall

TEXTS = {
    "a large red circle": ["a", "large", "red", "circle"],
    "红色的圆": ["红", "色", "的", "圆"],
    "Emoji 红苹果, ok": ["Emoji", "红", "苹", "果", ",", "ok"],
    "りんごジュース": ["り", "ん", "ご", "ジ", "ュー", "ス"],
    "น้ำ": ["น้", "ำ"],
    "빨간 사과": ["빨간", "사과"],  # Korean has blanks
    "تفاحة حمراء": ["تفاحة", "حمراء"],
    "लाल सेब": ["लाल", "सेब"],
    "𠀀𠀁": ["𠀀", "𠀁"],
    "naïve-café": ["naïve-café"],
    "  ": [],
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_falls_into_its_words_or_letters(text: str) -> None:
    found = list(pieces(text))
    assert [p.text for p in found] == TEXTS[text]
    assert written(found) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "left_out", "rest"),
    [
        ("红色的圆", 1, "红的圆"),
        ("Emoji 红苹果 ok", 1, "Emoji 苹果 ok"),
        ("Emoji 红苹果 ok", 0, "红苹果 ok"),
        ("a large red circle", 1, "a red circle"),
    ],
)
def test_what_is_left_out_leaves_no_blank_of_its_own(text: str, left_out: int, rest: str) -> None:
    found = list(pieces(text))
    assert written(found[:left_out] + found[left_out + 1 :]) == rest


def test_bars_of_wide_letters_stand_below_each_other() -> None:
    """A terminal gives a Chinese letter two columns, and a mark above a letter none."""
    names = ["红", "apple", "苹果", "e\u0301te"]
    rows = waterfall.steps([(name, 1.0) for name in names], 0.0, 4.0, "without words")
    before = [line[: line.index("█")] for line in waterfall.lines(rows)[1:-1]]
    starts = [
        len(b) + sum("\u4e00" <= c <= "\u9fff" for c in b) - b.count("\u0301") for b in before
    ]
    assert starts == sorted(starts) and len(set(starts)) == len(names)
    ends = [
        len(b) + sum("\u4e00" <= c <= "\u9fff" for c in b) - b.count("\u0301")
        for b in (line[: line.index("+1") + 2] for line in waterfall.lines(rows)[1:-1])
    ]
    assert len(set(ends)) == 1
