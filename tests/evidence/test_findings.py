"""Findings read back. Oracle: what was written, and the words of earlier versions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Exhibit, Finding, printed

WHOLE = Finding(
    name="cells_set_aside",
    scope={"column": "a"},
    value=2.0,
    n=2,
    rows=("a7", " b, c "),
    cells=("row a7, column 'x': is empty",),
    note="the first 5",
)


def test_a_finding_is_read_as_it_was_written() -> None:
    assert Finding.from_dict(WHOLE.to_dict()) == WHOLE
    assert WHOLE.remark == "the first 5: rows a7,  b, c : row a7, column 'x': is empty"


def test_without_rows_nothing_of_a_row_is_left() -> None:
    bare = WHOLE.without_rows()
    assert "a7" not in str(bare.to_dict()) and bare.remark == "the first 5"
    assert bare.value == WHOLE.value and bare.scope == WHOLE.scope


def test_cells_of_earlier_versions_stood_in_the_note() -> None:
    old = {"name": "cells_set_aside", "value": 7.0, "note": "row 1: bad; row 2: worse; ..."}
    read = Finding.from_dict(old)
    assert read.cells == ("row 1: bad", "row 2: worse", "...") and read.note == ""
    assert Finding.from_dict({"name": "other", "note": "a; b"}).note == "a; b"


@pytest.mark.parametrize(
    "row",
    [
        [],
        None,
        "x",
        {},
        {"name": None},
        {"name": 3},
        {"name": "a", "scope": []},
        {"name": "a", "scope": {"x": 1}},
        {"name": "a", "value": "1"},
        {"name": "a", "value": True},
        {"name": "a", "value": float("inf")},
        {"name": "a", "n": 1.5},
        {"name": "a", "rows": "abc"},
        {"name": "a", "rows": [1]},
        {"name": "a", "cells": {}},
        {"name": "a", "note": None},
        {"name": "a", "sure": "yes"},
        {"name": "a", "level": None},
        {"name": "a", "unheard": 1},
    ],
    ids=str,
)
def test_a_line_that_is_no_finding_is_refused(row: Any) -> None:
    with pytest.raises(GobelinError, match=r"^Finding.*\.$"):
        Finding.from_dict(row)


def test_a_line_that_is_no_exhibit_is_refused() -> None:
    kinds = [
        {"name": "a", "kind": kind, "data": "x"} for kind in (3, "grid", "", "Table", "table ")
    ]
    for row in ([], {"name": "a"}, *kinds):
        with pytest.raises(GobelinError, match=r"^Exhibit.*\.$"):
            Exhibit.from_dict(row)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (
            Finding(name="rows", scope={"split": "train"}, value=106.0, n=106),
            "rows (split train): 106.",
        ),
        (
            Finding(name="next", scope={"arm": "classic"}, note="Try more."),
            "next (training set classic): Try more.",
        ),
        (Finding(name="protocol", n=85, note="Fixed."), "protocol: Fixed. n = 85."),
        (Finding(name="gain", value=-0.0002, unit="points", comparator="real"), None),
        (Finding(name="share", value=0.6, unit="share", n=5), "share: 60.0 %; n = 5."),
        (
            Finding(name="distance", n=60, needed_n=177, verdict="too few images to say"),
            "distance: too few images to say. n = 60, 177 needed.",
        ),
        (
            Finding(name="precision", value=0.9, floor=0.88, unit="share", n=9),
            "precision: 90.0 %; best to expect 88.0 %; n = 9.",
        ),
    ],
)
def test_a_sentence_says_each_number_once_and_in_plain_words(
    finding: Finding, said: str | None
) -> None:
    assert finding.sentence() == (said or "gain against real: +0.0 points.")


@pytest.mark.parametrize("value", [-0.0004, 0.0004, 0.0, -0.0])
def test_nothing_is_minus_zero(value: float) -> None:
    assert "-" not in printed(value, "points", "+") and "-" not in printed(value, "share")
    assert printed(-0.0006, "points") == "-0.1 points"


def test_a_finding_goes_through_json_and_back_without_nan() -> None:
    found = Finding(
        name="x",
        scope={"arm": "flow"},
        value=float("nan"),
        low=float("-inf"),
        high=np.float64(2.0),
        n=np.int64(3),
    )  # type: ignore[arg-type]
    line = json.dumps(found.to_dict(), allow_nan=False)
    back = Finding.from_dict(json.loads(line))
    assert (back.value, back.low, back.high, back.n) == (None, None, 2.0, 3)
    assert Finding.from_dict(json.loads(json.dumps(back.to_dict()))) == back


def test_a_row_of_another_version_is_refused() -> None:
    with pytest.raises(GobelinError, match="colour"):
        Finding.from_dict({"name": "x", "colour": "red"})


def test_sentences_are_plain() -> None:
    found = Finding(
        name="balanced_accuracy",
        scope={"arm": "flow"},
        comparator="real",
        value=0.0123,
        low=-0.004,
        high=0.0286,
        unit="points",
        n=80,
        needed_n=900,
    )
    expected = (
        "balanced accuracy (training set flow) against real: +1.2 points; 95 % interval -0.4 points"
        " to +2.9 points; "
    )
    assert found.sentence() == expected + (
        "n = 80, about 900 needed to show the smallest difference that matters."
    )
    assert (
        Finding(name="frechet", note="too few images: 12").sentence()
        == "frechet: too few images: 12."
    )


def test_an_exhibit_knows_its_kinds() -> None:
    shown = Exhibit("made", "sheet", "sheets/made.png", "made images", "CC0")
    assert Exhibit.from_dict(shown.to_dict()) == shown
    with pytest.raises(ValueError, match="pie"):
        Exhibit("made", "pie", "x")
