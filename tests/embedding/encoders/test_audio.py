"""Audio: planted tones must come back in the band, at the place in time, at the level and with the
pitch where the closed form puts them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from processor import RUNTIME

from gobelin.core.errors import GobelinError
from gobelin.core.files import write_json
from gobelin.core.lazy import fft
from gobelin.data.fields import Field
from gobelin.data.sound.mel import HOP, POINTS, WINDOW, mel_filters, mel_power
from gobelin.embedding.encoders.audio import (
    END_STEPS,
    FLOOR,
    GROUPS,
    LEVEL_SCALE,
    Audio,
    Clip,
    FittedAudio,
    cepstrum,
    cosines,
    features,
)

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


BANDS, WAVES = 40, 8


def found(wave: np.ndarray, waves: int = WAVES) -> np.ndarray:
    return features(wave, BANDS, waves)


def parts(wave: np.ndarray) -> dict[str, np.ndarray]:
    """Each group as it is before its scale divides it, and the level."""
    row, out, start = found(wave).astype(np.float64), {}, 0
    clip = Clip.of(wave, BANDS)
    for group, scale in GROUPS:
        size = len(group(clip, WAVES))
        out[group.__name__] = row[start : start + size] * scale
        start += size
    assert start == len(row) - 1
    return out | {"level": row[-1:] * LEVEL_SCALE}


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
    mean = parts(tone(hertz))["course"][:BANDS]
    assert mean.argmax() == np.argmax([slow_filter(b, 40, hertz) for b in range(40)])
    deaf = [
        b
        for b in range(40)
        if not any(slow_filter(b, 40, f) for f in np.arange(hertz * 0.7, hertz * 1.4, 5.0))
    ]
    assert mean[deaf].max() < np.log(1e-3)


def test_a_steady_tone_has_no_movement_and_a_rising_one_moves_as_planted() -> None:
    steady = parts(tone(1000, 1.0))
    # 98 whole frames, and at either end two that are partly silent
    assert steady["length"] == pytest.approx(np.log(102), abs=0.02)
    course = np.abs(steady["course"].reshape(1 + WAVES, BANDS))
    assert course[1::2].max() < 0.1 and course[1:].max() < 0.7
    course = parts(rising())["course"].reshape(1 + WAVES, BANDS)
    low, high = (int(np.argmax([slow_filter(b, 40, f) for b in range(40)])) for f in (400, 3600))
    # the first wave: from loud to quiet, and back
    assert course[1, low] > 1 and course[1, high] < -1


def test_cosines_are_the_transform_over_time_and_keep_its_power() -> None:
    x = RNG.normal(size=(50, 6))
    expected = fft.dct(x, type=2, axis=0, norm="ortho") / np.sqrt(50)
    assert np.allclose(cosines(x, 9), expected[:9])
    assert np.allclose((cosines(x, 50) ** 2).sum(0), (x**2).mean(0))
    assert np.allclose(cosines(x[:3], 9)[3:], 0)


def test_cepstra_of_one_wave_over_bands_are_one_number() -> None:
    for k in (0, 1, 5):
        wave = np.cos(np.pi * k * (np.arange(BANDS) + 0.5) / BANDS)
        out = cepstrum(np.stack([wave, 2 * wave]), 13)
        height = np.sqrt(BANDS / (1 if k == 0 else 2))
        assert np.allclose(out, np.outer([1, 2], height * np.eye(13)[k]), atol=1e-9)


def test_backwards_turns_odd_waves_and_ends_and_keeps_what_has_no_order() -> None:
    wave = rising()
    there, back = parts(wave), parts(wave[::-1])
    course, turned = (x["course"].reshape(1 + WAVES, BANDS) for x in (there, back))
    signs = np.array([1, -1] * 5)[: 1 + WAVES, None]
    assert np.allclose(course * signs, turned, atol=1e-3) and np.abs(course - turned).max() > 2
    ends, last = (x["ends"].reshape(2, END_STEPS, -1) for x in (there, back))
    assert np.allclose(ends, last[::-1, ::-1], atol=1e-3) and np.abs(ends - last).max() > 2
    for name in ("changes", "rhythm", "length", "level"):
        assert np.allclose(there[name], back[name], atol=2e-2), name


def clicks(hertz: float, seconds: float) -> np.ndarray:
    """Bursts of noise of 20 ms, so many a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    return RNG.normal(size=len(t)) * (t * hertz % 1 < 0.02 * hertz)


@pytest.mark.parametrize(("hertz", "octave"), [(3.0, 2), (6.0, 3), (12.0, 4)])
def test_beats_are_counted_and_lie_in_the_octave_of_their_rate(hertz: float, octave: int) -> None:
    """Octaves 2, 3 and 4 begin at 2, 4 and 8 Hz. Beats have multiples of their rate and nothing
    below it."""
    out = parts(clicks(hertz, 4.0) + 1e-2 * RNG.normal(size=4 * RATE))
    power = out["rhythm"].reshape(6, 8).mean(1)
    assert power[:octave].max() < power[octave] - 1
    assert out["onsets"][5] * 5 == pytest.approx(hertz, rel=0.15)  # counted in 0.2 s


