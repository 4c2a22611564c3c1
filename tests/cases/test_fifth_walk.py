"""Cells and columns that went silently wrong on a fifth walk of a newcomer, each with its right
value, or with the line that names it. Oracle: what was written."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gobelin.data.frames import from_frame
from gobelin.data.read import read

DAY, NOON = datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 2, 12)
MIDNIGHT = datetime.datetime(2020, 1, 1)


def cells(*values: Any) -> list[Any]:  # noqa: ANN401
    return from_frame(pd.DataFrame({"x": pd.Series(values, dtype=object)})).values("x")


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ((DAY, NOON), [MIDNIGHT, NOON]),  # the hour was cut off
        ((None, DAY, NOON), [None, MIDNIGHT, NOON]),
        ((NOON, DAY), [NOON, MIDNIGHT]),
        ((DAY, DAY), [DAY, DAY]),
        ((np.ma.masked, 1), [None, 1]),
        ((np.array(5), np.array(2.5)), [5, 2.5]),
        ((np.array("a"), np.array(None, dtype=object)), ["a", None]),
        (({"b", "a"}, frozenset({"c"})), [["a", "b"], ["c"]]),
        (({2, 10}, {1}), [[2, 10], [1]]),
        (({"a": 0}.keys(), {None}), [["a"], None]),
    ],
)
def test_a_cell_of_a_frame_loses_nothing(given: tuple[Any, ...], read_as: list[Any]) -> None:
    assert cells(*given) == read_as


def test_a_set_is_the_same_cell_in_every_process() -> None:
    program = (
        "import pandas; from gobelin.data.frames import from_frame;"
        "print(from_frame(pandas.DataFrame({'x': [set('abcdefgh')]})).values('x'))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in range(3)
    }
    assert printed == {f"[{list('abcdefgh')}]\n"}


BOM = "\ufeff"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("a.csv", "size,label\n1,red\n2,blue\n"),
        ("a.csv", '"size","label"\n"1","red"\n"2","blue"\n'),
        ("a.tsv", "size\tlabel\n1\tred\n2\tblue\n"),
        ("a.jsonl", '{"size": "1", "label": "red"}\n{"size": "2", "label": "blue"}\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_joined_files_may_each_begin_with_a_mark(
    name: str, part: str, encoding: str, tmp_path: Path
) -> None:
    """As `cat` and `copy` join exports of a spreadsheet."""
    (tmp_path / name).write_bytes(3 * (BOM + part).encode(encoding))
    data = read(tmp_path / name)
    assert data.column_names == ["size", "label"]
    assert data.values("label") == ["red", "blue"] * 3
    assert [str(v) for v in data.values("size")] == ["1", "2"] * 3
