"""Opening sounds. Oracles: planted tones, channels and damages."""

from __future__ import annotations

import io
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gobelin.core.errors import MissingExtra
from gobelin.data.files import BadCell, cell_key
from gobelin.data.sound import sounds
from gobelin.data.sound.sounds import RATE, open_sound, resampled, sound_share

soundfile = pytest.importorskip("soundfile")


def tone(hertz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_a_tone(rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1000, rate), rate)
    found, how = open_sound("a.wav", tmp_path, 30)
    assert how == "" and abs(len(found) - RATE // 2) <= 1
    inside = slice(800, -800)  # the filter's ends
    assert np.abs(found - tone(1000, RATE, 1)[: len(found)])[inside].max() < 0.01
    assert np.argmax(np.abs(np.fft.rfft(found[: RATE // 4]))) == 250


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    assert np.abs(resampled(tone(12_000, 48_000), 48_000))[400:-400].max() < 0.005


@pytest.mark.parametrize(
    ("ending", "near"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05), ("aiff", 1e-4), ("mp3", 0.1)]
)
def test_formats(ending: str, near: float, tmp_path: Path) -> None:
    wave = tone(700, RATE)
    soundfile.write(tmp_path / f"a.{ending}", wave, RATE)
    found, _ = open_sound(f"a.{ending}", tmp_path, 30)
    assert np.array_equal(
        found, open_sound((tmp_path / f"a.{ending}").read_bytes(), tmp_path, 30)[0]
    )
    shift = (
        0
        if ending != "mp3"
        else int(np.argmax(np.correlate(found[:4000], wave[1000:2000], "valid"))) - 1000
    )
    assert np.abs(found[2000 + shift : 6000 + shift] - wave[2000:6000]).max() < near


def test_silence_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((RATE, 2)), RATE)
    found, how = open_sound("a.wav", tmp_path, 60.0)
    assert how == "silence alone" and found.shape == (RATE,) and not found.any()


def test_channels_are_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = rng.uniform(-0.5, 0.5, (5000, 3)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    found, how = open_sound("a.wav", tmp_path, 30)
    assert how == "3 channels" and np.allclose(found, wave.mean(1), atol=1e-7)


@pytest.mark.parametrize("ending", ["wav", "flac", "aiff", "ogg"])
@pytest.mark.parametrize(
    ("gains", "kept"),
    [((1, -1), 0), ((-0.5, 0.5), 0), ((0.4, -0.2, -0.2), 0), ((0.3, -0.6, 0.3), 1)],
)
def test_channels_that_cancel_out_are_no_silence(
    gains: tuple[float, ...], kept: int, ending: str, tmp_path: Path
) -> None:
    wave = tone(700, RATE)
    soundfile.write(tmp_path / f"a.{ending}", wave[:, None] * np.array(gains), RATE)
    found, how = open_sound(f"a.{ending}", tmp_path, 0.4)
    assert how == "cut to 0.4 s"
    found, how = open_sound(f"a.{ending}", tmp_path, 30)
    assert how == f"{len(gains)} channels that cancel out, so the loudest alone"
    off = 0.1 if ending == "ogg" else 1e-4
    assert min(np.abs(found - sign * gains[kept] * wave).max() for sign in (1, -1)) < off


@pytest.mark.parametrize("gains", [(1, 0), (0, 0, 0, 1), (1, -0.7), (1, 1)])
def test_other_channels_do_not_cancel_out(gains: tuple[float, ...], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(700, RATE)[:, None] * np.array(gains), RATE)
    found, how = open_sound("a.wav", tmp_path, 30)
    assert how == f"{len(gains)} channels"
    assert np.abs(found - np.mean(gains) * tone(700, RATE)).max() < 1e-4


@pytest.mark.parametrize("scale", [40, 2**15, 2**31])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_of_another_scale_are_told(scale: float, subtype: str, tmp_path: Path) -> None:
    """As where whole numbers were saved as floats, undivided."""
    soundfile.write(tmp_path / "a.wav", scale * tone(700, RATE), RATE, subtype=subtype)
    assert open_sound("a.wav", tmp_path, 30)[1].startswith("samples far beyond 1")
    soundfile.write(tmp_path / "a.wav", 4 * tone(700, RATE), RATE, subtype=subtype)
    assert open_sound("a.wav", tmp_path, 30)[1] == ""


def test_long_sounds_are_cut_in_bounded_memory(tmp_path: Path) -> None:
    """Ten minutes of four channels would be 300 MB in float64; two seconds are read."""
    with soundfile.SoundFile(tmp_path / "long.wav", "w", RATE, 4, "PCM_U8") as file:
        for _ in range(600):
            file.write(np.full((RATE, 4), 0.25, np.float32))
    tracemalloc.start()
    found, how = open_sound("long.wav", tmp_path, 2.0)
    key = cell_key({"a": "long.wav"}, tmp_path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 2 * RATE and how == "cut to 2 s" and len(key) == 16 and most < 20e6
    assert open_sound("long.wav", tmp_path, 600.0)[1] == "4 channels"


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", tone(500, RATE), RATE)
    soundfile.write(tmp_path / "good.flac", tone(500, RATE), RATE)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 300)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    whole = (tmp_path / "good.flac").read_bytes()
    for name, data in {
        "words.ogg": b"words",
        "empty.wav": b"",
        "head.wav": (tmp_path / "good.wav").read_bytes()[:20],
        "cut.flac": whole[: len(whole) // 2],
    }.items():
        (tmp_path / name).write_bytes(data)
    for name, reason in {
        "words.ogg": "is no sound",
        "empty.wav": "is an empty file",
        "none.wav": "has no samples",
        "lost.wav": "no such file",
        "slow.wav": "300 samples a second",
        "nan.wav": "not finite",
        "head.wav": "damaged",
        "cut.flac": "damaged",
        "../x.wav": "leaves the data folder",
        "http://x/y.wav": "is a URL",
    }.items():
        with pytest.raises(BadCell, match=reason) as caught:
            open_sound(name, tmp_path, 30)
        assert "\n" not in str(caught.value)


def test_one_sample_is_a_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 44_100)
    assert len(open_sound("one.wav", tmp_path, 30)[0]) == 1


def test_without_soundfile_it_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(
        MissingExtra, match=r"schema.COLUMN=ignore.*Run: pip install 'gobelin\[audio\]'"
    ):
        open_sound(b"words", tmp_path, 30)


def test_what_looks_like_a_sound() -> None:
    sounds = ["a.WAV", "b/c.ogg", ["d.flac", "e.mp3"], b"OggS\0", b"fLaC", b"RIFF\1\0\0\0WAVEfmt "]
    others = ["a.png", "wav", b"RIFF\1\0\0\0WEBPVP8 ", b"\x89PNG", 3, None, {"a": 1}]
    assert sound_share(sounds, Path()) == 1
    assert sound_share(others, Path()) == sound_share([], Path()) == 0
    assert sound_share(["a.wav", "a.txt"], Path()) == 0.5


@pytest.mark.parametrize(
    "kind", ["AVR", "HTK", "IRCAM", "NIST", "PAF", "PVF", "SVX", "VOC", "MAT5"]
)
def test_formats_that_are_not_named_are_refused(kind: str, tmp_path: Path) -> None:
    """By their content: the suffix and the way they are handed over don't matter."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(100), 8000, "PCM_16", format=kind)
    (tmp_path / "a.wav").write_bytes(file.getvalue())
    for value in ("a.wav", file.getvalue()):
        with pytest.raises(BadCell, match=f"its format is {kind}|is no sound"):
            open_sound(value, tmp_path, 30)


def test_an_odd_rate_is_read_with_a_short_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tone stays in place, and the length is exact; a usual rate has its own exact ratio."""
    for rate in (767_999, 191_999, 44_101, 44_100):
        found = resampled(tone(1000, rate, 0.25), rate)
        assert len(found) == -(-round(0.25 * rate) * RATE // rate)
        inside = slice(800, -800)
        assert np.abs(found - tone(1000, RATE, 1)[: len(found)])[inside].max() < 0.01
    lengths = []
    monkeypatch.setattr(
        "scipy.signal.resample_poly", lambda x, up, down: lengths.append(max(up, down)) or x[:1]
    )
    for rate in (767_999, 44_101, 44_100, 11_127):
        resampled(np.zeros(100), rate)
    assert lengths[0] <= sounds.FINEST and lengths[1] <= sounds.FINEST
    assert lengths[2:] == [441, 16_000]
