"""`predict` and `generate` on what a user has next. Oracle: the user's own cells, read back, what
was planted in the new rows, and the bytes of files that were there before."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from presets import SMALL, as_options

from gobelin import Workbench
from gobelin.interfaces.cli import main

N = 90
COLOURS = {"fern": (30, 160, 60), "mug": (190, 90, 40)}
QUICK = ["generator.steps=2", "generator.settings.width=8", "generator.settings.batch=16"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a table of things, and a run of it."""
    folder, rng = tmp_path_factory.mktemp("things"), np.random.default_rng(0)
    (folder / "pics").mkdir()
    rows = []
    for k in range(N):
        kind = list(COLOURS)[k % 2]
        noise = rng.integers(-20, 20, (12, 12, 3)) + np.array(COLOURS[kind])
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / "pics" / f"{k}.png")
        rows.append(
            {
                "sku": f"S-{k:03d}",
                "photo": f"pics/{k}.png",
                "price": f"{10 + 20 * (k % 2) + rng.normal():.2f}",
                "shop": "Bonn" if k >= N - 4 else ["Lyon", "Porto"][k // 2 % 2],
                "kind": kind,
            }
        )
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "things.csv", index=False)
    frame.drop(columns="kind")[:9].to_csv(folder / "new.csv", index=False)
    training = ["--generator", "vaegan", "--fusion", "mean"]
    main(["fit", *begun(folder), *training, *as_options(QUICK)])
    return folder


def begun(folder: Path) -> list[str]:
    """The words of `check` and `fit`."""
    run = ["--target", "kind", "--run", str(folder / "run")]
    return [str(folder / "things.csv"), *run, *as_options([*SMALL, "schema.sku=id"])]


