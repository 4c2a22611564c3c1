"""`curate` on a run, as a user calls it. Oracle: labels planted wrong, labels and captions taken
away, rows that stand there three times; files that are read back; and the same run killed on the
way."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import processor
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.interfaces.cli import main
from gobelin.workbench.curate.decisions import decisions

COLOURS = {"red": (220, 60, 50), "green": (60, 190, 80), "blue": (60, 80, 220)}
CLASSES, ROWS = tuple(sorted(COLOURS)), 700
QUICK = [
    *processor.OPTIONS,
    "encoders.image.name=pixels",
    "encoders.text.name=characters",
    "align.width=16",
    "align.steps=20",
    "fusion.settings.steps=60",
    "predict.decays=0.01",
    "schema.trust=weight",
    "schema.family=group",
]
SETS = [word for one in QUICK for word in ("--set", one)]


SAME = "same 10590"  # a family whose hash puts it into training, with each of the first six seeds


def plant(folder: Path) -> list[str]:
    """records.csv, and the true classes. Image and caption show the class; of labels 15 % say
    another and 10 % are missing, a quarter of the captions is. Rows 1, 2 and 3 are the same but for
    their names."""
    rng = np.random.default_rng(0)
    true = [CLASSES[k] for k in rng.integers(0, 3, ROWS)]
    true[1:4] = [true[1]] * 3
    folder.mkdir()
    with (folder / "records.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "caption", "size", "colour", "family", "trust"])
        for k, name in enumerate(true):
            if k not in (2, 3):
                pixels = np.clip(COLOURS[name] + rng.normal(0, 25, (12, 12, 3)), 0, 255).astype(
                    np.uint8
                )
                words = (
                    f"a {name} thing, number {rng.integers(1000)}"
                    if rng.random() < 0.75 or k == 1
                    else ""
                )
                size = rng.normal()
            Image.fromarray(pixels).save(folder / f"{k}.png")
            said = (
                CLASSES[(CLASSES.index(name) + rng.integers(1, 3)) % 3]
                if rng.random() < 0.15
                else name
            )
            said = "" if rng.random() < 0.1 else said
            family = SAME if k in (1, 2, 3) else f"f{k}"
            writer.writerow(
                [f"r{k}", f"{k}.png", words, size, said, family, 0.5 if k % 7 == 0 else 1.0]
            )
    return true


@pytest.fixture(scope="module")
def true(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("planted") / "data"
    return folder, plant(folder)


@pytest.fixture(scope="module")
def fitted(true: tuple[Path, list[str]]) -> Path:
    """A run that is fitted and not curated."""
    folder = true[0].parent / "run"
    main(["fit", str(true[0] / "records.csv"), "--target", "colour", "--run", str(folder), *SETS])
    return folder


@pytest.fixture(scope="module")
def curated(fitted: Path) -> Path:
    """The same, curated and exported beside it."""
    folder = fitted.parent / "curated"
    shutil.copytree(fitted, folder)
    main(
        [
            "curate",
            str(folder),
            "--export",
            str(fitted.parent / "export"),
            "--set",
            "curate.precision=0.8",
        ]
    )
    return folder


def findings(run: Path) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, (run / "findings.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["name"]: row for row in rows if row["source"] == "curate"}


def test_a_note_begins_a_sentence(curated: Path) -> None:
    """It stands behind a full stop: nothing that goes on with the number's sentence."""
    found = [f for f in Workbench.open(curated).findings() if f.value is not None]
    assert len(found) > 20
    for one in found:
        assert not one.note.startswith(("of ", "whose ", "that ", "which ")), one.sentence()


def looked(run: Path, true: list[str]) -> tuple[Any, np.ndarray]:
    """What was decided, and the true class of every row that was looked at."""
    opened = Workbench.open(run).run
    number = {f"r{k}": CLASSES.index(name) for k, name in enumerate(true)}
    decided = decisions(opened)
    ids = opened.checked.rows.ids(decided.rows)
    return decided, np.array([number[i] for i in ids])