@pytest.mark.parametrize("hertz", [100, 200, 400])
def test_a_tone_has_its_pitch_and_noise_has_none(hertz: float) -> None:
    mean, deviation, share, periodic = parts(tone(hertz))["voice"][:4] / 2
    assert mean == pytest.approx(np.log2(hertz / 200), abs=0.02) and deviation < 0.02
    assert share > 0.95 and periodic > 0.95
    assert parts(RNG.normal(size=RATE))["voice"][3] / 2 < 0.5


@pytest.mark.parametrize("steps", [(1, 0), (0, 3), (200, 100)])
def test_silence_at_the_ends_changes_nothing(steps: tuple[int, int]) -> None:
    """Silence of whole steps of 10 ms, around a clip that swells and around one that begins and
    ends at its loudest."""
    for wave in (rising() * np.hanning(len(rising())), rising()):
        padded = np.pad(wave, tuple(HOP * k for k in steps))
        assert np.allclose(found(padded), found(wave), atol=1e-5)


def test_the_noise_of_a_room_at_the_ends_changes_little() -> None:
    """60 dB below the clip."""
    wave = rising() + 3e-4 * RNG.normal(size=len(rising()))
    padded = np.concatenate([3e-4 * RNG.normal(size=RATE), wave, 3e-4 * RNG.normal(size=2 * RATE)])
    moved, other = (np.linalg.norm(found(w) - found(wave)) for w in (padded, wave[::-1]))
    assert moved < 0.2 * other


@pytest.mark.parametrize("gain", [0.01, 0.3, 1.9])
def test_loudness_is_one_number(gain: float) -> None:
    loud, quiet = found(rising()), found(gain * rising())
    assert LEVEL_SCALE * (quiet[-1] - loud[-1]) == pytest.approx(2 * np.log(gain), abs=1e-4)
    assert np.allclose(quiet[:-1], loud[:-1], atol=1e-5)


def test_a_louder_copy_is_nearer_than_any_other_clip() -> None:
    """Twice as loud: 6 dB."""
    clips = [tone(h, s) for h in (200, 210, 420) for s in (0.4, 0.5)] + [rising(), rising(0.9)]
    rows = np.stack([found(c) for c in clips])
    for k, clip in enumerate(clips):
        distances = np.linalg.norm(rows - found(2 * clip), axis=1)
        assert distances.argmin() == k and distances[k] == pytest.approx(2 * np.log(2) / 27, 1e-3)


@pytest.mark.parametrize(
    "wave", [np.zeros(8000), np.zeros(1), np.ones(1), tone(500, 0.01), np.full(8000, 1e-12)]
)
@pytest.mark.parametrize("bands", [4, 7, 40, 96])
def test_silence_and_short_clips_are_finite(wave: np.ndarray, bands: int) -> None:
    row = features(wave, bands, WAVES)
    assert row.shape == features(rising(), bands, WAVES).shape and np.isfinite(row).all()
    if not wave.any():
        assert np.allclose(row[:bands] * 19, np.log(FLOOR))


def test_several_clips_are_averaged(tmp_path: Path) -> None:
    for name, wave in (("a", tone(300)), ("b", rising())):
        soundfile.write(tmp_path / f"{name}.wav", wave, RATE, subtype="FLOAT")
    encoder = Audio().fit([], FIELD, {}, RUNTIME)
    assert isinstance(encoder, FittedAudio)
    one, other, both = (
        encoder.decode({"s": v}, tmp_path)[0] for v in ("a.wav", "b.wav", ["a.wav", "b.wav"])
    )
    assert np.allclose(both, (one + other) / 2, atol=1e-6)
    assert np.allclose(one, found(tone(300).astype(np.float32).astype(np.float64)), atol=1e-5)


def test_the_settings_say_the_width_and_the_length(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", rising(3.0), RATE)
    encoder = Audio(bands=10, waves=0, seconds=1.0).fit([], FIELD, {}, RUNTIME)
    row, how = encoder.decode({"s": "a.wav"}, tmp_path)
    # mean of each band, both ends, changes, rhythm, onsets, voice, length and level
    width = 10 + 2 * 4 * 10 + 2 * 10 + 6 * 8 + 11 + 16 + 2
    assert row.shape == (width,) and encoder.width == width and how == "cut to 1 s"
    assert Audio().fit([], FIELD, {}, RUNTIME).width == 623
    with pytest.raises((GobelinError, ValueError), match="bands"):
        Audio(bands=1)


def test_queries_are_files(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", rising(), RATE)
    assert Audio().parse(str(tmp_path / "a.ogg"), FIELD) == {"s": (tmp_path / "a.ogg").read_bytes()}
    (tmp_path / "b.ogg").write_bytes(b"words")
    for name, reason in (("b.ogg", "is no sound, or is damaged"), ("c.ogg", "no such file")):
        with pytest.raises(GobelinError, match=f"--audio .*{name}: {reason}"):
            Audio().parse(str(tmp_path / name), FIELD)


def test_a_saved_encoder_makes_the_same_and_one_with_other_features_is_refused(
    tmp_path: Path,
) -> None:
    encoder = Audio(bands=12, waves=3).fit([], FIELD, {}, RUNTIME)
    encoder.save(tmp_path)
    loaded = Audio().load(tmp_path, RUNTIME)
    assert loaded.fingerprint() == encoder.fingerprint() and loaded.width == encoder.width
    write_json(tmp_path / "config.json", {"bands": 40, "waves": 8, "seconds": 30.0})
    with pytest.raises(GobelinError, match="format 1, this version makes 2. Fit again"):
        Audio().load(tmp_path, RUNTIME)
