"""Text tables and folders of a newcomer that went silently wrong, or were refused without the
cause. Oracle: the rows that were written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices

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


ROWS = [["width", "label"], *([str(k * 37 % 101), "red" if k % 2 else "blue"] for k in range(60))]


@pytest.mark.parametrize(
    "line",
    [
        lambda cells: "  ".join(cells),
        lambda cells: f"{cells[0]:9}{cells[1]}",
        lambda cells: f"{cells[0]}   {cells[1]}",
        lambda cells: f"{cells[0]} {cells[1]}",
        lambda cells: f"{cells[0]:>9} {cells[1]:>5}",
        lambda cells: f"{cells[0]:>5}{cells[1]:>9}",
    ],
)
def test_cells_parted_by_one_blank_or_several(
    line: Callable[[list[str]], str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("\n".join(map(line, ROWS)) + "\n")
    data = read(tmp_path / "a.txt")
    assert data.column_names == ROWS[0]
    assert list(map(list, zip(*map(data.values, ROWS[0]), strict=True))) == ROWS[1:]


PRINTED = pd.DataFrame(ROWS[1:], columns=ROWS[0])


@pytest.mark.parametrize(
    "text",
    [
        PRINTED.to_string(),
        PRINTED.to_string(index=False, justify="left"),
        "\n".join(f"{width:>2} {label}" for width, label in ROWS),
    ],
)
def test_cells_that_stand_below_each_other_are_refused_by_their_name(
    text: str, tmp_path: Path
) -> None:
    """As pandas prints a frame: some lines begin with blanks, others don't."""
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(GobelinError, match="Are cells parted by blanks"):
        read(tmp_path / "a.txt")


def test_one_column_of_texts_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("my caption\n" + "a  red thing\na blue thing\n" * 9)
    assert read(tmp_path / "a.csv").column_names == ["my caption"]


@pytest.mark.parametrize("rule", ["|---|---|", "|:--|--:|", "| -------- | :------: |"])
def test_the_dashes_of_a_table_in_markdown_are_no_row(
    rule: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head, *lines = [f"| {width} | {label} |" for width, label in ROWS]
    (tmp_path / "a.md.txt").write_text("\n".join([head, rule, *lines, ""]))
    data = read(tmp_path / "a.md.txt")
    assert data.values("label") == [label for _, label in ROWS[1:]]
    assert "the line of dashes below the header is left out" in caplog.text
    caplog.clear()
    (tmp_path / "b.csv").write_text("\n".join(["width,label", "1,red", "--,---", "3,blue"]))
    assert read(tmp_path / "b.csv").values("width") == ["1", "--", "3"] and not caplog.text
    (tmp_path / "c.csv").write_text("\n".join(["width,label", ",--", "3,blue"]))
    assert read(tmp_path / "c.csv").values("label") == ["--", "blue"] and not caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b,\n1,red,\n2,blue,\n", "1 column without a name and a value is left out"),
        ("a,b,,\n1,red,,\n2,blue,,\n", "2 columns without a name and a value are left out"),
        ("a,b\n1,red\n,\n", "1 row holds nothing"),
        ("a,b\n1,red\n,\n,\n", "2 rows hold nothing"),
        ("a,b\n1,red\na,b\n", "1 row repeats the header"),
        ("# by a program\na,b\n1,red\n", "1 line before the header begins with #"),
        ('a,b\n="01",red\n', '1 cell is written as ="..."'),
        ("a,b\n1,red,\n2,blue\n", "1 line ends with a delimiter"),
    ],
)
def test_one_is_told_in_the_singular(
    text: str, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_text(text)
    read(tmp_path / "a.csv")
    assert told in caplog.text


def class_folders(folder: Path, places: Sequence[str]) -> Path:
    for k, place in enumerate(places):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (k * 9 % 256, 5, 5)).save(folder / place)
    return folder


PLAIN = [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(3)]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["7.png"], "1 image lies in no class folder (first: 7.png). It is left out."),
        (["8.png", "7.png"], "2 images lie in no class folder (first: 7.png). They are left out."),
        (["oak/a/1.png"], "such as oak/a. The class of all files below is the upper one, here oak"),
        (["cat/b/1.png"], "such as cat/b. The class of all files below is the upper one, here cat"),
        ([], ""),
    ],
)
def test_files_beside_and_below_class_folders_are_told(
    more: list[str], told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(class_folders(tmp_path, [*PLAIN, *more]))
    assert told in caplog.text and len(caplog.records) == bool(told)


@pytest.mark.parametrize("first", ["0.5,7,red", "1,a,b", "x,y,2020"])
def test_a_table_without_a_header_is_asked_for_one(first: str, tmp_path: Path) -> None:
    lines = [first, *(f"{k / 7:.3f},{k},blue" for k in range(60))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(GobelinError, match="Does the first line name the columns"):
        schema.infer(read(tmp_path / "a.csv"), "label", Choices())
