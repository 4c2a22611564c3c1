"""Sounds by any audio model of Hugging Face, by folder or hub id.

For example CLAP, Whisper's encoder, AST, wav2vec 2.0 or HuBERT. The vector of a clip is the model's
own (CLAP's projection, AST's pooled token), else the mean over the time that is sound. The model's
own feature extractor computes the spectrogram, if the model takes one. A sound longer than the
model takes is cut into equal parts, and their vectors are averaged; so are those of several sounds
in one cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import afford, cell_key, file_values
from gobelin.data.sound.sounds import open_sound, sound_query, soundfile
from gobelin.embedding.encoders import Sample
from gobelin.embedding.hub_encoder import HubEncoder, restored
from gobelin.networks.hub_model import pooled_vector, tower_output, transformers
from gobelin.networks.pooling import means

SHORTEST = 0.1  # seconds; a shorter sound is filled up with silence
Clip = tuple[np.ndarray, float]  # the model's input, and the share of it that is sound


@settings_class
class AudioModel:
    """Settings. Saved are `model` as it is given here, and a hash of the files: elsewhere, set
    `model` to their new place."""

    model: str = setting(default="", description="Folder of the model, or its id on the hub.")
    revision: str = setting(default="main", description="Revision of a hub id.")
    local_only: bool = setting(
        default=True,
        description="Whether a hub id is looked for on this machine only. false downloads it.",
    )
    seconds: float = setting(
        default=30.0, ge=0.1, le=3600.0, description="Seconds read of each clip."
    )
    batch: int = setting(default=8, ge=1, le=65536, description="Clips at once, all of one length.")

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
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedAudioModel:
        return FittedAudioModel(self, runtime)

    def load(self, folder: Path, runtime: Runtime) -> FittedAudioModel:
        return restored(self, FittedAudioModel, folder, runtime)


class FittedAudioModel(HubEncoder[AudioModel]):
    """An audio tower with its feature extractor."""

    name = "audio_model"
    kind = "audio"

    def __init__(self, settings: AudioModel, runtime: Runtime) -> None:
        soundfile()  # raises MissingExtra before any work
        super().__init__(settings, runtime)
        library, folder = transformers(), str(self.place.folder)
        self.extractor = self.place.opened(
            lambda: library.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        )
        self.rate = int(self.extractor.sampling_rate)  # samples a second
        self.input_name = str(self.extractor.model_input_names[0])
        self.module = self.network(lambda: _Tower(*self.place.network(), self.input_name))
        self.longest = self._longest()
        self.width = self.embed([[self.clips(np.zeros(self.rate // 2))]]).shape[1]

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[list[list[Clip]], str]:
        """Of each sound of the cell its parts, as the model takes them."""
        values = file_values(cell)
        # what the model takes of a sound is about as large as the sound
        afford("cell_mb", 8 * len(values) * self.settings.seconds * self.rate)
        clips, notes = [], []
        for value in values:
            wave, note = open_sound(value, root, self.settings.seconds, self.rate)
            clips.append(self.clips(wave))
            notes.append(note)
        return clips, next((note for note in notes if note), "")

    def clips(self, wave: np.ndarray) -> list[Clip]:
        """[T] -> the parts of a sound."""
        parts = np.array_split(wave, max(1, math.ceil(len(wave) / self.longest)))
        return [
            self._features(np.pad(p, (0, max(0, round(SHORTEST * self.rate) - len(p)))))
            for p in parts
        ]

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, D_f], differentiable. Clips of one length go together, so that none depends
        on fillings."""
        sounds = [clips for cell in batch for clips in cell]
        flat = [clip for clips in sounds for clip in clips]
        order = sorted(range(len(flat)), key=lambda k: flat[k][0].shape)
        rows: list[Tensor] = []
        with self.runtime.autocast():
            while len(rows) < len(order):
                some = order[len(rows) : len(rows) + self.settings.batch]
                same = [k for k in some if flat[k][0].shape == flat[some[0]][0].shape]
                x = torch.from_numpy(np.stack([flat[k][0] for k in same])).to(self.runtime.device)
                sound = torch.tensor([flat[k][1] for k in same], device=self.runtime.device)
                rows += self.module(x, sound).float().unbind()
        back = torch.tensor(np.argsort(order, kind="stable"), device=self.runtime.device)
        of_sounds = means(torch.stack(rows)[back], [len(clips) for clips in sounds])
        return means(of_sounds, [len(cell) for cell in batch])

    def _longest(self) -> int:
        """Samples that the model takes at once. The extractors of CLAP, Whisper and AST each have a
        setting for it; for other models all samples that are read."""
        for name in ("nb_max_samples", "n_samples"):
            if samples := getattr(self.extractor, name, 0):
                return int(samples)
        if self.input_name == "input_values" and hasattr(
            self.extractor, "num_mel_bins"
        ):  # AST: frames of 25 ms, every 10 ms
            return int((self.extractor.max_length - 1) * 0.01 * self.rate + 0.025 * self.rate)
        return max(1, round(self.settings.seconds * self.rate))

    def _features(self, wave: np.ndarray) -> Clip:
        inputs = self.extractor(
            wave.astype(np.float32), sampling_rate=self.rate, return_tensors="np"
        )
        features = np.asarray(inputs[self.input_name][0], np.float32)
        return features, min(1.0, len(wave) / self.longest)


class _Tower(nn.Module):
    """Spectrograms or waveforms to one vector."""

    def __init__(self, network: nn.Module, pooled: bool, name: str) -> None:
        super().__init__()
        self.network, self.pooled, self.name = network, pooled, name
        self.padded = name == "input_features" and not hasattr(network, "get_audio_features")

    def forward(self, x: Tensor, sound: Tensor) -> Tensor:
        """[n, ...], the share [n] of the model's time that is sound -> [n, D]."""
        output = tower_output(self.network, "audio", {self.name: x})
        if (vector := pooled_vector(output, self.pooled)) is not None:
            return vector
        last: Tensor = output.last_hidden_state.float()  # [n, T, D]
        if not self.padded:
            return last.mean(1)
        # Whisper fills every clip up to 30 s: the mean takes the positions of the sound alone.
        positions = (sound[:, None] * last.shape[1]).ceil().clamp_min(1)
        present = torch.arange(last.shape[1], device=x.device) < positions
        return (last * present[..., None]).sum(1) / present.sum(1, keepdim=True)
