"""Pixels: planted cosines and colours must come back where the closed form puts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processor import RUNTIME
from scipy.fft import idctn

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.image.images import png_bytes
from gobelin.embedding.encoders.pixels import COLOUR_LEVELS, PIXELS_SIDE, Pixels

FIELD = Field("image", "pixels", ("i",), "image")
RNG = np.random.default_rng(0)


def features(*images: np.ndarray, frequencies: int = 12) -> np.ndarray:
    encoder = Pixels(frequencies).fit([], FIELD, {}, Runtime())
    out = encoder.embed([encoder.decode({"i": png_bytes(i)}, Path())[0] for i in images])
    assert out.shape == (len(images), encoder.width)
    return out


@pytest.mark.parametrize(("u", "v"), [(0, 0), (1, 0), (0, 5), (3, 7), (11, 11)])
def test_a_cosine_has_one_coefficient(u: int, v: int) -> None:
    y, x = np.mgrid[:PIXELS_SIDE, :PIXELS_SIDE]
    wave = np.cos(np.pi * (2 * y + 1) * u / (2 * PIXELS_SIDE)) * np.cos(
        np.pi * (2 * x + 1) * v / (2 * PIXELS_SIDE)
    )
    grey = np.rint(127 + 100 * wave).astype(np.uint8)
    found = features(np.repeat(grey[..., None], 3, -1))[0]
    expected = np.zeros((12, 12))
    expected[0, 0] = 127 / 255
    expected[u, v] += 100 / 255 * (1 if u == 0 else 0.5**0.5) * (1 if v == 0 else 0.5**0.5)
    assert np.allclose(found[:144].reshape(12, 12), expected, atol=2e-3)
    assert np.allclose(found[144 : 144 + 72], 0, atol=1e-6)  # grey has no colour


def test_coefficients_rebuild_a_smooth_image() -> None:
    wanted = np.zeros((PIXELS_SIDE, PIXELS_SIDE))
    wanted[:6, :6] = RNG.normal(size=(6, 6)) * 0.6
    wanted[0, 0] = PIXELS_SIDE / 2
    image = np.repeat(np.rint(255 * idctn(wanted, norm="ortho"))[..., None], 3, -1)
    assert image.min() >= 0 and image.max() <= 255
    assert np.allclose(
        features(image.astype(np.uint8))[0, :144].reshape(12, 12) * PIXELS_SIDE,
        wanted[:12, :12],
        atol=0.1,
    )


def test_colour_differences_of_flat_images() -> None:
    found = features(np.tile(np.array([200, 40, 90], np.uint8), (PIXELS_SIDE, PIXELS_SIDE, 1)))[0]
    grey = 110 / 255
    assert found[[0, 144, 180]] == pytest.approx(
        [grey, 200 / 255 - grey, 90 / 255 - grey], abs=1e-5
    )


def test_histogram_is_of_shares() -> None:
    image = RNG.integers(0, 256, (PIXELS_SIDE, PIXELS_SIDE, 3), dtype=np.uint8)
    shares = features(image)[0, -(COLOUR_LEVELS**3) :] ** 2
    expected, _ = np.histogramdd(image.reshape(-1, 3), bins=COLOUR_LEVELS, range=[(0, 256)] * 3)
    assert shares.sum() == pytest.approx(1, abs=1e-5) and np.allclose(
        shares * PIXELS_SIDE**2, expected.ravel(), atol=1e-2
    )


def test_several_images_are_averaged() -> None:
    one, other = (
        RNG.integers(0, 256, (PIXELS_SIDE, PIXELS_SIDE, 3), dtype=np.uint8) for _ in range(2)
    )
    encoder = Pixels().fit([], FIELD, {}, Runtime())
    both = encoder.embed([encoder.decode({"i": [png_bytes(one), png_bytes(other)]}, Path())[0]])
    assert np.allclose(both[0], features(one, other).mean(0), atol=1e-6)


@pytest.mark.parametrize("frequencies", [1, 5, 32])
def test_width_follows_the_setting(frequencies: int) -> None:
    found = features(RNG.integers(0, 256, (40, 20, 3), dtype=np.uint8), frequencies=frequencies)
    assert found.shape[1] == frequencies**2 + 2 * max(frequencies // 2, 1) ** 2 + 64


@pytest.mark.parametrize("name", ["pixels", "image"])
def test_a_loaded_encoder_opens_images_that_are_not_square(name: str, tmp_path: Path) -> None:
    """The background comes back from JSON as the colour that it was; a strip is padded with it."""
    runtime = RUNTIME
    field = Field("image", name, ("image",), "image")
    Image.new("RGB", (30, 10), (200, 30, 30)).save(tmp_path / "strip.png")
    fresh = catalog.build("encoders", name).fit([], field, {"image": "image"}, runtime)
    fresh.save(tmp_path)
    again = catalog.build("encoders", name).load(tmp_path, runtime)
    cell = {"image": "strip.png"}
    pixels = [e.decode(cell, tmp_path)[0] for e in (fresh, again)]
    assert (
        (pixels[0] == pixels[1]).all()
        and (pixels[1][0, 0] == 255).all()
        and again.fingerprint() == fresh.fingerprint()
    )
