"""The pitch of a sound: one fundamental frequency a frame, and how periodic the frame is.

The autocorrelation of a windowed frame is divided by that of the window (Boersma 1993, equation 9).
Its highest peak between 50 and 800 Hz is the pitch, its height the share of periodic power.
"""

from __future__ import annotations

import numpy as np

from gobelin.data.sound.sounds import RATE

WINDOW = 640  # samples of a frame: 40 ms, two periods of the lowest pitch
HOP = 320  # samples from one frame to the next: 20 ms
LAGS = np.arange(RATE // 800, RATE // 50 + 1)  # samples: periods of 800 to 50 Hz
OCTAVE_COST = 0.01  # that a period loses for each octave below 800 Hz (Boersma 1993, equation 26)
POINTS = 1024  # of the Fourier transform: no lag up to 320 wraps around
AT_ONCE = 1024  # frames that are transformed at once


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    """[..., 640] -> float64 [..., 322] at lags 0, 1, ... 321."""
    spectrum = np.fft.rfft(frames, POINTS)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2, POINTS)[..., : LAGS[-1] + 2]


HANN = np.hanning(WINDOW)
OF_WINDOW = _autocorrelation(HANN)


def pitch(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples [T] at 16 kHz -> three float64 [frames]: octaves above 200 Hz (0 where no peak is),
    periodic share in [0, 1], power. A short clip is padded with 0."""
    wave = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    octaves, shares, powers = (np.empty(len(frames)) for _ in range(3))
    cost = OCTAVE_COST * np.log2(LAGS / LAGS[0])
    for start in range(0, len(frames), AT_ONCE):
        block = frames[start : start + AT_ONCE]
        correlation = _autocorrelation((block - block.mean(1, keepdims=True)) * HANN)
        power = correlation[:, 0]
        ratio = correlation / np.where(power > 0, power, 1)[:, None] / (OF_WINDOW / OF_WINDOW[0])
        height = ratio[:, LAGS]
        peak = (height >= ratio[:, LAGS - 1]) & (height >= ratio[:, LAGS + 1]) & (height > 0)
        best = np.where(peak, height - cost, -1).argmax(1)
        there = np.arange(len(block))
        found = peak[there, best]
        to = slice(start, start + len(block))
        octaves[to] = np.where(found, np.log2(RATE / LAGS[best] / 200), 0)
        shares[to] = np.where(found, np.clip(height[there, best], 0, 1), 0)
        powers[to] = power
    return octaves, shares, powers