@pytest.fixture
def said(place: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    """A function that predicts a frame from its file and returns what was printed about it, but for
    the line on empty sets."""

    def predict(frame: pd.DataFrame, *more: str) -> str:
        frame.to_csv(place / "some.csv", index=False)
        out = ["--out", str(place / "some-pred.csv")]
        main(["predict", str(place / "run"), str(place / "some.csv"), *out, *more])
        lines = capsys.readouterr().err.splitlines(keepends=True)
        return "".join(line for line in lines if "an empty set" not in line)

    yield predict


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_the_users_columns_stand_first_as_they_were_written(place: Path) -> None:
    given = (place / "new.csv").read_text().splitlines()
    for name in ("pred.csv", "pred.tsv", "pred.jsonl", "pred.parquet"):
        main(["predict", str(place / "run"), str(place / "new.csv"), "--out", str(place / name)])
    lines = (place / "pred.csv").read_text().splitlines()
    assert all(line.startswith(f"{row},") for line, row in zip(lines, given, strict=True))
    rows = [dict(zip(given[0].split(","), row.split(","), strict=True)) for row in given[1:]]
    tsv = table(place / "pred.tsv", "\t")
    jsonl = [json.loads(line) for line in (place / "pred.jsonl").read_text().splitlines()]
    parquet = pq.read_table(place / "pred.parquet").to_pylist()
    for found in (tsv, jsonl, parquet):
        assert [{k: row[k] for k in rows[0]} for row in found] == rows
        assert [row["prediction"] for row in found] == [line.split(",")[4] for line in lines[1:]]


def test_a_file_of_predictions_can_be_predicted_again(place: Path) -> None:
    pred = place / "twice.csv"
    for source in ("new.csv", "twice.csv"):
        main(["predict", str(place / "run"), str(place / source), "--out", str(pred)])
    rows = table(pred)
    assert [r["prediction"] for r in rows] == [r["prediction_2"] for r in rows]


def test_a_check_afterwards_keeps_the_fusion_and_the_generator(place: Path) -> None:
    before = (place / "run" / "settings.json").read_text()
    main(["check", *begun(place)])
    assert (place / "run" / "settings.json").read_text() == before
    assert '"mean"' in before and '"steps": 2' in before
    main(["check", *begun(place), "--set", "generator.size=16"])  # as it is
    assert (place / "run" / "settings.json").read_text() == before


def test_only_predictions_have_the_users_ids(place: Path) -> None:
    out = place / "only.csv"
    words = ["predict", str(place / "run"), str(place / "new.csv"), "--only-predictions"]
    main([*words, "--out", str(out)])
    frame = pd.read_csv(out)
    assert list(frame.columns)[:2] == ["sku", "prediction"] and "photo" not in frame
    assert list(frame["sku"]) == list(pd.read_csv(place / "new.csv")["sku"])
    again = Workbench.open(place / "run").predict(place / "new.csv").to_frame()
    assert list(again.columns) == list(frame.columns)
    assert list(again["prediction"]) == list(frame["prediction"])


@pytest.mark.parametrize("spelled", ["new.csv", "./run/../new.csv", "link.csv"])
def test_predictions_alone_never_replace_the_data(
    spelled: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file by another name is the same file."""
    if spelled == "link.csv" and not (place / spelled).exists():
        (place / spelled).symlink_to(place / "new.csv")
    before = (place / "new.csv").read_bytes()
    new, out = str(place / "new.csv"), str(place / spelled)
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(place / "run"), new, "--out", out, "--only-predictions"])
    assert ended.value.code == 2 and "is DATA itself" in capsys.readouterr().err
    assert (place / "new.csv").read_bytes() == before


def test_a_folder_of_pictures_and_a_frame_with_images(place: Path) -> None:
    """Paths of a folder stay; images in memory can't stand in a CSV, and no table holds them."""
    (place / "folder" / "a").mkdir(parents=True)
    shutil.copy(place / "pics" / "0.png", place / "folder" / "a" / "x.png")
    renamed = place / "renamed.csv"
    renamed.write_text("photo\nfolder/a/x.png\n")
    main(["predict", str(place / "run"), str(renamed), "--out", str(place / "f.csv")])
    (row,) = table(place / "f.csv")
    assert row["photo"] == "folder/a/x.png" and row["prediction"] in COLOURS
    with Image.open(place / "pics" / "0.png") as image:
        found = Workbench.open(place / "run").predict(pd.DataFrame({"photo": [image]}))
    assert found.labels == [row["prediction"]]


def test_one_line_counts_what_is_odd(place: Path, said) -> None:
    new = pd.read_csv(place / "new.csv")
    assert said(new) == ""
    for frame, parts in (
        (
            new.assign(shop="Bonn"),
            [
                "'shop': 9 cells hold a value that was not learned (first: 'Bonn'): fewer than 5"
                " groups of training rows have it (setting data.least_groups)"
            ],
        ),
        (new.drop(columns="photo"), ["1 column is missing ('photo')"]),
        (
            new.rename(columns={"shop": "Shop"}).assign(x=1, y=2, z=3),
            ["missing ('shop' - is it 'Shop'?)", "4 columns are not known ('Shop', 'x', 'y', ...)"],
        ),
        (
            new.assign(price=new["price"] * 1000),
            ["'price': 9 cells lie far outside of most training values, about ", " another unit"],
        ),
        (
            new.assign(price=[np.inf, -np.inf, *new["price"][2:]]),
            ["column 'price': 2 cells are infinite and count as missing"],
        ),
        (
            new.assign(price=["Infinity", *new["price"][1:].astype(str)]),
            ["column 'price': 1 cell is infinite and counts as missing"],
        ),
        (
            new.assign(price=[f"{1 + k},{k}38" for k in range(8)] + ["0,598"]),
            ["'price': 8 cells lie far outside", "Their decimal mark is ',', and not that of"],
        ),
        (new.assign(photo=""), ["1 column is empty in every row ('photo')"]),
        (
            new.assign(price=["cheap", *new["price"][1:]]),
            ["'price': 1 cell counts as missing (first: row S-000: 'cheap' is not a number)"],
        ),
    ):
        told = said(frame, "--max-bad", "0.2")
        assert len(told.splitlines()) == 1 and all(part in told for part in parts), told


def test_an_image_of_another_condition_is_never_written_over(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = place / "made"
    begun = ["generate", str(place / "run"), "-n", "2", "--out", str(out)]
    conditions = (
        ["--label", "mug"],
        ["--label", "fern"],
        ["--label", "fern", "--guidance", "1"],
        ["--row", "price=10"],
        ["--row", "price=30"],
        ["--label", "mug", "--row", "price=30"],
        ["--image", str(place / "pics" / "0.png")],
        [],
    )
    held: dict[Path, bytes] = {}
    for k, condition in enumerate(conditions):
        main([*begun, *condition])
        files = {path: path.read_bytes() for path in out.iterdir()}
        assert len(files) == 3 * (k + 1) and files.items() >= held.items()
        held = files
    main([*begun, *conditions[0]])  # the same once more
    assert {path: path.read_bytes() for path in out.iterdir()} == held
    assert "2 images in" in capsys.readouterr().out
    with Image.open(place / "pics" / "1.png") as other:
        other.save(place / "pics" / "0.png")  # another image under the same name
    main([*begun, *conditions[6]])
    assert len(list(out.iterdir())) == len(held) + 3
    assert {path: path.read_bytes() for path in held} == held
