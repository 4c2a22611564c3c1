"""Columns that were read wrongly without a word on a sixth walk of a newcomer, each with
the line that names it. Oracle: what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gobelin.data.tables.frames import from_frame
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices


def told(values: Sequence[Any], name: str = "label") -> str:
    """The lines that `check` and `fit` print of a column of these values."""
    columns = {
        "size": np.linspace(1, 2, len(values)) ** 2,
        "label": ["a", "b"] * (len(values) // 2),
    }
    data = from_frame(pd.DataFrame({**columns, name: values}))
    return " ".join(schema.remarks(schema.infer(data, "label", Choices())))


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["action, comedy", "action, love", "war, comedy", "war, love"], "'action| comedy'"),
        (["a,x", "b,x", "a,y", "b,y", "c"], "'a|x'"),
        (["a,b,c", "a,b", "a,c", "b,c"], "'a|b|c'"),
    ],
)
def test_labels_that_never_stand_alone_are_told(labels: list[str], shown: str) -> None:
    assert f"write them as {shown}, with --set schema.label=labels" in told(labels * 20)


@pytest.mark.parametrize(
    "names",
    [
        ["Bonn, Rhein", "Berlin, Ost", "Ulm"],
        ["Smith, Ann", "Smith, Bob", "Jones, Eve"],
        ["one, and no other", "two"],
        ["1,5", "2,5"],
    ],
)
def test_a_name_with_a_comma_is_one_class(names: list[str]) -> None:
    assert "labels" not in told(names * 20)


@pytest.mark.parametrize("column", ["label", "built"])
@pytest.mark.parametrize("versions", [("1.1", "1.10"), ("2.3", "2.30"), ("10.2", "10.20")])
def test_versions_that_are_one_number_are_told(versions: tuple[str, str], column: str) -> None:
    short, long = versions
    said = f"{short!r} and {long!r} are read as one number; as versions or other names with --set"
    values = [short, "1.9", long, "1.4", "3.7", "8.2"] * 20
    assert said in told(values, column)
    assert "one number" not in told(["1.00", "1.10", "1.25", "7.50"] * 20, column)
    assert "one number" not in told(["1.1", "1.11", "1.9", "1.12"] * 20, column)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u2764\ufe0f", "\u2764"),
        ("\uff21\uff22", "AB"),
        ("a\u200bb", "ab"),
        ("\ufb01x", "fix"),
        ("co\u00adop", "coop"),
    ],
)
def test_classes_that_look_alike_are_told(one: str, other: str) -> None:
    assert "are read as two different values" in told([one, other, "else"] * 20)
    assert "two different" not in told([one, "else", "more"] * 20)


def kind(values: Sequence[Any]) -> str:
    n = len(values)
    columns = {"x": values, "size": np.linspace(1, 2, n) ** 2, "label": ["a", "b"] * (n // 2)}
    data = from_frame(pd.DataFrame(columns))
    return next(c.kind for c in schema.infer(data, "label", Choices()).columns if c.name == "x")


WORDS = ("Core", "Ryzen", "Xeon", "Atom")


@pytest.mark.parametrize(
    "name",
    [
        lambda k, word: f"{word} {k % 9}-{1000 + 7 * k}",
        lambda k, word: f"{k}/{2000 + k % 20} {word} {3 * k}.{k % 10}",
        lambda k, word: f"{word.upper()}-{5500 + k}-{k % 7}",
        lambda k, word: f"12{k} {word} ({100 + k} W, {k % 5}.5 GHz)",
        lambda k, word: f"{word} {1000 + k}" if k % 6 else f"A{k}-{7000 + k}",
    ],
)
def test_names_of_words_and_numbers_are_texts(name: Callable[[int, str], str]) -> None:
    """They were not used."""
    assert kind([name(k, WORDS[k % 4]) for k in range(120)]) == "text"


@pytest.mark.parametrize(
    "code",
    [
        lambda k: f"+49 30 {100_000 + 7 * k}",
        lambda k: f"192.168.{k % 4}.{k}",
        lambda k: f"#{k * 139_999 % 2**24:06x}",
        lambda k: f"INV-2020-{k:05d}",
        lambda k: f"{k}.{k % 9}0 {('CR', 'DR')[k % 2]}",
        lambda k: f"{50 + k % 9}°{k % 60:02d}'{k * 7 % 60:02d}.{k}\"{'NS'[k % 2]}",
    ],
)
def test_codes_are_no_texts(code: Callable[[int], str]) -> None:
    assert kind([code(k) for k in range(120)]) != "text"


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (lambda k: f"{1 + k % 28} {('March', 'April', 'June')[k % 3]} {1900 + k}", "date"),
        (lambda k: f"{k + 0.5} meters", "number"),
        (lambda k: f"{WORDS[k % 4]} {k % 8}", "category"),
    ],
)
def test_dates_numbers_and_categories_stay_what_they_are(
    written: Callable[[int], str], read_as: str
) -> None:
    assert kind([written(k) for k in range(120)]) == read_as
