"""Words that name the parts of a split, in a user's column or folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from gobelin.data.values.spelling import spelled

SPLIT_PARTS = ("train", "valid", "test")
# in lower case, without spaces and signs, and without 'set' or 'data' behind
WORDS = {
    **dict.fromkeys(
        ("train", "training", "trn", "tr", "entrenamiento", "apprentissage", "treino"), "train"
    ),
    **dict.fromkeys(
        ("valid", "validation", "val", "va", "validate", "dev", "development", "validierung"),
        "valid",
    ),
    **{"publictest": "valid", "privatetest": "test"},  # of Kaggle
    **dict.fromkeys(("eval", "evaluation", "validacion", "validación"), "valid"),
    **dict.fromkeys(
        ("test", "testing", "tst", "te", "holdout", "heldout", "prueba", "teste"), "test"
    ),
}
SIGNS = re.compile(r"[\s_.-]+")
BEHIND = re.compile(r"(?<=.)(?:sets?|data|split|samples?|rows?)$")
FLAG_NAME = re.compile(r"(?i:(?:is|in|for)[ _.-]?)(?P<part>[A-Za-z]+)")
YES = {"1", "yes", "y", "t", "ja", "oui", "si", "sí", "sim"}
NO = {"0", "no", "n", "f", "nein", "non", "não", "nao"}


def part_of(word: Any) -> str:  # noqa: ANN401 - a cell is any
    """The part that a word names: train, valid or test; '' for another word."""
    text = SIGNS.sub("", str(word).strip().lower())
    return WORDS.get(text) or WORDS.get(BEHIND.sub("", text), "")


def part_in(name: str) -> str:
    """The part that a name ends or begins with, as my_data-train or test_2; '' for none."""
    words = [word for word in SIGNS.split(name) if word]
    return part_of(name) or next((p for w in (words[-1:] + words[:1]) if (p := part_of(w))), "")


def name_parts(words: Iterable[Any]) -> bool:
    """Whether words name the training rows and another part, whatever other words are there."""
    parts = {part_of(word) for word in words}
    return "train" in parts and len(parts - {""}) > 1


def flagged(name: str, values: Iterable[Any]) -> str:
    """The part that a column of yes and no such as `is_valid` names; '' for another column."""
    match = FLAG_NAME.fullmatch(name)
    return _of_yes_and_no(part_of(match["part"]) if match else "", values)


def maybe_flagged(name: str, values: Iterable[Any]) -> str:
    """As `flagged`, also of a column called only `train`, which may be a fact: came by train."""
    return flagged(name, values) or _of_yes_and_no(part_of(name), values)


def _of_yes_and_no(part: str, values: Iterable[Any]) -> str:
    words = {spelled(v).lower() for v in values} if part else set()
    return part if words and words <= YES | NO and words & YES else ""


def as_words(name: str, values: Sequence[Any]) -> list[Any]:
    """The values of a split column; those of yes and no as names of parts."""
    part = maybe_flagged(name, [v for v in values if v is not None])
    if not part:
        return list(values)
    other = "test" if part == "train" else "train"
    return [None if v is None else part if spelled(v).lower() in YES else other for v in values]
