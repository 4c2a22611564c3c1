"""Columns that were read wrongly without a word on a sixth walk of a newcomer, each with
the line that names it. Oracle: what was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gobelin.data.tables.frames import from_frame
from gobelin.embedding import schema
from gobelin.embedding.schema import Choices


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
