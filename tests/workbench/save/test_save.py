"""A run saved for others. Oracles: the run that it was saved from (images and predictions to the
bit), its findings (every number of the card), words that were planted in its data and must be
nowhere, and the hub's own filter of file names."""

from __future__ import annotations

import csv
import fnmatch
import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import processor
import pyarrow as pa
import pytest
from markdown_it import MarkdownIt
from PIL import Image

import gobelin
from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.core.files import file_hash, read_json, write_json
from gobelin.core.stages import MANIFEST
from gobelin.data.provenance.marks import save_png
from gobelin.embedding.search.index import INDEX_SUFFIXES
from gobelin.interfaces.cli import main
from gobelin.prediction.predictor import Predictions
from gobelin.workbench.save import card
from gobelin.workbench.search import hit_sheet

WORD, IDENTITY, PLACE = "zyxquartz", "patient-vonnegut", "hiddenplace"
QUICK = {
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "fusion": {"settings": {"steps": 60, "components": 24}},
    "align": {"steps": 20},
    "generator": {"steps": 12, "size": 16, "settings": {"width": 8, "batch": 16}},
    "runtime": processor.SETTINGS,
    "augment": {"ratio": (0.25,)},
    "judge": {"planted": 42},
    "data": {"cited": "Drawn by Gobelin, CC BY-SA 4.0"},
}
ASKED = [
    {},
    {"label": "circle"},
    {"query": {"text": "a red cross"}},
    {"label": "square", "query": {"row": "side=20,hue=0.6"}},
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shapes, with a word in every caption, a name in every id, and a telling place."""
    written = catalog.build("samples", "shapes").write(tmp_path_factory.mktemp("data") / PLACE, 0)
    with written.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["id"] = f"{IDENTITY}-{row['id']}"
        row["caption"] = row["caption"] and f"{row['caption']} {WORD}"
    with written.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return written


@pytest.fixture(scope="module")
def run(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything but `augment`."""
    bench = Workbench(source, "shape", tmp_path_factory.mktemp("runs") / "run", QUICK)
    bench.fit(generator=True)
    bench.evaluate(), bench.showcase([{"text": "a red circle"}]), bench.audit()
    return bench.folder


@pytest.fixture(scope="module")
def kept(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Workbench.open(run).save_pretrained(tmp_path_factory.mktemp("saved") / "shapes-model")


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "copy")


def bytes_of(paths: list[Path]) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in paths}


def assert_answers(saved: Predictions, own: Predictions) -> None:
    """A saved run answers as the run does. Only its sets may hold more: their bound, which is one
    row's score, is rounded up when the run is saved."""
    assert np.array_equal(saved.probabilities, own.probabilities)
    for one, other in zip(saved.rows(), own.rows(), strict=True):
        assert {**one, "set": ""} == {**other, "set": ""}
    assert saved.sets is not None and own.sets is not None
    assert (saved.sets >= own.sets).all() and saved.sets.sum() <= 1.25 * own.sets.sum()


