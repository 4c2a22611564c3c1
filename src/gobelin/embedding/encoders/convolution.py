"""Images by a small network without weights: its filters are learned from the training images.

Learning needs no labels and takes seconds. Coates, Lee & Ng 2011 (see `networks.patches`). It knows
no thing, only the patches of these images; `tune` trains it further. Several images in one cell are
averaged.
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
from gobelin.data.image.images import Opening, Squares, decode_images, image_query
from gobelin.embedding.encoders import Forward, Sample, TrainingCells
from gobelin.embedding.learned_filters import learn_filters
from gobelin.networks.convolution import scaled, signal_of
from gobelin.networks.patches import PatchNetwork
from gobelin.networks.pooling import means

CONVOLUTION_FORMAT = 1  # of the saved folder
LEARNED_IMAGES = 1000  # training cells from which the filters are learned, at most


@settings_class
class Convolution:
    """Settings of the network of learned patches."""

    pixels: int = setting(
        default=32,
        ge=8,
        le=512,
        description="Side of the square image that the network sees, in pixels.",
    )
    filters: int = setting(
        default=96, ge=1, le=4096, description="Number of filters, each a kind of patch."
    )
    patch: int = setting(default=6, ge=2, le=64, description="Side of a patch in pixels.")
    batch: int = setting(default=128, ge=1, le=65536, description="Images at once.")
    opening: Opening = setting(default_factory=Opening, description="How images are opened.")

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    flag: ClassVar[str] = "image"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = False

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # the encoder `image` bids for this kind; this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return image_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedConvolution:
        def opened(cell: Cell) -> np.ndarray:
            return decode_images(cell, cells.root, self.opening, self.pixels)[0]

        network = self.network()
        nothing = np.zeros((0, self.pixels, self.pixels, 3), np.uint8)
        learn_filters(network, cells, opened, nothing, signal_of, LEARNED_IMAGES, runtime)
        return FittedConvolution(self, network, runtime)

    def network(self) -> PatchNetwork:
        """With fresh weights."""
        return PatchNetwork(3, self.filters, self.patch, 2)

    def load(self, folder: Path, runtime: Runtime) -> FittedConvolution:
        stored = weights.config_of(folder, CONVOLUTION_FORMAT)
        settings = config.build(Convolution, stored["settings"])
        network = weights.loaded(folder, stored, settings.network)
        return FittedConvolution(settings, network, runtime)


class FittedConvolution(Forward, Squares):
    """The network with its settings."""

    def __init__(self, settings: Convolution, network: PatchNetwork, runtime: Runtime) -> None:
        self.settings, self.runtime, self.width = settings, runtime, network.width
        self.opening, self.side = settings.opening, settings.pixels
        self.module = network.eval().to(runtime.device)

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, width], differentiable."""
        rows = []
        for block in signal_of(np.concatenate(list(batch))).split(self.settings.batch):
            with self.runtime.autocast():
                rows.append(self.module(block.to(self.runtime.device)))
        return means(torch.cat(rows), [len(images) for images in batch])

    def of_pixels(self, images: Tensor) -> Tensor:
        """float32 [n, width] of float32 [n, H, W, 3]."""
        with self.runtime.autocast():
            out: Tensor = self.module(scaled(images.to(self.runtime.device)))
        return out

    def fingerprint(self) -> str:
        return weights.fingerprint(
            self.module, "convolution", asdict(self.settings), self.runtime.precision
        )

    def save(self, folder: Path) -> None:
        weights.save(folder, {"settings": asdict(self.settings)}, self.module, CONVOLUTION_FORMAT)
