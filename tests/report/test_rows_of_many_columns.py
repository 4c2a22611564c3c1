"""A row of many columns is no wall of text. Oracle: the cells that were given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gobelin.report import answer, rows_drawn


def row(columns: int) -> dict[str, Any]:
    cells = [(f"c{k}", str(k)) for k in range(columns)]
    return {"id": "r1", "title": "a taken for b", "note": "sure", "cells": cells, "image": None}


@pytest.mark.parametrize("columns", [0, 1, 12, 13])
def test_a_row_of_few_columns_is_shown_whole(columns: int) -> None:
    given = row(columns)
    line = answer.mistake_line(given)
    assert [part.strip() for part in line.split("(sure)")[1].split("|")] == (
        [f"c{k}: {k}" for k in range(columns)] or [""]
    )
    drawn = rows_drawn.records({"rows": [given]}, Path())
    assert drawn["records"][0]["cells"] == given["cells"] and not drawn["records"][0]["others"]


@pytest.mark.parametrize("columns", [14, 45, 10_000])
def test_of_many_columns_the_first_are_shown_and_the_others_counted(columns: int) -> None:
    given = row(columns)
    line, others = answer.mistake_line(given), f"{columns - 12} other columns"
    assert line.endswith(f"c11: 11 | {others}") and "c12" not in line
    drawn = rows_drawn.records({"rows": [given]}, Path())
    assert drawn["records"][0]["cells"] == given["cells"][:12]
    assert drawn["records"][0]["others"] == others
    assert drawn["table"].rows[0][-1].endswith(f"c11: 11; {others}")