def everything(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("asked", ASKED, ids=["nothing", "label", "text", "both"])
def test_images_are_those_of_the_run_to_the_bit(
    run: Path, kept: Path, tmp_path: Path, asked: dict
) -> None:
    one = Workbench.open(run).generate([3, 4, 11], out=tmp_path / "run", **asked)
    other = gobelin.from_pretrained(kept).generate([3, 4, 11], out=tmp_path / "saved", **asked)
    assert bytes_of(one) == bytes_of(other) and len(one) == 3


def test_an_image_is_a_query_of_a_saved_run_too(
    run: Path, kept: Path, source: Path, tmp_path: Path
) -> None:
    query = {"image": str(source.parent / "images" / "00007.png")}
    one = Workbench.open(run).generate([1], out=tmp_path / "run", query=query)
    other = gobelin.from_pretrained(str(kept)).generate([1], out=tmp_path / "saved", query=query)
    assert bytes_of(one) == bytes_of(other)


def test_predictions_and_probabilities_are_those_of_the_run(
    run: Path, kept: Path, source: Path
) -> None:
    one, other = (bench.predict(source) for bench in (Workbench.open(run), Workbench.open(kept)))
    assert_answers(other, one)
    assert len(one.ids) == 320
    seen, told = (Workbench.open(folder).describe(text="a red cross") for folder in (run, kept))
    assert told and told == [f for f in seen if f.name == "probability"]


def test_nothing_of_rows_or_places_is_in_it(run: Path, kept: Path, source: Path) -> None:
    planted = [WORD, IDENTITY, PLACE, str(source), str(run), str(Path.home()) + "/"]
    assert (
        WORD.encode() in source.read_bytes()
        and str(source).encode() in (run / "settings.json").read_bytes()
    )
    for name, data in everything(kept).items():
        assert not [word for word in planted if word.encode() in data], name
        assert Path(name).suffix in (".json", ".jsonl", ".safetensors", ".md")


def test_using_it_leaves_it_as_it_is(
    kept: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything(kept)
    main(["predict", str(kept), str(source), "--out", "predictions.csv"])
    main(["generate", str(kept), "--label", "cross", "-n", "2"])
    main(["show", str(kept)])
    assert (
        everything(kept) == before and len(list((tmp_path / "images").rglob("*-seed-*.png"))) == 2
    )


def test_verbs_that_need_the_data_say_so(kept: Path, source: Path) -> None:
    bench, before = Workbench.open(kept), everything(kept)
    calls: list[Callable[[], object]] = [
        bench.check,
        bench.fit,
        bench.evaluate,
        bench.recall,
        bench.augment,
        bench.audit,
        bench.report,
        bench.plan,
        lambda: bench.search(text="a"),
        lambda: bench.showcase([]),
    ]
    for call in calls:
        with pytest.raises(GobelinError, match=r"was saved without its data.*\.$") as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(GobelinError, match="is a saved run"):
        Workbench(source, "shape", kept, QUICK)
    assert everything(kept) == before


def cells(markdown: str) -> list[list[str]]:
    """The cells of all rows of all tables, read by a Markdown parser."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown.split("---\n", 2)[2]):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


def shown(value: float, unit: str, signed: bool) -> str:
    """The oracle's own print of a number."""
    sign = "+" if signed else ""
    return (
        f"{100 * value:{sign}.1f}" + (" %" if unit == "share" else " points")
        if unit
        else f"{value:{sign}.4g}"
    )


def printed_count(f: dict) -> str:
    return f"{f['n']} of {f['needed_n']} needed" if f["needed_n"] else str(f["n"])


def test_the_card_says_what_was_found_and_nothing_else(run: Path, kept: Path) -> None:
    text = gobelin.from_pretrained(kept).card()
    found = [json.loads(line) for line in (run / "findings.jsonl").read_text().splitlines()]
    table = cells(text)
    quality = [f for f in found if f["source"] in ("evaluate", "generate", "audit")]
    assert len(quality) > 15
    for f in quality:
        if f["value"] is None:  # too few images to say
            assert f["note"] and any(f["name"].replace("_", " ") in row[0] for row in table), f
            continue
        what = {
            shown(f["value"], f["unit"], bool(f["comparator"])),
            *([printed_count(f)] if f["n"] else []),
        }
        what |= {f["verdict"]} if f["verdict"] else set()
        if f["low"] is not None and f["unit"] == "share":
            what.add(f"{100 * f['low']:.1f} % to {100 * f['high']:.1f} %")
        assert any(what <= set(row) for row in table), f
    counted = [
        row
        for row in table
        if row[0].removesuffix("s") in {f["name"].replace("_", " ") for f in found}
    ]
    assert len(counted) <= len(quality)
    assert "Not measured: `augment` was not run." in text and text.count("Not measured") == 1
    assert "175 train, 66 valid, 79 test" in text and "only 175 training images" in text
    assert text.startswith("---\nlicense: cc-by-sa-4.0\nlibrary_name: gobelin\ntags: [")
    for f in found:  # what names single rows stays in the run
        f["rows"], f["cells"] = [], []
    assert [
        json.loads(line) for line in (kept / "findings.jsonl").read_text().splitlines()
    ] == found


def test_findings_of_another_generator_are_not_told(run: Path, tmp_path: Path) -> None:
    """The contact sheet's images name weights that aren't these; the study's key isn't that of
    these settings."""
    shutil.copytree(run, tmp_path / "run")
    for path in (tmp_path / "run" / "images" / "contact_sheet").rglob("seed-*.png"):
        save_png(path, np.zeros((16, 16, 3), np.uint8), {"weights": "0123456789abcdef"})
    stage = tmp_path / "run" / "verbs" / "audit" / "stage.json"
    write_json(stage, read_json(stage) | {"key": "of another study"})
    text = gobelin.from_pretrained(
        Workbench.open(tmp_path / "run").save_pretrained(tmp_path / "out")
    ).card()
    for verb in ("generate", "augment", "audit"):
        assert f"Not measured: `{verb}` was not run." in text
    assert (
        "It was not measured whether this generator copies" in text
        and "Not measured: `evaluate`" not in text
    )


@pytest.mark.parametrize(
    "name",
    [
        "settings.json",
        "schema.json",
        "findings.jsonl",
        "model/weights.safetensors",
        "alignment/config.json",
    ],
)
def test_edited_truncated_and_missing_files_are_one_line(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    flipped = whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:]
    for damaged in (whole[:-7], flipped, b""):
        (copy / name).write_bytes(damaged)
        refused(copy, rf"{Path(name).name}: was changed or truncated")
    (copy / name).unlink()
    refused(copy, rf"{Path(name).name}: is missing")


def refused(folder: Path, words: str) -> None:
    for opened in (gobelin.from_pretrained, Workbench.open):
        with pytest.raises(GobelinError, match=words) as caught:
            opened(folder)
        assert "\n" not in str(caught.value)


def test_a_damaged_manifest_is_one_line(copy: Path) -> None:
    whole = (copy / MANIFEST).read_text()
    said = json.loads(whole)
    for text, words in (
        (whole[:100], "missing or damaged"),
        ("[]", "missing or damaged"),
        (json.dumps(said | {"format": 9}), "has format 9"),
        (
            json.dumps(
                said | {"files": {**said["files"], "../x.json": {"sha256": "", "bytes": 0}}}
            ),
            "no part of a saved run",
        ),
        (
            json.dumps(said | {"files": {**said["files"], "x.py": {"sha256": "", "bytes": 0}}}),
            "no part of a saved run",
        ),
        (
            json.dumps(
                said | {"files": {k: v for k, v in said["files"].items() if k != "settings.json"}}
            ),
            "is missing",
        ),
    ):
        (copy / MANIFEST).write_text(text)
        refused(copy, words)
    (copy / MANIFEST).unlink()
    with pytest.raises(GobelinError, match="is no saved run"):
        gobelin.from_pretrained(copy)


@pytest.mark.parametrize(
    "name", ["model.pkl", "generators/weights.bin", "loader.py", "encoders/image/weights.PT"]
)
def test_code_and_pickles_are_refused(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"x")
    refused(copy, "is code or can hold code")


def test_a_strange_file_in_a_stage_is_refused_and_a_note_is_not(copy: Path) -> None:
    (copy / "LICENSE").write_text("mine")
    (copy / ".gitattributes").write_text("*")
    (copy / "README.md").write_text("# Mine")
    assert gobelin.from_pretrained(copy).card() == "# Mine"
    (copy / "model" / "more.json").write_text("{}")
    refused(copy, "isn't listed")


def test_where_something_is_already_nothing_is_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "full", tmp_path / "full" / "note"):
        with pytest.raises(GobelinError, match="is not empty|is a file"):
            Workbench.open(run).save_pretrained(place)
    assert everything(tmp_path / "full") == {"note": b"mine"}
    for _ in range(2):  # a command that was killed at its end is run again
        Workbench.open(run).save_pretrained(tmp_path / "empty")
    again = gobelin.from_pretrained(tmp_path / "empty").save_pretrained(tmp_path / "again")
    assert everything(again) == everything(tmp_path / "empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "empty", "full"]


def test_a_run_without_a_generator_still_predicts(source: Path, tmp_path: Path) -> None:
    bench = Workbench(source, "shape", tmp_path / "run", QUICK)
    with pytest.raises(GobelinError, match="has no predictor yet"):
        bench.save_pretrained(tmp_path / "early")
    bench.fit()
    main(["save", str(bench.folder), str(tmp_path / "out")])
    loaded = gobelin.from_pretrained(tmp_path / "out")
    assert_answers(loaded.predict(source), bench.predict(source))
    text = loaded.card()
    assert (
        "Not measured: `evaluate` was not run." in text
        and "audit" not in text.split("## Quality")[1].split("## Limits")[0]
    )
    with pytest.raises(GobelinError, match="was saved without a generator"):
        loaded.generate([0])


def test_without_its_data_a_run_can_be_saved(
    run: Path, kept: Path, source: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    said = read_json(tmp_path / "run" / "settings.json")
    said["data"]["path"] = str(tmp_path / "nowhere" / "records.csv")
    write_json(tmp_path / "run" / "settings.json", said)
    out = Workbench.open(tmp_path / "run").save_pretrained(tmp_path / kept.name)
    assert everything(out) == everything(kept)


def test_estimators_that_may_hold_rows_are_not_saved(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    late = {"name": "voting", "settings": {"options": {"n_estimators": 5}}}
    bench = Workbench.open(tmp_path / "run", settings={"fusion": late})
    bench.fit()
    with pytest.raises(GobelinError, match="may hold training rows. Fit with another --fusion"):
        bench.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_with_its_index_it_can_be_searched(run: Path, tmp_path: Path) -> None:
    out = Workbench.open(run).save_pretrained(tmp_path / "out", index=True)
    one, other = (Workbench.open(folder).search(4, text="a red cross") for folder in (run, out))
    assert [hit.id for hit in one] == [hit.id for hit in other] and IDENTITY in one[0].id
    assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-6)
    assert "their shared vectors" in gobelin.from_pretrained(out).card()
    assert {f.name for f in Workbench.open(out).describe(text="a red cross")} == {
        "probability",
        "similarity",
    }


@pytest.mark.parametrize("cell", ["mine.png", "../elsewhere/mine.png", "{}/elsewhere/mine.png"])
def test_no_cell_that_a_stranger_added_to_an_index_is_read(
    run: Path, tmp_path: Path, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sheet would show the files of this machine that such cells name, and a saved run has none.
    Oracle: no file is opened for it, and no cell shown."""
    out = Workbench.open(run).save_pretrained(tmp_path / "out", index=True)
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (20, 20), "red").save(tmp_path / "elsewhere" / "mine.png")
    index = out / "index"
    with pa.memory_map(str(index / "rows.arrow")) as file:
        rows = pa.ipc.open_file(file).read_all()
    names = pa.array([cell.format(tmp_path)] * len(rows))
    rows = pa.Table.from_batches(rows.append_column("image", names).to_batches())
    with pa.ipc.new_file(str(tmp_path / "rows.arrow"), rows.schema) as writer:
        writer.write_table(rows)
    shutil.move(tmp_path / "rows.arrow", index / "rows.arrow")
    about = read_json(index / "search.json") | {"root": str(tmp_path / "elsewhere")}
    write_json(index / "search.json", about)
    manifest = read_json(out / MANIFEST)
    for name in manifest["files"]:
        file = out / name
        manifest["files"][name] = {"sha256": file_hash(file), "bytes": file.stat().st_size}
    write_json(out / MANIFEST, manifest)
    shown: list[str] = []
    monkeypatch.setattr(hit_sheet, "_show", lambda *given: shown.append(str(given[3])))
    hits = Workbench.open(out).search(4, text="a red cross", sheet=tmp_path / "sheet.html")
    assert len(hits) == 4 and not shown and not any(hit.cells for hit in hits)


def test_a_device_that_is_not_here_is_replaced(kept: Path, copy: Path, source: Path) -> None:
    said = read_json(copy / "settings.json")
    said["runtime"] |= {"device": "cuda:63", "threads": 4096}
    write_json(copy / "settings.json", said)
    listed = read_json(copy / MANIFEST)
    listed["files"]["settings.json"] = {
        "sha256": file_hash(copy / "settings.json"),
        "bytes": (copy / "settings.json").stat().st_size,
    }
    write_json(copy / MANIFEST, listed)
    runtime = gobelin.from_pretrained(copy).run.settings.runtime
    assert runtime.device != "cuda:63" and 1 <= runtime.threads <= (os.cpu_count() or 1)


def test_a_path_of_this_machine_is_never_told(run: Path, source: Path, tmp_path: Path) -> None:
    """A credit line that names the data's place can't be mended for the user, and is refused."""
    bench = Workbench.open(run, settings={"data": {"cited": f"from {source}"}})
    with pytest.raises(GobelinError, match="would hold the path of the data"):
        bench.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("cited", "expected"),
    [
        ("OpenMoji, CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("CC-BY-NC-ND 3.0", "cc-by-nc-nd-3.0"),
        ("ours, CC0", "cc0-1.0"),
        ("MIT", "unknown"),
        ("", "unknown"),
        ("CC BY 4.0 and CC BY-SA 4.0", "unknown"),
        ("CC BY 4.0: CC BY 4.0", "cc-by-4.0"),
    ],
)
def test_a_licence_is_read_off_the_credit_line_or_unknown(cited: str, expected: str) -> None:
    assert card.licence(cited) == expected


class FakeHub:
    """What the library's API does, with a folder in the place of the network."""

    def __init__(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, private: bool = True, error: str = ""
    ) -> None:
        hub = pytest.importorskip("huggingface_hub")
        self.place, self.private, self.error, self.calls = place, private, error, []
        for name in (
            "create_repo",
            "upload_folder",
            "repo_info",
        ):  # it takes what the library's own takes
            own, real = (
                inspect.signature(getattr(FakeHub, name)),
                inspect.signature(getattr(hub.HfApi, name)),
            )
            named = {
                p
                for p, kind in own.parameters.items()
                if kind.kind is not inspect.Parameter.VAR_KEYWORD
            }
            assert named <= set(real.parameters) and {"private", "exist_ok"} <= set(
                inspect.signature(hub.HfApi.create_repo).parameters
            )
        monkeypatch.setattr(hub, "HfApi", lambda: self)
        monkeypatch.setattr(hub, "snapshot_download", self.download)

    def create_repo(self, **asked: object) -> str:
        self.calls.append(("create", asked))
        if self.error:
            raise OSError(self.error)
        return f"https://hub/{asked['repo_id']}"

    def repo_info(self, repo_id: str) -> object:
        return type("Info", (), {"private": self.private})()

    def upload_folder(
        self,
        repo_id: str,
        folder_path: str,
        allow_patterns: list[str],
        delete_patterns: list[str],
        commit_message: str,
    ) -> None:
        from huggingface_hub.utils import filter_repo_objects

        for name in [
            n for n in everything(self.place) if any(fnmatch.fnmatch(n, p) for p in delete_patterns)
        ]:
            (self.place / name).unlink()
        for name in filter_repo_objects(
            sorted(everything(Path(folder_path))), allow_patterns=allow_patterns
        ):
            (self.place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(folder_path) / name, self.place / name)
        self.calls.append(("upload", repo_id))

    def download(
        self, name: str, revision: str | None, allow_patterns: list[str], **asked: object
    ) -> str:
        self.calls.append(("download", name, revision, allow_patterns))
        if self.error:
            raise OSError(self.error)
        return str(self.place)


def test_an_index_is_handed_on_only_where_it_is_asked_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: a saved run with an index, saved or sent again without the word, had all ids."""
    out = Workbench.open(run).save_pretrained(tmp_path / "out", index=True)
    (tmp_path / "hub").mkdir()
    hub = FakeHub(tmp_path / "hub", monkeypatch)
    bench = gobelin.from_pretrained(out)
    for hand_on in (
        lambda: bench.save_pretrained(tmp_path / "again"),
        lambda: bench.push_to_hub("somebody/model"),
        lambda: gobelin.push_to_hub(out, "somebody/model"),
    ):
        with pytest.raises(GobelinError, match="holds the ids of its rows.*Add --index"):
            hand_on()
    assert not (tmp_path / "again").exists() and not everything(hub.place)
    again = bench.save_pretrained(tmp_path / "again", index=True)
    assert everything(again) == everything(out)
    gobelin.push_to_hub(out, "somebody/model", index=True)
    assert IDENTITY.encode() in b"".join(everything(hub.place).values())


def test_the_hub_gets_the_files_of_the_manifest_and_gives_them_back(
    run: Path, copy: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub" / "generators" / "old-0").mkdir(parents=True)
    (tmp_path / "hub" / "generators" / "old-0" / "config.json").write_text("{}")
    (tmp_path / "hub" / "LICENSE").write_text("theirs")
    hub = FakeHub(tmp_path / "hub", monkeypatch)
    (copy / "notes.txt").write_text("mine")
    (copy / "images").mkdir()
    Image.new("RGB", (4, 4)).save(copy / "images" / "own.png")
    expected = {
        k: v for k, v in everything(copy).items() if k not in ("notes.txt", "images/own.png")
    }
    assert set(expected) == {*read_json(copy / MANIFEST)["files"], MANIFEST}
    assert gobelin.push_to_hub(copy, "somebody/shapes-model") == "https://hub/somebody/shapes-model"
    assert everything(hub.place) == {**expected, "LICENSE": b"theirs"}
    assert hub.calls[0] == (
        "create",
        {"repo_id": "somebody/shapes-model", "private": True, "exist_ok": True},
    )
    loaded = gobelin.from_pretrained("somebody/shapes-model", revision="v1")
    read = ["*.json", "*.jsonl", "*.safetensors", "*.md", "*.png"]
    index = [f"index/*{suffix}" for suffix in INDEX_SUFFIXES]
    assert hub.calls[-1] == ("download", "somebody/shapes-model", "v1", read + index)
    assert_answers(loaded.predict(source), Workbench.open(run).predict(source))
    main(["save", str(run), "--push", "somebody/shapes-model", "--public"])
    assert hub.calls[-2][1]["private"] is False and set(everything(hub.place)) == {
        *expected,
        "LICENSE",
    }


def test_a_public_repository_is_not_taken_for_a_private_one(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub").mkdir()
    hub = FakeHub(tmp_path / "hub", monkeypatch, private=False)
    with pytest.raises(GobelinError, match="is a public repository already"):
        gobelin.push_to_hub(copy, "somebody/model")
    assert not everything(hub.place)
    gobelin.push_to_hub(copy, "somebody/model", private=False)
    assert everything(hub.place)


def test_the_hubs_failures_are_one_line(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub(tmp_path, monkeypatch, error="no network\nat all")
    with pytest.raises(
        GobelinError,
        match=r"^somebody/model: can't be uploaded \(no network\)\. Look at the network.*$",
    ):
        gobelin.push_to_hub(copy, "somebody/model")
    with pytest.raises(
        GobelinError,
        match=r"^somebody/model: can't be downloaded \(no network\)\. Give a folder\.$",
    ):
        gobelin.from_pretrained("somebody/model")
    hub.calls.clear()
    for name in ("nowhere", "a/b/c", tmp_path / "nowhere"):
        with pytest.raises(GobelinError, match="no such folder, and no OWNER/REPOSITORY"):
            gobelin.from_pretrained(name)
    for name in (
        "model",
        "../x",
        "x/..",
        "a/-b",
        "a--b/c",
        "\u00e9/x",
        f"a/{'b' * 99}",
        "a/b\n",
        "",
    ):
        with pytest.raises(GobelinError, match="is no name of a repository"):
            gobelin.push_to_hub(copy, name)
        with pytest.raises(SystemExit, match="^2$"):
            main(["save", str(copy), "--push", name])
    gobelin.from_pretrained(copy)
    assert hub.calls == []  # nothing asks the network unless a repository was named


def test_without_the_extra_it_says_how_to_install(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for work in (
        lambda: gobelin.from_pretrained("somebody/model"),
        lambda: gobelin.push_to_hub(copy, "somebody/model"),
    ):
        with pytest.raises(MissingExtra, match=r"gobelin\[diffusers\]"):
            work()
    assert gobelin.from_pretrained(copy).card()


def test_a_pretrained_generator_is_found_at_its_new_place(
    source: Path, pipelines: dict[str, Path], tmp_path: Path
) -> None:
    """The pipeline isn't copied, and its old place isn't told; with its new one the images are the
    same."""
    pytest.importorskip("diffusers")
    settings = {
        "name": "pretrained",
        "steps": 1,
        "size": 16,
        "settings": {"model": str(pipelines["text"]), "evaluations": 2},
    }
    bench = Workbench(source, "shape", tmp_path / "run", {**QUICK, "generator": settings})
    bench.fit(generator=True)
    out = bench.save_pretrained(tmp_path / "out")
    assert not [
        name for name, data in everything(out).items() if str(pipelines["text"]).encode() in data
    ]
    with pytest.raises(GobelinError, match="no such folder"):
        gobelin.from_pretrained(out).generate([0], out=tmp_path / "none", query={"text": "a bird"})
    elsewhere = shutil.copytree(pipelines["text"], tmp_path / "elsewhere")
    loaded = gobelin.from_pretrained(
        out, settings={"generator": {"settings": {"model": str(elsewhere)}}}
    )
    other = loaded.generate([0, 1], out=tmp_path / "b", query={"text": "a bird"})
    assert bytes_of(
        bench.generate([0, 1], out=tmp_path / "a", query={"text": "a bird"})
    ) == bytes_of(other)
