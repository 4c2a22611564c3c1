"""Cells of CSV. Oracle: the list of OWASP, and what a spreadsheet of a comma, a semicolon or a tab
sees as cells."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from gobelin.core.spreadsheet import text_cell, write_csv
from gobelin.data.read import read

FORMULAS = [
    "=cmd|'/c calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1+9)",
    "\t=1+1",
    "\r=1",
    "\n@x",
    " =1+1",
    "\ufeff=1",
    "\u200b=1",
    "\u3000=1",
    "\u202e=1",
    "\u2066=1",
    "\u061c+x",
    "\x9b@x",
    "\U000e0001=1",
    "\ufe0f=1",
    "＝1＋1",
    "＋1",
    "－1+x",
    "＠x",
    "-",
    "=",
    "-1e",
    "+49 30 123",
    "-1,5",
    "-1_000",
    "\ttext",
    "=1\n=2",
]
HARMLESS = [
    "",
    "-1",
    "+2.5e-3",
    "-.5",
    "-inf",
    "+nan",
    "a=b",
    "it's",
    "'=1",
    "3-4",
    "a@b",
    "1;-3;4",
    "cat|dog",
    "-1|2|-3.5",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text(text: str) -> None:
    assert text_cell(text).startswith("'") or text_cell(text).lstrip().startswith("'")
    assert text_cell(text).replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize("before", ['"', '""', ' " ', "\u200e", "\x00", ' "\u2060'])
@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r\n", "|"])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_a_formula_behind_a_separator_is_a_text(before: str, separator: str, sign: str) -> None:
    """A quotation mark behind the separator opens a cell there, and vanishes: what is left begins
    with the formula."""
    text = f"x{separator}{before}{sign}cmd|' /C calc'!A0{before}{separator}"
    assert f"{separator}'{before}{sign}" in text_cell(text)
    file = io.StringIO(newline="")
    assert write_csv(file, ["id", "t"], [{"id": "a", "t": text}]) == 1
    for delimiter in (";", "\t", "|"):
        file.seek(0)
        cells = [c for row in csv.reader(file, delimiter=delimiter) for c in row]
        assert not [c for c in cells if c.strip('\u200e\u2060\x00 "')[:1] in tuple("=+-@")]


def test_a_comma_begins_a_cell_where_another_sign_does_not() -> None:
    assert text_cell("a,=1") == "a,=1"
    for delimiter in ("\t", ";"):
        assert text_cell("a,=1", delimiter) == "a,'=1"
        assert text_cell("-1,5", delimiter).startswith("'") and text_cell("2,5", delimiter) == "2,5"


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_and_numbers_stay(text: str) -> None:
    assert text_cell(text) == text


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_program_finds_a_formula(delimiter: str) -> None:
    """The file is split as a program of another country splits it."""
    texts = [*FORMULAS, *(f"a;{t}" for t in FORMULAS), *(f"a\t{t}" for t in FORMULAS), 'x";=1']
    rows = [{"=id": text, "n": -1.5} for text in texts]
    file = io.StringIO(newline="")
    assert write_csv(file, ["=id", "n"], rows) == len(texts) + 1 - 2  # of two, a tab came second
    file.seek(0)
    cells = [cell for row in csv.reader(file, delimiter=delimiter) for cell in row]
    bad = [c for c in cells if c.strip().lstrip("\ufeff\u200b")[:1] in tuple("=+@＝＋－＠")]
    assert not [c for c in bad if c.strip()] and len(cells) > len(texts)


def test_numbers_stay_and_raw_is_raw(tmp_path: Path) -> None:
    """What our reader gives back: the apostrophe too, unless it was written raw."""
    for raw, wanted in ((False, "'=1"), (True, "=1")):
        with (tmp_path / "p.csv").open("w", newline="", encoding="utf-8") as file:
            changed = write_csv(file, ["id", "p"], [{"id": "=1", "p": -0.5}], raw)
        assert changed == (not raw)
        table = read(tmp_path / "p.csv").table
        assert table["id"].to_pylist() == [wanted] and table["p"].to_pylist() == ["-0.5"]
