"""Volumes by six pictures, which an image encoder sees, and by intensity and texture.

The pictures are the three planes through the middle and the largest value along each axis (maximum
intensity projection, Wallis & Miller 1990); the vector of a volume holds the mean vector of the
planes and that of the projections. Beside stand its size in mm, its histogram, gradients, local
entropy and grey-level co-occurrence (`gobelin.data.volume.texture`), each in units of its spread
over the training rows. Values become bytes by one window for all rows: that of the settings, else
that of the training rows. Several volumes in one cell are averaged. What this cannot show: a small
thing that no middle plane cuts and that is darker than what lies around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import cell_key, file_values
from gobelin.data.volume.files import (
    open_volume,
    volume_query,
    volume_share,
)
from gobelin.data.volume.texture import TEXTURE_WIDTH, texture
from gobelin.data.volume.volumes import Volume as OpenedVolume
from gobelin.data.volume.volumes import VolumeOpening, fitted_volume
from gobelin.embedding.encoders import FittedEncoder, Sample, TrainingCells, share_bid
from gobelin.embedding.pictured import (
    FittedPictured,
    Look,
    check_network,
    fitted_network,
    fitted_scales,
    restored,
)

SIZES = 5  # numbers on the size: sides in mm, whether these are known, channels
MIDDLE_PLANES, PROJECTIONS = 3, 3
WIDTH = TEXTURE_WIDTH + SIZES


@settings_class
class Volume:
    """Settings of the pictures and the texture of volumes."""

    network: str = setting(
        default="image",
        description="Image encoder that sees the pictures. pixels needs no weights.",
    )
    network_settings: Mapping[str, Any] = setting(
        default_factory=dict, description="That image encoder's own settings."
    )
    voxels: int = setting(
        default=64, ge=8, le=512, description="Side of the cube that a volume is fitted to."
    )
    opening: VolumeOpening = setting(
        default_factory=VolumeOpening, description="How volumes are opened."
    )

    kinds: ClassVar[tuple[str, ...]] = ("volume",)
    flag: ClassVar[str] = "volume"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_network("volume", self)

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return share_bid("volume", volume_share(sample.values, sample.root), "volumes")

    def parse(self, text: str, field: Field) -> Cell:
        return volume_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedVolume:
        def look(cell: Cell) -> Look:
            return self.look(*open_volume(file_values(cell)[0], cells.root, self.opening))

        network = fitted_network("volume", self, cells, look, runtime)
        scales = fitted_scales(cells, lambda c: look(c).statistics, WIDTH, runtime)
        return FittedVolume(self, network, scales, [MIDDLE_PLANES, PROJECTIONS])

    def load(self, folder: Path, runtime: Runtime) -> FittedVolume:
        settings, network, scales = restored("volume", Volume, folder, lambda s: WIDTH, runtime)
        return FittedVolume(settings, network, scales, [MIDDLE_PLANES, PROJECTIONS])

    def look(self, volume: OpenedVolume, note: str = "") -> Look:
        cube = fitted_volume(volume, self.voxels, self.opening)
        grey = np.round(cube.mean(-1)).astype(np.uint8)
        statistics = np.concatenate([texture(grey), _sizes(volume)])
        return Look(pictures(cube), statistics, note)


def pictures(cube: np.ndarray) -> np.ndarray:
    """uint8 [S, S, S, C] -> uint8 [6, S, S, 3]: the plane through the middle across each axis, then
    the largest value along it. Three channels are red, green and blue; of others the mean is drawn.
    The first axis of a plane is drawn upwards."""
    if cube.shape[-1] != 3:
        grey = np.round(cube.mean(-1, keepdims=True)).astype(np.uint8)
        cube = np.broadcast_to(grey, (*grey.shape[:3], 3))
    planes = [cube.take(cube.shape[axis] // 2, axis) for axis in range(3)]
    return np.stack([*planes, *(cube.max(axis) for axis in range(3))])[:, ::-1]


def _sizes(volume: OpenedVolume) -> np.ndarray:
    """float64 [SIZES]: logarithms of the sides in mm along D, H and W, or in voxels where the file
    says no spacing; whether it does; the count of channels."""
    *sides, channels = volume.values.shape
    lengths = np.array(sides) * np.array(volume.spacing or (1.0, 1.0, 1.0))
    return np.array([*np.log(lengths), float(volume.spacing is not None), float(channels)])


class FittedVolume(FittedPictured):
    """The image encoder, the window and the scales of the statistics."""

    name = "volume"
    settings: Volume
    network: FittedEncoder

    @property
    def opening(self) -> VolumeOpening:
        """How volumes are opened, with the window of the training rows."""
        return self.settings.opening

    def key(self, cell: Cell, root: Path) -> bytes:
        return cell_key(cell, root)

    def looks(self, cell: Cell, root: Path) -> Iterator[Look]:
        for value in file_values(cell):  # one at a time, so that one is in memory
            yield self.settings.look(*open_volume(value, root, self.opening))
