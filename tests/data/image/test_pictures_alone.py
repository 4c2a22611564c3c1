"""Sets that hold nothing but pictures. Oracles: scikit-learn's own arrays, a hand-made IDX file,
the counts as installed."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pytest
from PIL import Image

from gobelin import Workbench
from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.read import read
from gobelin.data.samples.digits import Digits
from gobelin.data.samples.fashion import CLASSES, Fashion, idx


def test_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    data = read(Digits(size=8).write(tmp_path / "out", 0))
    found = load_digits()
    assert [int(v) for v in data.values("digit")] == found.target.tolist()
    for k in (0, 700, 1796):
        drawn = np.asarray(Image.open(data.root / data.values("image")[k]))
        assert np.array_equal(drawn, np.round(255 - found.images[k] * 255 / 16))


def written(folder: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    for what, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"{part}-{what}-ubyte.gz").write_bytes(
            gzip.compress(header + array.astype(np.uint8).tobytes())
        )


def test_an_idx_file_is_read_and_rows_are_drawn_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 28, 28)), np.arange(20) % 10
    written(tmp_path / "idx", "train", images, labels)
    sample = Fashion(rows=15, folder=str(tmp_path / "idx"))
    found, classes = sample.arrays("train")
    assert np.array_equal(found, images) and classes.tolist() == labels.tolist()
    data = read(sample.write(tmp_path / "out", 3))
    drawn = [int(v) for v in data.values("id")]
    assert len(set(drawn)) == 15 and data.values("class") == [CLASSES[k % 10] for k in drawn]
    for k, name in zip(drawn, data.values("image"), strict=True):
        assert np.array_equal(np.asarray(Image.open(data.root / name)), images[k])
    assert read(sample.write(tmp_path / "again", 3)).values("id") == data.values("id")
    assert read(sample.write(tmp_path / "other", 4)).values("id") != data.values("id")


def test_what_is_missing_or_broken_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="sudo apt-get install dataset-fashion-mnist"):
        Fashion(folder=str(tmp_path)).arrays("t10k")
    path = tmp_path / "broken.gz"
    for raw in (
        b"no gzip",
        gzip.compress(b"\0\0\x0d\1\0\0\0\1x", mtime=0),
        gzip.compress(b"\0\0\x08\1\0\0\0\2x", mtime=0),
        gzip.compress(b"\0"),
    ):
        path.write_bytes(raw)
        with pytest.raises(GobelinError, match="not a complete IDX file"):
            idx(path)
    whole = gzip.compress(bytes(1000))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GobelinError, match="not a complete IDX file"):
        idx(path)


@pytest.mark.skipif(
    not Path(Fashion().folder).is_dir(), reason="dataset-fashion-mnist is not installed"
)
def test_fashion_as_installed() -> None:
    images, labels = Fashion().arrays("t10k")
    assert images.shape == (10_000, 28, 28) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [1000] * 10


def test_pictures_alone_go_the_way_of_every_record(tmp_path: Path) -> None:
    """One field has nothing to be fused or searched with, and nothing fails for it; the digits are
    read."""
    whole = pa_csv.read_csv(Digits(size=8).write(tmp_path / "data", 0))
    pa_csv.write_csv(whole.slice(0, 400), tmp_path / "data" / "few.csv")
    settings = {**Digits().settings(), "align": {"steps": 20}}
    bench = Workbench(tmp_path / "data" / "few.csv", "digit", tmp_path / "run", settings)
    bench.check()
    bench.fit()
    bench.evaluate()
    bench.recall()
    read = next(
        f for f in bench.findings("evaluate") if f.name == "balanced_accuracy" and not f.scope
    )
    assert read.value > 0.8
