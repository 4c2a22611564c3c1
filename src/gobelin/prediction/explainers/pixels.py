"""Which pixels of an image moved the answer: random parts of it are hidden (RISE).

It works with any image encoder and any head: what the encoder reads of the cell, an array of
pixels, is blended with its own mean colour by masks (Petsiuk, Das & Saenko 2018; see
`prediction.attribution.occlusion`). The value of a pixel is how much the answer rises from hidden
to shown, the other parts being hidden at random. Of several images in a cell the first is
explained.

What this cannot show: single pixels, as a mask's cells are an eighth of the image. What has the
image's mean colour is not hidden by it, and a hidden part has edges of its own. What the encoder
cuts off before it reads is not seen at all. Two places that tell the same each look as if they
counted half.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.prediction.attribution.occlusion import masks, slopes, smooth_map
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.explainers import Question

AT_ONCE = 64  # masked images that are encoded together


@settings_class
class Pixels:
    """Occlusion of an image by random masks."""

    masks: int = setting(default=400, ge=4, le=100_000, description="Masks of each image.")
    grid: int = setting(default=8, ge=2, le=64, description="Cells of a mask along each side.")

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    unit: ClassVar[str] = "pixel"

    def parts(self, question: Question, field: str) -> Parts | None:
        cell = question.cells.get(field)
        if cell is None:
            return None
        read, _ = question.embedder.encoders[field].decode(cell, question.root)
        if not isinstance(read, np.ndarray) or read.ndim != 4:
            return None
        return PixelParts(question, field, read, self.grid)

    def explain(self, parts: Parts, seed: int) -> Attribution:
        assert isinstance(parts, PixelParts)
        count = 2 * (self.masks // 2)
        shown = masks(count, self.grid, parts.size, seed).reshape(count, -1)
        ends = parts.answers(np.array([[0.0], [1.0]]) * np.ones(shown.shape[1]))[:, 0]
        values, error = slopes(shown, parts.answers(shown)[:, 0])
        return Attribution(
            (),
            values,
            float(ends[0]),
            float(ends[1]),
            f"occlusion by {count} masks (RISE)",
            error,
            shape=parts.size,
        )


class PixelParts:
    """An image in its pixels. read: [k, H, W, 3] or [k, 3, H, W], as the encoder decoded it."""

    names: tuple[str, ...] = ()

    def __init__(self, question: Question, field: str, read: np.ndarray, grid: int) -> None:
        self.question, self.field, self.read, self.grid = question, field, read, grid
        self.first = read.shape[1] == 3 and read.shape[3] != 3  # whether channels stand first
        image = read[0].transpose(1, 2, 0) if self.first else read[0]
        self.image = image.astype(np.float32)  # [H, W, 3]
        self.size = (image.shape[0], image.shape[1])
        self.ground = self.image.mean((0, 1))  # [3]

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, 1]. kept: [k, H W]."""
        out = []
        for start in range(0, len(kept), AT_ONCE):
            shown = kept[start : start + AT_ONCE].reshape(-1, *self.size, 1).astype(np.float32)
            mixed = shown * self.image + (1 - shown) * self.ground
            if self.read.dtype == np.uint8:
                mixed = mixed.round().clip(0, 255).astype(np.uint8)
            if self.first:
                mixed = mixed.transpose(0, 3, 1, 2)
            batch = [np.concatenate([one[None], self.read[1:]]) for one in mixed]
            vectors = self.question.embedder.encoders[self.field].embed(batch)
            out.append(self.question.with_features(self.field, vectors))
        return np.concatenate(out)[:, None]

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        cells = rng.random((self.grid + 2, self.grid + 2))
        shift = float(rng.random()), float(rng.random())
        return smooth_map(cells, shift, self.size).ravel().astype(np.float64)
