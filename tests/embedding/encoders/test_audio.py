"""Audio: planted tones must come back in the band, at the place in time and at the level where the
closed form puts them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from processor import RUNTIME

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Field
from gobelin.data.mel import HOP, POINTS, QUIET, WINDOW, mel_filters, mel_power
from gobelin.embedding.encoders.audio import Audio, FittedAudio, summary

soundfile = pytest.importorskip("soundfile")
FIELD = Field("sound", "audio", ("s",), "audio")
RATE = 16_000
RNG = np.random.default_rng(0)


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE, height: float = 0.5) -> np.ndarray:
    return height * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def rising(seconds: float = 1.0) -> np.ndarray:
    """A tone from 200 Hz up to 4 kHz; its length is such that frames lie alike from both ends."""
    t = np.arange(WINDOW + HOP * round(seconds * 100)) / RATE
    return 0.5 * np.sin(2 * np.pi * (200 * t + 1900 * t**2 / seconds))


def features(wave: np.ndarray, waves: int = 8) -> np.ndarray:
    return summary(mel_power(wave, 40), waves)


def parts(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """mean [40], deviation [40], waves [8, 40], level, logarithm of the count of frames."""
    return (
        found[:40],
        found[40:80],
        found[80:400].reshape(8, 40),
        float(found[400]),
        float(found[401]),
    )


def slow_filter(band: int, bands: int, hertz: float) -> float:
    """One value of the filterbank, from the definition alone."""

    def corner(k: int) -> float:
        top = 2595 * math.log10(1 + 8000 / 700)
        return 700 * (10 ** (top * k / (bands + 1) / 2595) - 1)

    low, middle, high = corner(band), corner(band + 1), corner(band + 2)
    if low <= hertz <= middle:
        return (hertz - low) / (middle - low)
    return (high - hertz) / (high - middle) if middle < hertz <= high else 0.0


@pytest.mark.parametrize("bands", [4, 40, 96])
def test_filters_are_those_of_the_formula(bands: int) -> None:
    slow = [
        [slow_filter(b, bands, k * RATE / POINTS) for k in range(POINTS // 2 + 1)]
        for b in range(bands)
    ]
    assert np.allclose(mel_filters(bands), slow, atol=1e-9)
    assert (mel_filters(bands).max(1) > 0).all()  # no band is deaf


def test_power_is_that_of_a_slow_transform() -> None:
    wave = RNG.normal(size=WINDOW + 2 * HOP + 7)
    found = mel_power(wave, 20)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * t / (WINDOW - 1)) for t in range(WINDOW)]
    expected = np.zeros((3, 20))
    for frame in range(3):
        part = wave[frame * HOP : frame * HOP + WINDOW] * window
        for k in range(POINTS // 2 + 1):
            power = abs(np.sum(part * np.exp(-2j * np.pi * k * np.arange(WINDOW) / POINTS))) ** 2
            expected[frame] += [slow_filter(b, 20, k * RATE / POINTS) * power for b in range(20)]
    assert np.allclose(found, expected, rtol=1e-8)


def test_long_clips_are_the_same_in_pieces() -> None:
    wave = RNG.normal(size=WINDOW + HOP * 2100)
    assert np.allclose(mel_power(wave, 20)[2000:], mel_power(wave[HOP * 2000 :], 20))


@pytest.mark.parametrize("hertz", [150, 440, 1000, 2500, 6000])
def test_a_tone_lies_in_the_band_that_holds_its_frequency(hertz: float) -> None:
    mean = parts(features(tone(hertz)))[0]
    assert mean.argmax() == np.argmax([slow_filter(b, 40, hertz) for b in range(40)])
    deaf = [
        b
        for b in range(40)
        if not any(slow_filter(b, 40, f) for f in np.arange(hertz * 0.7, hertz * 1.4, 5.0))
    ]
    assert mean[deaf].max() < np.log(1e-3)


def test_a_steady_tone_has_no_movement_and_a_rising_one_moves_as_planted() -> None:
    _, deviation, moves, _, count = parts(features(tone(1000, 1.0)))
    assert (
        deviation.max() < 0.05 and np.abs(moves).max() < 0.05 and count == pytest.approx(np.log(98))
    )
    _, deviation, moves, _, _ = parts(features(rising()))
    low, high = (int(np.argmax([slow_filter(b, 40, f) for b in range(40)])) for f in (400, 3600))
    assert (
        moves[0, low] > 1 and moves[0, high] < -1 and deviation[low] > 1
    )  # the first wave: from loud to quiet, and back


def test_waves_are_the_cosine_transform_over_time() -> None:
    from scipy.fft import dct

    power = np.exp(RNG.uniform(-3, 0, size=(50, 6)))
    bands = np.log(power / power.max())
    found = summary(power, 5)
    assert np.allclose(found[:12], np.concatenate([bands.mean(0), bands.std(0)]), atol=1e-5)
    assert np.allclose(found[12:42].reshape(5, 6), dct(bands, type=2, axis=0)[1:6] / 50, atol=1e-5)


def test_backwards_turns_every_odd_wave_and_nothing_else() -> None:
    wave = rising()
    there, back = parts(features(wave)), parts(features(wave[::-1]))
    signs = np.array([-1, 1] * 4)[:, None]
    assert (
        np.allclose(there[2] * signs, back[2], atol=1e-3) and np.abs(there[2] - back[2]).max() > 2
    )
    assert all(
        np.allclose(a, b, atol=1e-3)
        for a, b in zip(there[:2] + there[3:], back[:2] + back[3:], strict=True)
    )


@pytest.mark.parametrize("noise", [0.0, 3e-4])
def test_silence_at_the_ends_changes_little(noise: float) -> None:
    """True silence, and that of a room 60 dB below the clip."""
    wave = rising() + 3e-4 * RNG.normal(size=len(rising()))
    before, after = noise * RNG.normal(size=RATE), noise * RNG.normal(size=2 * RATE)
    padded = np.concatenate([before, wave, after])
    moved, other = (np.linalg.norm(features(w) - features(wave)) for w in (padded, wave[::-1]))
    assert moved < 0.2 * other


@pytest.mark.parametrize("gain", [0.01, 0.3, 1.9])
def test_loudness_is_one_number(gain: float) -> None:
    loud, quiet = features(rising()), features(gain * rising())
    assert quiet[400] - loud[400] == pytest.approx(2 * np.log(gain), abs=1e-4)
    assert np.allclose(np.delete(quiet, 400), np.delete(loud, 400), atol=1e-4)


@pytest.mark.parametrize(
    "wave", [np.zeros(8000), np.zeros(1), np.ones(1), tone(500, 0.01), np.full(8000, 1e-12)]
)
def test_silence_and_short_clips_are_finite(wave: np.ndarray) -> None:
    found = features(wave)
    assert found.shape == (402,) and np.isfinite(found).all()
    if not wave.any():
        assert np.allclose(found[:40], np.log(QUIET)) and np.abs(found[40:400]).max() < 1e-9


def test_several_clips_are_averaged(tmp_path: Path) -> None:
    for name, wave in (("a", tone(300)), ("b", rising())):
        soundfile.write(tmp_path / f"{name}.wav", wave, RATE, subtype="FLOAT")
    encoder = Audio().fit([], FIELD, {}, RUNTIME)
    assert isinstance(encoder, FittedAudio)
    one, other, both = (
        encoder.decode({"s": v}, tmp_path)[0] for v in ("a.wav", "b.wav", ["a.wav", "b.wav"])
    )
    assert np.allclose(both, (one + other) / 2, atol=1e-6)
    assert np.allclose(one, features(tone(300).astype(np.float32).astype(np.float64)), atol=1e-5)


def test_the_settings_say_the_width_and_the_length(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", rising(3.0), RATE)
    encoder = Audio(bands=10, waves=0, seconds=1.0).fit([], FIELD, {}, RUNTIME)
    found, how = encoder.decode({"s": "a.wav"}, tmp_path)
    assert found.shape == (22,) and encoder.width == 22 and how == "cut to 1 s"
    with pytest.raises((GobelinError, ValueError), match="bands"):
        Audio(bands=1)


def test_queries_are_files(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", rising(), RATE)
    assert Audio().parse(str(tmp_path / "a.ogg"), FIELD) == {"s": (tmp_path / "a.ogg").read_bytes()}
    (tmp_path / "b.ogg").write_bytes(b"words")
    for name, reason in (("b.ogg", "is no sound, or is damaged"), ("c.ogg", "no such file")):
        with pytest.raises(GobelinError, match=f"--audio .*{name}: {reason}"):
            Audio().parse(str(tmp_path / name), FIELD)
