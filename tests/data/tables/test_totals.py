"""Rows of totals under a table: planted sums and means, and rows that only look like them."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from gobelin.data.read import read
from gobelin.data.tables.totals import rows_of_totals

NAMES = [f"k{k}" for k in range(8)]
PRICES = [3.5, 1.25, 9.0, 4.0, 2.5, 8.0, 1.0, 6.25]
COUNTS = [4, 1, 7, 2, 2, 9, 3, 5]
SUM, MEAN = sum(PRICES), sum(PRICES) / 8


def table(*more: tuple) -> pa.Table:
    rows = [*zip(NAMES, PRICES, COUNTS, ["a", "b"] * 4, strict=True), *more]
    columns = [[row[k] for row in rows] for k in range(4)]
    return pa.table(columns, names=["name", "price", "count", "class"])


@pytest.mark.parametrize(
    ("rows", "count", "shown"),
    [
        ([("Total", SUM, 33, None)], 1, ["price", "count"]),
        ([("Summe:", SUM, None, None)], 1, ["price"]),
        ([(None, SUM, 33, None)], 1, ["price", "count"]),
        ([("Grand total", SUM, 33, "a")], 1, ["price", "count"]),
        ([("Durchschnitt", MEAN, 33 / 8, None)], 1, ["price", "count"]),
        ([("Sum", SUM, 33, None), ("Mean", MEAN, 4.125, None)], 2, ["price", "count"]),
        ([("合計", SUM, 33, None)], 1, ["price", "count"]),
        ([("Total", round(SUM), 33, None)], 0, []),  # the price is of other rows
        ([("Total", 4.0, 3, "a")], 0, []),  # a product of this name
        ([("k9", SUM, 33, "b")], 0, []),  # a row that happens to be as large
        ([(None, 4.0, 33, None)], 0, []),  # a row with holes
        ([("sparse", None, None, None)], 0, []),
        ([], 0, []),
    ],
)
def test_a_row_of_totals_is_one_by_its_words_and_its_numbers(
    rows: list[tuple], count: int, shown: list[str]
) -> None:
    columns = table(*rows)
    if rows and rows[0][1] == round(SUM):
        columns = columns.drop_columns(["count"])
    assert rows_of_totals(columns) == (count, 0, shown)


def test_few_different_values_prove_nothing() -> None:
    flags = pa.table({"a": ["x"] * 9 + [None], "b": [0, 0, 0, 0, 0, 0, 0, 1, 1, 2]})
    assert rows_of_totals(flags) == (0, 0, [])


@pytest.mark.parametrize(
    ("last", "count"), [(1e6 + 36, 1), (1e6 + 36.02, 1), (1e6 + 20, 0), (1e6 - 900, 0), (1e6, 0)]
)
def test_a_value_like_the_largest_one_is_no_sum(last: float, count: int) -> None:
    """One value is nearly the whole sum: what the others add, 36, has to be in a total, too."""
    numbers = [1.0, 1e6, *map(float, range(2, 9)), last]
    rows = pa.table({"a": ["x"] * 9 + [None], "b": numbers})
    assert rows_of_totals(rows)[0] == count


TOTAL = ("Total", SUM, 33, None)


@pytest.mark.parametrize(
    ("rows", "count", "notes"),
    [
        ([TOTAL, ("Source: the ministry", None, None, None)], 1, 1),
        ([TOTAL, (None, None, None, None), ("As of 2026-12-01", None, None, None)], 1, 2),
        ([TOTAL, ("Mean", MEAN, 4.125, None), (None, None, None, "*: estimated")], 2, 1),
        ([TOTAL, *[("note", None, None, None)] * 5], 1, 5),
        ([TOTAL, *[("a row with a name alone", None, None, None)] * 6], 0, 0),
        ([TOTAL, ("k9", 4.0, None, None)], 0, 0),  # a row below, so no total
        ([("k9", 4.0, 3, "a"), ("Source: the ministry", None, None, None)], 0, 0),
    ],
)
def test_notes_below_totals_are_left_out_with_them(
    rows: list[tuple], count: int, notes: int
) -> None:
    assert rows_of_totals(table(*rows))[:2] == (count, notes)


@pytest.mark.parametrize("notes", ["", "Stand: heute;;\n"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_totals_are_told_and_no_rows(
    suffix: str, notes: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A German export, as text, and the same columns as numbers."""
    path = tmp_path / f"export.{suffix}"
    if suffix == "csv":
        cells = [f"{n};{p * 1000:.2f} €;{c}" for n, p, c in zip(NAMES, PRICES, COUNTS, strict=True)]
        lines = ["Kunde;Umsatz;Zahl", *cells, f"Summe;{SUM * 1000:.2f} €;33"]
        path.write_text("\n".join(lines).replace(".", ",") + "\n" + notes, encoding="utf8")
    else:
        more = [("as of today", None, None, None)] * bool(notes)
        parquet.write_table(table(TOTAL, *more), path)
    with caplog.at_level(logging.WARNING):
        assert len(read(path)) == 8
    left = "2 rows are" if notes else "row is"
    assert f"the last {left} left out, a total of those above (column " in caplog.text
    assert (") and 1 note." in caplog.text) == bool(notes)
