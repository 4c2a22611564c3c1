"""Rows of another folder whose files have the names of the run's files, as `cat/1.png` of a folder
of test images. Oracle: the bytes that were written."""

from __future__ import annotations

import csv
import logging
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import processor
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.core import config

QUICK = config.assignments(
    [
        *processor.OPTIONS,
        "encoders.image.name=pixels",
        "align.width=8",
        "align.steps=0",
        "fusion.name=concat",
        "fusion.settings.steps=20",
        "predict.folds=2",
        "predict.decays=0.01",
    ]
)
CLASSES = ("dark", "light")
EACH = 32


def image(path: Path, level: float) -> None:
    pixels = np.full((8, 8), level, np.uint8)
    pixels[0] = np.frombuffer(np.float64(level).tobytes(), np.uint8)  # no two alike
    Image.fromarray(pixels).save(path)


def sound(path: Path, level: float) -> None:
    beat = np.sin(np.arange(800) * (0.05 + level / 400))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((9000 * beat).astype("<i2").tobytes())


def folder(where: Path, write: Callable[[Path, float], None], suffix: str, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    for k, name in enumerate(CLASSES):
        (where / name).mkdir(parents=True)
        for number in range(EACH):
            write(where / name / f"{number}.{suffix}", float(rng.uniform(120 * k, 100 + 120 * k)))
    return where


def as_table(where: Path) -> Path:
    with (where / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["photo", "class"])
        rows.writerows(
            [p.relative_to(where).as_posix(), p.parent.name] for p in sorted(where.glob("*/*.png"))
        )
    return where / "rows.csv"


@pytest.mark.parametrize("kind", ["images", "sounds", "table"])
def test_files_of_the_same_names_are_other_rows(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "sounds":
        pytest.importorskip("soundfile")
    write, suffix = (sound, "wav") if kind == "sounds" else (image, "png")
    given = as_table if kind == "table" else lambda where: where
    ours = folder(tmp_path / "train", write, suffix, 0)
    others = folder(tmp_path / "held", write, suffix, 1)
    shutil.copytree(ours, tmp_path / "copy")
    bench = Workbench(given(ours), "class", tmp_path / "run", QUICK)
    bench.fit()
    with caplog.at_level(logging.WARNING):
        bench.evaluate(given(others))
    assert "of this run" not in caplog.text
    assert not (tmp_path / "run/ledger.jsonl").exists()  # nobody looked at test rows
    shutil.copy(ours / "dark" / f"0.{suffix}", others / "dark" / f"1.{suffix}")  # as another one
    for name in ("2", "3"):
        shutil.copy(ours / "light" / f"{name}.{suffix}", others / "light" / f"{name}.{suffix}")
    bench.evaluate(given(others))
    known = [r.args for r in caplog.records if "of this run" in r.getMessage()]
    assert {count for _, count, *_ in known} <= {1, 2} and known
    caplog.clear()
    bench.evaluate(given(tmp_path / "copy"))
    counts = [r.args[1] for r in caplog.records if "rows are" in r.getMessage()][:2]
    assert sum(counts) == 2 * EACH
