"""Columns that hold or name pictures, sounds and other files, in the ways that people write them.

Oracle: the kind of the column, and the bytes that were put in.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from coded_pictures import coded, pictures, table, wave
from processor import RUNTIME

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.files import BadCell, cell_bytes, file_values
from gobelin.data.image.images import Opening, open_image
from gobelin.data.read import read
from gobelin.data.sound.sounds import open_sound
from gobelin.data.tables.frames import from_frame
from gobelin.embedding.columns.schema import Choices, build_encoder, infer
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.features import Embedder
from gobelin.quality.data import Check, scan

CHOICES = Choices(encoders={"image": {"name": "pixels"}, "text": {"name": "characters"}})
N = 12
LABEL = ["cat", "dog"] * (N // 2)
NUMBERS = list(range(N))
FILES = [coded(k) for k in range(N)]
CELLS = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
LARGE_CELLS = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])


def kind(dataset: Dataset) -> str:
    """Kind and role of the column `image`."""
    columns = infer(dataset, "label", CHOICES).columns
    return next(f"{c.kind} {c.role}" for c in columns if c.name == "image")


def held(dataset: Dataset) -> list[bytes]:
    """The bytes of every file of the column `image`."""
    cells = [file_values({"image": v}) for v in dataset.values("image") if v is not None]
    return [cell_bytes(v, dataset.root) for cell in cells for v in cell]


def csv_of(folder: Path, cells: Sequence[object]) -> Path:
    return table(folder / "a.csv", {"image": cells, "size": NUMBERS, "label": LABEL})


# Names of files, whatever the suffix.


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("img/{}.jfif", "JPEG"),
        ("img/{}.JPE", "JPEG"),
        ("img/{}.dat", "PNG"),
        ("img/cat {}", "WEBP"),
        ("{}.img", "TGA"),
        ("{}.dib", "BMP"),
        ("{}.jpx", "JPEG2000"),
    ],
)
def test_pictures_are_told_by_their_content(name: str, format: str, tmp_path: Path) -> None:  # noqa: A002
    names = pictures(tmp_path, [name.format(LABEL[k] + str(k)) for k in range(N)], format)
    data = read(csv_of(tmp_path, names))
    assert kind(data) == "image cell" and held(data) == [coded(k, format) for k in range(N)]
    for value in data.values("image"):
        assert open_image(value, tmp_path, Opening())[0].size == (16, 16)


@pytest.mark.parametrize("suffix", [".bin", "", ".wave"])
def test_sounds_are_told_by_their_content(suffix: str, tmp_path: Path) -> None:
    for k in range(N):
        (tmp_path / f"s{k}{suffix}").write_bytes(wave(k))
    assert kind(read(csv_of(tmp_path, [f"s{k}{suffix}" for k in range(N)]))) == "audio cell"


@pytest.mark.parametrize("suffix", [".pdf", ".docx", ".xyz", ""])
def test_names_of_other_files_are_never_a_text(suffix: str, tmp_path: Path) -> None:
    names = [f"{LABEL[k]} report number {k}{suffix}" for k in range(N)]
    for name in names:
        (tmp_path / name).write_bytes(b"\x01\x02 neither")
    assert kind(read(csv_of(tmp_path, names))) == "file cell"
    texts = read(csv_of(tmp_path, [f"a report number {k}, in words" for k in range(N)]))
    assert kind(texts) == "text cell"


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "is HEIC, .* magick"),
        (".jxl", b"\xff\x0a" + bytes(30), "is JPEG XL, .* djxl"),
        (".exr", b"v/1\x01" + bytes(30), "is OpenEXR, .* magick IN.exr"),
        (".ico", b"\0\0\1\0" + bytes(30), "is an icon, .* magick IN.ico"),
    ],
)
def test_pictures_that_are_not_read_are_refused_by_name(
    suffix: str, content: bytes, said: str, tmp_path: Path
) -> None:
    for k in range(N):
        (tmp_path / f"{k}{suffix}").write_bytes(content)
    data = read(csv_of(tmp_path, [f"{k}{suffix}" for k in range(N)]))
    assert kind(data) == "image cell"
    for value in (data.values("image")[0], content):
        with pytest.raises(BadCell, match=said):
            open_image(value, tmp_path, Opening())


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".m4a", b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(40)),
        (".aac", b"\xff\xf1\x50\x80" + bytes(40)),
        (".amr", b"#!AMR\n" + bytes(40)),
        (".m4a", b"\0\0\0\x20ftypmp42" + bytes(40)),
        (".ape", b"MAC " + bytes(40)),
    ],
)
def test_sounds_that_are_not_read_are_refused_by_name(
    suffix: str, content: bytes, tmp_path: Path
) -> None:
    for k in range(N):
        (tmp_path / f"{k}{suffix}").write_bytes(content)
    data = read(csv_of(tmp_path, [f"{k}{suffix}" for k in range(N)]))
    assert kind(data) == "audio cell"
    for value in (data.values("image")[0], content):
        with pytest.raises(BadCell, match="which is not read; convert it: ffmpeg"):
            open_sound(value, tmp_path, 1.0)


# Class folders.


def test_a_class_folder_of_another_suffix_is_read(tmp_path: Path) -> None:
    for name, suffix in (("cat", ".jpg"), ("fox", ".jfif"), ("owl", ".picture"), ("hen", "")):
        pictures(tmp_path, [f"{name}/{k}{suffix}" for k in range(3)], "JPEG")
    assert sorted(read(tmp_path).values("class")) == sorted(["cat", "fox", "hen", "owl"] * 3)


def test_a_class_folder_that_is_not_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures(tmp_path, ["cat/1.png", "cat/2.png", "dog/1.png"])
    (tmp_path / "cat" / "notes.txt").write_text("words")
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"hidden")
    pictures(tmp_path.parent, ["elsewhere/1.png"])
    (tmp_path / "dog" / "more").symlink_to(tmp_path.parent / "elsewhere")
    (tmp_path / "fox").mkdir()
    for k in range(20):
        (tmp_path / "fox" / f"{k}.raw").write_bytes(bytes(50))
    assert read(tmp_path).values("class") == ["cat", "cat", "dog"]
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[2] for line in told] == [
        "1 file in class folder cat is no image that is read (first: notes.txt).",
        "1 file in class folder dog is no image that is read (first: more).",
        "20 files in class folder fox are no images that are read (first: 0.raw), and the class"
        " has no others: it is left out.",
    ]


# URLs of this machine.


@pytest.mark.parametrize("start", ["file://", "file://localhost", "FILE://"])
def test_a_file_url_is_a_path(start: str, tmp_path: Path) -> None:
    names = pictures(tmp_path, [f"my pictures/ü{k}.png" for k in range(N)])
    urls = [start + quote(str(tmp_path / name)) for name in names]
    data = read(csv_of(tmp_path, urls))
    assert kind(data) == "image cell" and held(data) == FILES
    assert data.values("image") == [str(tmp_path / name) for name in names]
    listed = tmp_path / "a.jsonl"
    listed.write_text("\n".join(json.dumps({"image": urls[:2], "label": v}) for v in LABEL))
    assert held(read(listed)) == FILES[:2] * N


@pytest.mark.parametrize("url", ["file://server/share/a.png", "http://x.org/a.png"])
def test_a_url_of_another_machine_stays_one(url: str, tmp_path: Path) -> None:
    data = read(csv_of(tmp_path, [url] * N))
    with pytest.raises(BadCell, match="is a URL; nothing is downloaded"):
        cell_bytes(data.values("image")[0], data.root)


def test_a_file_url_does_not_leave_the_data_folder(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{k}.png" for k in range(N)])
    urls = [f"file://{tmp_path}/{k}.png" for k in range(N)]
    data = read(csv_of(tmp_path / "data", urls))
    with pytest.raises(BadCell, match="leaves the data folder"):
        cell_bytes(data.values("image")[0], data.root)
    assert held(read(tmp_path / "data" / "a.csv", tmp_path)) == FILES


# Pictures and sounds as texts.


def letters(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "spell",
    [
        lambda data: "data:image/png;base64," + letters(data),
        lambda data: "data:image/png;charset=utf-8;base64," + quote(letters(data)),
        lambda data: "DATA:;base64," + letters(data),
        letters,
        lambda data: letters(data).rstrip("=").replace("+", "-").replace("/", "_"),
        lambda data: base64.encodebytes(data).decode(),
    ],
    ids=["uri", "parameters", "no type", "bare", "for URLs", "in lines"],
)
def test_base64_is_the_file_that_it_spells(spell: Callable[[bytes], str], tmp_path: Path) -> None:
    data = read(csv_of(tmp_path, [spell(f) for f in FILES]))
    assert kind(data) == "image cell" and held(data) == FILES
    sounds = [wave(k) for k in range(N)]
    data = read(csv_of(tmp_path, [spell(f) for f in sounds]))
    assert kind(data) == "audio cell" and held(data) == sounds
    frame = from_frame(pa.table({"image": [[spell(f), None] for f in FILES], "label": LABEL}))
    assert kind(frame) == "image cell" and held(frame) == FILES
    one = read(csv_of(tmp_path, [spell(f) for f in FILES])).rows([0])
    assert one.values("image") == FILES[:1]  # a row alone is read as it is among others


def test_base64_and_paths_in_one_column(tmp_path: Path) -> None:
    pictures(tmp_path, ["0.png"])
    data = read(csv_of(tmp_path, ["0.png", *map(letters, FILES[1:])]))
    assert kind(data) == "image cell" and held(data) == FILES


def test_what_only_looks_like_base64_stays_a_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for texts in (
        ["".join(rng.choice(list("ABCdef123"), 64)) for _ in range(N)],
        [letters(rng.bytes(90)) for _ in range(N)],
        [f"data: the {k}th of many words, base64, and more" for k in range(N)],
    ):
        assert read(csv_of(tmp_path, texts)).values("image") == texts


# Structs and lists of them.


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_structs_of_bytes_and_paths(listed: bool, large: bool, tmp_path: Path) -> None:
    pictures(tmp_path, [f"{k}.png" for k in range(N)])
    by_bytes = [{"bytes": f, "path": None} for f in FILES]
    by_path = [{"bytes": None, "path": f"{k}.png"} for k in range(N)]
    mixed = [(by_bytes, by_path)[k % 2][k] for k in range(N)]
    some = [None if k % 5 == 1 else v for k, v in enumerate(by_bytes)]
    cell = (
        pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())]) if large else CELLS
    )
    for cells in (by_bytes, by_path, mixed, some):
        rows = [v and [v, None, v] for v in cells] if listed else cells
        column = pa.array(rows, (pa.large_list if large else pa.list_)(cell) if listed else cell)
        pq.write_table(pa.table({"image": column, "label": LABEL}), tmp_path / "a.parquet")
        data = read(tmp_path / "a.parquet")
        expected = [FILES[k] for k, v in enumerate(cells) if v for _ in range(1 + listed)]
        assert kind(data) == "image cell" and held(data) == expected


def test_structs_in_json_hold_paths_or_base64(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{k}.png" for k in range(N)])
    by_path = [{"path": f"{k}.png", "width": 16} for k in range(N)]
    spelled = [{"bytes": letters(f), "path": None} for f in FILES]
    both = [[by_path[k], {"bytes": letters(FILES[k])}] for k in range(N)]
    for cells, expected in ((by_path, FILES), (spelled, FILES), (both, np.repeat(FILES, 2))):
        lines = [json.dumps({"image": c, "label": v}) for c, v in zip(cells, LABEL, strict=True)]
        (tmp_path / "a.jsonl").write_text("\n".join(lines))
        data = read(tmp_path / "a.jsonl")
        assert kind(data) == "image cell"
        assert [bytes(x) for x in held(data)] == [bytes(x) for x in expected]


# Links.


def opening(dataset: Dataset) -> Embedder:
    """The encoder of the pictures."""
    schema = infer(dataset, "label", CHOICES)
    field = schema.field("image")
    encoder = build_encoder(field.encoder, CHOICES)
    fitted = encoder.fit(TrainingCells([]), field, {"image": "image"}, RUNTIME)
    return Embedder(schema, {"image": fitted})


def linked(folder: Path, how: str) -> Path:
    """A table whose pictures lie elsewhere: by a link to a folder, by links to files, by paths."""
    names = [f"{k}.png" for k in range(N)]
    pictures(folder / "disk" / "pictures", names)
    project = folder / "my project"
    project.mkdir()
    if how == "folder":
        (project / "img").symlink_to("../disk/pictures")
    elif how == "files":
        (project / "img").mkdir()
        for name in names:
            os.symlink(folder / "disk" / "pictures" / name, project / "img" / name)
    start = {"up": "../disk/pictures", "absolute": str(folder / "disk" / "pictures")}
    return csv_of(project, [f"{start.get(how, 'img')}/{name}" for name in names])


@pytest.mark.parametrize("how", ["folder", "files", "up", "absolute"])
def test_the_root_that_is_advised_opens_linked_files(how: str, tmp_path: Path) -> None:
    path = linked(tmp_path, how)
    data = read(path)
    with pytest.raises(GobelinError, match="12 of 12 cells can't be used") as refusal:
        scan(opening(data), data, Check())
    advised = str(refusal.value).partition("--root ")[2].partition("DIR allows")[2]
    advised = advised.partition("--root ")[2].partition(". Repair")[0]
    # no wider than it must be: names of links are relative to the table
    assert advised == str(tmp_path / "disk" / "pictures" if how == "absolute" else tmp_path)
    for root in (advised, "/"):
        data = read(path, root)
        assert kind(data) == "image cell" and held(data) == FILES
        assert not scan(opening(data), data, Check()).bad


def test_the_root_that_is_advised_holds_every_file(tmp_path: Path) -> None:
    names = [f"disk/{'near' if k % 2 else 'far/away'}/{k}.png" for k in range(N)]
    pictures(tmp_path, names)
    for beside, told in ((None, tmp_path / "disk"), ("0.png", tmp_path)):
        project = tmp_path / f"project {beside}"
        pictures(project, ["0.png"])
        given = [beside or str(tmp_path / names[0]), *(str(tmp_path / name) for name in names[1:])]
        data = read(csv_of(project, given))
        with pytest.raises(GobelinError, match="cells can't be used") as refusal:
            scan(opening(data), data, Check())
        advised = str(refusal.value).rpartition("--root ")[2].partition(". Repair")[0]
        assert advised == shlex.quote(str(told))


def test_paths_below_the_given_root_are_not_moved(tmp_path: Path) -> None:
    """The same names below the root and below the data file: the root's own files are meant."""
    pictures(tmp_path, [f"img/{k}.png" for k in range(N)])
    other = tmp_path / "project"
    pictures(other, [f"img/{k}.png" for k in reversed(range(N))])
    data = read(csv_of(other, [f"img/{k}.png" for k in range(N)]), tmp_path)
    assert held(data) == FILES
