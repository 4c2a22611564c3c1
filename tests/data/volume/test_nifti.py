"""NIfTI cells: equal to nibabel's own canonical images, and bad files in one line each."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gobelin.data.files import BadCell
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.nifti_patches import read_patch
from gobelin.data.volume.volumes import BYTE, MOST_CHANNELS, VolumeOpening

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


def saved(tmp_path: Path, values: np.ndarray, affine: np.ndarray, name: str = "a.nii") -> Path:
    """A NIfTI file of this array, with mm as its unit."""
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SLP"])
@pytest.mark.parametrize("name", ["a.nii", "a.hdr"])
def test_a_patch_equals_the_part_of_the_volume(axes: str, name: str, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(-999, 999, (14, 15, 16)).astype(np.int16)
    order = nibabel.orientations.axcodes2ornt(axes)
    affine = nibabel.orientations.inv_ornt_aff(order, stored.shape)
    kind = nibabel.Nifti1Pair if name == "a.hdr" else nibabel.Nifti1Image
    image = kind(stored, affine)
    image.header.set_slope_inter(2.0, -5.0)
    nibabel.save(image, tmp_path / name)
    volume, _ = open_volume(name, tmp_path, VolumeOpening())
    patch = read_patch(name, tmp_path, (2, 3, 4), (5, 6, 7))
    assert np.array_equal(patch, volume.values[2:7, 3:9, 4:11, 0])
    with pytest.raises(BadCell, match="the part leaves it"):
        read_patch(name, tmp_path, (0, 0, 10), (5, 5, 9))


def bytes_read() -> int:
    """What this process has asked the system to read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system counts no bytes")
def test_a_patch_reads_less_than_twice_its_bytes(tmp_path: Path) -> None:
    saved(tmp_path, np.zeros((128, 128, 128), np.int16), np.eye(4))
    read_patch("a.nii", tmp_path, (0, 0, 0), (1, 1, 1))  # what is imported is read before
    before = bytes_read()
    counting = bytes_read() - before  # what asking reads itself
    before = bytes_read()
    read_patch("a.nii", tmp_path, (40, 40, 40), (32, 32, 32))
    assert bytes_read() - before - counting < 2 * 2 * 32**3


def test_what_is_unusual_is_told(tmp_path: Path) -> None:
    ones = np.ones((3, 4, 5), np.float32)
    image = nibabel.Nifti1Image(ones, None)
    nibabel.save(image, tmp_path / "a.nii")
    volume, note = open_volume("a.nii", tmp_path, VolumeOpening())
    assert not volume.oriented and "no orientation in the header" in note

    holes = ones.copy()
    holes[0, 0, 0] = np.nan
    saved(tmp_path, holes, np.eye(4))
    volume, note = open_volume("a.nii", tmp_path, VolumeOpening())
    assert np.isnan(volume.values).sum() == 1 and note == "voxels that are no numbers"

    saved(tmp_path, np.full((3, 4, 5), np.nan, np.float32), np.eye(4))
    with pytest.raises(BadCell, match="holds no number in any voxel"):
        open_volume("a.nii", tmp_path, VolumeOpening())

    saved(tmp_path, np.ones((3, 4, 5, 2, 3), np.float32), np.eye(4))
    with pytest.raises(BadCell, match=r"has 5 dimensions \(3 x 4 x 5 x 2 x 3\)"):
        open_volume("a.nii", tmp_path, VolumeOpening())

    saved(tmp_path, np.ones((3, 4, 5, 1, 3), np.float32), np.eye(4))
    volume, note = open_volume("a.nii", tmp_path, VolumeOpening())
    assert volume.values.shape == (5, 4, 3, 3) and "3 volumes as channels" in note

    saved(tmp_path, np.full((3, 4, 5), 3 + 4j, np.complex64), np.eye(4))
    volume, note = open_volume("a.nii", tmp_path, VolumeOpening())
    assert (volume.values == 5).all() and "magnitude" in note

    saved(tmp_path, np.full((3, 4, 5), 2**30 + 1, np.int32), np.eye(4))
    assert "float32 rounds" in open_volume("a.nii", tmp_path, VolumeOpening())[1]


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("micron", 0.001), ("meter", 1000)])
def test_spacing_is_in_mm(unit: str, factor: float, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones((3, 4, 5)), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    volume, _ = open_volume("a.nii", tmp_path, VolumeOpening())
    assert np.allclose(volume.spacing or (), np.array([4, 3, 2]) * factor)


def test_colours_are_three_channels_of_bytes(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    stored = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    saved(tmp_path, stored, np.eye(4))
    volume, _ = open_volume("a.nii", tmp_path, VolumeOpening())
    assert volume.unit == BYTE
    assert np.array_equal(volume.values, colours.transpose(2, 1, 0, 3))


def test_damaged_files_are_bad_cells(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((9, 9, 9)).astype(np.float32)
    whole = saved(tmp_path, noise, np.eye(4)).read_bytes()
    packed = gzip.compress(whole)
    for name, data, reason in (
        ("a.nii", whole[:-100], "is cut short: its header promises"),
        ("a.nii", whole[:200], "is no volume that is read"),
        ("a.nii", b"", "is an empty file"),
        ("a.nii.gz", packed[: len(packed) // 2], "cut short|damaged"),
        ("a.nii.gz", b"\x1f\x8b" + bytes(100), "is no volume that is read"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadCell, match=reason):
            open_volume(name, tmp_path, VolumeOpening())


def test_half_of_a_pair_is_a_bad_cell() -> None:
    for name in ("nifti1.hdr", "nifti2.hdr"):
        with pytest.raises(BadCell, match="half of a pair, of which the .img file no such file"):
            open_volume(name, SAMPLES, VolumeOpening())


@pytest.mark.parametrize(
    ("name", "value"),
    [("datatype", 0), ("sform_code", 77), ("pixdim", [1, *[0] * 7]), ("vox_offset", 3.0)],
)
def test_nibabel_says_nothing_of_its_own(
    name: str, value: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It knows no name of a file. What can't be read is told by its cell."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((4, 4, 4))
    header[name] = value
    data = header.binaryblock[:344] + b"n+1\0" + bytes(4) + bytes(4 * 4**3)
    (tmp_path / "odd.nii").write_bytes(data)
    with contextlib.suppress(BadCell):
        open_volume("odd.nii", tmp_path, VolumeOpening())
    assert not [record for record in caplog.records if record.name.startswith("nibabel")]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (nibabel.Nifti1Image, "a.nii"),
        (nibabel.Nifti1Image, "a.nii.gz"),
        (nibabel.Nifti2Image, "a.nii"),
        (nibabel.Nifti1Pair, "a.hdr"),
    ],
)
def test_extensions_of_a_header_are_not_read(
    kind: type, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packed file can hold millions of them, and each would be an object. Oracle: the voxels that
    nibabel finds, which reads them."""
    image = kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([1.0, 2, 3, 1]))
    image.header.extensions.extend([nibabel.nifti1.Nifti1Extension(6, b"12345678")] * 50)
    image.to_filename(tmp_path / name)
    expected = canonical(tmp_path / name)

    def read_them(*_: object) -> None:
        raise AssertionError("extensions were read")

    monkeypatch.setattr(nibabel.nifti1.Nifti1Extensions, "from_fileobj", read_them)
    found = open_volume(name, tmp_path, VolumeOpening())[0]
    assert np.array_equal(found.values, expected)
