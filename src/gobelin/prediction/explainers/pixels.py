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
from gobelin.prediction.attribution.occlusion import effects, masks
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.attribution.pixels import PixelParts
from gobelin.prediction.explainers import Question


@settings_class
class Pixels:
    """Occlusion of an image by random masks."""

    masks: int = setting(default=300, ge=4, le=100_000, description="Masks of each image.")
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
        shown = masks(count, self.grid, parts.size, seed)
        flat = shown.reshape(count, -1)
        ends = parts.answers(np.array([[0.0], [1.0]]) * np.ones(flat.shape[1]))[:, 0]
        values, error = effects(shown, parts.answers(flat)[:, 0], self.grid)
        return Attribution(
            (),
            values.ravel(),
            float(ends[0]),
            float(ends[1]),
            f"occlusion by {count} masks (RISE)",
            error.ravel(),
            shape=parts.size,
        )
