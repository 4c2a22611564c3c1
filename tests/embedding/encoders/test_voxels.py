"""Encoder `voxels`. Oracles: cosines, levels and slopes of planted volumes, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.embedding.encoders.voxels import LEVELS, VOXELS_SIDE, FittedVoxels, Voxels, features


def test_a_planted_cosine_has_one_coefficient() -> None:
    """The second frequency along D: all else is 0."""
    place = (np.arange(VOXELS_SIDE) + 0.5) * np.pi / VOXELS_SIDE
    wave = np.broadcast_to(127.5 + 100 * np.cos(2 * place)[:, None, None], (VOXELS_SIDE,) * 3)
    settings = Voxels(frequencies=4)
    found = features(wave[None].astype(np.uint8), settings)[0, :64].reshape(4, 4, 4)
    expected = np.zeros((4, 4, 4))
    expected[0, 0, 0] = 127 / 255
    expected[2, 0, 0] = 100 / 255 / np.sqrt(2)
    assert np.allclose(found, expected, atol=0.01)


def test_levels_and_slopes() -> None:
    """Half of the voxels are black and half white; the only edge is in the middle, across W."""
    volume = np.zeros((1, *(VOXELS_SIDE,) * 3), np.uint8)
    volume[..., VOXELS_SIDE // 2 :] = 255
    settings = Voxels(frequencies=2, cells=4)
    found = features(volume, settings)[0]
    levels, edges = found[8 : 8 + LEVELS], found[8 + LEVELS :].reshape(3, 4, 4, 4)
    assert np.allclose(levels[[0, -1]], np.sqrt(0.5)) and levels.sum() == pytest.approx(2**0.5)
    assert (edges[:2] == 0).all()
    # one plane of 8 in the second of four cells along W
    assert np.allclose(edges[2, :, :, 1], 1 / 8) and edges[2].sum() == pytest.approx(16 / 8)


@pytest.mark.parametrize("cells", [1, 3, 5, 16])
def test_the_width_is_as_said(cells: int) -> None:
    settings = Voxels(frequencies=3, cells=cells)
    volumes = np.random.default_rng(0).integers(0, 256, (2, *(VOXELS_SIDE,) * 3)).astype(np.uint8)
    fitted = FittedVoxels(settings)
    both = fitted.embed([volumes, volumes[:1]])
    assert both.shape == (2, fitted.width) and both.dtype == np.float32
    assert np.allclose(both[0], features(volumes, settings).mean(0), atol=1e-6)
