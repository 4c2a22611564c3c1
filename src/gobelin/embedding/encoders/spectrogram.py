"""Sounds by a small network without weights: its filters are learned from training clips.

Learning needs no labels and takes seconds. A log-mel spectrogram is stretched to one length, so
that a slow word lies near the same word said fast. It is read like an image (`networks.patches`);
the level of the clip and its length stand beside. `tune` trains it further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gobelin.core import config, weights
from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import cell_key, file_values
from gobelin.data.sound.mel import QUIET, heard, mel_power
from gobelin.data.sound.sounds import open_sound, sound_query, soundfile
from gobelin.embedding.encoders import Forward, Sample, TrainingCells
from gobelin.embedding.learned_filters import learn_filters
from gobelin.networks.patches import PatchNetwork
from gobelin.networks.pooling import means

SPECTROGRAM_FORMAT = 1  # of the saved folder
LEARNED_CELLS = 500  # training cells from which the filters are learned, at most
SPECTROGRAM_PATCH = 6  # side of a filter, in bands and frames
SPECTROGRAM_GRID = 3  # cells a side over which answers are averaged
BESIDE = 2  # numbers that stand beside the spectrogram


@settings_class
class Spectrogram:
    """Settings of the network on mel spectrograms."""

    bands: int = setting(default=40, ge=8, le=96, description="Mel bands from 0 to 8 kHz.")
    frames: int = setting(
        default=64, ge=8, le=4096, description="Time steps that each clip is resized to."
    )
    filters: int = setting(
        default=48, ge=1, le=4096, description="Number of filters, each a kind of patch."
    )
    seconds: float = setting(
        default=30.0, ge=0.1, le=3600.0, description="Seconds read of each clip."
    )
    batch: int = setting(default=128, ge=1, le=65536, description="Clips at once.")

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    flag: ClassVar[str] = "audio"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = False

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # the encoder `audio` bids for this kind; this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return sound_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedSpectrogram:
        soundfile()  # raises MissingExtra before any work
        fitted = FittedSpectrogram(self, self.network(), runtime)

        def opened(cell: Cell) -> np.ndarray:
            return fitted.decode(cell, cells.root)[0]

        nothing = np.zeros((0, self.bands * self.frames + BESIDE), np.float32)
        network, signal = fitted.module, fitted.signal
        learn_filters(network, cells, opened, nothing, signal, LEARNED_CELLS, runtime)
        return fitted

    def network(self) -> PatchNetwork:
        """With fresh weights."""
        return PatchNetwork(1, self.filters, SPECTROGRAM_PATCH, SPECTROGRAM_GRID)

    def load(self, folder: Path, runtime: Runtime) -> FittedSpectrogram:
        soundfile()
        stored = weights.config_of(folder, SPECTROGRAM_FORMAT)
        settings = config.build(Spectrogram, stored["settings"])
        network = weights.loaded(folder, stored, settings.network)
        return FittedSpectrogram(settings, network, runtime)


class FittedSpectrogram(Forward):
    """The network with its settings."""

    def __init__(self, settings: Spectrogram, network: PatchNetwork, runtime: Runtime) -> None:
        self.settings, self.runtime, self.width = settings, runtime, network.width + BESIDE
        self.module = network.eval().to(runtime.device)

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """float32 [k, bands * frames + 2] of the k clips of the cell. The waveforms stay in the
        worker."""
        clips, notes = [], []
        for value in file_values(cell):  # one at a time, so that one is in memory
            wave, note = open_sound(value, root, self.settings.seconds)
            clips.append(self._stretched(wave))
            notes.append(note)
        return np.stack(clips), next((note for note in notes if note), "")

    def _stretched(self, wave: np.ndarray) -> np.ndarray:
        """[T] -> float32 [bands * frames + 2]."""
        bands, peak = heard(mel_power(wave, self.settings.bands))
        sums = np.concatenate([np.zeros((1, bands.shape[1])), bands.cumsum(0)])
        edges = np.linspace(0, len(bands), self.settings.frames + 1)
        upto = np.stack(
            [np.interp(edges, np.arange(len(sums)), sums[:, b]) for b in range(bands.shape[1])]
        )
        # [bands, frames]: the mean over each frame's part of the clip.
        stretched = np.diff(upto, axis=1) / np.diff(edges)
        scaled = 1 - 2 * stretched / np.log(QUIET)  # the quietest is -1, the loudest 1
        beside = [np.log(peak) / 10, np.log(len(bands)) / 5]  # of the size of the others
        return np.concatenate([scaled.ravel(), beside]).astype(np.float32)

    def signal(self, clips: np.ndarray) -> Tensor:
        """[n, bands * frames + 2] -> [n, 1, bands, frames]."""
        shape = (len(clips), 1, self.settings.bands, self.settings.frames)
        return torch.from_numpy(clips[:, :-BESIDE].reshape(shape)).to(self.runtime.device)

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, width], differentiable."""
        flat, rows = np.concatenate(list(batch)), []
        for start in range(0, len(flat), self.settings.batch):
            block = flat[start : start + self.settings.batch]
            with self.runtime.autocast():
                features = self.module(self.signal(block))
            beside = torch.from_numpy(block[:, -BESIDE:]).to(features)
            rows.append(torch.cat([features, beside], dim=1))
        return means(torch.cat(rows), [len(clips) for clips in batch])

    def fingerprint(self) -> str:
        return weights.fingerprint(
            self.module, "spectrogram", asdict(self.settings), self.runtime.precision
        )

    def save(self, folder: Path) -> None:
        weights.save(folder, {"settings": asdict(self.settings)}, self.module, SPECTROGRAM_FORMAT)
