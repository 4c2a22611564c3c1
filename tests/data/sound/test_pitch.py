"""Pitch: tones and trains of pulses of a known period come back with it."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.data.sound.pitch import HOP, LAGS, WINDOW, pitch
from gobelin.data.sound.sounds import RATE

RNG = np.random.default_rng(0)


def pulses(hertz: float, seconds: float = 0.5) -> np.ndarray:
    """Twenty partials of equal height below 8 kHz, at most."""
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(np.cos(2 * np.pi * k * hertz * t) for k in range(1, 21) if k * hertz < 7900)


@pytest.mark.parametrize("hertz", [62.5, 100, 160, 250, 400, 640])
def test_tones_and_voices_have_the_pitch_that_was_planted(hertz: float) -> None:
    tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(8000) / RATE)
    for wave in (tone, pulses(hertz), 1e-3 * pulses(hertz)):
        octaves, share, _ = pitch(wave)
        assert len(octaves) == 1 + (len(wave) - WINDOW) // HOP
        # A lag is a whole number of samples
        assert np.allclose(200 * 2**octaves, hertz, rtol=0.6 / (RATE / hertz) + 0.002)
        assert share.mean() > 0.85


def test_a_voice_without_its_lowest_partial_keeps_its_pitch() -> None:
    t = np.arange(8000) / RATE
    octaves, _, _ = pitch(sum(np.cos(2 * np.pi * k * 200 * t) for k in range(2, 8)))
    assert np.abs(octaves).max() < 0.02


def test_noise_is_hardly_periodic_and_silence_not_at_all() -> None:
    _, noisy, _ = pitch(RNG.normal(size=RATE))
    assert noisy.mean() < 0.5
    for wave in (np.zeros(1), np.zeros(RATE), np.ones(3000)):
        octaves, share, power = pitch(wave)
        assert not octaves.any() and np.isfinite(share).all() and np.isfinite(power).all()
        assert not share.any()


def test_the_share_is_that_of_the_periodic_power() -> None:
    """Boersma 1993, equation 4: signal and noise of equal power have a share of one half. The
    highest of the peaks is a little above it."""
    noise = RNG.normal(size=10 * RATE)
    wave = np.sqrt(2) * np.sin(2 * np.pi * 200 * np.arange(len(noise)) / RATE) + noise
    _, share, _ = pitch(wave)
    assert share.mean() == pytest.approx(0.54, abs=0.05)


def test_long_clips_are_the_same_in_pieces() -> None:
    wave = RNG.normal(size=WINDOW + HOP * 1100)
    for whole, part in zip(pitch(wave), pitch(wave[HOP * 1000 :]), strict=True):
        assert np.allclose(whole[1000:], part)
    assert LAGS[0] == 20 and LAGS[-1] == 320
