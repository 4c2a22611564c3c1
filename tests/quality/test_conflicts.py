"""Equal files of different classes. Oracle: the copies that were planted."""

from __future__ import annotations

import csv
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.data.read import read
from gobelin.data.targets import target_of
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.evidence.findings import Finding
from gobelin.quality.conflicts import conflicts

SUFFIX = {"image": "png", "sound": "wav", "table": "png"}


def found(path: Path, **chosen: str) -> list[Finding]:
    data = read(path)
    known = schema.infer(data, "class", Choices(schema=chosen))
    return conflicts(data, known, target_of(data, known))


def files(folder: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (folder / name).mkdir()
        for k in range(4):
            noise = rng.integers(0, 256, (8, 8, 3), np.uint8)
            if suffix == "png":
                Image.fromarray(noise).save(folder / name / f"{k}.png")
            else:
                with wave.open(str(folder / name / f"{k}.wav"), "wb") as file:
                    file.setparams((1, 1, 8000, 0, "NONE", ""))
                    file.writeframes(noise.tobytes())


@pytest.mark.parametrize("kind", ["image", "sound", "table"])
def test_equal_files_of_different_classes_are_counted(kind: str, tmp_path: Path) -> None:
    suffix, place = SUFFIX[kind], tmp_path
    files(tmp_path, suffix)

    def again() -> list[Finding]:
        if kind != "table":
            return found(tmp_path)
        with (tmp_path.parent / f"{tmp_path.name}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["photo", "class"])
            for path in sorted(place.glob("*/*")):
                rows.writerow([path.relative_to(place.parent).as_posix(), path.parent.name])
        return found(tmp_path.parent / f"{tmp_path.name}.csv")

    shutil.copy(tmp_path / f"cat/0.{suffix}", tmp_path / f"cat/9.{suffix}")
    assert not again()  # of one class
    shutil.copy(tmp_path / f"cat/1.{suffix}", tmp_path / f"dog/9.{suffix}")
    shutil.copy(tmp_path / f"cat/0.{suffix}", tmp_path / f"owl/8.{suffix}")
    (finding,) = again()
    assert (finding.value, finding.n) == (5, 15)  # cat/0, cat/9, owl/8, and cat/1, dog/9
    assert "as in one of cat and one of owl" in finding.note
    classes = [read(tmp_path).values("class")[int(row)] for row in finding.rows]
    assert kind == "table" or classes == ["cat", "owl"]
    assert "rows 0, " in finding.sentence() and "rows 0" not in finding.without_rows().sentence()


def test_files_that_many_rows_share_are_no_conflict(tmp_path: Path) -> None:
    """A game has four sounds for sixteen things: a sound is then no name of a thing."""
    files(tmp_path, "png")
    # 12 files, those of rows 12 to 15 also in rows 0 to 3, which are of the other class
    several = [f"{'cat dog owl'.split()[k % 3]}/{k % 4}.png,{'ab'[k // 8]}" for k in range(16)]
    shared = [f"cat/{k % 4}.png,{'ab'[k // 8]}" for k in range(16)]
    for rows, value in ((several, 8), (shared, None)):
        (tmp_path / "rows.csv").write_text("\n".join(["photo,class", *rows]))
        (finding,) = found(tmp_path / "rows.csv")
        assert (finding.value, finding.n) == (value, 16)
    assert finding.note == "not counted: 16 rows hold 4 different files"
