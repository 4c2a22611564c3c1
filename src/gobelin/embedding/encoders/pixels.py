"""Images without any weights: low frequencies, colours and edges, in closed form.

The two-dimensional cosine transform (Ahmed, Natarajan & Rao 1974) of the luminance and of two
colour differences at 32 pixels, its lowest coefficients, beside a joint colour histogram. It is
fast, needs nothing, and is a fair baseline for a network.
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
from gobelin.data.image.images import Opening, Squares, image_query
from gobelin.embedding.encoders import Sample

PIXELS_SIDE = 32  # of the square that is read, in pixels
COLOUR_LEVELS = 4  # levels a channel in the colour histogram


@settings_class
class Pixels:
    """Settings of the cosine transform of pixels."""

    frequencies: int = setting(
        default=12,
        ge=1,
        le=PIXELS_SIDE,
        description="Frequencies used along each side of the brightness. Colours have half.",
    )
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
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedPixels:
        return FittedPixels(self)

    def load(self, folder: Path, runtime: Runtime) -> FittedPixels:
        return FittedPixels(config.build(Pixels, read_json(folder / "config.json")))


class FittedPixels(Squares):
    """The settings alone: nothing is learned."""

    module = None

    def __init__(self, settings: Pixels) -> None:
        self.settings, self.opening, self.side = settings, settings.opening, PIXELS_SIDE
        half = max(settings.frequencies // 2, 1)
        self.width = settings.frequencies**2 + 2 * half**2 + COLOUR_LEVELS**3

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, width] of uint8 images [k, 32, 32, 3] a cell, averaged over its k images."""
        return np.stack([self._features(images).mean(0) for images in batch]).astype(np.float32)

    def _features(self, images: np.ndarray) -> np.ndarray:
        """[k, 32, 32, 3] -> [k, width]."""
        x = images.astype(np.float32) / 255
        grey, half = x.mean(-1), max(self.settings.frequencies // 2, 1)
        parts = []
        for channel, lowest in (
            (grey, self.settings.frequencies),
            (x[..., 0] - grey, half),
            (x[..., 2] - grey, half),
        ):
            waves = dctn(channel, axes=(1, 2), norm="ortho")[:, :lowest, :lowest]
            parts.append(waves.reshape(len(x), -1) / PIXELS_SIDE)
        bins = (images // (256 // COLOUR_LEVELS)).astype(np.int64) @ np.array(
            [COLOUR_LEVELS * COLOUR_LEVELS, COLOUR_LEVELS, 1]
        )
        counts = np.stack([np.bincount(b.ravel(), minlength=COLOUR_LEVELS**3) for b in bins])
        return np.concatenate([*parts, np.sqrt(counts / PIXELS_SIDE**2)], axis=1)

    def fingerprint(self) -> str:
        return fingerprint("pixels", asdict(self.settings))

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))
