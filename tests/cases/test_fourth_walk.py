"""What a newcomer met on data that nobody here had seen. Oracles: the files and rows that were
written, and a search by the same facts written otherwise."""

from __future__ import annotations

import csv
import logging
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gobelin import GobelinError, Workbench
from gobelin.data.file_kinds import unread
from gobelin.data.read import read
from gobelin.data.split.part_names import as_words, part_of
from gobelin.embedding.columns.schema import Choices, infer
from gobelin.workbench.query import texts_of, weighted_parts

GOLDEN = Path(__file__).parents[1] / "golden"


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for k in range(count):
        Image.new("RGB", (8, 8), (k * 20, 9, 9)).save(folder / f"{k}.png")
    return folder


def test_a_folder_of_files_is_rows_without_a_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = pictures(tmp_path / "new", 3)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.md").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        found = read(folder)
    assert found.column_names == ["image"]
    assert found.values("image") == ["0.png", "1.png", "2.png"]
    assert "1 file is no image that is read (first: notes.md)" in caplog.text
    with pytest.raises(GobelinError, match="class into a folder of their own"):
        infer(found, "class", Choices())
    (folder / "labels.csv").write_text("image,class\n0.png,a\n")  # which the user may mean
    with pytest.raises(GobelinError, match=r"give the table labels\.csv"):
        read(folder)


def repeated(tmp_path: Path, names: list[str], cells: list[list[str]]) -> Any:  # noqa: ANN401
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *cells])
    return read(path)


@pytest.mark.parametrize(
    ("name", "value", "role"),
    [
        ("id", "R-{:04d}", "group"),
        ("customer_id", "{:04d}x", "group"),
        ("index", "{}", "ignore"),
        ("Unnamed: 0", "{}", "ignore"),
        ("row number", "{}", "ignore"),
    ],
)
def test_copies_of_rows_hide_no_id_and_no_index(
    tmp_path: Path, name: str, value: str, role: str
) -> None:
    rng = np.random.default_rng(0)
    cells = [
        [value.format(k + 1), f"{x:.4f}", str(k % 7), "ab"[k % 2]]
        for k, x in enumerate(rng.random(60))
    ]
    cells += cells[5:15]
    data = repeated(tmp_path, [name, "height", "size", "kind"], cells)
    column = infer(data, "kind", Choices()).columns[0]
    assert (column.name, column.role) == (name, role)
    if role == "group":
        assert "10 rows are copies" in column.reason
        kept = infer(data, "kind", Choices(schema={"height": "group"})).columns[0]
        assert kept.role == "ignore"  # one group alone


def test_an_id_of_rows_that_differ_stays_what_it_was(tmp_path: Path) -> None:
    """Visits of one patient share an id and nothing else: whether to group them is asked."""
    cells = [[f"P{k // 2:03d}", str(k * 7 % 31), str(k % 5), "ab"[k % 2]] for k in range(60)]
    data = repeated(tmp_path, ["id", "height", "size", "kind"], cells)
    assert infer(data, "kind", Choices()).columns[0].role not in ("id", "group")


@pytest.mark.parametrize("name", ["train", "Test", "valid", "holdout", "val"])
@pytest.mark.parametrize(
    "words",
    [("True", "False"), ("1", "0"), ("yes", "no"), ("ja", "Nein"), ("Oui", "non"), ("sí", "no")],
)
def test_a_yes_and_no_that_may_be_the_split_is_told(
    tmp_path: Path, name: str, words: tuple[str, str]
) -> None:
    """It may be a fact (came by train): it stays one, a line says so, and the setting works."""
    cells = [[words[k % 3 > 0], str(k * 7 % 31), str(k % 5), "ab"[k % 2]] for k in range(60)]
    data = repeated(tmp_path, [name, "height", "size", "kind"], cells)
    column = infer(data, "kind", Choices()).columns[0]
    assert column.role == "cell" and f"--set schema.{name}=split" in column.remark
    parts = [part_of(word) for word in as_words(name, data.values(name))]
    named = part_of(name)
    other = "test" if named == "train" else "train"
    assert parts == [named if k % 3 == 0 else other for k in range(60)]
    other_name = repeated(tmp_path, ["brain", "height", "size", "kind"], cells)
    assert not infer(other_name, "kind", Choices()).columns[0].remark


def test_the_remedy_for_a_workbook_is_a_command_that_takes_mixed_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04 xl/workbook.xml")
    told = unread(tmp_path / "book.xlsx", claimed=False)
    _, option, program, *names = shlex.split(told.split("convert it: ")[1].split(" (needs")[0])
    assert option == "-c"
    pandas = pytest.importorskip("pandas")
    mixed = pandas.DataFrame({"Survey 1996": ["id", 1, 2.5], "Unnamed: 1": ["size", None, "x"]})
    called: list[str] = []
    own, frame = pandas.read_excel, lambda path: called.append(path) or mixed
    pandas.read_excel = frame
    monkeypatch.setattr(sys, "argv", ["-c", *names])
    try:
        exec(program)  # noqa: S102
    finally:
        pandas.read_excel = own
    assert called == [str(tmp_path / "book.xlsx")]
    assert (tmp_path / "book.csv").read_text().splitlines()[1:] == ["id,size", "1,", "2.5,x"]


def test_a_row_of_a_query_is_its_columns() -> None:
    row = {"weight": 120, "city": "London, UK", "age": float("nan"), "note": None}
    assert texts_of({"row": row, "text": "red"}) == {
        "weight": "120",
        "city": "London, UK",
        "text": "red",
    }
    parts = weighted_parts({"row": row}, {"row": 0.5}, {"row": {"city": "Paris"}})
    assert parts == [("weight", "120", 0.5), ("city", "London, UK", 0.5), ("city", "Paris", -1.0)]
    with pytest.raises(GobelinError, match="the row has no values"):
        texts_of({"row": {"age": float("nan")}})


def test_a_row_finds_what_its_text_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    shutil.copytree(GOLDEN / "run_folder", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    bench = Workbench.open("run")
    by_text = bench.search(k=5, row="side=5,hue=0.818")
    by_row = bench.search(k=5, row={"side": 5, "hue": 0.818})
    assert [(h.id, h.score) for h in by_row] == [(h.id, h.score) for h in by_text]
    with pytest.raises(GobelinError, match=r"--row 'caption=x'.*--query 'caption=\.\.\.'"):
        bench.search(row="caption=x")
    with pytest.raises(GobelinError, match=r"--query 'caption=\.\.\.'"):
        bench.describe(row="caption=x")
