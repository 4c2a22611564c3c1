"""Sounds as the power of mel bands: windows of 25 ms every 10 ms, at 16 kHz.

A log-mel spectrogram is that of Davis & Mermelstein 1980, on HTK's mel scale, m = 2595 log10(1 + f
/ 700) (O'Shaughnessy 1987).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gobelin.data.sound.sounds import RATE

WINDOW = 400  # samples of a frame: 25 ms
HOP = 160  # samples from one frame to the next: 10 ms
POINTS = 512  # length of the Fourier transform
QUIET = 1e-8  # least power of a band, as a share of the clip's loudest band (80 dB)
SILENCE = 1e-10  # least power of a loudest band: a quieter clip is silence
EDGE = 1e-4  # frames at both ends below this share of the loudest frame (40 dB) are cut off


@lru_cache(maxsize=4)
def mel_filters(bands: int) -> np.ndarray:
    """float64 [bands, 257]: triangles of height 1 over the frequencies of the Fourier transform;
    their corners are equally spaced on the mel scale from 0 to 8 kHz.
    """
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)  # Hz
    hertz = np.fft.rfftfreq(POINTS, 1 / RATE)
    low, middle, high = (corners[k : k + bands, None] for k in range(3))
    return np.clip(
        np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None
    )


def mel_power(wave: np.ndarray, bands: int) -> np.ndarray:
    """Samples [T] at 16 kHz -> float64 [frames, bands]: power in each of 1 + (T - 400) // 160
    frames; a short clip is padded with 0.
    """
    wave = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    out = np.empty((len(frames), bands))
    for start in range(0, len(frames), 1024):  # so that a long clip needs little memory
        spectrum = np.fft.rfft(frames[start : start + 1024] * np.hanning(WINDOW), POINTS)
        out[start : start + 1024] = (spectrum.real**2 + spectrum.imag**2) @ mel_filters(bands).T
    return out


def loud_part(power: np.ndarray, edge: float = EDGE) -> tuple[int, int]:
    """The first frame of [frames, bands] that is loud, and the one after the last. edge: least
    power of a loud frame, as a share of the loudest one. All frames where none is loud."""
    frame_power = power.sum(1)
    loud = np.flatnonzero(frame_power >= max(edge * frame_power.max(), SILENCE))
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(power))


def heard(power: np.ndarray, edge: float = EDGE, quiet: float = QUIET) -> tuple[np.ndarray, float]:
    """Power [frames, bands] -> float64 [fewer frames, bands], the logarithm of the share of the
    clip's loudest band (nepers, 0 or less, no share below `quiet`), quiet edges cut off
    (`loud_part`); and that loudest power.
    """
    first, end = loud_part(power, edge)
    silent = power.sum(1).max() < SILENCE
    power = power[first:end]
    peak = max(float(power.max()), SILENCE)
    bands = (
        np.full(power.shape, np.log(quiet)) if silent else np.log(np.maximum(power / peak, quiet))
    )
    return bands, peak
