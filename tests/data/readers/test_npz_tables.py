"""Files of arrays in the layouts of MedMNIST and Keras: rows equal the arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.image.images import Opening, open_image
from gobelin.data.read import read
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import BYTE, VolumeOpening
from gobelin.embedding.columns.schema import Choices, infer

RNG = np.random.default_rng(0)


def made(path: Path, shape: tuple[int, ...], labels: int = 1, **more: np.ndarray) -> dict:
    arrays = {}
    for part, rows in (("train", 6), ("val", 3), ("test", 2)):
        arrays[f"{part}_images"] = RNG.integers(0, 256, (rows, *shape)).astype(np.uint8)
        arrays[f"{part}_labels"] = RNG.integers(0, 2, (rows, labels))
    np.savez_compressed(path, **arrays, **more)
    return arrays


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_images_are_rows(shape: tuple[int, ...], tmp_path: Path) -> None:
    arrays = made(tmp_path / "a.npz", shape)
    dataset = read(tmp_path / "a.npz")
    assert dataset.values("split") == ["train"] * 6 + ["val"] * 3 + ["test"] * 2
    expected = np.concatenate([arrays[f"{p}_images"] for p in ("train", "val", "test")])
    for value, pixels in zip(dataset.values("image"), expected, strict=True):
        assert np.array_equal(open_image(value, tmp_path, Opening())[0], pixels)
    labels = np.concatenate([arrays[f"{p}_labels"] for p in ("train", "val", "test")])
    assert dataset.values("label") == labels[:, 0].tolist()
    schema = infer(dataset, "label", Choices())
    assert schema.kind("image") == "image" and schema.role("split") == "split"


def test_volumes_are_rows(tmp_path: Path) -> None:
    arrays = made(tmp_path / "a.npz", (4, 5, 6))
    dataset = read(tmp_path / "a.npz")
    for value, voxels in zip(dataset.values("volume"), arrays["train_images"], strict=False):
        volume, _ = open_volume(value, tmp_path, VolumeOpening())
        assert volume.unit == BYTE and np.array_equal(volume.values[..., 0], voxels)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.arange(12) % 3, "category"),  # classes, numbered from 0
        (np.arange(12) % 3 + 0.5, "number"),
        (np.arange(12) % 3 + 40, "number"),  # ages
        (np.arange(12), "number"),
    ],
)
def test_numbers_of_classes_are_classes(labels: np.ndarray, kind: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=RNG.integers(0, 256, (12, 4, 4), np.uint8), labels=labels)
    dataset = read(tmp_path / "a.npz")
    assert infer(dataset, "label", Choices()).column("label").kind == kind


def test_several_labels_a_row_are_a_list(tmp_path: Path) -> None:
    arrays = made(tmp_path / "a.npz", (8, 8), labels=4)
    expected = [[str(k) for k in np.flatnonzero(row)] or None for row in arrays["train_labels"]]
    assert read(tmp_path / "a.npz").values("label")[:6] == expected


def test_the_layout_of_keras_is_read(tmp_path: Path) -> None:
    x, y = RNG.integers(0, 256, (5, 8, 8)).astype(np.uint8), np.arange(5)
    np.savez(tmp_path / "a.npz", x_train=x[:3], y_train=y[:3], x_test=x[3:], y_test=y[3:])
    dataset = read(tmp_path / "a.npz")
    assert dataset.values("label") == [0, 1, 2, 3, 4]
    assert dataset.values("split") == ["train"] * 3 + ["test"] * 2
    np.savez(tmp_path / "b.npz", images=np.asfortranarray(x))
    images = [
        open_image(v, tmp_path, Opening())[0] for v in read(tmp_path / "b.npz").values("image")
    ]
    assert np.array_equal(images, x)


@pytest.mark.parametrize("kind", ["u2", "f4", "f8", "?"])
def test_other_numbers_keep_their_values(kind: str, tmp_path: Path) -> None:
    x = (RNG.random((2, 8, 8)) * 60_000).astype(kind)
    np.savez(tmp_path / "a.npz", images=x)
    value = read(tmp_path / "a.npz").values("image")[0]
    low, high = (0, 1) if kind == "?" else (0, 60_000)
    image = np.asarray(open_image(value, tmp_path, Opening(low=low, high=high))[0], np.float64)
    scale = 255 if kind == "?" else 255 / 60_000
    assert np.abs(image - x[0].astype(float) * scale).max() <= 1


def test_what_is_not_read_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(tmp_path / "a.npz", (8, 8), weights=np.ones(3))
    read(tmp_path / "a.npz")
    assert "not read, as their names say nothing: weights" in caplog.text


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"weights": np.ones(3)}, "holds no images"),
        ({"train_images": np.zeros((3, 4)), "train_labels": np.zeros(3)}, "found 3 x 4"),
        (
            {"images": np.zeros((3, 4, 4), np.uint8), "labels": np.zeros(2)},
            "3 labels were expected",
        ),
        ({"images": np.zeros((3, 4, 4), np.uint8), "labels": np.full((3, 2), 7)}, "as 0 and 1"),
        ({"images": np.array([None, 1])}, "is no .npy file"),
        ({"images": np.zeros((2, 4, 4, 3))}, "holds colours of the type float64"),
        ({"train_labels": np.zeros(3), "val_images": np.zeros((2, 4, 4))}, "has no images beside"),
    ],
)
def test_other_files_are_one_line(
    arrays: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(GobelinError, match=reason) as caught:
        read(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    made(tmp_path / "a.npz", (8, 8))
    data = (tmp_path / "a.npz").read_bytes()
    for k in (0, 10, len(data) // 2, len(data) - 30):
        (tmp_path / "a.npz").write_bytes(data[:k])
        with pytest.raises(GobelinError) as caught:
            read(tmp_path / "a.npz")
        assert "\n" not in str(caught.value)
    spoilt = bytearray(data)
    spoilt[len(data) // 3] ^= 255
    (tmp_path / "a.npz").write_bytes(spoilt)
    with pytest.raises(GobelinError, match="is damaged"):
        read(tmp_path / "a.npz")
