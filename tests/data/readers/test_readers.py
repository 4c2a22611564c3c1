"""Tables as files: the same rows whatever the format, and one line with a place for what can't be
read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from gobelin.core import arrow
from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.embedding.columns.schema import Choices, infer

ROWS = [
    {"name": "a, b", "n": "1"},
    {"name": 'say "x"\nand y', "n": None},
    {"name": "ä;\tö \u2028 \x85 \x0c z", "n": "3"},
]


def columns(path: Path) -> dict[str, list[Any]]:
    data = read(path)
    return {n: data.values(n) for n in data.column_names}


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> list[str]:
    with pytest.raises(GobelinError) as caught:
        read(path)
    lines = str(caught.value).split("\n")
    assert lines[0].startswith(str(path))
    return lines


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_csv_keeps_every_cell(tmp_path: Path, delimiter: str, mark: str, end: str) -> None:
    quoted = [['"' + (v or "").replace('"', '""') + '"' for v in row.values()] for row in ROWS]
    lines = [["name", " n "], *quoted[:2], [], quoted[2]]
    path = written(tmp_path, "x.csv", mark + end.join(delimiter.join(line) for line in lines) + end)
    assert columns(path) == {k: [r[k] for r in ROWS] for k in ROWS[0]}
    assert read(path).root == tmp_path and read(path, tmp_path.parent).root == tmp_path.parent


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inner", ["\n", "\r\n", "\r", "\r\r\n"])
def test_line_ends_within_a_cell_stay_as_they_are(inner: str, end: str, tmp_path: Path) -> None:
    """Oracle: what was written, as Python's csv module reads it too."""
    rows = [
        ["id", f"a{inner}b", "c"],
        ["1", f"x{inner}y", "2"],
        [f"2{inner}3", f"u{inner * 2}v", ""],
    ]
    text = end.join(",".join(f'"{cell}"' for cell in row) for row in rows) + end
    (tmp_path / "a.csv").write_bytes(text.encode())
    table = read(tmp_path / "a.csv").table
    assert [list(r) for r in zip(*table.to_pydict().values(), strict=True)] == [
        [cell or None for cell in row] for row in rows[1:]
    ]
    assert table.column_names == rows[0]


def test_csv_text_stays_text_and_blank_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", "a,b,c,d\n007,1e3,  ,nan\n\u2028x,True,2020-01-01, y \n")
    assert columns(path) == {
        "a": ["007", "x"],
        "b": ["1e3", "True"],
        "c": [None, "2020-01-01"],
        "d": ["nan", "y"],
    }


def test_unquoted_line_separators_do_not_end_a_row(tmp_path: Path) -> None:
    odd = "a\u2028b\x85c\x0cd\x1ce"
    assert columns(written(tmp_path, "x.csv", f"k,t\n1,{odd}\n")) == {"k": ["1"], "t": [odd]}
    lines = [json.dumps({"t": odd}, ensure_ascii=False), json.dumps({"t": "z"})]
    assert columns(written(tmp_path, "x.jsonl", "\n".join(lines))) == {"t": [odd, "z"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"a,b\n", "holds a header alone"),
        ("a,b\nä,1\n".encode("latin1"), "byte 4: is not UTF-8"),
        ("a;b\n5 €;Größe\n".encode("cp1252"), "iconv -f cp1252 -t utf-8); if '€' is not"),
        ("a;b\n5;ein – Größe\n".encode("cp1252"), "if '–' is not what stands there"),
        ("a;b\n5;Größe\n".encode("mac-roman"), "if 'Grš§e' is not what stands there"),
        ("　;b\n5;猫\n".encode("shift-jis"), "with the file's own encoding"),
        (b"a,b\n1,\0\n", "byte 6: holds a zero byte"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"Report 2024,,,\na,b,c,d\n1,2,3,4\n", "names 1 of 4 columns: leave out titles"),
        (b",Money,,,Person\na,b,c,d,e\n1,2,3,4,5\n", "column 3 has no name"),
        (b"a,b,a\n1,2,3\n", "column 'a' appears twice"),
        (b'a,b\n1,"x\n2,y\n3,z\n', "line 2: unexpected end of data"),
        (b'a,b\n1,"x\ny"\n\n2,"y\n3,z\n4,z\n', "line 5: unexpected end of data"),
        (b'a,"b\n1,x\n2,y\n', "line 1: unexpected end of data"),
        (b'# a note\na,b\n1,x\n2,"y\n3,z\n', "line 4: unexpected end of data"),
    ],
)
def test_csv_refusals(tmp_path: Path, content: bytes, message: str) -> None:
    (line,) = refusal(written(tmp_path, "x.csv", content))
    assert message in line


