"""Any bytes in a cell of volumes, and as data sets of archives and arrays. Oracle of valid NIfTI:
nibabel."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from fuzzing import REFUSED, damaged, outcome, tries
from hypothesis import example, given
from hypothesis import strategies as st

from gobelin.data.image.images import Opening, decode_images
from gobelin.data.read import read
from gobelin.data.volume.files import is_volume, open_volume, volume_share
from gobelin.data.volume.volumes import VolumeOpening, fitted_volume

HERE = Path()
FOLDER = Path(tempfile.mkdtemp(prefix="gobelin-fuzz-"))
SAMPLES = Path(pydicom.__file__).parent / "data"
SMALL = [
    path.read_bytes()
    for path in sorted(SAMPLES.rglob("*"))
    if path.is_file() and path.stat().st_size < 20_000 and path.read_bytes()[128:132] == b"DICM"
][::3]


@st.composite
def grids(draw: st.DrawFn, least: int = 2) -> np.ndarray:
    shape = draw(st.tuples(*[st.integers(1, 6)] * draw(st.integers(least, 5))))
    kind = draw(st.sampled_from(["u1", "i2", ">i2", "f4", "f8", "i4"]))
    return (np.random.default_rng(draw(st.integers(0, 99))).normal(0, 50, shape)).astype(kind)


@st.composite
def nifti_files(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from([nibabel.Nifti1Image, nibabel.Nifti2Image]))
    affine = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(4, 4))
    affine[3] = 0, 0, 0, 1
    grid = draw(grids(3))
    image = kind(grid.astype(grid.dtype.newbyteorder("=")), affine)
    data = bytes(image.to_bytes())
    return gzip.compress(data) if draw(st.booleans()) else data


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    out = io.BytesIO()
    np.save(out, draw(grids())) if draw(st.booleans()) else np.savez(out, a=draw(grids()))
    return out.getvalue()


def looked_at(data: bytes) -> None:
    """A cell of these bytes is a volume that fits a cube, or is refused."""
    volume_share([data], HERE)
    is_volume(data[:4096])
    found = outcome(lambda: open_volume(data, HERE, VolumeOpening()))
    if found is not REFUSED:
        cube = outcome(lambda: fitted_volume(found[0], 6, VolumeOpening()))
        assert cube.shape[:3] == (6, 6, 6) and cube.dtype == np.uint8


@tries(40)
@given(data=nifti_files())
def test_a_volume_has_the_voxels_that_nibabel_finds(data: bytes) -> None:
    found = outcome(lambda: open_volume(data, HERE, VolumeOpening()))
    raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    kind = nibabel.Nifti2Image if raw[4:7] == b"n+2" else nibabel.Nifti1Image
    expected = nibabel.as_closest_canonical(kind.from_bytes(raw)).get_fdata(dtype=np.float32)
    if found is REFUSED:
        assert expected.ndim == 5 and expected.shape[3] > 1
        return
    expected = expected.reshape(*(*expected.shape, 1, 1)[:3], -1).transpose(2, 1, 0, 3)
    if expected.shape[3] > 4:
        expected = expected.mean(3, dtype=float, keepdims=True).astype(np.float32)
    assert np.array_equal(found[0].values, expected, equal_nan=True)


def saved(bits: list[int]) -> bytes:
    """A float32 volume of 2 x 2 x 2 voxels by their bits, as numpy saves it."""
    out = io.BytesIO()
    np.save(out, np.array(bits, np.uint32).view(np.float32).reshape(2, 2, 2))
    return out.getvalue()


@tries(120)
@given(data=st.one_of(damaged(nifti_files()), damaged(arrays()), st.binary(max_size=60)))
@example(data=saved([0, 1] * 4))  # numbers below the usual ones: their scale has no float32
@example(data=saved([0x7FA00000, 0x3F800000] * 4))  # signalling nan
@example(data=saved([0x7F7FFFFF, 0xFF7FFFFF] * 4))  # the largest, and less it
def test_any_bytes_as_a_volume(data: bytes) -> None:
    looked_at(data)


@tries(120)
@given(data=damaged(st.sampled_from(SMALL)))
def test_any_bytes_as_dicom(data: bytes) -> None:
    looked_at(data)
    pixels = outcome(lambda: decode_images({"x": data}, HERE, Opening(), 8)[0])
    assert pixels is REFUSED or pixels.shape == (1, 8, 8, 3)


def in_folder(folder: Path, name: str, data: bytes) -> None:
    """A data set of this file is read, or refused in one line."""
    (folder / name).write_bytes(data)
    result = outcome(lambda: read(folder / name))
    if result is not REFUSED:
        assert len(result) > 0
        for column in result.column_names:
            result.values(column)


@tries(40)
@given(data=damaged(st.sampled_from(SMALL)))
def test_any_bytes_as_a_dicom_data_set(data: bytes) -> None:
    in_folder(FOLDER, "a.dcm", data)


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in draw(st.lists(st.sampled_from(["a.png", "a.cls", "b.json", "b.png", "c.txt"]))):
            data = draw(st.binary(max_size=20))
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@tries(60)
@given(data=damaged(archives()))
def test_any_bytes_as_shards(data: bytes) -> None:
    in_folder(FOLDER, "a.tar", data)


@st.composite
def sets(draw: st.DrawFn) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in draw(st.lists(st.sampled_from(["images", "labels", "x_train"]), unique=True)):
            inside = io.BytesIO()
            np.save(inside, draw(grids()))
            archive.writestr(f"{name}.npy", inside.getvalue())
    return out.getvalue()


@tries(60)
@given(data=damaged(sets()))
def test_any_bytes_as_an_npz_data_set(data: bytes) -> None:
    in_folder(FOLDER, "a.npz", data)
