"""Tables of text, JSON and folders as programs and people leave them. What is left out is told.

Oracle: the rows that were written.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import logging
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from coded_pictures import pictures

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.read import read

N = 40
HEADER = ["caption", "size", "label"]
ROWS = [[f"a caption of {k} words", str(k), ("red", "blue")[k % 2]] for k in range(N)]


def body(mark: str = ",", end: str = "\n", tail: str = "", quote: str = "") -> str:
    lines = [mark.join(quote + cell + quote for cell in row) for row in [HEADER, *ROWS]]
    return end.join(line + tail for line in lines) + end


def rows_of(data: Dataset) -> list[list[str]]:
    columns = [map(str, data.values(name)) for name in HEADER]
    return [list(row) for row in zip(*columns, strict=True)]


def written(path: Path, text: str | bytes, encoding: str = "utf-8") -> Dataset:
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read(path)


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.tsv", "a.txt", "a.tab", "a.psv", "a.dat"])
@pytest.mark.parametrize("mark", [",", "\t", "|"])
def test_the_suffix_does_not_tell_the_delimiter(name: str, mark: str, tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / name, body(mark))) == ROWS


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (body(end="\r"), "utf-8"),
        (body(end="\r\r\n"), "utf-8"),
        (body(quote='"'), "utf-8"),
        (body().rstrip("\n"), "utf-8"),
        (body() + "\x1a", "utf-8"),
        (body(), "utf-16-le"),
        (body(";"), "utf-16-be"),
        (body(), "utf-32"),
        ("\ufeff" + body(), "utf-8"),
        ('"sep=;"\n' + body(";"), "utf-8"),
        ("sep=\\t\n" + body("\t"), "utf-8"),
    ],
)
def test_endings_and_encodings(text: str, encoding: str, tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / "a.csv", text, encoding)) == ROWS


def test_the_end_of_a_file_of_dos_is_in_its_last_line_alone(tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="line 3, row 2: 1 cells"):
        written(tmp_path / "wide.csv", "a,b\n1,2\n\x1a\n3,4\n")
    words = written(tmp_path / "words.csv", "word\nup\n\x1a\n\ndown\n\x1a\n\n")
    assert words.table["word"].to_pylist() == ["up", "\x1a", "down"]


@pytest.mark.parametrize("mark", [",", ";"])
def test_quotes_as_programs_write_them(mark: str, tmp_path: Path) -> None:
    inner = [[f"{row[0]}{mark} quoted", *row[1:]] for row in ROWS]
    ways: list[Callable[[str], str]] = [
        lambda cell: f'"{cell}"',
        lambda cell: f' "{cell}"',
        lambda cell: f"'{cell}'",
    ]
    for way in ways:
        lines = [mark.join(map(way, row)) for row in [HEADER, *inner]]
        assert rows_of(written(tmp_path / "a.csv", "\n".join(lines))) == inner
    said = [[f'{row[0]} "said"', *row[1:]] for row in ROWS]
    for way in (lambda c: c.replace('"', '""'), lambda c: c.replace('"', '\\"')):
        lines = [mark.join(f'"{way(cell)}"' for cell in row) for row in [HEADER, *said]]
        assert rows_of(written(tmp_path / "a.csv", "\n".join(lines))) == said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (body(tail=","), "1 column without a name and a value is left out"),
        (body(";", tail=";"), "1 column without a name and a value is left out"),
        (body().replace("\n", ",\n").replace("label,", "label"), "40 lines end with a delimiter"),
        ("# made by a program\n# on a day\n" + body(), "2 lines before the header begin with #"),
        ("sep=;\n" + body(), "its first line names ';', which parts no cells"),
        (body("^"), "cells are parted by '^'"),
        (body(":"), "cells are parted by ':'"),
        (body("\x01"), "cells are parted by '\\x01'"),
    ],
)
def test_what_is_left_out_is_told(
    text: str, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert rows_of(written(tmp_path / "a.csv", text)) == ROWS
    assert told in caplog.text and len(caplog.records) == 1


def test_rows_that_hold_nothing_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = written(tmp_path / "a.csv", body() + ",,\n,,\n")
    assert len(data) == N + 2 and "2 rows hold nothing (first: line 42)" in caplog.text


def test_a_header_that_begins_with_a_hash_is_one(tmp_path: Path) -> None:
    assert written(tmp_path / "a.csv", "#" + body()).column_names[0] == "#caption"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A title\n" + body(), "Is the first line a title"),
        (
            body().replace(",red", ",5,red").replace(",blue", ",5,blue"),
            "and no row of 40 has as many",
        ),
        ("\n".join(f'"{line}"' for line in body().split("\n")), "Are whole lines in quotes"),
        (body() + "Total: 40\n", "line 42, row 41: 1 cells, the header has 3"),
        (body().replace("caption,", ",", 1).replace("size", "", 1), "column 2 has no name"),
        (body().replace("size", "caption", 1), "column 'caption' appears twice"),
    ],
)
def test_what_is_no_table_is_refused_with_the_cause(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(GobelinError) as refusal:
        written(tmp_path / "a.csv", text)
    assert told in str(refusal.value)


def archive(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(zipfile.ZipInfo(name), body())
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv.gz", gzip.compress(body().encode(), mtime=0), "is packed. Unpack it: gunzip -k"),
        ("a.csv", gzip.compress(body().encode(), mtime=0), "is packed"),
        ("a.csv.bz2", bz2.compress(body().encode()), "is packed. Unpack it: bunzip2 -k"),
        ("a.csv.xz", lzma.compress(body().encode()), "is packed. Unpack it: unxz -k"),
        ("a.zip", archive("a.csv"), "is an archive; unpack it"),
        (
            "a.xlsx",
            archive("xl/workbook.xml"),
            "read_excel(sys.argv[1]).to_csv(sys.argv[2], index=False)",
        ),
        ("a.csv", archive("xl/workbook.xml"), "is an Excel or Calc workbook"),
        ("a.xls", b"\xd0\xcf\x11\xe0" + bytes(600), "is an Excel or Calc workbook"),
        ("a.csv", b"PAR1" + bytes(60), "is a Parquet file"),
        ("a.csv", b"<!DOCTYPE html><html>", "is a web page"),
        ("a.csv", b'[{"a": 1}]', "is JSON. Give it a name that ends in .json"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("a.feather", b"ARROW1" + bytes(60), "is a Feather or Arrow file"),
        ("a.pkl", b"\x80\x04", "is a pickle, which can run any program"),
        ("a.db", b"SQLite format 3\0", "sqlite3 -header -csv"),
    ],
)
def test_files_of_other_kinds_are_named(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(GobelinError) as refusal:
        written(tmp_path / name, content)
    assert told in str(refusal.value) and "\n" not in str(refusal.value)


OBJECTS = [dict(zip(HEADER, row, strict=True)) for row in ROWS]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps(OBJECTS)),
        ("a.json", json.dumps(OBJECTS, indent=2)),
        ("a.jsonl", json.dumps(OBJECTS, indent=2)),
        ("a.json", "\n".join(map(json.dumps, OBJECTS))),
        ("a.json", json.dumps({n: [o[n] for o in OBJECTS] for n in HEADER})),
        ("a.json", pd.DataFrame(OBJECTS).to_json(orient="records")),
        ("a.ndjson", "\ufeff" + "\n".join(map(json.dumps, OBJECTS))),
    ],
)
def test_json_in_lines_and_as_a_whole(name: str, text: str, tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / name, text)) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        pd.DataFrame(OBJECTS).to_json(),
        pd.DataFrame(OBJECTS).to_json(orient="split"),
        json.dumps({"data": OBJECTS}),
        "[1, 2]",
        "[]",
    ],
)
def test_other_json_is_refused_with_the_remedy(text: str, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="orient='records'"):
        written(tmp_path / "a.json", text)


def test_an_object_without_a_key_has_an_empty_cell(tmp_path: Path) -> None:
    data = written(tmp_path / "a.json", json.dumps([{"a": 1}, {"b": "x"}, {"a": None, "b": "y"}]))
    assert data.values("a") == [1, None, None] and data.values("b") == [None, "x", "y"]


# paths as other systems write them


@pytest.mark.parametrize(
    ("spell", "told"),
    [
        (lambda name: name.replace("/", "\\"), "with / for"),
        (lambda name: name.replace(" ", "%20"), "with % and two digits"),
        (lambda name: name.replace("ü", "u\u0308"), "with accents as the files have them"),
    ],
)
def test_paths_of_other_systems(
    spell: Callable[[str], str], told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = pictures(tmp_path, [f"my für/{k} a.png" for k in range(6)])
    data = csv_of(tmp_path, [spell(name) for name in names])
    assert data.values("image") == names and told in caplog.text
    # a file that is there as it is written is read as it is written
    pictures(tmp_path, [spell(names[0])])
    assert csv_of(tmp_path, [spell(names[0])] * 6).values("image") == [spell(names[0])] * 6


@pytest.mark.parametrize("text", ["['{}', '{}']", '["{}", "{}"]', "{};{}", "{}|{}", "{}, {}"])
def test_several_paths_in_a_text(text: str, tmp_path: Path) -> None:
    names = pictures(tmp_path, [f"img/{k}.png" for k in range(6)])
    data = csv_of(tmp_path, [text.format(name, names[0]) for name in names])
    assert data.values("image") == [[name, names[0]] for name in names]


def csv_of(folder: Path, cells: list[str]) -> Dataset:
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image"], *[[cell] for cell in cells]])
    return read(folder / "a.csv")
