"""Volumes without any weights: low frequencies, levels and edges, in closed form.

The three-dimensional cosine transform (Ahmed, Natarajan & Rao 1974) of the volume at 32 voxels a
side, its lowest coefficients; a histogram of its levels; and the amount of edges along each axis in
a grid of cells. It is fast, needs nothing, and is a fair baseline for a network. Several channels
are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.fft import dctn

from gobelin.core import config
from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import cell_key, file_values
from gobelin.data.volume.files import open_volume, volume_query
from gobelin.data.volume.volumes import VolumeOpening, fitted_volume
from gobelin.embedding.encoders import Sample

VOXELS_SIDE = 32  # of the cube that is read, in voxels
LEVELS = 16  # of the histogram


@settings_class
class Voxels:
    """Settings of the cosine transform of voxels."""

    frequencies: int = setting(
        default=6, ge=1, le=VOXELS_SIDE, description="Frequencies used along each axis."
    )
    cells: int = setting(
        default=4, ge=1, le=16, description="Cells along each axis in which edges are counted."
    )
    opening: VolumeOpening = setting(
        default_factory=VolumeOpening, description="How volumes are opened."
    )

    kinds: ClassVar[tuple[str, ...]] = ("volume",)
    flag: ClassVar[str] = "volume"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = False

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return volume_query(text, field)

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedVoxels:
        return FittedVoxels(self)

    def load(self, folder: Path, runtime: Runtime) -> FittedVoxels:
        return FittedVoxels(config.build(Voxels, read_json(folder / "config.json")))


class FittedVoxels:
    """The settings alone: nothing is learned."""

    module = None

    def __init__(self, settings: Voxels) -> None:
        self.settings, self.opening = settings, settings.opening
        self.width = settings.frequencies**3 + LEVELS + 3 * settings.cells**3

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def decode(self, cell: Cell, root: Path) -> tuple[np.ndarray, str]:
        """uint8 [k, 32, 32, 32] for the k volumes of the cell, and what is unusual. Raises
        BadCell."""
        cubes, notes = [], []
        for value in file_values(cell):
            volume, note = open_volume(value, root, self.opening)
            cubes.append(np.rint(fitted_volume(volume, VOXELS_SIDE, self.opening).mean(3)))
            notes.append(note)
        return np.stack(cubes).astype(np.uint8), next(filter(None, notes), "")

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, width] of uint8 volumes [k, 32, 32, 32] a cell, averaged over its k."""
        return np.stack([features(v, self.settings).mean(0) for v in batch])

    def fingerprint(self) -> str:
        return fingerprint("voxels", asdict(self.settings))

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))


def features(volumes: np.ndarray, settings: Voxels) -> np.ndarray:
    """uint8 [k, 32, 32, 32] -> float32 [k, frequencies^3 + 16 + 3 cells^3]."""
    x = volumes.astype(np.float32) / 255
    low = slice(settings.frequencies)
    waves = dctn(x, axes=(1, 2, 3), norm="ortho")[:, low, low, low] / VOXELS_SIDE**1.5
    counts = np.stack(
        [np.bincount(v.ravel() // (256 // LEVELS), minlength=LEVELS) for v in volumes]
    )
    levels = np.sqrt(counts / volumes[0].size)
    edges = []
    for axis in (1, 2, 3):
        slope = np.abs(np.diff(x, axis=axis, append=np.take(x, [-1], axis)))
        edges.append(_cell_means(slope, settings.cells).reshape(len(x), -1))
    return np.concatenate([waves.reshape(len(x), -1), levels, *edges], 1).astype(np.float32)


def _cell_means(x: np.ndarray, cells: int) -> np.ndarray:
    """[k, S, S, S] -> [k, cells, cells, cells]."""
    starts = np.arange(cells) * VOXELS_SIDE // cells
    counts = np.diff(starts, append=VOXELS_SIDE)
    for axis in (1, 2, 3):
        shape = [1, 1, 1, 1]
        shape[axis] = cells
        x = np.add.reduceat(x, starts, axis) / counts.reshape(shape)
    return x
