"""Targets with two readings: the one that is used, and the line that tells the other one.

Oracle: the classes, levels or numbers that were planted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Target
from gobelin.data.read import read
from gobelin.data.tables.frames import from_frame
from gobelin.data.targets import target_of
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices

N = 60
CAPTIONS = [f"a caption of {k} words" for k in range(N)]
LEVELS = ["low", "mid", "high"]


def read_as(data: Dataset, **chosen: Any) -> tuple[Target, str]:  # noqa: ANN401
    """The target, and the first line that is told."""
    found = schema.infer(data, "label", Choices(**chosen))
    lines = schema.remarks(found)
    return target_of(data, found), lines[0] if lines else ""


def target(values: Sequence[Any], **chosen: Any) -> tuple[Target, str]:  # noqa: ANN401
    rows = [values[k % len(values)] for k in range(N)]
    data = Dataset(pa.table({"caption": CAPTIONS, "label": pa.array(rows)}), Path(), "x.csv")
    return read_as(data, **chosen)


# levels


@pytest.mark.parametrize(
    "levels",
    [
        ("1 - low", "2 - mid", "10 - high"),
        ("1 star", "2 stars", "10 stars"),
        ("grade 1", "grade 2", "grade 10"),
        ("<10", "10-20", "20-30", ">30"),
        ("under 5", "5 to 9", "10+"),
        ("-1 cold", "0 mild", "1 warm"),
        ("0,5 mm", "1 mm wide", "10 mm"),
    ],
)
def test_levels_are_ordered_by_their_numbers(levels: tuple[str, ...]) -> None:
    found, _ = target(levels[::-1], schema={"label": "ordinal"})
    assert found.kind == "ordinal" and found.classes == levels
    assert found.values[: len(levels)].tolist() == list(range(len(levels)))[::-1]


def test_numbers_in_levels_are_told() -> None:
    found, line = target(["2 - mid", "1 - low", "10 - high"])
    assert found.kind == "class"
    assert "1 - low < 2 - mid < 10 - high with --set schema.label=ordinal" in line


@pytest.mark.parametrize(
    "levels", [["raw", "rare", "done"], ["red", "green"], ["type 1a", "type 1b", "type 2"]]
)
def test_levels_without_an_order_ask_for_one(levels: list[str]) -> None:
    with pytest.raises(GobelinError, match=r"data\.order=LOWEST,\.\.\.,HIGHEST"):
        target(levels, schema={"label": "ordinal"})
    found, _ = target(levels, order=tuple(levels))
    assert found.classes == tuple(levels)


def test_levels_may_be_written_otherwise() -> None:
    found, _ = target(
        ["low ", "1.0", True, "high"] if False else ["low ", "low", "high"], order=("low", "high")
    )
    assert found.present.all() and found.classes == ("low", "high")


def ordered_frame() -> pd.DataFrame:
    values = [LEVELS[k % 3] for k in range(N)]
    return pd.DataFrame(
        {"caption": CAPTIONS, "label": pd.Categorical(values, [*LEVELS, "unused"], ordered=True)}
    )


def test_an_ordered_category_keeps_its_order(tmp_path: Path) -> None:
    frame = ordered_frame()
    frame.to_parquet(tmp_path / "a.parquet")
    for data in (from_frame(frame), read(tmp_path / "a.parquet")):
        found, line = read_as(data)
        assert found.kind == "ordinal" and found.classes == tuple(LEVELS)
        assert found.values[:3].tolist() == [0, 1, 2]
        assert "low < mid < high" in line and "--set schema.label=category" in line
        assert read_as(data, schema={"label": "category"})[0].kind == "class"
        found, _ = read_as(data, order=("high", "mid", "low"))
        assert found.classes == ("high", "mid", "low")


def test_a_category_without_an_order_is_classes(tmp_path: Path) -> None:
    frame = ordered_frame()
    frame["label"] = frame["label"].astype(pd.CategoricalDtype(LEVELS))
    frame.to_parquet(tmp_path / "a.parquet")
    for data in (from_frame(frame), read(tmp_path / "a.parquet")):
        found, line = read_as(data)
        assert found.kind == "class" and found.classes == ("high", "low", "mid")
        assert "as ordered levels low < mid < high with --set schema.label=ordinal" in line


def test_levels_of_arrow_are_those_of_pandas(tmp_path: Path) -> None:
    kind = pa.dictionary(pa.int8(), pa.string(), ordered=True)
    column = pa.array([LEVELS[k % 3] for k in range(N)]).dictionary_encode().cast(kind)
    pq.write_table(pa.table({"caption": CAPTIONS, "label": column}), tmp_path / "a.parquet")
    assert read_as(read(tmp_path / "a.parquet"))[0].classes == tuple(LEVELS)


# two readings


@pytest.mark.parametrize(
    ("values", "kind", "other"),
    [
        ([0, 1, 2, 3], "number", "schema.label=category, as ordered levels with =ordinal"),
        ([1.5, 2.5], "class", "two different numbers, read as classes; as numbers with"),
        (["10", "20"], "class", "schema.label=number"),
        (["007", "7", "70"], "class", "codes such as '007'"),
        (["a|b", "b", "a"], "class", "schema.label=labels"),
        (["['a', 'b']", "['b']", "['a']"], "class", "schema.label=labels"),
        (["Cat", "cat", "dog"], "class", "'Cat' and 'cat' are read as two different values"),
        (["unknown", "a", "b"], "class", "as missing with --set data.missing=unknown"),
        (["(null)", "a", "b"], "class", "20 rows say '(null)', read as missing"),
        ([*(f"{k}.5" for k in range(50)), *["--"] * 10], "number", "10 rows say '--'"),
        ([*(f"{k}.5" for k in range(50)), *["lost"] * 10], "number", "10 rows say 'lost'"),
        (["5 kg", "6 kg", "7 kg"], "number", "the unit of all cells is 'kg'"),
        (["1,001", "2,500", "7,125"], "number", "its comma parts thousands"),
    ],
)
def test_the_reading_and_the_other_one_are_told_first(
    values: list[Any], kind: str, other: str
) -> None:
    found, line = target(values)
    assert found.kind == kind and other in line and line.startswith("column 'label'")


@pytest.mark.parametrize(
    "values", [[0, 1], [1, 2], ["yes", "no"], [True, False], ["a", "b", "c"], [0.1, 0.2, 0.3]]
)
def test_of_one_reading_nothing_is_told(values: list[Any]) -> None:
    assert target(values)[1] == ""


def test_a_signed_zero_width_is_no_letter() -> None:
    found, _ = target(["a\u200b", "a", "\ufeffb", "b\u00a0"])
    assert found.classes == ("a", "b")


def test_labels_may_be_written_as_a_list() -> None:
    found, _ = target(["['a', 'b']", '["b"]', "[]", "a|b"], schema={"label": "labels"})
    assert found.classes == ("a", "b")
    assert found.values[:4].tolist() == [[1, 1], [0, 1], [0, 0], [1, 1]]


# copies


def test_a_copy_of_the_target_is_left_out_and_told() -> None:
    price = [round(3.7 * ((k * 37) % N) + 1, 2) for k in range(N)]
    columns = {
        "euro": [1.1 * p + 2 for p in price],
        "rank": [-p for p in price],
        "rounded": [round(p, -1) for p in price],
        "noisy": [p + 9 * (k % 7) for k, p in enumerate(price)],
    }
    data = Dataset(pa.table({"caption": CAPTIONS, "label": price, **columns}), Path(), "x.csv")
    found = schema.infer(data, "label", Choices())
    roles = {c.name: c.role for c in found.columns}
    assert roles == {
        **{"caption": "cell", "label": "target", "euro": "ignore", "rank": "ignore"},
        **{"rounded": "cell", "noisy": "cell"},
    }
    assert any("as a copy of it" in line and "'euro'" in line for line in schema.remarks(found))
    kept = schema.infer(data, "label", Choices(schema={"euro": "number"}))
    assert kept.column("euro").role == "cell"


def test_a_column_of_a_joined_field_can_be_left_out() -> None:
    table = {"caption": CAPTIONS, "label": [f"{k % 2}x" for k in range(N)], "size": range(N)}
    data = Dataset(pa.table({n: list(v) for n, v in table.items()}), Path(), "x.csv")
    found = schema.infer(data, "label", Choices(left_out=("size", "caption")))
    roles = {c.name: c.role for c in found.columns}
    # a field of its own is left out of prediction alone, and stays a condition
    assert roles == {"caption": "cell", "label": "target", "size": "ignore"}
