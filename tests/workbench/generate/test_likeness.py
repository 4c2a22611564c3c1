"""Do images of different seeds differ? Oracles: a loop over pairs, and sets whose spread is
planted."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.workbench.generate.likeness import spread, warning

RNG = np.random.default_rng(0)
REAL = RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)


def near(share: float, count: int = 8) -> np.ndarray:
    """Images around one, that differ by `share` of what real ones differ by."""
    middle = REAL[0].astype(float)
    return np.stack([middle + share * (other - 127.5) for other in REAL[1 : count + 1]])


def test_the_spread_is_the_mean_over_all_pairs() -> None:
    pairs = [
        np.sqrt(((REAL[a].astype(float) - REAL[b]) ** 2).mean())
        for a in range(len(REAL))
        for b in range(a)
    ]
    assert spread(REAL) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(
    ("share", "told"), [(0.0, True), (0.15, True), (0.4, True), (0.6, False), (1.0, False)]
)
def test_images_that_hardly_differ_are_told(share: float, told: bool) -> None:
    line = warning(near(share), REAL, "for 'red'")
    assert bool(line) == told
    if told:
        assert "8 seeds hardly differ for 'red'" in line and "--guidance" in line


def test_too_few_images_and_other_sizes_tell_nothing() -> None:
    alike = near(0.0)
    assert not warning(alike[:1], REAL, "")
    assert not warning(alike, REAL[:3], "")
    assert not warning(alike, REAL[:, :4], "")
    assert not warning(alike, np.repeat(REAL[:1], 8, 0), "")  # training images are all one
