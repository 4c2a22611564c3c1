"""Sounds as the power of mel bands: windows of 25 ms every 10 ms at 16 kHz.

A log-mel spectrogram is that of Davis & Mermelstein 1980, on HTK's mel scale, m = 2595 log10(1 + f
/ 700) (O'Shaughnessy 1987)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gobelin.data.sounds import RATE

WINDOW, HOP, POINTS = (
    400,
    160,
    512,
)  # samples at 16 kHz: 25 ms, 10 ms, and the length of the Fourier transform
QUIET = 1e-8  # a band is never counted below this share of the clip's loudest (80 dB)
SILENCE = 1e-10  # power below which nothing is heard
EDGE = 1e-4  # frames at both ends below this share of the loudest one (40 dB) are cut off


@lru_cache(maxsize=4)
def mel_filters(bands: int) -> np.ndarray:
    """float64 [bands, 257]: triangles of height 1, their corners equally far apart on the mel scale
    from 0 to 8 kHz."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)  # Hz
    hertz = np.fft.rfftfreq(POINTS, 1 / RATE)
    low, middle, high = (corners[k : k + bands, None] for k in range(3))
    return np.clip(
        np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None
    )


def mel_power(wave: np.ndarray, bands: int) -> np.ndarray:
    """[T] -> float64 [frames, bands]: power in each of 1 + (T - 400) // 160 frames; a short clip is
    filled up with 0."""
    wave = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    out = np.empty((len(frames), bands))
    for start in range(0, len(frames), 1024):  # so that a long clip needs little memory
        spectrum = np.fft.rfft(frames[start : start + 1024] * np.hanning(WINDOW), POINTS)
        out[start : start + 1024] = (spectrum.real**2 + spectrum.imag**2) @ mel_filters(bands).T
    return out


def heard(power: np.ndarray) -> tuple[np.ndarray, float]:
    """[frames, bands] -> float64 [fewer frames, bands] in nepers below the loudest band of the
    clip, quiet edges cut off; and that loudest power."""
    loud = power.sum(1)
    there = np.flatnonzero(loud >= max(EDGE * loud.max(), SILENCE))
    if len(there):
        power = power[there[0] : there[-1] + 1]
    peak = max(float(power.max()), SILENCE)
    bands = (
        np.log(np.maximum(power / peak, QUIET))
        if len(there)
        else np.full(power.shape, np.log(QUIET))
    )
    return bands, peak
