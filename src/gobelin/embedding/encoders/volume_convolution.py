"""Volumes by a small 3D network without weights: its filters are learned from the training volumes.

Learning needs no labels. Coates, Lee & Ng 2011 (see `networks.patches`), with cubes in the place of
squares. It knows no organ, only the cubes of these volumes; `tune` trains it further. Several
volumes in one cell are averaged.
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
from gobelin.data.files import afford, cell_key, file_values
from gobelin.data.volume.files import open_volume, volume_query
from gobelin.data.volume.volumes import VolumeOpening, fitted_volume
from gobelin.embedding.encoders import Forward, Sample, TrainingCells
from gobelin.embedding.learned_filters import learn_filters
from gobelin.networks.convolution import signal_of
from gobelin.networks.patches import PatchNetwork
from gobelin.networks.pooling import means

VOLUME_CONVOLUTION_FORMAT = 1  # of the saved folder
LEARNED_VOLUMES = 200  # training cells from which the filters are learned, at most


@settings_class
class VolumeConvolution:
    """Settings of the network of learned cubes."""

    voxels: int = setting(
        default=32,
        ge=8,
        le=256,
        description="Side of the cube that the network sees, in voxels.",
    )
    filters: int = setting(
        default=48, ge=1, le=4096, description="Number of filters, each a kind of small cube."
    )
    patch: int = setting(default=4, ge=2, le=16, description="Side of a small cube in voxels.")
    batch: int = setting(default=16, ge=1, le=65536, description="Volumes at once.")
    opening: VolumeOpening = setting(
        default_factory=VolumeOpening, description="How volumes are opened."
    )

    kinds: ClassVar[tuple[str, ...]] = ("volume",)
    flag: ClassVar[str] = "volume"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = False

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # the encoder `volume` bids for this kind; this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return volume_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedVolumeConvolution:
        def opened(cell: Cell) -> np.ndarray:
            return self.cubes(cell, cells.root)[0]

        network = self.network()
        nothing = np.zeros((0, *[self.voxels] * 3, 1), np.uint8)
        learn_filters(network, cells, opened, nothing, signal_of, LEARNED_VOLUMES, runtime)
        return FittedVolumeConvolution(self, network, runtime)

    def cubes(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """uint8 [k, S, S, S, 1] of the k volumes of a cell, the mean of their channels, and the
        first note. Raises BadCell."""
        values = file_values(cell)
        afford("cell_mb", 16 * self.voxels**3 * len(values))
        cubes, notes = [], []
        for value in values:  # one at a time, so that one is in memory
            volume, note = open_volume(value, root, self.opening)
            cube = fitted_volume(volume, self.voxels, self.opening)
            cubes.append(np.round(cube.mean(-1, keepdims=True)).astype(np.uint8))
            notes.append(note)
        return np.stack(cubes), next((note for note in notes if note), "")

    def network(self) -> PatchNetwork:
        """With fresh weights."""
        return PatchNetwork(1, self.filters, self.patch, 2, 3)

    def load(self, folder: Path, runtime: Runtime) -> FittedVolumeConvolution:
        stored = weights.config_of(folder, VOLUME_CONVOLUTION_FORMAT)
        settings = config.build(VolumeConvolution, stored["settings"])
        network = weights.loaded(folder, stored, settings.network)
        return FittedVolumeConvolution(settings, network, runtime)


class FittedVolumeConvolution(Forward):
    """The network with its settings and the window of the training rows."""

    def __init__(
        self, settings: VolumeConvolution, network: PatchNetwork, runtime: Runtime
    ) -> None:
        self.settings, self.runtime, self.width = settings, runtime, network.width
        self.opening = settings.opening
        self.module = network.eval().to(runtime.device)

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """uint8 [k, S, S, S, 1], and a note."""
        return self.settings.cubes(cell, root)

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, width], differentiable."""
        rows = []
        for block in signal_of(np.concatenate(list(batch))).split(self.settings.batch):
            with self.runtime.autocast():
                rows.append(self.module(block.to(self.runtime.device)))
        return means(torch.cat(rows), [len(cubes) for cubes in batch])

    def fingerprint(self) -> str:
        return weights.fingerprint(
            self.module, "volume_convolution", asdict(self.settings), self.runtime.precision
        )

    def save(self, folder: Path) -> None:
        weights.save(
            folder, {"settings": asdict(self.settings)}, self.module, VOLUME_CONVOLUTION_FORMAT
        )
