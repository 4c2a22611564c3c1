"""Nothing that stands in the data can steer a terminal or a page: nasty ids, classes, columns,
captions, groups and names of files go through every verb. Oracle: no control or bidirectional
character is left in what was printed, in the report and in the card, and no tag of the data's."""

from __future__ import annotations

import csv
import json
import os
import threading
import unicodedata
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import processor
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt

from gobelin.data.samples.shapes import Shapes
from gobelin.interfaces.cli import main

QUICK = [
    *processor.OPTIONS,
    "encoders.image.name=pixels",
    "encoders.text.name=characters",
    "align.width=16",
    "align.steps=0",
    "fusion.settings.steps=20",
    "predict.folds=2",
    "predict.decays=0.01",
    "generator.size=16",
    "generator.steps=2",
    "generator.settings.width=4",
    "generator.settings.heads=2",
    "generator.settings.batch=8",
]
WRITING = ("curate", "save", "predict", "generate")  # whose second run finds other files
GENERATOR = ["--generator", "flow"]
BAD = "\x1b[31m\x9b\x07\u202e\u2066\u200b\u2028"
FOLDER = "\x9b\u202e\u2066\u200b\u2028"  # search keeps nothing below a name with \x1b
TAGS = "[red]</script><img src=x onerror=alert(1)>\"'`{{7*7}}{% x %}&"
NASTY = f"={BAD}{TAGS}"


def options(sets: Sequence[str]) -> list[str]:
    return [word for one in sets for word in ("--set", one)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shapes with nasty words at every place, as Parquet."""
    folder = tmp_path_factory.mktemp("nasty")
    rows = pa_csv.read_csv(Shapes(rows=120).write(folder / "shapes", 0)).to_pylist()
    for k, row in enumerate(rows):
        image = folder / "shapes" / row["image"]
        named = f"images/{BAD}[red]<b>'{k}.png"
        image.rename(folder / "shapes" / named)
        row["image"] = named
        row["id"] = f"{NASTY}\n{k}"
        row["shape"] = f"{row['shape']}{NASTY}"
        row["caption"] = f"{row['caption']} {NASTY}"
        row[f"group{BAD}{TAGS}"] = f"{NASTY}{k // 2}"
        row[f"={BAD}[b]kind|<i>"] = f"{NASTY}{k % 3}"
    path = folder / "shapes" / "nasty.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    folder = data.parent.parent / f"run{FOLDER}<b>[red]"
    main(["fit", str(data), "--target", "shape", "--run", str(folder), *GENERATOR, *options(QUICK)])
    return folder


def clean(text: str) -> None:
    wrong = {
        c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }
    assert not wrong, wrong


def verbs(data: Path, run: Path, folder: Path) -> list[list[object]]:
    query = ["--query", f"caption=red {NASTY}"]
    image = str(next((data.parent / "images").iterdir()))
    saved = folder / f"saved{BAD}[red]"
    return [
        ["check", data, "--target", "shape", "--run", run, *options(QUICK)],
        ["evaluate", run],
        ["evaluate", run, data, "--all"],
        ["search", run, *query],
        ["search", run, "--recall"],
        ["search", run, *query, "--where", f"side = '{NASTY}"],
        ["index", run, "--delete", f"{BAD}gone"],
        ["describe", run, "--image", image],
        ["predict", run, data, "--out", folder / f"p{BAD}.csv"],
        ["predict", run, folder / f"gone{BAD}.csv", "--out", folder / "p.csv"],
        ["generate", run, "-n", 1, "--label", NASTY],
        ["generate", run, "-n", 1, *query, "--out", folder / f"out{BAD}"],
        ["augment", run],
        ["curate", run, "--export", folder / f"curated{BAD}"],
        ["report", run],
        ["show", run],
        ["save", run, saved],
        ["show", saved],
        ["fit", data, "--target", f"a{BAD}", "--run", folder / "other"],
        ["list", f"a{BAD}"],
        [f"a{BAD}"],
        ["check", f"--{BAD}"],
    ]


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_every_verb_escapes(
    data: Path, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = 0
    for words in verbs(data, run, tmp_path):
        for more in ([],) if words[0] in WRITING else ([], ["--json"]):
            left: object = 0
            try:
                main([*map(str, words), *more])
            except SystemExit as error:
                left = error.code
            told = capfd.readouterr()
            clean(told.out), clean(told.err)
            assert left in (0, 2), (words, told)
            done += not left
            if more and left == 0:
                assert [json.loads(line) for line in told.out.splitlines()]
    assert done >= 20
    page = (run / "report.html").read_text(encoding="utf-8")
    clean(page), clean((run / "report.md").read_text(encoding="utf-8"))
    assert r"\x1b[31m" in page and "&lt;/script&gt;" in page
    tags = Tags(page).found
    assert not {"script", "b", "i", "a b"} & {tag for tag, _ in tags}
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "img" or str(attributes["src"]).startswith("data:image/png;base64,")
        assert tag != "a" or str(attributes["href"]).startswith("#")
    (card,) = tmp_path.glob("saved*/README.md")
    clean(card.read_text(encoding="utf-8"))
    tokens = MarkdownIt("commonmark").parse(card.read_text(encoding="utf-8").split("---", 2)[2])
    parts = [part for token in tokens for part in (token, *(token.children or ()))]
    assert not [p for p in parts if p.type in ("html_inline", "html_block", "link_open", "image")]
    (note,) = tmp_path.glob("curated*/README.md")
    clean(note.read_text(encoding="utf-8"))


def test_predictions_for_a_spreadsheet(
    data: Path, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Into a pipe, which stays one; ids, classes and headers; raw they are as they were."""
    os.mkfifo(tmp_path / "pipe")
    got: dict[bool, list[list[str]]] = {}
    for raw in (False, True):
        read: list[str] = []
        take = lambda: read.append((tmp_path / "pipe").read_text(encoding="utf-8"))  # noqa: B023, E731
        pipe = threading.Thread(target=take, daemon=True)
        pipe.start()
        words = [
            "predict",
            str(run),
            str(data),
            "--out",
            str(tmp_path / "pipe"),
            "--only-predictions",
        ]
        main([*words, *["--raw-csv"] * raw])
        pipe.join(20)
        got[raw] = list(csv.reader(read[0].splitlines(keepends=True)))
        told = capfd.readouterr().err
        assert ("120 cells would be formulas" in told) != raw
    ids = pq.read_table(data)["id"].to_pylist()
    assert [row[0] for row in got[True][1:]] == ids
    assert [row[0] for row in got[False][1:]] == [f"'{one}" for one in ids]
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]