def test_planted_wrong_labels_are_found_and_mended(
    curated: Path, true: tuple[Path, list[str]]
) -> None:
    seen, truth = looked(curated, true[1])
    labelled = seen.given >= 0
    wrong, flagged = labelled & (seen.given != truth), seen.suggested >= 0
    assert wrong.sum() > 40 and (wrong & flagged).sum() >= max(
        0.8 * wrong.sum(), 0.9 * flagged.sum()
    )
    found, changed = findings(curated), labelled & (seen.label != seen.given)
    assert (
        found["wrong_labels"]["low"]
        <= wrong.sum() / labelled.sum()
        <= found["wrong_labels"]["high"]
    )
    assert (
        found["suspects"]["value"] == flagged.sum()
        and found["labels_changed"]["value"] == changed.sum()
    )
    assert changed.sum() > 0.3 * wrong.sum() and (seen.label == truth)[changed].mean() > 0.95
    right = seen.label == truth
    assert seen.chance[labelled & right].mean() > 0.9 > 0.5 > seen.chance[labelled & ~right].mean()


def test_rows_without_a_label_get_one_that_is_right(
    curated: Path, true: tuple[Path, list[str]]
) -> None:
    seen, truth = looked(curated, true[1])
    given = (seen.given < 0) & (seen.label >= 0)
    found = findings(curated)
    assert (
        found["labels_given"]["value"] == given.sum() > 10
        and found["given_labels_right"]["low"] >= 0.8
    )
    assert (seen.label == truth)[given].mean() >= 0.8
    assert (seen.chance[given] >= seen.bar[0]).all()


def test_a_weight_is_the_label_s_chance_shared_among_look_alikes(
    curated: Path, true: tuple[Path, list[str]]
) -> None:
    seen, _ = looked(curated, true[1])
    run = Workbench.open(curated).run
    ids, own = run.checked.rows.ids(seen.rows), run.checked.rows.weights[seen.rows]
    count = np.array([(seen.alike == one).sum() for one in seen.alike])
    assert np.allclose(seen.weight, seen.chance / count * own) and set(own.tolist()) == {0.5, 1.0}
    assert ((seen.weight >= 0) & (seen.weight <= 1)).all()
    assert {i: c for i, c in zip(ids, count.tolist(), strict=True) if c > 1} == {
        "r1": 3,
        "r2": 3,
        "r3": 3,
    }


def test_the_export_changes_training_rows_alone_and_says_what(
    curated: Path, true: tuple[Path, list[str]]
) -> None:
    folder, names = true
    rows = pq.read_table(curated.parent / "export" / "curated.parquet").to_pylist()
    run = Workbench.open(curated).run
    parts = dict(zip(run.checked.rows.dataset.ids, run.checked.rows.parts.tolist(), strict=True))
    with (folder / "records.csv").open(encoding="utf-8") as file:
        before = {row["id"]: row for row in csv.DictReader(file)}
    assert [row["id"] for row in rows] == list(before) and {
        row["gobelin_split"] for row in rows
    } == {"train", "valid", "test"}
    seen, words = dict.fromkeys(("colour", "caption"), 0), dict(zip(before, names, strict=True))
    for row in rows:
        old, told = before[row["id"]], json.loads(row["gobelin_curated"] or "{}")
        assert (
            row["image"] == (folder / old["image"]).read_bytes()
            and row["gobelin_split"] == parts[row["id"]]
        )
        changed = {
            c for c in ("caption", "size", "colour", "family") if str(row[c] or "") != old[c]
        }
        assert changed == set(told) <= {"colour", "caption"}
        if row["gobelin_split"] != "train":
            assert not changed and row["gobelin_weight"] == float(old["trust"])
        if "colour" in told:
            assert (told["colour"]["was"] or "") == old["colour"] and 0 < told["colour"][
                "probability"
            ] <= 1
        if "caption" in told:
            donor = before[told["caption"]["from"]]
            assert (
                old["caption"] == ""
                and row["caption"] == donor["caption"]
                and parts[donor["id"]] == "train"
            )
            assert (
                f" {words[row['id']]} " in row["caption"]
            )  # planted: image and caption show the class
        seen = {c: count + (c in changed) for c, count in seen.items()}
    found = findings(curated)
    assert seen["colour"] == found["labels_changed"]["value"] + found["labels_given"]["value"]
    assert seen["caption"] == found["captions_given"]["value"] > 10


