"""Volumes fitted to a cube: against block means, Pillow and planted proportions."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gobelin.core.errors import GobelinError
from gobelin.data.volume.volumes import (
    BYTE,
    HOUNSFIELD,
    Volume,
    VolumeOpening,
    axis_weights,
    fitted_sides,
    fitted_volume,
    window,
)


def bytes_volume(shape: tuple[int, ...], seed: int = 0) -> Volume:
    values = np.random.default_rng(seed).integers(0, 256, shape)
    return Volume(values.astype(np.float32), unit=BYTE)


def test_a_cube_that_fits_is_unchanged() -> None:
    volume = bytes_volume((8, 8, 8, 2))
    assert (fitted_volume(volume, 8, VolumeOpening()) == volume.values).all()


def test_shrinking_takes_the_means_of_blocks() -> None:
    volume = bytes_volume((12, 12, 12, 1))
    blocks = volume.values.reshape(4, 3, 4, 3, 4, 3, 1).mean((1, 3, 5))
    assert np.abs(fitted_volume(volume, 4, VolumeOpening()) - blocks).max() <= 0.5001


@pytest.mark.parametrize(("old", "new"), [(7, 5), (9, 2), (5, 13), (4, 8), (3, 3)])
def test_weights_equal_pillows(old: int, new: int) -> None:
    values = np.random.default_rng(1).random(old).astype(np.float32)
    way = Image.Resampling.BOX if new < old and old % new == 0 else None
    if new >= old:
        way = Image.Resampling.BILINEAR
    ours = axis_weights(old, new) @ values
    if way is not None:
        image = Image.fromarray(values[None], "F").resize((new, 1), way)
        assert np.allclose(ours, np.asarray(image)[0], atol=1e-5)
    else:  # the integral of the steps between the ends of a new voxel
        total = np.interp(np.linspace(0, old, new + 1), range(old + 1), [0, *np.cumsum(values)])
        assert np.allclose(ours, np.diff(total) * new / old, atol=1e-5)


def test_proportions_are_those_in_mm() -> None:
    assert fitted_sides((10, 40, 20), (4.0, 1.0, 1.0), 8) == (8, 8, 4)
    assert fitted_sides((10, 40, 20), None, 8) == (2, 8, 4)
    solid = Volume(np.full((10, 40, 20, 1), 255, np.float32), (4.0, 1.0, 1.0), BYTE)
    cube = fitted_volume(solid, 8, VolumeOpening())
    assert (cube[..., 2:6, 0] == 255).all()
    assert not cube[..., :2, 0].any() and not cube[..., 6:, 0].any()


def test_a_window_is_the_users_or_the_middle_of_the_voxels() -> None:
    values = np.linspace(-1000, 1000, 10**3, dtype=np.float32).reshape(10, 10, 10, 1)
    volume = Volume(values, unit=HOUNSFIELD)
    assert np.allclose(window(volume, VolumeOpening()), np.quantile(values, (0.001, 0.999)))
    cube = fitted_volume(volume, 10, VolumeOpening(low=-100, high=300))
    expected = np.rint(np.clip((values + 100) / 400, 0, 1) * 255)
    assert np.abs(cube - expected).max() <= 1
    with pytest.raises(GobelinError, match="below high"):
        VolumeOpening(low=3, high=1)


def test_voxels_without_a_number_are_black() -> None:
    values = np.full((4, 4, 4, 1), 200, np.float32)
    values[0] = np.nan
    cube = fitted_volume(Volume(values, unit=BYTE), 4, VolumeOpening())
    assert not cube[0].any() and (cube[1:] == 200).all()


def test_a_volume_of_one_value_is_black() -> None:
    assert not fitted_volume(Volume(np.full((3, 3, 3, 1), 7.0)), 3, VolumeOpening()).any()
