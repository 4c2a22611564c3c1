"""NIfTI cells: equal to nibabel's own canonical images, and bad files in one line each."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gobelin.data.files import BadCell
from gobelin.data.volume import MOST_CHANNELS, VolumeOpening
from gobelin.data.volume_files import open_volume

SAMPLES = Path(nibabel.__file__).parent / "tests" / "data"
NIFTI = sorted(p.name for p in SAMPLES.iterdir() if ".nii" in p.name)
UNREADABLE = {"row_major.dconn.nii": "has 6 dimensions"}


def canonical(path: Path) -> np.ndarray:
    """float32 [D, H, W, C], by nibabel alone."""
    values = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata(dtype=np.float32)
    values = values.reshape(*values.shape[:3], -1).transpose(2, 1, 0, 3)
    if values.shape[3] > MOST_CHANNELS:
        values = values.mean(3, dtype=np.float64, keepdims=True).astype(np.float32)
    return values


@pytest.mark.parametrize("name", NIFTI)
def test_every_sample_of_nibabel_has_its_values(name: str) -> None:
    if name in UNREADABLE:
        with pytest.raises(BadCell, match=UNREADABLE[name]):
            open_volume(name, SAMPLES, VolumeOpening())
        return
    volume, _ = open_volume(name, SAMPLES, VolumeOpening())
    assert np.array_equal(volume.values, canonical(SAMPLES / name), equal_nan=True)
    as_bytes, _ = open_volume((SAMPLES / name).read_bytes(), Path(), VolumeOpening())
    assert np.array_equal(as_bytes.values, volume.values, equal_nan=True)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "ASL", "SLP"])
def test_orientation_and_spacing_follow_the_affine(axes: str, tmp_path: Path) -> None:
    stored = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    order = nibabel.orientations.axcodes2ornt(axes)
    affine = nibabel.orientations.inv_ornt_aff(order, (4, 5, 6)) @ np.diag([1.0, 2.0, 3.0, 1.0])
    image = nibabel.Nifti1Image(stored, np.linalg.inv(np.linalg.inv(affine)))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii")
    volume, note = open_volume("a.nii", tmp_path, VolumeOpening())
    again = nibabel.as_closest_canonical(image)
    assert np.array_equal(volume.values[..., 0], again.get_fdata().transpose(2, 1, 0))
    assert np.allclose(volume.spacing or (), again.header.get_zooms()[::-1])
    assert volume.oriented and not note


def test_a_header_that_promises_too_much_is_refused_before_reading(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((30_000, 30_000, 30_000))
    header["magic"] = b"n+1"
    block = header.binaryblock + bytes(4)
    for name, data in (("a.nii", block), ("b.nii.gz", gzip.compress(block))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadCell, match="MB to decode; reading.cell_mb"):
            open_volume(name, tmp_path, VolumeOpening())
