"""Numbers of a user beyond the range of float32, as each reader finds them: infinite, counted with
what is no number, and without a warning of numpy. Oracle: the numbers that were written."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gobelin.data.values.narrow import float32
from gobelin.data.volume.files import open_volume
from gobelin.data.volume.volumes import VolumeOpening

HERE = Path()
GRID = np.array([[[2.0, 6e78, -6e78, 1.0], [0.0, np.nan, 3.0, 3e38]]])


def npy(grid: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, grid)
    return out.getvalue()


def npz(grid: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, a=grid)
    return out.getvalue()


def nifti(grid: np.ndarray) -> bytes:
    return bytes(nibabel.Nifti1Image(np.transpose(grid, (2, 1, 0)), np.eye(4)).to_bytes())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("written", [npy, npz, nifti])
def test_volumes_hold_what_float32_holds(written: Callable[[np.ndarray], bytes]) -> None:
    volume, notes = open_volume(written(GRID), HERE, VolumeOpening())
    known = np.isfinite(GRID) & (np.abs(GRID) < 1e39)
    found = volume.values[..., 0]
    assert np.array_equal(np.isfinite(found), known)
    assert np.allclose(found[known], GRID[known], rtol=1e-6)
    assert "no numbers" in str(notes)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["f4", "i2", "f8"])
def test_a_slope_leads_beyond_what_float32_holds(kind: str) -> None:
    image = nibabel.Nifti1Image(np.array([[[0, 1, 6, -6]]], kind), np.eye(4))
    image.header.set_slope_inter(1e38, 0)
    volume, notes = open_volume(bytes(image.to_bytes()), HERE, VolumeOpening())
    found = np.sort(volume.values.ravel())
    assert np.isneginf(found[0]) and np.isposinf(found[-1]) and "no numbers" in str(notes)
    assert np.allclose(found[1:3], [0, 1e38], rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["f8", "f4", "i8", "u1", "f2"])
def test_every_other_number_is_numpys_own(kind: str) -> None:
    values = np.array([0, 1, 7, 100]).astype(kind)
    found = float32(values)
    assert found.dtype == np.float32 and np.array_equal(found, values)
    assert np.isposinf(float32(np.array([1e39, 1e308]))).all()
