"""Images made elsewhere. Oracle: the pixels in the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from processor import RUNTIME
from solids import box

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.image.images import png_bytes
from gobelin.data.mesh.meshes import ply_bytes
from gobelin.data.volume.marks import marked_nifti
from gobelin.generation.generators import Condition, Context, Controls, ImageRows, Sampler

CLASSES = ("cat", "dog", "hen")


def asked(labels: list[int]) -> Condition:
    n = len(labels)
    return Condition(
        (), torch.zeros(n, 0, 1), torch.zeros(n, 0, dtype=torch.bool), torch.tensor(labels)
    )


def album(root: Path, counts: dict[str, int]) -> Path:
    """Image k of class c: the grey value 10 k + c everywhere."""
    for c, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for k in range(count):
            (root / name / f"{k}.png").write_bytes(
                png_bytes(np.full((20, 20, 3), 10 * k + c, np.uint8))
            )
    return root


def fit(root: Path, work: Path) -> Sampler:
    rows = ImageRows(np.zeros((3, 16, 16, 3), np.uint8), asked([0, 1, 2]), CLASSES)
    return catalog.build("generators", "imported", {"folder": str(root)}).fit(
        rows, rows, Context(RUNTIME, work, 1)
    )


def test_a_class_gets_its_own_images_and_all_of_them(tmp_path: Path) -> None:
    sampler = fit(album(tmp_path / "made", {"cat": 5, "dog": 3, "hen": 4}), tmp_path)
    labels = [k % 3 for k in range(300)]
    images = np.concatenate(list(sampler.sample(asked(labels), range(300), Controls())))
    assert images.shape == (300, 16, 16, 3) and (images == images[:, :1, :1, :1]).all()
    grey = images[:, 0, 0, 0].astype(int)
    assert (grey % 10 == labels).all()
    assert [len(set(grey[np.array(labels) == c])) for c in range(3)] == [5, 3, 4]
    free = np.concatenate(list(sampler.sample(asked([-1] * 300), range(300), Controls())))[
        :, 0, 0, 0
    ]
    assert len(set(free.tolist())) == 12


def test_a_class_without_images_is_an_error_when_it_is_asked_for(tmp_path: Path) -> None:
    sampler = fit(album(tmp_path / "made", {"cat": 2, "dog": 2}), tmp_path)
    assert len(next(iter(sampler.sample(asked([0, 1]), [0, 1], Controls())))) == 2
    with pytest.raises(GobelinError, match="holds no image of 'hen'"):
        list(sampler.sample(asked([2]), [0], Controls()))


def test_volumes_and_meshes(tmp_path: Path) -> None:
    """Cubes of one grey, and a box that fills its grid."""
    cubes, boxes = tmp_path / "cubes", tmp_path / "boxes"
    for root in (cubes, boxes):
        (root / "cat").mkdir(parents=True)
    for k in range(3):
        array = np.full((20, 20, 20, 1), 70 + k, np.uint8)
        (cubes / "cat" / f"{k}.nii.gz").write_bytes(marked_nifti(array, {"seed": k}))
        (boxes / "cat" / f"{k}.ply").write_bytes(ply_bytes(box((1, 1, 1))))
    np.save(cubes / "cat" / "3.npy", np.full((20, 20, 20), 73, np.uint8))
    rows = ImageRows(np.zeros((3, *[16] * 3, 1), np.uint8), asked([0, 1, 2]), CLASSES)

    def drawn(root: Path) -> np.ndarray:
        made = catalog.build("generators", "imported", {"folder": str(root)})
        sampler = made.fit(rows, rows, Context(RUNTIME, tmp_path, 1))
        sampler.save(tmp_path / f"fitted-{root.name}")
        again = made.load(tmp_path / f"fitted-{root.name}", RUNTIME)
        assert again.size == (16, 16, 16, 1) and not again.outdated()
        return np.concatenate(list(again.sample(asked([0] * 40), range(40), Controls())))

    made = drawn(cubes)
    assert {int(v) for v in np.unique(made)} == {70, 71, 72, 73}
    assert (made == made[:, :1, :1, :1]).all()
    assert (drawn(boxes)[:, 2:-2, 2:-2, 2:-2] == 255).all()  # inside
    np.save(cubes / "cat" / "hu.npy", np.full((20, 20, 20), -900, np.int16))
    with pytest.raises(GobelinError, match=r"hu.npy: holds voxels that are no bytes"):
        drawn(cubes)


@pytest.mark.parametrize("what", ["unset", "gone", "flat", "other class", "broken file"])
def test_a_folder_that_will_not_do_is_one_line(what: str, tmp_path: Path) -> None:
    root = album(tmp_path / "made", {"cat": 1, "dog": 1, "hen": 1})
    said = {
        "unset": "no folder was named",
        "gone": "a folder of one folder a class",
        "flat": "holds no class folder",
        "other class": "cow is no class",
        "broken file": "cat/0.png: is not an image",
    }
    if what == "unset":
        root = Path()
    elif what == "gone":
        root = tmp_path / "nowhere"
    elif what == "flat":
        root = root / "cat"
    elif what == "other class":
        (root / "hen").rename(root / "cow")
    else:
        (root / "cat" / "0.png").write_bytes(b"not a picture")
    rows = ImageRows(np.zeros((3, 16, 16, 3), np.uint8), asked([0, 1, 2]), CLASSES)
    folder = "" if what == "unset" else str(root)
    with pytest.raises(GobelinError, match=said[what]) as caught:
        catalog.build("generators", "imported", {"folder": folder}).fit(
            rows, rows, Context(RUNTIME, tmp_path, 1)
        )
    assert "\n" not in str(caught.value)


def test_changed_files_are_told(tmp_path: Path) -> None:
    made, stored = album(tmp_path / "made", {"cat": 2, "dog": 2, "hen": 2}), tmp_path / "stored"
    stored.mkdir()
    fit(made, tmp_path).save(stored)
    sampler = catalog.build("generators", "imported", {"folder": str(made)}).load(stored, RUNTIME)
    assert sampler.outdated() == ""
    (made / "cat" / "new.png").write_bytes(png_bytes(np.zeros((20, 20, 3), np.uint8)))
    assert "have changed" in sampler.outdated()
    (made / "cat" / "new.png").unlink()
    assert sampler.outdated() == ""
    made.rename(tmp_path / "elsewhere")
    assert sampler.outdated() == ""  # what was read is in the run
