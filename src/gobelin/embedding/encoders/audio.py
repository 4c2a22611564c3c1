"""Sounds without any weights: loudness of frequency bands and its change over the clip.

A log-mel spectrogram (Davis & Mermelstein 1980; HTK's mel scale, m = 2595 log10(1 + f / 700),
O'Shaughnessy 1987) in windows of 25 ms every 10 ms, then for each band its mean, its standard
deviation and the first waves of its cosine transform over the time of the clip. So order counts,
and a slow word lies near the same word said fast. It knows no word and no thing: it measures how
alike two clips sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core import config
from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.mel import heard, mel_power
from gobelin.data.sounds import (
    open_sound,
    sound_key,
    sound_query,
    sound_share,
    sound_values,
    soundfile,
)
from gobelin.embedding.encoders import Sample


@settings_class
class Audio:
    """Settings of the mel spectrum encoder."""

    bands: int = setting(default=40, ge=4, le=96, description="Mel bands from 0 to 8 kHz.")
    waves: int = setting(default=8, ge=0, le=64, description="Cosines over time used of each band.")
    seconds: float = setting(
        default=30.0, ge=0.1, le=3600.0, description="Seconds read of each clip."
    )

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    flag: ClassVar[str] = "audio"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        share = sound_share(sample.values, sample.root)
        return (
            Bid("audio", share, f"{share:.0%} of its cells look like sound files")
            if share > 0.5
            else None
        )

    def parse(self, text: str, field: Field) -> Cell:
        return sound_query(text, field)

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedAudio:
        soundfile()  # raises MissingExtra before any work
        return FittedAudio(self)

    def load(self, folder: Path, runtime: Runtime) -> FittedAudio:
        soundfile()
        return FittedAudio(config.build(Audio, read_json(folder / "config.json")))


def summary(power: np.ndarray, waves: int) -> np.ndarray:
    """[frames, bands] -> float32 [bands * (2 + waves) + 2].

    In nepers of power below the loudest band of the clip, quiet edges cut off: mean of each band,
    its standard deviation over time, then its cosine transform over time for waves 1, 2, ... (a
    type II transform over the count of frames; n frames have n - 1 waves, the others are 0). At the
    end the level itself, the only number that a gain changes, and the logarithm of the count of
    frames."""
    bands, peak = heard(power)
    place = (np.arange(len(bands)) + 0.5) / len(bands)
    wave = np.arange(1, waves + 1)[:, None]
    cosines = 2 / len(bands) * np.cos(np.pi * wave * place) * (wave < len(bands))  # [waves, frames]
    parts = (
        bands.mean(0),
        bands.std(0),
        (cosines @ bands).ravel(),
        [np.log(peak), np.log(len(bands))],
    )
    return np.concatenate(parts).astype(np.float32)


class FittedAudio:
    """The settings alone: nothing is learned."""

    module = None

    def __init__(self, settings: Audio) -> None:
        self.settings = settings
        self.width = settings.bands * (2 + settings.waves) + 2

    def key(self, cell: Cell, root: Path) -> bytes:
        return sound_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """float32 [width]: the mean over the clips of the cell. The waveforms stay in the
        worker."""
        features, notes = [], []
        for value in sound_values(cell):  # one at a time, so that one is in memory
            wave, note = open_sound(value, root, self.settings.seconds)
            features.append(summary(mel_power(wave, self.settings.bands), self.settings.waves))
            notes.append(note)
        return np.stack(features).mean(0), next((note for note in notes if note), "")

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        return np.stack(list(batch)).astype(np.float32)

    def fingerprint(self) -> str:
        return fingerprint("audio", asdict(self.settings))

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))