def test_ragged_rows_are_listed_with_their_numbers(tmp_path: Path) -> None:
    body = ["1,2", "1", "1,2,3", *["x"] * 6, *["1,2"] * 9]
    lines = refusal(written(tmp_path, "x.csv", "\n".join(["a,b", *body])))
    assert lines[0].endswith("row 2: 1 cells, the header has 2.") and lines[1].endswith(
        "row 3: 3 cells, the header has 2."
    )
    assert (
        lines[5:] == ["... and 3 more rows.", "Quote cells that hold the delimiter."]
        and len(lines) == 7
    )


def test_jsonl_types_lists_and_missing_keys(tmp_path: Path) -> None:
    rows = [
        {"n": 1, "list": ["a", None, "b"], "mixed": 1, "one": "a.png", "big": 2**70},
        {"n": 2.5, "list": [], "mixed": "x", "one": ["b.png", "c.png"], "late": True},
        {"n": None, "list": [None], "mixed": [1], "big": 3},
    ]
    path = written(tmp_path, "x.jsonl", "\ufeff" + "\r\n\n".join(map(json.dumps, rows)))
    found = columns(path)
    assert found["n"] == [1, 2.5, None] and found["late"] == [None, True, None]
    assert found["list"] == [["a", "b"], None, None]
    assert found["one"] == [["a.png"], ["b.png", "c.png"], None]
    assert found["big"] == [str(2**70), None, "3"]


def test_jsonl_mistakes_are_listed_with_their_lines(tmp_path: Path) -> None:
    lines = refusal(written(tmp_path, "x.jsonl", '{"a": 1}\n{"a": \n[1]\n' + "x\n" * 6))
    assert (
        "line 2: is not JSON" in lines[0]
        and "line 3: an object {...} was expected, found list" in lines[1]
    )
    assert lines[-1] == "... and 3 more lines." and len(lines) == 6
    assert "holds no row" in refusal(written(tmp_path, "y.jsonl", "\n \n"))[0]
    assert "byte 6: is not UTF-8" in refusal(written(tmp_path, "z.jsonl", b'{"a":"\xff"}'))[0]


def test_parquet_bytes_files_and_dictionaries(tmp_path: Path) -> None:
    file = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "raw": pa.array([b"\x89PNG", None]),
            "embedded": pa.array([{"bytes": b"x", "path": None}, None], file),
            "linked": pa.array([{"bytes": None, "path": "a.png"}, None], file),
            "word": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert columns(tmp_path / "x.parquet") == {
        "raw": [b"\x89PNG", None],
        "embedded": [b"x", None],
        "linked": ["a.png", None],
        "word": ["a", "b"],
    }


