"""Images from random numbers. Oracle: the power spectrum that was asked for, a slow Julia set,
counts of drawn colours."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.generation.generators.procedural import Procedural, ProceduralSampler


def radial_slope(field: np.ndarray) -> float:
    """The slope of log power over log frequency, by least squares over the middle frequencies."""
    n = len(field)
    power = np.abs(np.fft.fft2(field - field.mean())) ** 2
    radius = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None]).ravel()
    inside = (radius > 2 / n) & (radius < 0.3)
    return float(np.polyfit(np.log(radius[inside]), np.log(power.ravel()[inside] + 1e-12), 1)[0])


@pytest.mark.parametrize("slope", [1.0, 2.0, 3.0])
def test_noise_has_the_spectrum_that_was_asked_for(slope: float) -> None:
    sampler = ProceduralSampler(Procedural("noise", slope=slope), (128, 128, 3))
    found = [radial_slope(sampler.draw(seed).astype(float).mean(-1)) for seed in range(12)]
    assert np.mean(found) == pytest.approx(-slope, abs=0.3)


def test_escape_times_are_those_of_a_slow_julia_set() -> None:
    """The same seed's numbers, one pixel at a time: pixels that never leave have the first colour,
    and only those."""
    sampler = ProceduralSampler(Procedural("fractal"), (24, 20, 3))
    from gobelin.core.machine import numpy_generator

    image = sampler.draw(3).astype(int)
    rng = numpy_generator(3, "procedural")
    rng.integers(3)  # which kind
    turn, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.6)
    c = (np.exp(1j * turn) / 2 - np.exp(2j * turn) / 4) * rng.uniform(1.0, 1.08)
    stays = np.zeros((24, 20), bool)
    for row, y in enumerate(np.linspace(-zoom, zoom, 24)):
        for column, x in enumerate(np.linspace(-zoom, zoom, 20)):
            z = complex(x, y)
            for _ in range(48):
                z = z * z + c if abs(z) < 4 else z
            stays[row, column] = abs(z) < 4
    if stays.any():
        assert len(np.unique(image[stays], axis=0)) == 1
    assert (
        (image[~stays] != image[stays][0]).any(1).all()
        if stays.any()
        else len(np.unique(image.reshape(-1, 3), axis=0)) > 5
    )


def test_a_scene_is_a_ground_and_at_most_so_many_shapes() -> None:
    """Pure colours: the ground's and one for each shape; everything else is the blur of their
    edges."""
    sampler = ProceduralSampler(Procedural("shapes", shapes=4), (64, 64, 3))
    for seed in range(10):
        colours, counts = np.unique(sampler.draw(seed).reshape(-1, 3), axis=0, return_counts=True)
        assert 1 <= (counts > 40).sum() <= 5 and len(colours) < 64 * 64 / 4


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["mixed", "noise", "fractal", "shapes"])
def test_every_kind_in_every_number_of_channels(kind: str, channels: int) -> None:
    sampler = ProceduralSampler(Procedural(kind), (16, 24, channels))  # type: ignore[arg-type]
    images = np.stack([sampler.draw(seed) for seed in range(6)])
    assert images.shape == (6, 16, 24, channels) and images.dtype == np.uint8
    assert all((images[0] != other).any() for other in images[1:])
    if channels == 4:
        assert (images[..., 3] == 255).all()
