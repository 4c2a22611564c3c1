"""Texture of a volume. Oracles: scikit-image's co-occurrence in a plane, plain loops, and volumes
of known texture."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gobelin.data.volume.texture import (
    GREY_LEVELS,
    HISTOGRAM,
    QUANTILES,
    TEXTURE_WIDTH,
    cooccurrence,
    cooccurrence_numbers,
    texture,
)

RNG = np.random.default_rng(0)


def by_loops(levels: np.ndarray) -> np.ndarray:
    """Every voxel with each of its 26 neighbours."""
    counts = np.zeros((GREY_LEVELS, GREY_LEVELS))
    for place in np.ndindex(levels.shape):
        for step in product((-1, 0, 1), repeat=3):
            other = tuple(np.add(place, step))
            inside = all(0 <= o < n for o, n in zip(other, levels.shape, strict=True))
            if any(step) and inside:
                counts[levels[place], levels[other]] += 1
    return counts / counts.sum()


def test_cooccurrence() -> None:
    levels = RNG.integers(0, GREY_LEVELS, (5, 6, 7))
    assert np.allclose(cooccurrence(levels), by_loops(levels))


def test_numbers_are_those_of_scikit_image() -> None:
    feature = pytest.importorskip("skimage.feature")
    levels = RNG.integers(0, GREY_LEVELS, (1, 20, 30)).astype(np.uint8)
    levels[:, :, 15:] //= 3
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    counts = feature.graycomatrix(levels[0], [1], angles, GREY_LEVELS, symmetric=True)
    whole = counts.sum((2, 3), keepdims=True).astype(float)
    assert np.allclose(cooccurrence(levels), whole[..., 0, 0] / whole.sum())
    names = ("contrast", "homogeneity", "ASM", "correlation", "entropy")
    theirs = [feature.graycoprops(whole / whole.sum(), n)[0, 0] for n in names[:4]]
    mine = cooccurrence_numbers(cooccurrence(levels))
    assert np.allclose(mine[:4], theirs)


def test_known_volumes() -> None:
    size = 16
    flat = texture(np.full((size,) * 3, 128, np.uint8))
    assert flat.shape == (TEXTURE_WIDTH,) and np.isfinite(flat).all()
    assert flat[8] == 1 and flat[:HISTOGRAM].sum() == 1  # one bin
    place = HISTOGRAM + len(QUANTILES)
    assert np.allclose(flat[HISTOGRAM : place + 2], [*[128 / 255] * 8, 0])
    assert np.allclose(flat[place + 2 :], [0] * 5 + [1] + [0] * 4 + [0, 1, 1, 0, 0])
    ramp = np.broadcast_to(np.arange(size, dtype=np.uint8) * 16, (size,) * 3)
    found = texture(ramp)
    assert np.allclose(found[:HISTOGRAM], 1 / 16)
    assert np.isclose(found[place + 2], 16 / 255) and np.isclose(found[place + 3], 0)
    assert np.allclose(found[place + 8 : place + 12], [3, 0, 3, 3])  # 8 equal bins a block
    noise = texture(RNG.integers(0, 256, (size,) * 3).astype(np.uint8))
    contrast, _, energy, correlation, entropy = noise[-5:]
    assert np.isclose(contrast, (GREY_LEVELS**2 - 1) / 6, rtol=0.05)  # of two independent levels
    assert np.isclose(energy, 1 / 64, rtol=0.05) and abs(correlation) < 0.05
    assert np.isclose(entropy, 6, atol=0.05)


def test_small_and_flat_ones() -> None:
    for shape in ((2, 2, 2), (3, 9, 20), (8, 8, 8)):
        found = texture(RNG.integers(0, 256, shape).astype(np.uint8))
        assert np.isfinite(found).all()