def test_what_is_exported_can_be_fitted_with_its_weights_and_parts(curated: Path) -> None:
    export, again = curated.parent / "export", curated.parent / "again"
    quick = [
        "generator.steps=2",
        "generator.size=16",
        "generator.settings.width=4",
        "generator.settings.batch=8",
    ]
    sets = [word for one in (*QUICK[:8], *quick) for word in ("--set", one)]
    recipe = ["--recipe", str(export / "recipe.json"), "--generator", "gan"]
    main(
        [
            "fit",
            str(export / "curated.parquet"),
            "--target",
            "colour",
            "--run",
            str(again),
            *recipe,
            *sets,
        ]
    )
    one, other = Workbench.open(curated).run, Workbench.open(again).run
    mine, theirs = one.checked.rows, other.checked.rows
    assert theirs.schema.role("weight") == "gobelin_weight"
    assert theirs.parts.tolist() == mine.parts.tolist() and theirs.groups == mine.groups
    assert theirs.schema.field_names == mine.schema.field_names
    decided = decisions(one)
    weights = dict(zip(mine.ids(decided.rows), decided.weight, strict=True))
    rows = other.generator.image_rows[0]
    assert np.allclose(rows.weights, [weights[i] for i in theirs.ids(theirs.part("train"))])


def test_the_report_shows_the_suspects(curated: Path) -> None:
    main(["report", str(curated)])
    page = (curated / "report.html").read_text(encoding="utf-8")
    assert "Which labels look wrong?" in page and "Training rows whose label looks wrong." in page
    shown = json.loads(
        (curated / "verbs" / "curate" / "mislabelled.json").read_text(encoding="utf-8")
    )["pairs"]
    assert len(shown) == 16 and all(
        (curated / pair[side]).is_file() for pair in shown for side in ("left", "right")
    )


KILLED = """
import os, signal
from gobelin.interfaces.cli import main
from gobelin.workbench.curate import findings
findings.thumbnail = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
main(["curate", {run!r}, "--set", "curate.precision=0.8"])
"""


def test_killed_on_the_way_it_finds_the_same(fitted: Path, curated: Path, tmp_path: Path) -> None:
    """In the middle of writing its exhibits, what it decided being written."""
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    code = KILLED.format(run=str(run))
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True).returncode
        == -signal.SIGKILL
    )
    assert findings(run) == {} and (run / "curated").is_dir()
    Workbench.open(run, settings={"curate": {"precision": 0.8}}).curate()
    assert findings(run) == findings(curated) != {}


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(w) for w in words])
    out, said = capsys.readouterr()
    assert (
        stop.value.code == 2
        and out == ""
        and len(said.strip().splitlines()) == 1
        and "Traceback" not in said
    ), said
    return said


def test_what_cannot_be_curated_is_refused_in_one_line(
    fitted: Path, curated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    with (tmp_path / "few.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ["x", "much", "tags", "same"],
                *(
                    [
                        round(rng.normal(), 3),
                        round(rng.normal(), 3),
                        "a|b" if k % 2 else "b|c",
                        "one",
                    ]
                    for k in range(60)
                ),
            ]
        )
    data, quick = (
        tmp_path / "few.csv",
        [word for one in QUICK[:3] + QUICK[5:9] for word in ("--set", one)],
    )
    for target, kind, what in (
        ("much", "number", "a number"),
        ("tags", "labels", "several labels a row"),
    ):
        leave = (
            ["--set", "schema.tags=ignore"] if target == "much" else ["--set", "schema.tags=labels"]
        )
        main(["fit", str(data), "--target", target, "--run", str(tmp_path / kind), *quick, *leave])
        said = refused(capsys, "curate", tmp_path / kind)
        assert f"curate: target '{target}' is {what}, one class a row was expected" in said
    one = ["fit", data, "--target", "same", "--run", tmp_path / "one", *quick]
    assert "every labelled row says 'one'" in refused(capsys, *one)
    main(["check", str(data), "--target", "x", "--run", str(tmp_path / "unfitted"), *quick])
    assert "has no predictor yet. Run gobelin fit" in refused(
        capsys, "curate", tmp_path / "unfitted"
    )
    main(["save", str(fitted), str(tmp_path / "saved")])
    assert "was saved without its data, which curate needs" in refused(
        capsys, "curate", tmp_path / "saved"
    )
    export = curated.parent / "export"
    (export / "mine").touch()
    assert "is not empty. Choose another folder" in refused(
        capsys, "curate", curated, "--export", export
    )
    (export / "mine").unlink()
    assert "is a file. Choose a new folder" in refused(
        capsys, "curate", curated, "--export", export / "README.md"
    )
    assert "curate takes settings of curate only" in refused(
        capsys, "curate", curated, "--set", "align.steps=3"
    )
    assert "precision" in refused(capsys, "curate", curated, "--set", "curate.precision=2")
    assert "Did you mean 'precision'?" in refused(
        capsys, "curate", curated, "--set", "curate.precison=0.9"
    )
