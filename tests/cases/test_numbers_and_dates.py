"""Numbers and dates as the world writes them, each with its value and with the line that tells it.

Oracle: the number or day that a person reads in the text.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field
from gobelin.data.values.dates import days, is_date
from gobelin.data.values.numbers import Writing, numbers_of
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.table import Table

N = 60
NOW = [f"a caption of {k} words" for k in range(N)]


def column(values: Sequence[Any], name: str = "x") -> Column:
    """The column of these values, repeated to N rows."""
    rows = [values[k % len(values)] for k in range(N)]
    data = Dataset(pa.table({"caption": NOW, name: pa.array(rows)}), Path(), "x.csv")
    return schema.infer(data, None, Choices()).column(name)


@pytest.mark.parametrize(
    ("texts", "numbers", "told"),
    [
        (["5 kg", "6 kg", "7.5 kg"], [5, 6, 7.5], "the unit of all cells is 'kg'"),
        (["1 star", "2 stars", "5 stars"], [1, 2, 5], "the unit of all cells is 'star'"),
        (["20°C", "-3 °C", "7°C"], [20, -3, 7], "'20°C' is read as 20"),
        (["3 m²", "4,5 m²", "6 m²"], [3, 4.5, 6], "'3 m²' is read as 3"),
        (["1,5e3", "2,5E-1", "3,5e0"], [1500, 0.25, 3.5], "'1,5e3' is read as 1500"),
        (["–5", "—3", "‐2", "7"], [-5, -3, -2, 7], "'–5' is read as -5"),
        (["12,-", "13.-", "14"], [12, 13, 14], "'12,-' is read as 12"),
        (["Rs. 1,00,000", "₹ 2,000", "3"], [100_000, 2000, 3], "is read as 100000"),
        (["5 ‰", "7‰", "9 ‰"], [0.005, 0.007, 0.009], "'5 ‰' is read as 0.005"),
        (["10:30", "09:15", "23:45"], [10.5, 9.25, 23.75], "'10:30' is read as 10.5 hours"),
        (["10:30 PM", "1:00 am", "12:00 AM"], [22.5, 1, 0], "is read as 22.5 hours"),
        (["1 day, 2:30:00", "3:30:00", "0:45:00"], [26.5, 3.5, 0.75], "is read as 26.5 hours"),
        (["1.001", "2.500", "12.750"], [1.001, 2.5, 12.75], "its point is a decimal mark"),
        # of a German file: every number from 1000 on has a point, none below it has
        (
            ["1.542 kg", "937 kg", "850 kg", "2.104 kg", "999 kg"],
            [1542, 937, 850, 2104, 999],
            "'1.542 kg' is read as 1542, the unit of all cells is 'kg'",
        ),
        (["1.542", "937", "850", "-1.104", "999"], [1542, 937, 850, -1104, 999], "is read as 1542"),
        (["$5", "€6", "7"], [5, 6, 7], "'$5' as 5 and '€6' as 6 are read, of two units"),
        (["12%", "15", "8%"], [0.12, 15, 0.08], "'12%' as 0.12 and '15' as 15 are read, of two"),
        (["12%", "0", "8%"], [0.12, 0, 0.08], "'12%' is read as 0.12"),
        # nothing that goes on: a stand-in, four digits without a point, numbers among the others
        (["1.542", "2.250", "999"], [1.542, 2.25, 999], "its point is a decimal mark"),
        (["1.542", "1850", "950", "960", "970"], [1.542, 1850, 950, 960, 970], "a decimal mark"),
        (["1.542", "2", "3", "4", "150.250"], [1.542, 2, 3, 4, 150.25], "its point is a decimal"),
        (["1,001", "2,500", "12,750"], [1001, 2500, 12750], "its comma parts thousands"),
        (["007", "010", "345", *map(str, range(400, 457))], [7, 10, 345], "schema.x=category"),
        ([str(10**17 + k) for k in range(N)], [1e17], "more digits than a number keeps"),
    ],
)
def test_numbers_are_read_and_told(texts: list[str], numbers: list[float], told: str) -> None:
    found = column(texts)
    assert found.kind == "number" and told in found.remark
    assert numbers_of(texts)[: len(numbers)] == pytest.approx(numbers)


@pytest.mark.parametrize(
    "texts",
    [["1", "2.5", "-3", "4e2"], [0.1, 0.2, 0.3], [1, 2, 3], ["0.123", "0.456", "1.5"]],
)
def test_of_plain_numbers_nothing_is_told(texts: list[Any]) -> None:
    found = column(texts)
    assert found.kind == "number" and not found.remark


@pytest.mark.parametrize(
    ("word", "count"), [("--", 9), (".", 9), ("n.a.", 9), ("#DIV/0!", 9), ("nil", 9), ("gone", 9)]
)
def test_a_word_among_numbers_is_a_missing_number(word: str, count: int) -> None:
    values = [*(f"{k}.5" for k in range(N - count)), *[word] * count]
    found = column(values)
    assert found.kind == "number" and f"{word!r} is read as missing" in found.remark
    writing = Writing.of(values)
    assert writing.means_none(word) and writing.number("3.5") == 3.5
    # the encoder keeps the word for new rows
    cells = TrainingCells([{"x": v} for v in values])
    encoder = Table().fit(cells, Field("t", "table", ("x",), "number"), {"x": "number"}, Runtime())
    absent = encoder.decode({}, Path())[0].tolist()
    assert encoder.decode({"x": word}, Path())[0].tolist() == absent


def test_two_words_among_numbers_are_not_one_missing_number() -> None:
    values = ["1", "2", "3", "low", "high", "low", "high"]
    assert Writing.of(values).word == "" and column(values).kind == "category"


def test_infinite_numbers_are_missing() -> None:
    found = column([float("inf"), 1.5, 2.5, 3.5])
    assert found.kind == "number" and "'inf' is read as missing" in found.remark


def test_a_stand_in_for_a_missing_number_is_told() -> None:
    found = column([*range(50), *[-999] * 9])
    assert found.kind == "number" and "-999 is read as a number" in found.remark
    assert "-999" not in column([*range(-999, -939)]).remark


@pytest.mark.parametrize(
    "texts",
    [
        ["1/2", "3/4", "5/8"],
        ["5 kg", "6 l", "7 kg"],
        ["0-5", "6-10", "11-20"],
        ["<1", "<2", "5"],
        ["1.1.24", "2.1.24", "3.1.24"],
        ["13-01-24", "14-01-24", "15-01-24"],
        ["1.2.3", "1.2.4", "1.3.0"],
    ],
)
def test_what_is_read_as_names_is_told(texts: list[str]) -> None:
    found = column(texts)
    assert found.kind == "category" and repr(texts[0]) in found.remark
    assert "not as numbers or dates" in found.remark


def test_names_that_differ_in_case_alone_are_told() -> None:
    assert "'Yes' and 'yes' are read as two different values" in column(["Yes", "yes", "no"]).remark
    assert not column(["Yes", "No", "perhaps"]).remark


DAY = datetime.date(2024, 1, 29)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-W05", DAY),
        ("2024-W05-3", datetime.date(2024, 1, 31)),
        ("2024-05", datetime.date(2024, 5, 1)),
        ("05/2024", datetime.date(2024, 5, 1)),
        ("May 2024", datetime.date(2024, 5, 1)),
        ("2024Q2", datetime.date(2024, 4, 1)),
        ("Q3 2024", datetime.date(2024, 7, 1)),
        ("2024.01.29", DAY),
        ("Mon, 29 Jan 2024", DAY),
        ("Jan 29, 2024", DAY),
        ("29. Januar 2024", DAY),
        ("3 mars 2024", datetime.date(2024, 3, 3)),
        ("5 de enero de 2024", datetime.date(2024, 1, 5)),
        ("2024年1月29日", DAY),
    ],
)
def test_days_are_read(text: str, day: datetime.date) -> None:
    assert days(text) == (day - datetime.date(1970, 1, 1)).days and is_date(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Mon Jan 29 10:00:00 2024", "2024-01-29T10:00:00"),
        ("Mon, 29 Jan 2024 10:00:00 +0200", "2024-01-29T08:00:00"),
        ("2024-01-29 10:00:00 EST", "2024-01-29T15:00:00"),
        ("2024-01-29 10:00 Europe/Berlin", "2024-01-29T09:00:00"),
        ("2024-07-29T10:00:00[Europe/Berlin]", "2024-07-29T08:00:00"),
        ("2024-01-29T24:00:00", "2024-01-30T00:00:00"),
        ("29.01.2024 10:30 Uhr", "2024-01-29T10:30:00"),
        ("1/29/2024 12:30 AM", "2024-01-29T00:30:00"),
    ],
)
def test_times_and_zones_are_read(text: str, same: str) -> None:
    expected = datetime.datetime.fromisoformat(same) - datetime.datetime(1970, 1, 1)
    assert days(text, "month_first") == pytest.approx(expected.total_seconds() / 86400)


@pytest.mark.parametrize(
    "text", ["2024-13", "2024-W54", "Model 2024", "12345", "30 Foo 2024", "1.5"]
)
def test_other_texts_are_no_days(text: str) -> None:
    assert days(text) is None


@pytest.mark.parametrize(
    ("number", "day"),
    [
        (20240129, DAY),
        ("20240129", DAY),
        (1706486400, DAY),
        (1706486400000, DAY),
        ("1706486400000000", DAY),
    ],
)
def test_whole_numbers_are_days_only_on_request(number: int | str, day: datetime.date) -> None:
    assert days(number) == (day - datetime.date(1970, 1, 1)).days and not is_date(number)
    values = [int(number) - k for k in range(28)]
    found = column(values, "created_at")
    assert found.kind == "number" and "--set schema.created_at=date" in found.remark
    assert "date" not in column(values, "x").remark


def test_weeks_and_short_years_are_told() -> None:
    assert (
        "'2024-W05' is read as 2024-01-29"
        in column([f"2024-W{k:02d}" for k in range(5, 40)]).remark
    )
    assert "'24/12/26' is read as 2026-12-24" in column(["24/12/26", "13/1/26", "14/1/26"]).remark
    assert not column([f"2024-01-{k:02d}" for k in range(1, 29)]).remark