@pytest.mark.parametrize(
    "column",
    [
        pa.array([f"a text {k}" for k in range(40)]),
        pa.array([f"a text {k}" for k in range(40)]).dictionary_encode(),
        pa.array([bytes([255, 0, k]) for k in range(40)]),
        pa.array([{"bytes": bytes([255, 0, k]), "path": None} for k in range(40)]),
        pa.array(
            [
                {"bytes": b"\xff\0" if k % 2 else None, "path": None if k % 2 else f"{k}.png"}
                for k in range(40)
            ]
        ),
        pa.array([[{"bytes": bytes([255, 0, k]), "path": None}] for k in range(40)]),
        pa.array([[f"one {k}", "two"] for k in range(40)]),
    ],
    ids=["texts", "dictionary", "bytes", "files", "one or the other", "lists of files", "lists"],
)
def test_a_column_of_more_than_two_gigabytes_can_be_divided_into_rows(
    column: pa.Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of more than 100 bytes. Arrow raised ArrowInvalid, "offset overflow", in the middle of
    `check`; with wide offsets it doesn't."""
    pq.write_table(pa.table({"x": column}), tmp_path / "x.parquet")
    plain = read(tmp_path / "x.parquet")
    monkeypatch.setattr(arrow, "MOST_BYTES", 100)
    wide = read(tmp_path / "x.parquet")
    assert "large" in str(wide.table["x"].type) and "large" not in str(plain.table["x"].type)
    assert wide.rows([3, 1]).values("x") == plain.rows([3, 1]).values("x")
    assert wide.fingerprint == plain.fingerprint
    both = plain.join(wide)
    assert both.rows([1, 41]).values("x") == plain.rows([1, 1]).values("x")


def test_parquet_refusals(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "none.parquet")
    assert "holds no row" in refusal(tmp_path / "none.parquet")[0]
    pq.write_table(pa.table({"a": ["x"] * 100}), tmp_path / "whole.parquet")
    for content in (b"", b"PAR1", (tmp_path / "whole.parquet").read_bytes()[:-5]):
        (line,) = refusal(written(tmp_path, "x.parquet", content))
        assert "can't be read as Parquet" in line


def test_folder_of_class_folders(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a/1.jpg", "a/deep/3.tif", "a/notes.txt", "loose.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert columns(tmp_path) == {
        "image": ["a/1.jpg", "a/deep/3.tif", "b/2.PNG"],
        "class": ["a", "a", "b"],
    }
    (tmp_path / "empty").mkdir()
    assert "holds no class folder with images" in refusal(tmp_path / "empty")[0]


@pytest.mark.parametrize("place", ["{name}", "{part}/{name}"])
def test_folder_of_class_folders_of_sounds(place: str, tmp_path: Path) -> None:
    """As of images, with a column `sound`, which the schema takes for sounds."""
    expected = []
    for k, name in enumerate(("bass", "drum", "perc")):
        for part in ("train", "test"):
            below = place.format(name=name, part=part)
            for n in range(4):
                file = f"{below}/{part}{n}.{('wav', 'FLAC', 'oga', 'strange')[n]}"
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                wave = np.sin(np.arange(800) * (k + 1) / 9)
                kind = {"FLAC": "FLAC", "oga": "OGG"}.get(file.rpartition(".")[2], "WAV")
                soundfile.write(str(tmp_path / file), wave, 8000, format=kind)
                expected.append((file, name, part))
    expected.sort()
    found = columns(tmp_path)
    assert found["sound"] == [file for file, _, _ in expected]
    assert found["class"] == [name for _, name, _ in expected]
    assert found.get("split", []) == [part for _, _, part in expected] * ("part" in place)
    columns_of = {c.name: c for c in infer(read(tmp_path), "class", Choices()).columns}
    assert columns_of["sound"].kind == "audio" and columns_of["class"].role == "target"


def test_folder_of_class_folders_of_volumes(tmp_path: Path) -> None:
    """Scans as BIDS lays them, with a note beside each, which is no row."""
    nibabel = pytest.importorskip("nibabel")
    expected = []
    for k, name in enumerate(("ball", "ball", "box", "box")):
        place = f"{name}/sub-{k}/anat/sub-{k}_T1w.{('nii.gz', 'nii', 'NII.GZ', 'strange')[k]}"
        (tmp_path / place).parent.mkdir(parents=True)
        volume = nibabel.Nifti1Image(np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.eye(4))
        (tmp_path / place).write_bytes(volume.to_bytes())
        (tmp_path / place).with_name("notes.txt").write_text("a scan")
        expected.append((place, name))
    found = columns(tmp_path)
    assert list(zip(found["volume"], found["class"], strict=True)) == sorted(expected)
    kinds = {c.name: c.kind for c in infer(read(tmp_path), "class", Choices()).columns}
    assert kinds == {"volume": "volume", "class": "category"}


def test_of_images_and_sounds_in_class_folders_the_more_frequent_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a/1.wav", "a/2.wav", "b/3.wav", "b/cover.png", "c/cover.png", "c/back.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(columns(tmp_path)) == {"image", "class"}  # of equally many, images
    (tmp_path / "a/4.wav").touch()
    caplog.clear()
    assert columns(tmp_path)["sound"] == ["a/1.wav", "a/2.wav", "a/4.wav", "b/3.wav"]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "1 file in class folder b is no sound that is read (first: cover.png).",
        "2 files in class folder c are no sounds that are read (first: back.png), and the class has"
        " no others: it is left out.",
    ]


def test_formats_agree(tmp_path: Path) -> None:
    written(tmp_path, "x.jsonl", "\n".join(json.dumps(r) for r in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.parquet")
    one, other = read(tmp_path / "x.jsonl"), read(tmp_path / "x.parquet")
    assert one.fingerprint == other.fingerprint and one.values("name") == [r["name"] for r in ROWS]


def test_unknown_suffix_and_missing_path(tmp_path: Path) -> None:
    path = written(tmp_path, "records.xlsx", "x")
    assert "is an Excel or Calc workbook. Save it as CSV" in refusal(path)[0]
    (line,) = refusal(written(tmp_path, "records.yaml", "x"))
    assert "no reader for .yaml. Readers: csv, dicom, folder, huggingface" in line
    assert "a file without a suffix" in refusal(written(tmp_path, "records", "x"))[0]
    assert refusal(tmp_path / "record.xlsx")[0].endswith(
        "no such file or folder. Did you mean 'records.xlsx'?"
    )
    assert "no such file or folder" in refusal(tmp_path / "nowhere" / "x.csv")[0]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.csv", b'""\n""\n'),
        ("x.csv", b'""\n""\n""\n'),
        ("x.tsv", b'""\n\n""\n'),
        ("x.jsonl", b"{}\n{}\n"),
    ],
)
def test_a_table_in_which_no_column_is_left_is_one_line(
    name: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(GobelinError, match=r"holds no (value|row)|is empty"):
        read(tmp_path / name)
