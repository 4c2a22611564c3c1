"""Some cases as a user meets them: files on disk, the command in a shell, its exit status and what
it prints. The others run in process.

Oracle: planted rows; the word that must be printed, and what must not happen without one.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from coded_pictures import pictures, table
from PIL import Image

pytestmark = pytest.mark.slow

N = 60
QUICK = [
    *("--set", "encoders.image.name=pixels", "--set", "encoders.text.name=characters"),
    *("--set", "runtime.threads=1", "--set", "runtime.device=cpu", "--set", "align.steps=0"),
    *("--set", "align.width=8", "--set", "predict.folds=2", "--set", "predict.decays=0.01"),
    *("--set", "fusion.settings.steps=60"),
]
RNG = np.random.default_rng(0)
SIGN = RNG.integers(0, 2, N)
CAPTIONS = [f"{('a warm red', 'a cold blue')[s]} thing, {k}" for k, s in enumerate(SIGN)]
CLASSES = [("red", "blue")[s] for s in SIGN]


def gobelin(folder: Path, *words: str) -> tuple[int, str]:
    """The exit status and everything that is printed. The program is that of this Python."""
    verb, *others = words
    command = [sys.executable, "-m", "gobelin", verb, "--quiet", *others]  # no lines of progress
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def fitted(folder: Path, name: str, target: str, *more: str) -> str:
    status, out = gobelin(folder, "fit", name, "--target", target, "--run", "run", *QUICK, *more)
    assert status == 0, out[-2000:]
    return out


def roles(folder: Path) -> dict[str, tuple[str, str]]:
    columns = json.loads((folder / "run" / "schema.json").read_text())["columns"]
    return {c["name"]: (c["kind"], c["role"]) for c in columns}


def predictions(folder: Path, name: str) -> list[str]:
    status, out = gobelin(folder, "predict", "run", name, "--out", "p.csv")
    assert status == 0, out[-2000:]
    with (folder / "p.csv").open(newline="") as file:
        return [row["prediction"] for row in csv.DictReader(file)]


def test_a_table_of_a_spreadsheet(tmp_path: Path) -> None:
    """Semicolons, decimal commas, a unit, weeks, an index, a split without validation rows."""
    rows = [
        *[["", "caption", "size", "weight", "week", "split", "class"]],
        *(
            [str(k), CAPTIONS[k], f"{1.5 + s + k / 100:.2f}".replace(".", ","), f"{k} kg"]
            + [f"2024-W{k % 50 + 1:02d}", ("train", "Test")[k % 4 == 0], CLASSES[k]]
            for k, s in enumerate(SIGN)
        ),
    ]
    text = "sep=;\r\n" + "\r\n".join(";".join(row) + ";" for row in rows)
    (tmp_path / "a.csv").write_bytes(text.encode("utf-16"))
    out = fitted(tmp_path, "a.csv", "class")
    found = roles(tmp_path)
    assert found["Unnamed: 0"][1] == "ignore" and found["split"][1] == "split"
    assert found["size"] == found["weight"] == ("number", "cell") and found["week"][0] == "date"
    for told in ("the unit of all cells is 'kg'", "names no validation rows", "2024-01-01"):
        assert told in out
    right = np.mean([a == b for a, b in zip(predictions(tmp_path, "a.csv"), CLASSES, strict=True)])
    assert right > 0.9


def test_ordered_levels_of_a_frame(tmp_path: Path) -> None:
    levels = ["mild", "fair", "worst"]
    place = RNG.integers(0, 3, N)
    frame = pd.DataFrame(
        {
            "size": place + RNG.normal(0, 0.1, N),
            "label": pd.Categorical([levels[k] for k in place], levels, ordered=True),
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    first = fitted(tmp_path, "a.parquet", "label")
    assert "mild < fair < worst" in first and roles(tmp_path)["label"] == ("ordinal", "target")
    frame.drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    assert np.mean(np.array(predictions(tmp_path, "new.csv")) == frame["label"]) > 0.8


def test_pictures_in_folders_of_parts(tmp_path: Path) -> None:
    """Floats from 0 to 1, bright or dark; and a hidden folder."""
    for k in range(140):
        part, name = ("train", "val", "test")[(k // 2) % 3], ("dark", "bright")[k % 2]
        pixels = np.random.default_rng(k).uniform(0, 0.3, (16, 16)) + 0.6 * (k % 2)
        path = tmp_path / "data" / part / name / f"{k}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.float32)).save(path)
    pictures(tmp_path / "data", [".ipynb_checkpoints/1.png"])
    out = fitted(tmp_path, "data", "class")
    assert "becomes black" in out and ".ipynb_checkpoints" in out
    assert roles(tmp_path)["split"][1] == "split"
    shutil.copytree(tmp_path / "data" / "test", tmp_path / "new")
    names = sorted(p.parent.name for p in (tmp_path / "new").rglob("*.tif"))
    assert sorted(predictions(tmp_path, "new")) == names


def test_a_column_that_gives_the_label_away(tmp_path: Path) -> None:
    columns: dict[str, Sequence[Any]] = {
        "caption": CAPTIONS,
        "label_id": [int(s) + 7 for s in SIGN],
        "label": CLASSES,
    }
    table(tmp_path / "a.csv", columns)
    assert "--set leave_out=label_id" in fitted(tmp_path, "a.csv", "label")
    assert roles(tmp_path)["label_id"][1] == "cell"
    shutil.rmtree(tmp_path / "run")
    out = fitted(tmp_path, "a.csv", "label", "--set", "leave_out=label_id")
    assert "--set leave_out" not in out and roles(tmp_path)["label_id"][1] == "ignore"


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "workbook": ("a.xlsx", lambda p: p.write_bytes(b"PK\x03\x04xl/"), "pandas.read_excel"),
    "packed": ("a.csv.gz", lambda p: p.write_bytes(b"\x1f\x8b"), "gunzip -k a.csv.gz"),
    "pointer": ("a.csv", lambda p: p.write_text("version https://git-lfs.github.com/spec/"), "lfs"),
    "title": ("a.csv", lambda p: p.write_text("Title\na,b\n1,2\n3,4\n"), "a title"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    file, make, told = REFUSED[name]
    make(tmp_path / file)
    status, out = gobelin(tmp_path, "check", file, "--target", "b", "--run", "run")
    assert status == 2 and told in out and len(out.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
