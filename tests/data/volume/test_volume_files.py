"""Volumes in cells: arrays of numpy, what a column of them is taken for, and the window."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gobelin.data.files import HEAD, BadCell, cell_key
from gobelin.data.series.windows import series_share
from gobelin.data.volume.files import is_volume, open_volume, volume_share
from gobelin.data.volume.volumes import ARBITRARY, BYTE, VolumeOpening

CUBE = np.random.default_rng(0).integers(0, 256, (4, 5, 6)).astype(np.uint8)


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64, bool, ">i4"])
def test_an_array_is_a_volume(kind: str, tmp_path: Path) -> None:
    array = CUBE.astype(kind)
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", np.asfortranarray(array))
    for value in ("a.npy", "b.npy", npy(array), npz(volume=array)):
        volume, note = open_volume(value, tmp_path, VolumeOpening())
        assert np.array_equal(volume.values[..., 0], array) and not note
        assert volume.unit == (BYTE if kind is np.uint8 else ARBITRARY)
        assert volume.spacing is None and not volume.oriented


def test_the_spacing_of_an_npz_is_read() -> None:
    volume, _ = open_volume(npz(a=CUBE, spacing=np.array([3, 1, 0.5])), Path(), VolumeOpening())
    assert volume.spacing == (3, 1, 0.5)
    with pytest.raises(BadCell, match="spacing 0, 1, 1"):
        open_volume(npz(a=CUBE, spacing=np.array([0, 1, 1])), Path(), VolumeOpening())


def test_other_arrays_are_bad_cells() -> None:
    claim = npy(CUBE).replace(b"(4, 5, 6), }     ", b"(40000,50000,9)}  ")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.npy", claim)
    for value, reason in (
        (npy(CUBE[0]), "has the shape 5 x 6"),
        (npy(np.zeros((3, 4, 5, 6))), "has the shape 3 x 4 x 5 x 6"),
        (npy(np.zeros((3, 0, 5))), "has no voxels"),
        (npy(np.full((3, 3, 3), np.nan)), "holds no number"),
        (npy(np.array([None] * 3)), "is no .npy file"),
        (npy(CUBE)[:-5], "is cut short"),
        (npz(a=CUBE, b=CUBE), r"holds 2 arrays \(a, b\)"),
        (npz(a=CUBE)[:-30], "is no .npz file, or is damaged"),
        (claim, "MB to decode"),
        (packed.getvalue(), "MB to decode"),
        (b"plain text", "is no volume that is read"),
    ):
        with pytest.raises(BadCell, match=reason):
            open_volume(value, Path(), VolumeOpening())
    with pytest.raises(BadCell, match="max_voxels allows 10"):
        open_volume(npy(CUBE), Path(), VolumeOpening(max_voxels=10))


def test_a_column_of_volumes_is_no_column_of_series(tmp_path: Path) -> None:
    for k in range(4):
        np.save(tmp_path / f"v{k}.npy", CUBE)
        np.save(tmp_path / f"w{k}.npy", CUBE[0])
        (tmp_path / f"x{k}.npz").write_bytes(npz(a=CUBE))
    for letter, volumes, series in (("v", 1, 0), ("w", 0, 1)):
        paths = [f"{letter}{k}.npy" for k in range(4)]
        held = [(tmp_path / p).read_bytes() for p in paths]
        for values in (paths, held):
            assert volume_share(values, tmp_path) == volumes
            assert series_share(values, tmp_path) == series
    assert volume_share([f"x{k}.npz" for k in range(4)], tmp_path) == 1
    assert volume_share(["a.nii.gz", "b.nii"], tmp_path) == 1
    assert volume_share(["some words", "b.txt"], tmp_path) == 0
    assert is_volume(npy(CUBE)[:HEAD]) and not is_volume(npy(CUBE[0])[:HEAD])


def test_a_key_is_that_of_the_contents(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CUBE)
    same = cell_key({"v": "a.npy"}, tmp_path)
    assert same == cell_key({"v": npy(CUBE)}, tmp_path) and len(same) == 16
    assert same != cell_key({"v": npy(CUBE + 1)}, tmp_path)
