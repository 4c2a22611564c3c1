"""Sounds as people have them, through the encoder: a file has the features of what can be heard in
it, whatever its form."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from processor import RUNTIME

from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.data.sound.sounds import RATE, open_sound
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.audio import GROUPS, Audio, FittedAudio

soundfile = pytest.importorskip("soundfile")
ENCODER = Audio().fit(TrainingCells([]), Field("sound", "audio", ("s",), "audio"), {}, RUNTIME)
BANDS = 40


def chirp(rate: int, seconds: float = 1.5) -> np.ndarray:
    """From 200 Hz to 3 kHz, which a rate of 8 kHz holds."""
    t = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 * t + 1400 * t**2 / seconds))


def heard(folder: Path, name: str) -> tuple[np.ndarray, str]:
    assert isinstance(ENCODER, FittedAudio)
    found, how = ENCODER.decode({"s": name}, folder)
    assert found.shape == (ENCODER.width,) and np.isfinite(found).all()
    assert np.array_equal(ENCODER.embed([found])[0], found)
    return found, how


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000])
def test_any_rate_sounds_the_same(rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "plain.wav", chirp(RATE), RATE)
    soundfile.write(tmp_path / "other.wav", chirp(rate), rate)
    (plain, _), (found, how) = heard(tmp_path, "plain.wav"), heard(tmp_path, "other.wav")
    soundfile.write(tmp_path / "back.wav", chirp(RATE)[::-1], RATE)
    low = np.r_[2:22]  # bands from 150 Hz to 2.2 kHz
    assert how == "" and np.abs(found - plain)[low].max() < 0.1 / 19  # nepers
    assert np.linalg.norm(found - plain) < 0.2 * np.linalg.norm(
        heard(tmp_path, "back.wav")[0] - plain
    )


def test_stereo_is_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = chirp(RATE), chirp(RATE)[::-1]
    soundfile.write(tmp_path / "both.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "mean.wav", (left + right) / 2, RATE, subtype="FLOAT")
    (found, how), (expected, _) = heard(tmp_path, "both.wav"), heard(tmp_path, "mean.wav")
    assert how == "2 channels" and np.allclose(found, expected, atol=1e-4)
    soundfile.write(tmp_path / "against.wav", np.stack([left, -left], 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "left.wav", left, RATE, subtype="FLOAT")
    (found, how), (expected, _) = heard(tmp_path, "against.wav"), heard(tmp_path, "left.wav")
    assert "channels that cancel out" in how and np.allclose(found, expected, atol=1e-4)


def test_silences_differ_in_nothing_but_their_length(tmp_path: Path) -> None:
    for seconds in (1, 2):
        soundfile.write(tmp_path / f"{seconds}.wav", np.zeros(seconds * RATE), RATE)
    (one, how), (two, _) = heard(tmp_path, "1.wav"), heard(tmp_path, "2.wav")
    scale = dict((group.__name__, scale) for group, scale in GROUPS)
    frames = 204 / 104  # with the silence that is added at both ends
    assert how == "silence alone" and np.allclose(np.delete(one, -2), np.delete(two, -2))
    assert (two[-2] - one[-2]) * scale["length"] == pytest.approx(np.log(frames))
    assert np.ptp(one[:BANDS]) == 0 and np.abs(one[BANDS : 9 * BANDS]).max() < 1e-9


@pytest.mark.parametrize("rate", [8_000, 16_000, 96_000])
def test_one_sample_is_a_sound(rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), rate)
    assert heard(tmp_path, "one.wav")[1] == ""


def test_of_ten_hours_the_first_seconds_are_read_in_little_memory(tmp_path: Path) -> None:
    """288 MB of 8 bits at 8 kHz (a file with a hole, so that it costs no disk); the oracle is its
    beginning as a file."""
    rate, start = 8_000, chirp(8_000, 31.0)
    soundfile.write(tmp_path / "start.wav", start, rate, subtype="PCM_U8")
    head = bytearray((tmp_path / "start.wav").read_bytes())
    size, place = 10 * 3600 * rate, head.index(b"data") + 4
    head[4:8], head[place : place + 4] = (
        (place + 4 + size - 8).to_bytes(4, "little"),
        size.to_bytes(4, "little"),
    )
    with (tmp_path / "day.wav").open("wb") as file:
        file.write(head)
        file.truncate(place + 4 + size)
    tracemalloc.start()
    found, how = heard(tmp_path, "day.wav")
    key = ENCODER.key({"s": "day.wav"}, tmp_path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert how == "cut to 30 s" and len(key) == 16 and most < 60e6
    assert np.array_equal(found, heard(tmp_path, "start.wav")[0])


@pytest.mark.parametrize("ending", ["wav", "aiff", "au"])
@pytest.mark.parametrize("share", [0.9, 0.3])
def test_a_file_that_is_cut_short_says_so_and_counts_as_what_is_left(
    ending: str, share: float, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / f"whole.{ending}", chirp(RATE), RATE, subtype="PCM_16")
    data = (tmp_path / f"whole.{ending}").read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(data[: int(share * len(data))])
    assert heard(tmp_path, f"whole.{ending}")[1] == ""
    found, how = heard(tmp_path, f"cut.{ending}")
    left, _ = open_sound(f"cut.{ending}", tmp_path, 30)
    assert how == "ends early" and len(left) == pytest.approx(share * 1.5 * RATE, rel=0.02)
    soundfile.write(tmp_path / f"left.{ending}", chirp(RATE)[: len(left)], RATE, subtype="PCM_16")
    assert np.allclose(found, heard(tmp_path, f"left.{ending}")[0], atol=1e-5)
    assert (
        open_sound(f"cut.{ending}", tmp_path, 0.2)[1] == "cut to 0.2 s"
    )  # its end was not asked for


@pytest.mark.parametrize("ending", ["flac", "ogg"])
def test_a_compressed_file_that_is_cut_short_is_refused(ending: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / f"whole.{ending}", chirp(RATE), RATE)
    data = (tmp_path / f"whole.{ending}").read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadCell) as caught:
        heard(tmp_path, f"cut.{ending}")
    assert "\n" not in str(caught.value)


def test_a_file_from_a_pipe_promises_no_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", chirp(RATE), RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "pipe.wav").write_bytes(data)
    (found, how), (plain, _) = heard(tmp_path, "pipe.wav"), heard(tmp_path, "a.wav")
    assert how == "" and np.array_equal(found, plain)
