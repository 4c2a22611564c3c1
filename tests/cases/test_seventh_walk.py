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
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices


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
