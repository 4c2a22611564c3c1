"""Columns and folders that a newcomer met on a seventh walk: what is told of them. Oracle: what was
written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Target
from gobelin.data.read import read
from gobelin.data.tables.frames import from_frame
from gobelin.data.targets import target_of
from gobelin.data.values.numbers import Writing, numbers_of
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.evidence.findings import Finding
from gobelin.report import answer
from gobelin.sklearn import MultimodalClassifier


def told(values: Sequence[Any], name: str = "label") -> str:
    """The lines that `check` and `fit` print of a column of these values."""
    n = len(values)
    columns = {"size": np.linspace(1, 2, n) ** 2, "label": ["a", "b"] * (n // 2)}
    data = from_frame(pd.DataFrame({**columns, name: values}))
    return " ".join(schema.remarks(schema.infer(data, "label", Choices())))


def ordered(values: Sequence[str]) -> Target:
    data = from_frame(pd.DataFrame({"x": np.arange(len(values)) / 7, "label": values}))
    found = schema.infer(data, "label", Choices(schema={"label": "ordinal"}))
    return target_of(data, found)


@pytest.mark.parametrize(
    "levels",
    [
        ["S", "M", "L", "XL"],
        ["XS", "S", "M", "L", "XL", "2XL"],
        ["low", "Medium", "high"],
        ["Never", "Rarely", "Sometimes", "Often", "Always"],
        ["poor", "fair", "good", "very good", "excellent"],
        ["strongly disagree", "disagree", "neutral", "agree", "strongly agree"],
        ["low risk", "medium risk", "high risk"],
        ["none", "mild", "moderate", "severe"],
        ["Stage I", "Stage II", "Stage III", "Stage IV"],
        ["extra-small", "small", "medium", "large", "extra_large"],
    ],
)
def test_words_of_a_scale_are_offered_in_their_order(levels: list[str]) -> None:
    line = told(levels[::-1] * 20)
    first = f"{levels[0]} < {levels[1]} < "
    assert first in line and line.count(f" < {levels[-1]} with --set schema.label=ordinal") == 1
    assert ordered(levels[::-1] * 20).classes == tuple(levels)


@pytest.mark.parametrize(
    "names",
    [
        ["red", "green", "blue"],
        ["low", "high"],
        ["rarely", "seldom", "often"],
        ["S", "M", "L", "one size"],
        ["small", "cold", "often"],
        ["S", "s", "M", "L"],
    ],
)
def test_other_words_have_no_order(names: list[str]) -> None:
    assert "ordinal" not in told(names * 20)


@pytest.mark.parametrize("column", ["label", "answer"])
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Y", "y", "yes", "YES", "maybe"], "'Y', 'YES', 'y' and 'yes' are read as 4 different"),
        (["Yes", "yes", "No", "no"], "'Yes' and 'yes'; 'No' and 'no' are read as 4 different"),
        (["male", "M", "female", "F"], "'M' and 'male'; 'F' and 'female' are read as 4 different"),
        (["cat", "Cat", "dog"], "'Cat' and 'cat' are read as two different"),
    ],
)
def test_all_values_that_are_alike_are_told(names: list[str], said: str, column: str) -> None:
    assert said in told(names * 20, column)


@pytest.mark.parametrize("names", [["Y", "N", "maybe"], ["M", "L", "XL"], ["f", "g", "h"]])
def test_letters_alone_are_not_told(names: list[str]) -> None:
    assert "different values" not in told(names * 20)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["test", "train"], "give the table train.csv in it (test.csv: for evaluate or predict)"),
        (["dev", "test", "train"], "train.csv in it (dev.csv, test.csv: for evaluate or predict)"),
        (["a_test", "a_train"], "a_train.csv in it (a_test.csv: for evaluate or predict)"),
        (["sample_submission", "test", "train"], "the table train.csv in it (test.csv: for"),
        (["b", "a"], "the table a.csv in it."),
    ],
)
def test_a_folder_of_tables_offers_the_training_rows(
    tmp_path: Path, names: list[str], said: str
) -> None:
    for name in names:
        (tmp_path / f"{name}.csv").write_text("a,b\n1,2\n")
    with pytest.raises(GobelinError, match=re.escape(said)):
        read(tmp_path)


@pytest.mark.parametrize(
    ("cells", "numbers", "said"),
    [
        (["5 kg", "600 g", "1.2 kg"], [5, 0.6, 1.2], "'600 g' is read as 0.6 kg"),
        (["5 lb", "8 oz", "2 lbs"], [5, 0.5, 2], "'8 oz' is read as 0.5 lb"),
        (["3 m", "40 cm", "2 m", "1 km"], [3, 0.4, 2, 1000], "'40 cm' is read as 0.4 m"),
        (["90 min", "2 hours", "45 min"], [90, 120, 45], "'2 hours' is read as 120 min"),
        (["1,5 kg", "600 g", "2,25 kg"], [1.5, 0.6, 2.25], "'600 g' is read as 0.6 kg"),
        (["12-", "30", "7.5-"], [-12, 30, -7.5], "'12-' is read as -12"),
        (["3.3 ± 0.1", "4 +/- 0.5", "5.25"], [3.3, 4, 5.25], "'3.3 ± 0.1' is read as 3.3"),
        (["3.3 ± 0.1 mm", "4 ± 1 mm", "7 mm"], [3.3, 4, 7], "the unit of all cells is 'mm'"),
        (["52°30'N", "33°45'S", "10°N"], [52.5, -33.75, 10], '"52°30\'N" is read as 52.5'),
        (["13° 24.0' E", "W 0°7'12\"", "0° E"], [13.4, -0.12, 0], "is read as 13.4"),
        (["52°30′36″", "-8°15′", "1°3′"], [52.51, -8.25, 1.05], "'52°30′36″' is read as 52.51"),
    ],
)
def test_numbers_of_several_units_and_signs_are_read_and_told(
    cells: list[str], numbers: list[float], said: str
) -> None:
    """Oracle: converted by hand."""
    values = cells * 20
    assert numbers_of(cells) == pytest.approx(numbers)
    assert said in told(values[: 2 * (len(values) // 2)], "amount")
    stored = Writing.of(values).stored
    writing = Writing(**stored)
    assert [writing.number(cell) for cell in cells] == pytest.approx(numbers)


@pytest.mark.parametrize(
    "cells",
    [
        ["5 kg", "6 l", "7 kg"],
        ["5 m", "3 h", "7 m"],
        ["20 °C", "68 °F", "15 °C"],
        ["5 kg", "600", "7 kg"],
        ["12-15", "20-30", "7-8"],
        ["34B", "32C", "36A"],
        ["52°N", "52°61'N", "5°N"],
        ["5 mW", "3 W", "7 MW"],
        ["5 mV", "3 V", "7 MV"],
        ["250 Cal", "1 kcal", "300 cal"],
    ],
)
def test_units_of_two_dimensions_are_told_with_the_remedy(cells: list[str]) -> None:
    assert "Those are written as 1.5, in one unit" in told(cells * 20, "amount")


class LazyFrame:
    """As polars has it: columns, and nothing computed yet."""

    columns = ("x", "y")

    def collect(self) -> pd.DataFrame:
        raise AssertionError("is not called")


class HubDataset:
    """As the library datasets has it."""

    column_names = ("x",)
    shape = (3, 1)

    def __getitem__(self, name: Any) -> Any:  # noqa: ANN401
        return {"x": 1.0} if isinstance(name, int) else [1.0, 2.0, 3.0]

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize(
    ("given", "remedy"),
    [(LazyFrame(), r"X\.collect\(\) makes"), (HubDataset(), r"X\.to_pandas\(\) makes")],
)
def test_the_estimators_say_how_a_table_of_others_becomes_a_frame(
    given: Any,  # noqa: ANN401
    remedy: str,
) -> None:
    with pytest.raises(TypeError, match=remedy):
        MultimodalClassifier().fit(given, ["a", "b", "a"])


def test_a_lazy_frame_is_refused_with_the_remedy() -> None:
    with pytest.raises(GobelinError, match=r"Its collect\(\) makes a frame"):
        read(LazyFrame())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "said"), [(12, "57.4 % (n = 12, the others lack it)"), (79, "57.4 %")]
)
def test_a_field_that_rows_lack_tells_how_many_were_scored(n: int, said: str) -> None:
    def score(fields: str, value: float, n: int) -> Finding:
        return Finding(
            name="balanced_accuracy",
            scope={"fields": fields} if fields else {},
            value=value,
            unit="share",
            better="higher",
            n=n,
            source="evaluate",
        )

    found = [
        score("", 0.632, 79),
        score("icon", 0.659, 79),
        score("sound", 0.574, n),
    ]
    line = answer.fields_line(found, ["icon", "sound"])
    assert line == f"All fields together 63.2 %; alone: icon 65.9 %, sound {said}."
