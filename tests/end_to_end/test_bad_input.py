"""What a user gets for a mistake: exit code 2, a clear line (or a line a mistake) that names what
and what to do, no traceback, and the run folder as it was. Oracle: a listing with hashes before and
after, and the names that the mistake holds."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from presets import SMALL
from safetensors import SafetensorError

from gobelin import Workbench
from gobelin.core import files as store
from gobelin.core.errors import GobelinError
from gobelin.data.samples.shapes import Shapes
from gobelin.interfaces.cli import main

QUICK = [
    *SMALL,
    "generator.steps=2",
    "generator.settings.width=4",
    "generator.settings.batch=8",
    "augment.rivals=classic",
    "augment.seeds=2",
    "augment.tuning_seeds=1",
    "augment.ratio=0.2",
    "augment.mixes=1",
    "augment.decays=0.01",
    "augment.agree=false",
    "augment.match=false",
    "judge.planted=42",
]
SETS = [word for one in QUICK for word in ("--set", one)]
PLAIN = [
    word for one in QUICK if not one.startswith("generator.settings") for word in ("--set", one)
]
Rows = list[dict[str, object]]


def snapshot(folder: Path | None) -> object:
    """Every path below a folder, but for what it caches, with a hash of what it holds; a file's
    hash; None for nothing."""
    if folder is None or not folder.exists():
        return None
    files = (
        [p for p in sorted(folder.rglob("*")) if "cache" not in p.parts]
        if folder.is_dir()
        else [folder]
    )
    return {
        str(p): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "folder"
        for p in files
    }


def refused(
    capsys: pytest.CaptureFixture[str], words: Sequence[object], folder: Path | None, lines: int = 1
) -> str:
    """Run the command; it must be refused in so many lines, and leave `folder` as it was. Returns
    what it said."""
    before = snapshot(folder)
    with pytest.raises(SystemExit) as stop:
        main([str(w) for w in words])
    out, said = capsys.readouterr()
    assert stop.value.code == 2, said
    assert (
        "Traceback" not in said
        and "Warning" not in said
        and len(said.strip().splitlines()) == lines
    ), said
    assert out == "" and snapshot(folder) == before, (out, said)
    return said


def done(capsys: pytest.CaptureFixture[str], words: Sequence[object]) -> str:
    """Run the command, which must work without a word of Python's. Returns its output."""
    main([str(w) for w in words])
    out, said = capsys.readouterr()
    assert "Traceback" not in said and "Warning" not in said, said
    return out


def records(count: int = 60, **more: Callable[[int], object]) -> Rows:
    names = ("red", "green", "blue")
    return [
        {"caption": f"a {names[k % 3]} thing number {k}", "size": k % 7, "label": names[k % 3]}
        | {name: value(k) for name, value in more.items()}
        for k in range(count)
    ]


