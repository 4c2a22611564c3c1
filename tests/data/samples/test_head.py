"""The slices of the CT head. Oracle: a project file that is made here, with known voxels."""

from __future__ import annotations

import csv
import io
import plistlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gobelin.core import config
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.samples.head import COLOURS, PROJECT, Head
from gobelin.workbench.run.settings import Settings

SHAPE = (36, 32, 32)


def project(folder: Path, hu: np.ndarray, shape: tuple[int, ...] = SHAPE) -> None:
    files = {
        "main.plist": plistlib.dumps({"matrix": {"shape": list(shape)}}),
        "matrix.dat": hu.astype("<i2").tobytes(),
    }
    for k, least in enumerate((226, -142)):
        mask = np.ones([n + 1 for n in hu.shape], np.uint8)  # the frame is no part of it
        mask[1:, 1:, 1:] = 255 * (hu >= least)
        files[f"mask_{k}.dat"] = mask.tobytes()
    with tarfile.open(folder / PROJECT, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"somewhere/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_slices_and_labels_are_those_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blocks = rng.choice([-1000, 40, 1200], (36, 16, 16))
    hu = blocks.repeat(2, 1).repeat(2, 2) + rng.integers(-20, 20, SHAPE)
    project(tmp_path, hu)
    sample = Head(folder=str(tmp_path), size=16)
    path = sample.write(tmp_path / "set", 0)
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [float(r["height"]) for r in rows] == [1.5 * k for k in range(36)]
    for k, row in enumerate(rows):
        with Image.open(path.parent / row["slice"]) as image:
            assert image.mode.startswith("I;16")
            pixels = np.asarray(image).astype(int) - 1024
        means = hu[k].reshape(16, 2, 16, 2).mean((1, 3))[::-1]  # the face is above
        assert np.abs(pixels - means).max() <= 0.51
        found = np.asarray(Image.open(path.parent / row["labels"]))
        expected = np.digitize(blocks[k][::-1], (-142, 226))
        assert np.array_equal(found, COLOURS[expected])
        assert float(row["bone"]) == pytest.approx((expected == 2).mean(), abs=1e-4)
    part = {(r["slab"], r["part"]) for r in rows}
    assert len(part) == 12  # a slab is in one part
    assert [sum(r["part"] == p for r in rows) for p in ("train", "valid", "test")] == [24, 6, 6]


def test_the_window_shows_soft_tissue() -> None:
    opening = config.build(Settings, Head().settings()).encoders["image"]["opening"]
    assert (opening["low"] - 1024, opening["high"] - 1024) == (-160, 240)


def test_another_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="apt-get install invesalius-examples"):
        Head(folder=str(tmp_path)).volume()
    project(tmp_path, np.zeros(SHAPE), (37, 32, 32))
    with pytest.raises(GobelinError, match="is not the project file of invesalius-examples"):
        Head(folder=str(tmp_path)).volume()
    (tmp_path / PROJECT).write_bytes(b"no tar")
    with pytest.raises(GobelinError, match="is not the project file"):
        Head(folder=str(tmp_path)).volume()


def test_the_masks_of_the_head_are_thresholds() -> None:
    try:
        scan, labels = Head().volume()
    except MissingExtra as error:
        pytest.skip(str(error))
    assert scan.shape == (108, 256, 256)
    assert np.array_equal(labels, np.digitize(scan, (-142, 226)))
