"""The slices of the brains against nibabel's reading of the same files; the held-out brain is in no
other part."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nibabel = pytest.importorskip("nibabel")

from gobelin.core import config  # noqa: E402
from gobelin.core.errors import MissingExtra  # noqa: E402
from gobelin.data.samples import medicine  # noqa: E402
from gobelin.data.samples.medicine import COLOURS, Medicine  # noqa: E402
from gobelin.data.samples.reports import Reports  # noqa: E402
from gobelin.workbench.run.settings import Settings  # noqa: E402

TEMPLATES = Path(Medicine().mricron)
needs_templates = pytest.mark.skipif(
    not (TEMPLATES / "ch2bet.nii.gz").is_file(), reason="mricron-data is not installed"
)


@needs_templates
def test_a_slice_has_the_voxels_of_its_plane() -> None:
    """Axial slices of Colin27 at one pixel a voxel, against nibabel's array."""
    image = nibabel.as_closest_canonical(nibabel.load(TEMPLATES / "ch2bet.nii.gz"))
    voxels = np.asarray(image.dataobj, float).squeeze()
    whole, labels = Medicine().volume("colin27")
    factor = 200 / np.median(voxels[labels == 3])
    assert np.allclose(whole, np.clip(voxels * factor, 0, 255), atol=1e-3)
    inside = [np.flatnonzero((labels > 0).any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
    side = round(1.06 * max(np.ptp(places) + 1 for places in inside))
    sample = Medicine(slices=8, size=side)
    cuts = [cut for cut in sample.cuts("colin27") if cut[0]["plane"] == "axial"]
    area = (labels > 0).sum((0, 1))
    places = np.flatnonzero(area >= 0.05 * area.max())
    for k, (row, pixels, names) in enumerate(cuts):
        plane = np.round(whole[:, :, places[0] + int((k + 0.5) * len(places) / 8)])
        assert sorted(pixels[pixels > 0]) == sorted(plane[plane > 0])
        assert row["grey"] == pytest.approx((names == 2).sum() / (names > 0).sum(), abs=1e-4)


def test_a_square_is_cut_about_its_centre() -> None:
    plane = np.arange(20.0).reshape(4, 5)
    out = medicine.squared(plane, [2, 2], 6)
    assert out.shape == (6, 6) and sorted(out[out > 0]) == sorted(plane[plane > 0])
    # the first axis runs to the right, the second upwards
    assert np.array_equal(out[::-1].T[1:5, 1:6], plane)


def test_a_pixel_has_the_mean_and_the_most_frequent_label() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (24, 24)).astype(np.uint8)
    coarse = medicine.coarse_labels(labels, 6)
    image = medicine.coarse_image(labels.astype(np.float32) * 60, 6)
    for y in range(6):
        for x in range(6):
            block = labels[4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
            assert coarse[y, x] == np.bincount(block.ravel(), minlength=4).argmax()
            assert abs(float(image[y, x]) - 60 * block.mean()) <= 0.51


def test_colours_can_be_told_apart_by_a_linear_filter() -> None:
    """No colour is a weighted sum of the others with weights that sum to 1."""
    with_one = np.c_[COLOURS.astype(float) / 255, np.ones(4)]
    assert np.linalg.matrix_rank(with_one) == 4


@pytest.mark.parametrize(
    ("name", "sample"), [("recipe", Medicine()), ("reports", Reports())], ids=["brains", "reports"]
)
def test_the_recipe_has_the_settings_of_the_sample_set(
    name: str, sample: Medicine | Reports
) -> None:
    path = Path(__file__).parents[3] / f"recipes/medicine/{name}.toml"
    assert config.build(Settings, config.read(path)) == config.build(Settings, sample.settings())


@needs_templates
def test_the_held_out_brain_is_the_test_part(tmp_path: Path) -> None:
    if not medicine.Medicine()._nilearn().joinpath(medicine.MNI152.format("t1")).is_file():
        pytest.skip("nilearn is not installed")
    path = Medicine(held_out="inia19", slices=16, size=16).write(tmp_path / "set", 0)
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 3 * 3 * 16
    assert {r["brain"] for r in rows if r["part"] == "test"} == {"inia19"}
    assert {r["part"] for r in rows if r["brain"] == "inia19"} == {"test"}
    parts = {(r["slab"], r["part"]) for r in rows}
    assert len(parts) == len({slab for slab, _ in parts})  # a slab is in one part
    share = np.mean([r["part"] == "valid" for r in rows if r["brain"] != "inia19"])
    assert share == pytest.approx(0.25)
    for row in rows[::10]:
        labels = np.asarray(Image.open(path.parent / row["labels"]))
        assert {tuple(c) for c in labels.reshape(-1, 3)} <= {tuple(c) for c in COLOURS}


def test_missing_files_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="apt-get install mricron-data"):
        Medicine(mricron=str(tmp_path)).volume("colin27")
    with pytest.raises(MissingExtra, match="pip install --no-deps nilearn"):
        Medicine(nilearn=str(tmp_path)).volume("mni152")