def table(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted run with a trained generator; its data lies beside it."""
    folder = tmp_path_factory.mktemp("bad input")
    data = Shapes(rows=120, size=16).write(folder / "data", 0)
    main(
        [
            "fit",
            str(data),
            "--target",
            "shape",
            "--run",
            str(folder / "run"),
            "--generator",
            "vaegan",
            *SETS,
        ]
    )
    main(["evaluate", str(folder / "run")])
    return folder / "run"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table(tmp_path_factory.mktemp("good") / "good.csv", records())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 sound images and every sort of bad and odd one."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    (folder / "img").mkdir()

    def save(name: str, image: Image.Image) -> None:
        image.save(folder / "img" / name)

    def noise(*shape: int) -> np.ndarray:
        return rng.integers(0, 255, shape, dtype=np.uint8)

    for k in range(80):
        save(f"{k}.png", Image.fromarray(noise(12, 12, 3)))
    save("cmyk.jpg", Image.fromarray(noise(12, 12, 4)).convert("RGB").convert("CMYK"))
    save("palette.png", Image.fromarray(noise(12, 12)).convert("P"))
    save("deep.png", Image.fromarray(rng.integers(0, 65535, (12, 12)).astype(np.uint16)))
    save("bit.png", Image.new("1", (12, 12)))
    save("alpha.png", Image.fromarray(noise(12, 12, 4)))
    (folder / "img" / "cut.png").write_bytes((folder / "img" / "1.png").read_bytes()[:120])
    (folder / "img" / "empty.png").write_bytes(b"")
    (folder / "img" / "words.png").write_text("hello", encoding="utf-8")
    (folder / "img" / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    (folder / "img" / "folder.png").mkdir()
    os.mkfifo(folder / "img" / "pipe.png")
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    shutil.copy(folder / "img" / "0.png", outside)
    (folder / "img" / "link.png").symlink_to(outside)
    (folder / "img" / "loop.png").symlink_to("loop.png")
    (folder / "outside.txt").write_text(str(outside), encoding="utf-8")
    return folder


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def with_images(folder: Path, name: str, first: Sequence[str]) -> Path:
    """80 rows with an image, a caption and a label; the first images are these."""
    images = [*first, *(f"img/{k}.png" for k in range(len(first), 80))]
    return table(
        folder / name,
        [
            {"image": i, "caption": f"a thing number {k} here", "label": "ab"[k % 2]}
            for k, i in enumerate(images)
        ],
    )


def findings(folder: Path, name: str) -> list[dict]:
    rows = map(json.loads, (folder / "findings.jsonl").read_text(encoding="utf-8").splitlines())
    return [r for r in rows if r["name"] == name]


# files

FILES = {
    "latin.csv": (
        "caption,label\ncaf\xe9,a\n".encode("latin1"),
        1,
        ["latin.csv", "byte 17", "not UTF-8", "iconv"],
    ),
    "wide.csv": ("caption,label\ncafe,a\n".encode("utf-16"), 1, ["wide.csv", "1 labelled row,"]),
    "empty.csv": (b"", 1, ["empty.csv", "is empty"]),
    "blank.csv": (b"\n\n \n", 1, ["blank.csv", "is empty"]),
    "header.csv": (b"caption,label\n", 1, ["header.csv", "header alone"]),
    "zero.csv": (b"caption,label\na\0b,c\n", 1, ["zero.csv", "zero byte"]),
    "ragged.csv": (
        b"caption,label\na,b,c\nx\n" + b"a,b\n" * 40,
        3,
        ["line 2", "row 1", "3 cells", "row 2", "1 cells", "has 2"],
    ),
    "many.csv": (
        b"caption,label\n" + b"a,b,c\n" * 30,
        1,
        ["row 1", "no row of 30 has as many", "Is the first line a title"],
    ),
    "some.csv": (
        b"caption,label\n" + b"a,b\n" * 40 + b"a,b,c\n" * 30,
        7,
        ["row 45", "and 25 more rows", "Quote cells"],
    ),
    "twice.csv": (
        b"caption,caption,label\n" + b"a,b,c\n" * 40,
        1,
        ["twice.csv", "'caption' appears twice"],
    ),
    "nameless.csv": (
        b"caption,,label\n" + b"a,b,c\n" * 40,
        1,
        ["nameless.csv", "column 2 has no name"],
    ),
    "quote.csv": (
        b'caption,label\n"open,b\n' + b"a,b\n" * 40,
        1,
        ["quote.csv", "quote that is not closed"],
    ),
    "book.xlsx": (b"PK", 1, ["book.xlsx", "Excel", "Save it as CSV", "to_csv"]),
    "bare": (b"a", 1, ["bare", "without a suffix"]),
    "bad.parquet": (b"PAR1garbage", 1, ["bad.parquet", "can't be read as Parquet"]),
    "bad.jsonl": (b'{"a":1}\n{a:1}\n[1]\n', 2, ["line 2", "not JSON", "line 3", "object {...}"]),
    "none.jsonl": (b"\n", 1, ["none.jsonl", "holds no row"]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cant_be_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, lines, expected = FILES[name]
    (tmp_path / name).write_bytes(content)
    for more in ([], ["--json"]):
        words = ["fit", tmp_path / name, "--target", "label", "--run", tmp_path / "run", *more]
        said = refused(capsys, words, tmp_path, lines)
        assert all(e in said for e in expected), said


def test_a_path_that_is_no_file(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "hollow").mkdir()
    cases = {
        good.parent / "goood.csv": ["no such file", "Did you mean 'good.csv'?"],
        tmp_path / "nowhere" / "x.csv": ["no such file"],
        good / "below" / "x.csv": ["no such file"],
        tmp_path / "folder.csv": ["folder.csv: can't be opened"],
        tmp_path / "hollow": ["hollow: holds no class folder"],
    }
    for path, expected in cases.items():
        said = refused(
            capsys, ["check", path, "--target", "label", "--run", tmp_path / "run"], tmp_path
        )
        assert str(path) in said and all(e in said for e in expected), said


# what stands in the cells

CELLS: dict[str, tuple[Rows, str, list[str], list[str]]] = {
    "target": (records(), "lable", [], ["'lable'", "Did you mean 'label'?"]),
    "few": (
        [r | {"label": r["label"] if k < 29 else ""} for k, r in enumerate(records())],
        "label",
        [],
        ["'label'", "29 labelled rows", "30"],
    ),
    "nothing": (
        [r | {"label": ""} for r in records()],
        "label",
        [],
        ["'label'", "0 labelled rows"],
    ),
    "one class": (
        [r | {"label": "same"} for r in records()],
        "label",
        [],
        ["'label'", "'same'", "two classes"],
    ),
    "all classes differ": (
        [r | {"label": f"u{k}"} for k, r in enumerate(records())],
        "label",
        [],
        ["'label'", "0 classes stand"],
    ),
    "too many": (
        records(1100, label=lambda k: f"u{k}"),
        "label",
        [],
        ["1100 different classes", "schema.label=number"],
    ),
    "a word": (
        records(v=lambda k: "word" if k == 7 else k * 1.5),
        "v",
        [],
        ["row 7", "'v'", "'word' is not a number", "category"],
    ),
    "infinite": (
        records(v=lambda k: "inf" if k == 7 else k * 1.5),
        "v",
        [],
        ["row 7", "'v'", "'inf' is not a number"],
    ),
    "one column": (
        [{"label": "ab"[k % 2]} for k in range(60)],
        "label",
        [],
        ["no column that an encoder reads"],
    ),
    "an empty column": (
        [{"a": "", "label": "ab"[k % 2]} for k in range(60)],
        "label",
        [],
        ["a (empty)"],
    ),
    "kind": (
        records(),
        "label",
        ["schema.caption=number"],
        ["'caption'", "60 of 60 cells", "'a red thing number 0'", "--max-bad"],
    ),
    "no time": (
        records(),
        "label",
        ["split.by=time"],
        ["no column has the role time", "schema.COLUMN=time"],
    ),
    "a time lacks": (
        records(when=lambda k: "" if k == 5 else k),
        "label",
        ["split.by=time", "schema.when=time"],
        ["row 5", "no time"],
    ),
    "split": (
        records(part=lambda k: "trian" if k == 5 else "train"),
        "label",
        ["schema.part=split"],
        ["'trian'", "Did you mean 'train'?"],
    ),
    "group": (
        records(g=lambda k: k // 2, split=lambda k: ("train", "valid", "test")[k % 3]),
        "label",
        ["schema.g=group"],
        ["group '0'", "in train and in valid"],
    ),
    "one group": (records(g=lambda k: "a"), "label", ["schema.g=group"], ["0 classes stand"]),
    "ids": (
        records(id=lambda k: k // 2),
        "label",
        ["schema.id=id"],
        ["'id'", "the id '0' appears twice"],
    ),
    "no id": (
        records(id=lambda k: "" if k == 3 else k),
        "label",
        ["schema.id=id"],
        ["'id'", "row 3 has no id"],
    ),
    "own ids": (records(gobelin_id=lambda k: "x"), "label", [], ["'gobelin_id'", "twice"]),
    "made": (
        records(gobelin_origin=lambda k: "generated" if k % 2 else "real"),
        "label",
        [],
        ["gobelin_origin", "30 of 60 rows", "row 1"],
    ),
    "unknown origin": (
        records(gobelin_origin=lambda k: "banana" if k == 4 else "real"),
        "label",
        [],
        ["1 of 60 rows", "row 4"],
    ),
    "field": (
        records(table=lambda k: f"some words of text {k}"),
        "label",
        [],
        ["fields.table", "fields.NAME=size"],
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_that_cant_be_used(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, target, sets, expected = CELLS[name]
    data = table(tmp_path / "data.csv", rows)
    words = [
        "fit",
        data,
        "--target",
        target,
        "--run",
        tmp_path / "run",
        *SETS,
        *(w for s in sets for w in ("--set", s)),
    ]
    said = refused(capsys, words, tmp_path)
    assert all(e in said for e in expected), said


def test_all_mistakes_of_one_file_come_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table(
        tmp_path / "data.csv",
        records(v=lambda k: ("word", "wort")[k % 2] if k % 9 == 7 else k, w=lambda k: f"{k} x"),
    )
    words = ["check", data, "--run", tmp_path / "run", *SETS]
    said = refused(capsys, [*words, "--target", "v", "--set", "schema.v=number"], tmp_path, 6)
    assert "row 7" in said and "row 43" in said and "... and 1 more rows" in said
    sets = ["--set", "schema.caption=number", "--set", "schema.w=date"]
    said = refused(capsys, [*words, "--target", "label", *sets], tmp_path, 2)
    assert "'caption'" in said.splitlines()[0] and "'w'" in said.splitlines()[1]


# settings

OPTIONS = {
    "aling.width=3": ["unknown setting 'aling'", "Did you mean 'align'?"],
    "align.widht=3": ["settings.align", "'widht'", "Did you mean 'width'?"],
    "align.width=wide": ["align.width", "a whole number was expected", "'wide'"],
    "align.width=2.5": ["align.width", "a whole number"],
    "align.width=-3": [
        "settings.align.width: a whole number from 1 to 8192 was expected, found '-3'."
    ],
    "align.temperature=0": ["align.temperature", "a number from 0.0001 to 100", "'0'"],
    "align.steps=-1": ["align.steps", "a whole number from 0 to", "'-1'"],
    "split.valid=2": ["split.valid", "a number between 0 and 1", "'2'"],
    "split.by=moon": ["split.by", "'moon'", "one of random, time"],
    "runtime.device=gpuu": ["runtime", "'gpuu'", "cpu"],
    "runtime.device=cuda:99": ["runtime.device", "'cuda:99'", "can't be used on this machine"],
    "runtime.precision=half": ["runtime", "'half'", "float32"],
    "runtime.threads=-2": ["runtime.threads", "from 0 to 4096", "'-2'"],
    "runtime=x": ["runtime", "group of settings"],
    "check.max_bad=7": ["check.max_bad", "from 0 to 1", "'7'"],
    "check.scarce=nan": ["check.scarce", "a number was expected"],
    "predict.folds=1": ["predict.folds", "from 2 to 100", "'1'"],
    "predict.decays=": ["predict", "decays", "nothing"],
    "predict.decays=-1": ["predict", "decays", "-1"],
    "predict.balance=maybe": ["predict.balance", "true or false"],
    "predict.features=foo": ["predict.features", "encoder, shared"],
    "predict.level=7": ["predict.level", "from 0.01 to 0.999", "'7'"],
    "fusion=concat": ["fusion", "group of settings"],
    "fusion.name=../../x": ["fusion", "no component '../../x'"],
    "fusion.settings.batch=0": ["fusion.concat.batch", "from 1 to", "'0'"],
    "fusion.settings.hidden=-4": ["fusion.concat.hidden", "from 0 to", "'-4'"],
    "generator.name=gna": ["generators", "'gna'", "Did you mean 'gan'?"],
    "generator.size=4": ["generator.size", "from 16 to 256", "'4'"],
    "generator.settings.wdth=3": ["generators.vaegan", "'wdth'", "Did you mean 'width'?"],
    "generator.settings.width=0": ["generators.vaegan.width", "from 1 to", "'0'"],
    "augment.ratio=-1": ["augment.ratio", "a number above 0 and up to 20", "'-1'"],
    "augment.rivals=clasic": ["rivals", "'clasic'", "Did you mean 'classic'?"],
    "judge.audits=copyng": ["audits", "'copyng'", "Did you mean 'copying'?"],
    "encoders.txet.name=x": ["encoders.txet", "Did you mean 'text'?"],
    "encoders.image.name=pixles": ["'pixles'", "Did you mean 'pixels'?"],
    "encoders.table.knots=0": ["encoders.table.knots", "from 2 to 10001", "'0'"],
    "encoders.text.zzz=1": ["encoders.characters", "'zzz'"],
    "schema.size=foo": ["schema.size", "'foo'", "number"],
    "schema.zise=number": ["schema.zise", "Did you mean 'size'?"],
    "schema.label=ignore": ["schema.label", "is the target"],
    "fields.a=size,capton": ["fields.a", "'capton'", "Did you mean 'caption'?"],
    "leave_out=foo": ["leave_out", "'foo'", "caption"],
    "leave_out=caption,table": ["leave_out", "every field"],
    "noequals": ["--set 'noequals'", "NAME=VALUE"],
    "=3": ["--set '=3'", "NAME=VALUE"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_setting_that_cant_be(
    option: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", good, "--target", "label", "--run", tmp_path / "run", *SETS, "--set", option]
    said = refused(capsys, words, tmp_path)
    assert all(e in said for e in OPTIONS[option]), said


def test_options_that_cant_be(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text("a = [", encoding="utf-8")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    cases: dict[tuple[object, ...], list[str]] = {
        ("--fusion", "conct"): ["'conct'", "Did you mean 'concat'?"],
        ("--generator", "../../x"): ["no component '../../x'"],
        ("--minutes", "-3"): ["generator.minutes: a number above 0 was expected, found '-3.0'"],
        ("--minutes", "nan"): ["minutes", "a number was expected"],
        ("--minutes", "x"): ["--minutes", "'x'"],
        ("--max-bad", "-1"): ["check.max_bad: a number from 0 to 1 was expected, found '-1.0'"],
        ("--recipe", "nope.toml"): ["nope.toml", "no such recipe"],
        ("--recipe", tmp_path / "bad.toml"): ["bad.toml", "can't be read as TOML"],
        ("--recipe", tmp_path / "list.json"): ["list.json", "groups of settings"],
        ("--root", tmp_path / "nowhere"): ["nowhere", "no such folder", "--root"],
        ("--foo",): ["--foo"],
        ("--set", "schema.size=id", "--set", "schema.caption=id"): [
            "'size' has the role id already"
        ],
    }
    for more, expected in cases.items():
        words = ["fit", good, "--target", "label", "--run", tmp_path / "run", *SETS, *more]
        said = refused(capsys, words, tmp_path)
        assert all(e in said for e in expected), said
    for words, expected in (
        (["evalate", good], ["'evalate'", "evaluate"]),
        (["list", "fusin"], ["'fusin'", "Did you mean 'fusion'?"]),
        (["demo", "--sample", "shaeps", "--run", tmp_path / "run"], ["'shaeps'", "'shapes'"]),
        (
            ["demo", "--sample", "shapes", "--run", tmp_path / "run", "--set", "runtime.seed=x"],
            ["runtime.seed"],
        ),
        (
            ["demo", "--sample", "shapes", "--run", tmp_path / "run", "--set", "aling.width=3"],
            ["'aling'"],
        ),
    ):
        said = refused(capsys, words, tmp_path)
        assert all(e in said for e in expected), said


def test_a_column_with_a_dot_can_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table(tmp_path / "data.csv", [r | {"a.b": k % 5} for k, r in enumerate(records())])
    done(
        capsys,
        [
            "check",
            data,
            "--target",
            "label",
            "--run",
            tmp_path / "run",
            *SETS,
            "--set",
            "schema.a.b=category",
        ],
    )
    schema = json.loads((tmp_path / "run" / "schema.json").read_text())
    assert {c["name"]: c["kind"] for c in schema["columns"]}["a.b"] == "category"


# run folders


def test_a_run_folder_that_cant_be_used(
    run: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "plain").mkdir()
    for folder in (tmp_path / "file", tmp_path / "plain", tmp_path / "nowhere"):
        for verb in ("evaluate", "report", "show", "audit", "augment", "search"):
            said = refused(capsys, [verb, folder], tmp_path)
            assert f"{folder}: is not a run folder" in said and "gobelin fit" in said
    for words in (["show"], ["fit", good, "--target", "label", "--run"]):
        assert "(File name too long)" in refused(capsys, [*words, tmp_path / ("n" * 300)], tmp_path)
    fit = ["fit", good, "--target", "label", *SETS, "--run"]
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{tmp_path / 'file'}: is in the way" in refused(capsys, [*fit, folder], tmp_path)
    for verb in ("check", "fit"):
        assert "holds a run of another data set" in refused(capsys, [verb, *fit[1:], run], run)
    said = json.loads((run / "settings.json").read_text())
    other = refused(
        capsys, ["check", said["data"]["path"], "--target", "side", *SETS, "--run", run], run
    )
    assert "holds a run with the target 'shape', found 'side'" in other


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda run: (run / name).write_text(text, encoding="utf-8") and None


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str], list[str]]] = {
    "weights": (
        lambda r: flip(r / "model" / "weights.safetensors"),
        ["evaluate"],
        ["model: was changed or damaged"],
    ),
    "cut weights": (
        lambda r: (r / "model" / "weights.safetensors").write_bytes(b"abc"),
        ["evaluate"],
        ["model: was changed"],
    ),
    "edited model": (
        write("model/model.json", "{}"),
        ["evaluate"],
        ["model: was changed or damaged"],
    ),
    "no model": (
        lambda r: shutil.rmtree(r / "model"),
        ["evaluate"],
        ["has no predictor", "gobelin fit", "--recipe"],
    ),
    "no model, search": (
        lambda r: shutil.rmtree(r / "model"),
        ["search", "--text", "x"],
        ["has no predictor"],
    ),
    "alignment": (
        lambda r: flip(r / "alignment" / "weights.safetensors"),
        ["search", "--text", "x"],
        ["alignment: was changed"],
    ),
    "encoder": (
        lambda r: flip(r / "encoders" / "caption" / "weights.safetensors"),
        ["search", "--text", "x"],
        ["encoders/caption: was changed"],
    ),
    "no encoders": (
        lambda r: shutil.rmtree(r / "encoders"),
        ["evaluate"],
        ["has lost the encoder of image, caption, table"],
    ),
    "generator": (
        lambda r: flip(next((r / "generators").rglob("*.safetensors"))),
        ["generate", "-n", "1"],
        ["was changed"],
    ),
    "no generator": (
        lambda r: shutil.rmtree(r / "generators"),
        ["generate", "-n", "1"],
        ["no trained generator", "gobelin fit", "--generator vaegan"],
    ),
    "no generator, audit": (
        lambda r: shutil.rmtree(r / "generators"),
        ["audit"],
        ["no trained generator", "--generator vaegan"],
    ),
    "settings": (write("settings.json", "{"), ["evaluate"], ["settings.json: is damaged"]),
    "empty settings": (write("settings.json", ""), ["show"], ["settings.json: is damaged"]),
    "list of settings": (write("settings.json", "[]"), ["report"], ["settings.json: is damaged"]),
    "no settings": (
        write("settings.json", "{}"),
        ["search", "--text", "x"],
        ["settings.json: is damaged"],
    ),
    "schema": (write("schema.json", "{"), ["evaluate"], ["schema.json: is damaged"]),
    "no schema": (
        write("schema.json", "{}"),
        ["search", "--text", "x"],
        ["schema.json: is damaged"],
    ),
    "findings": (write("findings.jsonl", "{oops\n"), ["show"], ["findings.jsonl: is damaged"]),
    "odd findings": (
        write("findings.jsonl", '{"a": 1}\n'),
        ["show"],
        ["findings.jsonl", "unknown fields a"],
    ),
    "a verb's findings": (
        write("verbs/evaluate/findings.jsonl", "{oops\n"),
        ["evaluate"],
        ["verbs/evaluate: was changed"],
    ),
    "its report": (
        write("verbs/evaluate/findings.jsonl", ""),
        ["report"],
        ["verbs/evaluate: was changed"],
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words, expected = DAMAGE[name]
    shutil.copytree(run, tmp_path / "run")
    change(tmp_path / "run")
    for more in ([], ["--json"]):
        said = refused(capsys, [words[0], tmp_path / "run", *words[1:], *more], tmp_path / "run")
        assert all(e in said for e in expected), said


def test_damaged_settings_stop_a_fit_too(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "run")
    data = json.loads((run / "settings.json").read_text())["data"]["path"]
    for text in ("", "[]", "{}", '"x"', '{"runtime": 3}'):
        (tmp_path / "run" / "settings.json").write_text(text, encoding="utf-8")
        words = ["fit", data, "--target", "shape", "--run", tmp_path / "run", *SETS]
        assert "settings.json: is damaged" in refused(capsys, words, tmp_path / "run")


def test_the_command_that_a_message_names_works(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generator is gone; the named command brings it back with the run's own settings."""
    import shlex

    folder = tmp_path / "a run with spaces ü"
    shutil.copytree(run, folder)
    shutil.rmtree(folder / "generators")
    said = refused(capsys, ["generate", folder, "-n", "1", "--out", tmp_path / "made"], folder)
    command = shlex.split(said[said.index("gobelin fit") :].strip().rstrip("."))
    done(capsys, command[1:])
    done(capsys, ["generate", folder, "-n", "1", "--out", tmp_path / "made"])
    kept = [json.loads((f / "settings.json").read_text())["generator"] for f in (run, folder)]
    assert kept[0] == kept[1] and len(list((tmp_path / "made").glob("*-seed-0.png"))) == 1


def test_a_fitted_run_predicts_without_its_training_data(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run.parent, tmp_path / "all")
    folder = tmp_path / "all" / "run"
    text = (folder / "settings.json").read_text().replace(str(run.parent), "/nowhere")
    (folder / "settings.json").write_text(text, encoding="utf-8")
    data = table(tmp_path / "new.csv", [{"caption": "a small red circle"}])
    done(capsys, ["predict", folder, data, "--out", tmp_path / "p.csv"])
    assert (tmp_path / "p.csv").read_text().splitlines()[1].startswith("a small red circle,")
    # what was fitted is kept: the first search makes the space from it
    for words in (["--text", "x", "--json"], ["--recall", "--json"]):
        assert done(capsys, ["search", folder, *words]) == done(capsys, ["search", run, *words])
    shutil.rmtree(folder / "checked")
    shutil.rmtree(folder / "verbs" / "search")
    assert "/nowhere/data/records.csv: no such file" in refused(
        capsys, ["search", folder, "--recall"], folder
    )


# queries and options of the verbs

VERBS: dict[tuple[str, ...], list[str]] = {
    ("search",): ["query: is empty", "--text"],
    ("search", "--query", "sied=3"): ["'sied'", "Did you mean 'side'?"],
    ("search", "--query", "side"): ["--query 'side'", "COLUMN=VALUE"],
    ("search", "--query", "side="): ["'side'", "not a number"],
    ("search", "--query", "shape=circle"): ["'shape'"],
    ("search", "--row", "sied=3"): ["'sied'", "Did you mean 'side'?"],
    ("search", "--row", "side=abc"): ["'side'", "'abc' is not a number"],
    ("search", "--row", "side"): ["--row 'side'", "column=value"],
    ("search", "--row", "side=3,side=4"): ["--row", "'side' appears twice"],
    ("search", "--row", ""): ["--row"],
    ("search", "--text", ""): ["--text", "empty"],
    ("search", "--text", "  "): ["--text", "empty"],
    ("search", "--image", "nope.png"): ["--image nope.png", "no such file"],
    ("search", "--image", "{words}"): ["--image", "words.png", "is not an image"],
    ("search", "--image", "{cut}"): ["--image", "cut.png", "is damaged"],
    ("search", "--image", "{folder}"): ["--image", "no such file"],
    ("search", "--text", "x", "-k", "0"): ["-k", "0"],
    ("describe",): ["query: is empty"],
    ("describe", "--row", "side=abc"): ["'side'", "'abc'"],
    ("generate", "--label", "circel"): ["'circel'", "Did you mean 'circle'?"],
    ("generate", "--label", ""): ["--label ''", "circle"],
    ("generate", "--seeds", "1,1"): ["--seeds", "1 appears twice"],
    ("generate", "--seeds", "x"): ["--seeds 'x'", "0-15"],
    ("generate", "--seeds=-3"): ["--seeds '-3'"],
    ("generate", "--seeds", "5-2"): ["--seeds '5-2'", "ends before it begins"],
    ("generate", "--seeds", ""): ["--seeds ''"],
    ("generate", "--seeds", "\u00b2"): ["--seeds"],
    ("generate", "--seeds", "0-99999999999"): ["--seeds", "more than"],
    ("generate", "--source", "nope.png"): ["--source nope.png", "no such file"],
    ("generate", "--source", "{words}"): ["--source", "words.png", "is not an image"],
    ("generate", "--source", "{40}"): ["vaegan can't use source", "it accepts target, vectors"],
    ("generate", "--mask", "{40}"): ["--mask", "--source FILE"],
    ("generate", "--strength", "0.5"): ["--strength 0.5", "--source FILE"],
    ("generate", "--source", "{40}", "--strength", "2"): ["--strength 2.0", "from 0 to 1"],
    ("generate", "--guidance", "101"): ["--guidance 101.0", "from 0 to 100"],
    ("generate", "--steps", "x"): ["--steps", "'x'"],
    ("generate", "-n", "0"): ["-n 16"],
    ("generate", "-n", "-1"): ["-n"],
    ("generate", "-n", "99999999999"): ["-n"],
    ("augment", "--set", "augment.rivals=clasic"): ["'clasic'", "'classic'"],
    ("augment", "--set", "align.width=9"): ["--set align", "gobelin fit"],
    ("augment", "--set", "generator=vaegan"): ["generator", "group of settings"],
    ("augment", "--minutes", "-1"): ["augment.minutes: a number above 0", "-1.0"],
    ("augment", "--minutes", "0"): ["augment.minutes: a number above 0", "0.0"],
    ("augment", "--ratio", ""): ["augment.ratio: 1 value or more", "nothing"],
    ("augment", "--ratio", "0"): ["augment.ratio: a number above 0", "'0'"],
    ("augment", "--per-class", "cirle=3,cross=1"): [
        "--per-class 'cirle'",
        "Did you mean 'circle'?",
    ],
    ("augment", "--per-class", "cirle=3", "--dry-run"): [
        "--per-class 'cirle'",
        "Did you mean 'circle'?",
    ],
    ("augment", "--per-class", "cross=1,cross=2"): ["'cross' appears twice"],
    ("augment", "--per-class", "cross=99999999999"): ["per_class.cross", "from 0 to 1000000"],
    ("augment", "--per-class", "a,b=3"): ["--per-class 'a'", "N or CLASS=N", "comma"],
    ("augment", "--per-class", "0"): ["0 images to generate"],
    ("augment", "--set", "augment.rivals=classic,classic"): ["rivals: 'classic' appears twice"],
    ("augment", "--set", "judge.audits=copying,copying"): ["audits: 'copying' appears twice"],
    ("augment", "--set", "judge.space=text"): ["judge.space", "'text' reads text, not images"],
    ("evaluate", "--foo"): ["--foo"],
}


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_a_query_that_cant_be_answered(
    words: tuple[str, ...], run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [str(pictures / "img" / f"{w[1:-1]}.png") if w.startswith("{") else w for w in words]
    said = refused(capsys, [filled[0], run, *filled[1:]], run)
    assert all(e in said for e in VERBS[words]), said


def test_images_by_class_are_of_one_study(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier study made of each class isn't made again; a class with a comma stands in
    quotes."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for more, made in (
        (["--per-class", "circle=3"], "circle 3"),
        (["--per-class", '"cross=2"'], "cross 2"),
    ):
        done(capsys, ["augment", folder, *more])
        assert findings(folder, "made_rows")[0]["note"].endswith(f"; {made}")
    done(capsys, ["augment", folder, "--ratio", "0.1"])
    assert findings(folder, "made_rows")[0]["value"] > 3


def test_an_audit_of_other_images_is_not_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    done(capsys, ["augment", folder])
    assert "too few images to say how good they are" in done(capsys, ["audit", folder])
    assert "too few images to say how good they are" in done(capsys, ["augment", folder])
    assert "quality was not measured (gobelin audit)" in done(
        capsys, ["augment", folder, "--ratio", "0.4"]
    )
    assert not any(
        f["source"] == "audit"
        for f in map(json.loads, (folder / "findings.jsonl").read_text().splitlines())
    )


def test_a_place_to_export_to_is_looked_at_before_the_work(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x", encoding="utf-8")
    long = "n" * 300
    for place, expected in (
        ("full", "is not empty"),
        ("full/file", "is a file"),
        ("full/file/below", "file: is in the way"),
        (long, "can't be written (File name too long)"),
    ):
        assert expected in refused(
            capsys, ["augment", folder, "--export", tmp_path / place], tmp_path
        )


def test_a_class_that_nothing_can_be_made_of(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blue has no image at all; of a number there are no classes."""
    rows = records(
        160, image=lambda k: "" if k % 3 == 2 else f"img/{k % 80}.png", v=lambda k: k * 1.5
    )
    data = table(pictures / "no blue.csv", rows)
    for target, words, expected in (
        ("label", ["--per-class", "blue=3,red=1"], ["--per-class 'blue'", "an image"]),
        ("v", ["--per-class", "red=3"], ["--per-class", "'v' has no classes", "--ratio"]),
    ):
        folder = tmp_path / target
        done(
            capsys,
            ["fit", data, "--target", target, "--run", folder, "--generator", "procedural", *PLAIN],
        )
        for more in ([], ["--dry-run"]):
            said = refused(capsys, ["augment", folder, *words, *more], folder / "settings.json")
            assert all(e in said for e in expected), said


def test_copies_are_not_denied_where_none_could_be_seen(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an audit, and with one that catches no planted copy."""
    for sets, expected in (
        (["--set", "judge.audits="], "copies were not looked for"),
        (["--set", "judge.planted=1"], "whether images were copied can't be said"),
    ):
        shutil.copytree(run, tmp_path / "run")
        out = done(capsys, ["augment", tmp_path / "run", *sets])
        assert "near copy" not in out and expected in out, out
        shutil.rmtree(tmp_path / "run")


def test_a_folder_of_images_made_elsewhere(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that the message names works on a run of another generator."""
    folder, album = tmp_path / "run", tmp_path / "album"
    shutil.copytree(run, folder)
    said = refused(capsys, ["augment", folder, "--generator", "imported"], folder / "settings.json")
    assert "no folder was named" in said
    (tmp_path / "hollow").mkdir()
    for place in ("nowhere", "hollow"):
        own = [
            "--set",
            "generator.name=imported",
            "--set",
            f"generator.settings.folder={tmp_path / place}",
        ]
        assert str(tmp_path / place) in refused(
            capsys, ["augment", folder, *own], folder / "settings.json"
        )
    done(
        capsys, ["generate", folder, "-n", "1", "--out", tmp_path / "made"]
    )  # by the run's own generator, still
    said = said.splitlines()[0]
    for name in ("circle", "cross", "square", "triangle"):
        (album / name).mkdir(parents=True)
        Image.new("RGB", (1, 1), (200, 0, 0)).save(album / name / "1.png")
    more = said[said.index("--set") :].strip().rstrip(".").replace("=DIR", f"={album}").split()
    done(capsys, ["augment", folder, "--generator", "imported", *more])
    assert findings(folder, "made_rows")


def test_predict_refuses_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    sound = table(
        tmp_path / "sound.csv", [{"id": k, "side": 5, "caption": "a red circle"} for k in range(4)]
    )
    odd = table(tmp_path / "odd.csv", [{"id": k, "side": "abc" if k == 1 else 5} for k in range(4)])
    lost = table(tmp_path / "lost.csv", [{"image": f"zz{k}.png"} for k in range(20)])
    ids = table(tmp_path / "ids.csv", [{"id": 1, "side": 3}] * 2)
    other = table(tmp_path / "other.csv", [{"a": 1, "b": 2}])
    out = tmp_path / "p.csv"
    for data, target, more, expected in (
        (tmp_path / "soud.csv", out, [], ["no such file", "'sound.csv'"]),
        (other, out, [], ["none of the columns", "caption", "it has a, b"]),
        (odd, out, [], ["'side'", "1 of 4", "row 1", "'abc'", "--max-bad 0.26"]),
        (
            odd,
            out,
            ["--max-bad", "2"],
            ["check.max_bad: a number from 0 to 1 was expected, found 2.0"],
        ),
        (lost, out, [], ["'image'", "20 of 20", "'zz0.png'", "--root"]),
        (ids, out, [], ["'id'", "'1' appears twice"]),
        (sound, tmp_path / "file" / "p.csv", [], [f"{tmp_path / 'file'}: is in the way"]),
        (sound, tmp_path, [], [str(tmp_path), "is in the way"]),
        (sound, out, ["--root", tmp_path / "nowhere"], ["nowhere", "no such folder"]),
    ):
        said = refused(capsys, ["predict", run, data, "--out", target, *more], run)
        assert all(e in said for e in expected) and not out.exists(), said
    assert "--out" in refused(capsys, ["predict", run, sound], run)
    done(capsys, ["predict", run, odd, "--out", out, "--max-bad", "0.26"])
    with out.open(encoding="utf-8") as file:
        assert [r["present"] for r in csv.DictReader(file)] == ["table", "", "table", "table"]
    done(capsys, ["predict", run, sound, "--out", tmp_path / "new" / "folder" / "p.csv"])
    assert not list(tmp_path.rglob(".writing-*"))


def test_a_place_that_cant_be_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for words in (["generate", run, "-n", "1", "--out"], ["augment", run, "--export"]):
        for place in (tmp_path / "file", tmp_path / "file" / "below"):
            before = snapshot(run / "model")
            with pytest.raises(SystemExit) as stop:
                main([str(w) for w in [*words, place]])
            said = [
                line
                for line in capsys.readouterr().err.splitlines()
                if str(tmp_path / "file") in line
            ]
            assert stop.value.code == 2 and len(said) == 1 and snapshot(run / "model") == before
    assert (tmp_path / "file").read_text() == "x"


def test_a_full_disk_is_one_line(
    good: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """safetensors hides the system's refusal in its words; the same command works once there is
    space."""
    words = ["fit", good, "--target", "label", "--run", tmp_path / "run", *SETS]

    def full(*_: object) -> None:
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    with monkeypatch.context() as patch:
        patch.setattr(store, "save_file", full)
        with pytest.raises(SystemExit) as stop:
            main([str(w) for w in words])
    said = capsys.readouterr().err
    assert (
        stop.value.code == 2
        and len(said.splitlines()) == 1
        and "the disk is full. Free some space" in said
    )
    assert not list(tmp_path.rglob(".writing-*"))
    done(capsys, words)


# images


def test_bad_images_are_set_aside_and_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = (pictures / "outside.txt").read_text()
    reasons = {
        "img/none.png": "no such file",
        "img/cut.png": "is damaged",
        "img/empty.png": "is an empty file",
        "img/words.png": "is not an image",
        "https://x.org/a.png": "is a URL",
        "../../../etc/passwd.png": "leaves the data folder",
        "img/link.png": "leaves the data folder",
        outside: "leaves the data folder",
        "img/bomb.png": "is too large",
        "img/loop.png": "can't be opened",
        "img/folder.png": "no such file",
        "img/pipe.png": "is a pipe, no regular file",
        "x" * 5000 + ".png": "can't be opened",
    }
    data = with_images(pictures, "bad.csv", list(reasons))
    words = ["check", data, "--target", "label", "--run", tmp_path / "run", *SETS]
    said = refused(capsys, words, tmp_path)
    assert (
        "'image'" in said
        and "13 of 80 cells" in said
        and "row 0, 'img/none.png': no such file" in said
    )
    remedy = re.search(r"--max-bad ([\d.]+)\.", said)
    assert remedy and "--root DIR" in said
    done(capsys, [*words, "--max-bad", remedy[1]])
    assert findings(tmp_path / "run", "cells_set_aside")[0]["value"] == 13
    exhibit = json.loads((tmp_path / "run" / "verbs" / "check" / "set_aside.json").read_text())
    told = {int(row[0]): row[2] for row in exhibit["rows"]}
    assert all(told[k].startswith(reason) for k, reason in enumerate(reasons.values())), told


def test_odd_images_are_converted_and_counted(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["cmyk.jpg", "palette.png", "deep.png", "bit.png", "alpha.png"]
    data = with_images(pictures, "odd.csv", [f"img/{n}" for n in names])
    done(capsys, ["check", data, "--target", "label", "--run", tmp_path / "run", *SETS])
    told = {f["scope"]["what"]: f["value"] for f in findings(tmp_path / "run", "converted_cells")}
    deep = "16 bits, range of the image itself"  # of one image no range is learned
    assert told == {f"image: {how}": 1 for how in ("CMYK", "palette", deep, "1 bit", "alpha")}
    assert not findings(tmp_path / "run", "cells_set_aside")


def test_made_images_and_rows_never_count_as_real(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done(capsys, ["generate", run, "-n", "2", "--out", pictures / "img" / "made"])
    made = [f"img/made/{p.name}" for p in (pictures / "img" / "made").iterdir()]
    data = with_images(pictures, "made.csv", made)
    done(capsys, ["check", data, "--target", "label", "--run", tmp_path / "run", *SETS])
    told = findings(tmp_path / "run", "cells_set_aside")[0]
    assert (  # the two images, and the sheet of both
        told["value"] == 3 and "row 0, column 'image': is marked as generated" in told["cells"][0]
    )
    said = done(capsys, ["augment", run, "--export", tmp_path / "export"])
    assert f"exported to {tmp_path / 'export'}: its README.md" in said
    origins = pq.read_table(tmp_path / "export" / "train.parquet")["gobelin_origin"].to_pylist()
    words = [
        "fit",
        tmp_path / "export" / "train.parquet",
        "--target",
        "shape",
        "--run",
        tmp_path / "again",
        *SETS,
    ]
    said = refused(capsys, words, tmp_path)
    assert (
        f"{origins.count('generated')} of {len(origins)} rows are not real" in said
        and "gobelin_origin" in said
    )
    done(capsys, ["augment", run, "--export", tmp_path / "export"])  # a finished export
    (tmp_path / "export" / "mine").touch()
    said = refused(
        capsys, ["augment", run, "--export", tmp_path / "export"], tmp_path / "export", 2
    )
    assert "fewer than the" in said and "is not empty" in said  # of its steps, and of the folder


# data that is odd but sound

ODD_NAMES = [
    "a/b",
    "..",
    '"quoted"',
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a,b",
    "line\nbreak",
    "\U0001f600",
    "L" * 3000,
    " lead ",
    "|pipe*md*",
]


def test_odd_class_and_column_names_stay_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ODD_NAMES * 9
    rows = [
        {
            "caption": f"some words here {k}",
            "../../evil": f"other words there {k}",
            "map1": k,
            "label": n,
        }
        for k, n in enumerate(names)
    ]
    data, folder = table(tmp_path / "data.csv", rows), tmp_path / "inside" / "run"
    done(capsys, ["fit", data, "--target", "label", "--run", folder, *SETS])
    for words in (
        ["evaluate", folder],
        ["report", folder],
        ["describe", folder, "--text", "words"],
    ):
        done(capsys, words)
    done(capsys, ["predict", folder, data, "--out", tmp_path / "p.csv"])
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        assert {f"p_{n.strip()}" for n in ODD_NAMES} < set(next(csv.reader(file)))
    page, text = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md")
    )
    assert "<script>alert" not in page + text and "<img src=x" not in page + text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "|pipe*md*" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.csv", "inside", "p.csv"]
    assert [p.name for p in (tmp_path / "inside").iterdir()] == ["run"]
    assert all(len(p.name.encode()) < 200 for p in tmp_path.rglob("*"))


def test_made_images_of_odd_classes_stay_in_the_run(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a/b", "../..", "<b>"]
    rows = [{"image": f"img/{k}.png", "label": names[k % 3]} for k in range(60)]
    data, folder = table(pictures / "classes.csv", rows), tmp_path / "inside" / "run"
    before = sorted(p.name for p in pictures.rglob("*"))
    done(
        capsys, ["fit", data, "--target", "label", "--run", folder, "--generator", "vaegan", *SETS]
    )
    for name in names:
        done(capsys, ["generate", folder, "--label", name, "-n", "1"])
    Workbench.open(folder).showcase([])
    done(capsys, ["report", folder])
    assert [p.name for p in tmp_path.iterdir()] == ["inside"] and [
        p.name for p in (tmp_path / "inside").iterdir()
    ] == ["run"]
    assert sorted(p.name for p in pictures.rglob("*")) == before
    assert len(list((folder / "images").rglob("*seed-0.png"))) >= 6


def test_texts_and_numbers_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a film column, an all-empty one, one class of a single row, CRLF, and dates and numbers
    of odd sorts."""
    rows = records(
        film=lambda k: f"s/{k}.mp4",
        nothing=lambda k: "",
        score=lambda k: "1,00,0" if k == 9 else "NA" if k % 9 == 4 else k,
        day=lambda k: "2020-13-45" if k == 9 else f"2020-01-{k % 28 + 1:02d}",
        odd=lambda k: f"{k % 28 + 1:02d}.01.2020",
        long=lambda k: (
            "word another thing here " * 43000 if k == 3 else f"some other words here {k}"
        ),
    )
    data, folder = (
        table(tmp_path / "data.csv", [*rows, rows[0] | {"label": "alone"}]),
        tmp_path / "run",
    )
    data.write_bytes(data.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    done(capsys, ["fit", data, "--target", "label", "--run", folder, *SETS])
    unread = findings(folder, "cells_without_encoder")[0]
    assert (
        unread["scope"] == {"column": "film"}
        and unread["value"] == 61
        and "no encoder" in unread["note"]
    )
    alone = next(f for f in findings(folder, "training_rows") if f["scope"]["class"] == "alone")
    assert alone["value"] == 1 and "left out of balanced accuracy" in alone["note"]
    aside = findings(folder, "cells_set_aside")[0]
    assert (
        aside["value"] == 2
        and "'1,00,0' is not a number" in " ".join(aside["cells"])
        and "'2020-13-45' is not a date" in " ".join(aside["cells"])
    )
    for words in (
        ["evaluate", folder],
        ["report", folder],
        ["predict", folder, data, "--out", tmp_path / "p.csv"],
    ):
        done(capsys, words)
    for words in (
        ["generate", folder, "-n", "1"],
        ["augment", folder],
        ["audit", folder],
        ["augment", folder, "--dry-run"],
    ):
        assert "no image column" in refused(capsys, words, folder)
    fit = ["fit", data, "--target", "label", "--generator", "vaegan", *SETS]
    for more in ([], ["--dry-run"]):
        assert "no image column" in refused(
            capsys, [*fit, "--run", tmp_path / "new", *more], tmp_path
        )
    assert "'image'" in refused(capsys, ["search", folder, "--image", data], folder)


def test_a_number_to_predict(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, folder = json.loads((run / "settings.json").read_text())["data"]["path"], tmp_path / "run"
    done(
        capsys,
        [
            "fit",
            data,
            "--target",
            "side",
            "--run",
            folder,
            "--generator",
            "vaegan",
            *SETS,
            "--set",
            "split.test=0.3",
        ],
    )
    for words in (["evaluate", folder], ["augment", folder], ["audit", folder], ["report", folder]):
        done(capsys, words)
    done(capsys, ["predict", folder, data, "--out", tmp_path / "p.csv"])
    with (tmp_path / "p.csv").open(encoding="utf-8") as file:
        assert all(
            float(r["low"]) <= float(r["prediction"]) <= float(r["high"])
            for r in csv.DictReader(file)
        )
    done(capsys, ["generate", folder, "--label", "7", "-n", "1", "--out", tmp_path / "made"])
    for label in ("big", "nan", "inf"):
        said = refused(capsys, ["generate", folder, "--label", label, "-n", "1"], folder)
        assert f"--label '{label}'" in said and "side" in said


def test_images_alone_in_every_sort_of_file(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [pictures / "img" / f"{k}.png" for k in range(60)]
    for k, file in enumerate(files):
        (tmp_path / "classes" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "classes" / "ab"[k % 2] / file.name)
    labels = ["ab"[k % 2] for k in range(60)]
    pairs = [
        {"bytes": f.read_bytes() if k > 3 else b"junk", "path": f.name} for k, f in enumerate(files)
    ]
    pq.write_table(pa.table({"image": pairs, "class": labels}), tmp_path / "pairs.parquet")
    lists = [
        {
            "image": [f"img/{k}.png", "img/none.png"] if k < 3 else [f"img/{k}.png"],
            "class": labels[k],
        }
        for k in range(60)
    ]
    (pictures / "lists.jsonl").write_text("\n".join(map(json.dumps, lists)), encoding="utf-8")
    for data, aside in (
        (tmp_path / "classes", 0),
        (tmp_path / "pairs.parquet", 4),
        (pictures / "lists.jsonl", 3),
    ):
        folder = tmp_path / f"run {data.name}"
        done(capsys, ["fit", data, "--target", "class", "--run", folder, *SETS])
        done(capsys, ["predict", folder, data, "--out", tmp_path / "p.csv"])
        assert sum(f["value"] for f in findings(folder, "cells_set_aside")) == aside
        assert len((tmp_path / "p.csv").read_text().splitlines()) == 61


def test_many_columns_and_a_run_elsewhere(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """300 columns; data and run named relative to a folder that is left afterwards."""
    rows: Rows = [
        {**{f"c{j}": (k * j) % 17 for j in range(300)}, "label": "ab"[k % 2]} for k in range(60)
    ]
    table(tmp_path / "sub" / "wide.csv", rows)
    monkeypatch.chdir(tmp_path / "sub")
    done(capsys, ["fit", "wide.csv", "--target", "label", "--run", "run", *SETS])
    monkeypatch.chdir(tmp_path)
    done(capsys, ["evaluate", "sub/run"])
    assert [p.name for p in tmp_path.iterdir()] == ["sub"]


def test_a_half_made_run_reports_and_names_what_lacks(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    done(capsys, ["check", good, "--target", "label", "--run", folder, *SETS])
    for words in (
        ["evaluate", folder],
        ["search", folder, "--text", "x"],
        ["search", folder, "--recall"],
        ["augment", folder],
        ["describe", folder, "--text", "x"],
        ["predict", folder, good, "--out", tmp_path / "p.csv"],
    ):
        said = refused(capsys, words, tmp_path)
        assert (
            "has no predictor yet" in said
            and f"gobelin fit {good} --target label --run {folder}" in said
        )
    done(capsys, ["report", folder])
    done(capsys, ["show", folder])
    assert (folder / "report.html").is_file()


# Python, and processes


def test_python_gets_the_same_words(good: Path, tmp_path: Path) -> None:
    for settings, target, word in (
        ({"aling": {}}, "label", "align"),
        ({}, "lable", "Did you mean 'label'"),
    ):
        with pytest.raises(GobelinError, match=word):
            Workbench(good, target, tmp_path / "run", settings).check()
    with pytest.raises(GobelinError, match="a target was expected"):
        Workbench(good, run=tmp_path / "run").fit()
    with pytest.raises(GobelinError, match="is not a run folder"):
        Workbench.open(tmp_path)
    assert not (tmp_path / "run").exists()


def test_our_own_mistakes_keep_their_traceback(good: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gobelin.workbench.run.rows.read", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["check", str(good), "--target", "label", "--run", str(tmp_path / "run")])


def command(*words: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-m", "gobelin", *map(str, words)], env=environment, **pipes
    )


def test_ctrl_c_stops_in_one_line_and_three_at_once_agree(run: Path, tmp_path: Path) -> None:
    """Stopped in the middle of a training; then the same command three times at once finishes
    it."""
    data, folder = json.loads((run / "settings.json").read_text())["data"]["path"], tmp_path / "run"
    words = [
        "fit",
        data,
        "--target",
        "shape",
        "--run",
        folder,
        "--generator",
        "vaegan",
        *SETS,
        "--set",
        "generator.steps=160",
    ]
    first, deadline = command(*words), time.monotonic() + 60
    while (
        not (folder / "model" / "stage.json").is_file()
        and first.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    time.sleep(0.3)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130 and "Traceback" not in said
    assert (
        said.strip().splitlines()[-1]
        == "Stopped. The same command continues from what was finished."
    )
    several = [command(*words) for _ in range(3)]
    told = [one.communicate(timeout=240) for one in several]
    assert [one.returncode for one in several] == [0, 0, 0], told
    assert "another gobelin is at work in it; waiting" in "".join(err for _, err in told)
    assert told[0][0] == told[1][0] == told[2][0] and not list(folder.rglob(".writing-*"))
    assert Workbench.open(folder).run.generator.trained


def test_without_a_verb_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    out = done(capsys, [])
    assert "evaluate" in out and "predict" in out


@pytest.mark.parametrize("words", [["list"], ["check", "x.csv", "--target", "y"]])
def test_a_working_folder_that_was_removed_is_one_line(words: list[str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    command = ["sh", "-c", shell, "sh", str(gone), sys.executable, "-m", "gobelin", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    message = "gobelin: the working folder was removed. Go to one that exists (cd)."
    assert done.stderr.splitlines() == [message]
