"""Sounds without any weights: what is heard in which frequency band, when, and how it moves.

A clip is a log-mel spectrogram (Davis & Mermelstein 1980) without its quiet ends, counted from its
loudest band. `features` measures it in groups: the course of each band over the clip, how it begins
and ends, how fast it changes (deltas, Furui 1986), its rhythm (modulation spectrum, Houtgast &
Steeneken 1985), its onsets (spectral flux, Dixon 2006), and its pitch (Boersma 1993). The course is
counted in shares of the clip, so a slow word lies near the same word said fast.

Each group is divided by a constant, so that no group outweighs the others. A gain changes one
number only. What this cannot show: words and things. It measures how alike two clips sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core import config
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.lazy import fft
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import cell_key, file_values
from gobelin.data.sound.mel import HOP, WINDOW, heard, loud_part, mel_power
from gobelin.data.sound.pitch import pitch
from gobelin.data.sound.sounds import (
    open_sound,
    sound_query,
    sound_share,
    soundfile,
)
from gobelin.embedding.encoders import Sample, share_bid

AUDIO_FORMAT = 2  # of the saved folder; 1 had other features
AROUND = 3 * HOP  # silence at both ends, so that a clip that has some is framed like one without
CUT = 3e-3  # frames at both ends below this share of the loudest one (25 dB) are cut off
FLOOR = 1e-6  # least power of a band, as a share of the loudest one (60 dB)
END_STEPS, END_FRAMES = 4, 3  # at each end, and the frames of a step
END_CEPSTRA, CHANGE_CEPSTRA = 20, 13  # cepstral coefficients of `ends` and of `changes`
DELTA = 4  # frames between which a change is taken
RHYTHM_BANDS, RHYTHM_FRAMES = 8, 512
RHYTHM_EDGES = (1, 5, 10, 20, 41, 82, 164)  # of octaves, in steps of 100 / 512 Hz
BEATS = (5, 10, 20, 40, 80)  # shortest lags of octaves, in frames
VOICE_STEPS = 16  # weight of the cosines in `voice`
LEVEL_SCALE = 27.0  # of the logarithm of the power of the loudest band


@settings_class
class Audio:
    """Settings of the closed-form features of sounds."""

    bands: int = setting(default=40, ge=4, le=96, description="Mel bands from 0 to 8 kHz.")
    waves: int = setting(default=8, ge=0, le=64, description="Cosines over the clip, of each band.")
    seconds: float = setting(
        default=30.0, ge=0.1, le=3600.0, description="Seconds read of each clip."
    )

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    flag: ClassVar[str] = "audio"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return share_bid("audio", sound_share(sample.values, sample.root), "sound files")

    def parse(self, text: str, field: Field) -> Cell:
        return sound_query(text, field)

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedAudio:
        soundfile()  # raises MissingExtra before any work
        return FittedAudio(self)

    def load(self, folder: Path, runtime: Runtime) -> FittedAudio:
        soundfile()
        stored = read_json(folder / "config.json")
        if (version := stored.get("format", 1)) != AUDIO_FORMAT:
            raise GobelinError(
                f"{folder}: sound features of format {version}, this version makes {AUDIO_FORMAT}."
                " Fit again, in a new run folder."
            )
        return FittedAudio(config.build(Audio, stored["settings"]))


@dataclass(frozen=True)
class Clip:
    """A clip in its loud part.

    bands: float64 [T, bands], nepers below the loudest band. peak: power of that band. wave: the
    samples of the T frames."""

    bands: np.ndarray
    peak: float
    wave: np.ndarray

    @staticmethod
    def of(wave: np.ndarray, bands: int) -> Clip:
        wave = np.pad(wave, AROUND)
        power = mel_power(wave, bands)
        first, end = loud_part(power, CUT)
        return Clip(*heard(power, CUT, FLOOR), wave[first * HOP : (end - 1) * HOP + WINDOW])


def features(wave: np.ndarray, bands: int, waves: int) -> np.ndarray:
    """Samples [T] at 16 kHz -> float32 [width]: every group of `GROUPS`, divided by its scale, then
    the level of the clip."""
    clip = Clip.of(wave, bands)
    parts = [group(clip, waves) / scale for group, scale in GROUPS]
    return np.concatenate([*parts, [np.log(clip.peak) / LEVEL_SCALE]]).astype(np.float32)


def course(clip: Clip, waves: int) -> np.ndarray:
    """[(1 + waves) * bands]: the mean of each band and its cosines over time (`cosines`)."""
    return cosines(clip.bands, 1 + waves).ravel()


def cosines(x: np.ndarray, count: int) -> np.ndarray:
    """[T, K] -> [count, K]: the mean over time and the first waves of the type II cosine transform,
    scaled so that the squares of all T add up to the mean square over time (Parseval). T frames
    have T - 1 waves; the others are 0."""
    place = (np.arange(len(x)) + 0.5) / len(x)
    wave = np.arange(count)[:, None]
    basis = np.cos(np.pi * wave * place) * np.where(wave == 0, 1, np.sqrt(2)) * (wave < len(x))
    return np.asarray(basis @ x / len(x))


def cepstrum(bands: np.ndarray, count: int) -> np.ndarray:
    """[T, bands] -> [T, min(count, bands)], the orthonormal cosine transform over bands (MFCC,
    Davis & Mermelstein 1980)."""
    return np.asarray(fft.dct(bands, type=2, axis=1, norm="ortho")[:, :count])


def ends(clip: Clip, waves: int) -> np.ndarray:
    """The spectrum in steps of 30 ms, of the first 120 ms, then of the last 120 ms. A shorter clip
    is followed, or preceded, by quiet."""
    frames = END_STEPS * END_FRAMES
    quiet = np.full((frames, clip.bands.shape[1]), np.log(FLOOR))
    both = (
        np.concatenate([clip.bands[:frames], quiet])[:frames],
        np.concatenate([quiet, clip.bands[-frames:]])[-frames:],
    )
    steps = [x.reshape(END_STEPS, END_FRAMES, -1).mean(1) for x in both]
    return np.concatenate([cepstrum(x, END_CEPSTRA).ravel() for x in steps])


def changes(clip: Clip, waves: int) -> np.ndarray:
    """How much each cepstral coefficient changes in 40 ms: the logarithm of the deviation, and the
    mean of the absolute value."""
    x = cepstrum(clip.bands, CHANGE_CEPSTRA)
    change = x[DELTA:] - x[:-DELTA] if len(x) > DELTA else np.zeros_like(x[:1])
    return np.concatenate([np.log(change.std(0) + 0.3), np.abs(change).mean(0) / 3])


def rhythm(clip: Clip, waves: int) -> np.ndarray:
    """Logarithm of the power with which up to 8 groups of bands rise and fall, in octaves from 0.2
    to 32 Hz; the mean over windows of 5 s that overlap by half."""
    groups = min(RHYTHM_BANDS, clip.bands.shape[1])
    x = np.stack([part.mean(1) for part in np.array_split(clip.bands, groups, axis=1)], axis=1)
    x -= x.mean(0)
    half, spectra = RHYTHM_FRAMES // 2, []
    for start in range(0, max(1, len(x) - half), half):
        part = x[start : start + RHYTHM_FRAMES]
        window = np.hanning(len(part) + 2)[1:-1, None]
        spectra.append(np.abs(np.fft.rfft(part * window, RHYTHM_FRAMES, axis=0)) ** 2 / len(part))
    power = np.mean(spectra, axis=0)
    octaves = [power[a:b].mean(0) for a, b in pairwise(RHYTHM_EDGES)]
    return np.log(np.stack(octaves) + 1e-3).ravel()


def onsets(clip: Clip, waves: int) -> np.ndarray:
    """[11], of the rise summed over bands in 20 ms, r(t): its mean, deviation, 90 % quantile and
    maximum; how many times it rises over mean + deviation, and how often a second; its highest
    autocorrelation in octaves of lags from 50 ms on, where beats show."""
    rise = np.clip(clip.bands[2:] - clip.bands[:-2], 0, None).mean(1)
    rise = rise if len(rise) else np.zeros(1)
    mean, deviation = rise.mean(), rise.std()
    count = np.count_nonzero(np.diff((rise > mean + deviation).astype(int)) == 1)
    power = np.abs(np.fft.rfft(rise - mean, 2 * len(rise))) ** 2
    repeats = np.fft.irfft(power)[: len(rise)]
    repeats /= max(repeats[0], 1e-9)
    beats = [repeats[lag : 2 * lag].max() if len(repeats) > lag else 0.0 for lag in BEATS]
    spread = [mean, deviation, np.quantile(rise, 0.9), rise.max() / 3]
    return np.array([*spread, np.log1p(count), 20 * count / len(clip.bands), *beats])


def voice(clip: Clip, waves: int) -> np.ndarray:
    """[16]: mean and deviation of the pitch in half octaves, periodic frames counting most; mean
    periodic share and the share of frames where it is above half; 8 cosines of that share over the
    clip and 4 of the pitch from its mean."""
    octaves, share, power = pitch(clip.wave)
    share = share * (power > 1e-3 * power.max())
    weight = share**4 + 1e-9
    mean = (weight * octaves).sum() / weight.sum()
    off = octaves - mean
    deviation = np.sqrt((weight * off**2).sum() / weight.sum())
    steps = np.sqrt(VOICE_STEPS)
    return np.concatenate(
        [
            2 * np.array([mean, deviation, share.mean(), (share > 0.5).mean()]),
            steps * cosines(share[:, None], 8).ravel(),
            steps * cosines((weight * off)[:, None], 4).ravel(),
        ]
    )


def length(clip: Clip, waves: int) -> np.ndarray:
    """[1]: logarithm of the count of frames."""
    return np.array([np.log(len(clip.bands))])


# Each with a scale, which makes the variance of the whole group over a set of clips about 1 for
# the course, 0.16 for the others and 0.02 for the length.
GROUPS: tuple[tuple[Callable[[Clip, int], np.ndarray], float], ...] = (
    (course, 19.0),
    (ends, 130.0),
    (changes, 4.7),
    (rhythm, 31.0),
    (onsets, 3.2),
    (voice, 5.1),
    (length, 5.3),
)


class FittedAudio:
    """The settings alone: nothing is learned."""

    module = None

    def __init__(self, settings: Audio) -> None:
        self.settings = settings
        self.width = len(features(np.zeros(1), settings.bands, settings.waves))

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """float32 [width]: the mean over the clips of the cell. The waveforms stay in the
        worker."""
        rows, notes = [], []
        for value in file_values(cell):  # one at a time, so that one is in memory
            wave, note = open_sound(value, root, self.settings.seconds)
            rows.append(features(wave, self.settings.bands, self.settings.waves))
            notes.append(note)
        return np.stack(rows).mean(0), next((note for note in notes if note), "")

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack(list(batch)).astype(np.float32)

    def fingerprint(self) -> str:
        return fingerprint("audio", AUDIO_FORMAT, asdict(self.settings))

    def save(self, folder: Path) -> None:
        write_json(
            folder / "config.json", {"format": AUDIO_FORMAT, "settings": asdict(self.settings)}
        )
