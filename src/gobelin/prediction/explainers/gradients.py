"""Which pixels of an image moved the answer: the gradients from its mean colour to it.

Integrated gradients (`prediction.attribution.path`) of the explained answer, through the head and
the encoder's network, by the pixels that the encoder reads. The path starts at the mean colour of
the image, which is also what occlusion (`pixels`) hides with, so that both explain the same
difference. A pixel's value is the sum over its colours; all pixels add up to the answer of the
image less that of its mean colour. Only for encoders that are differentiable networks, and heads
that have a gradient: linear and neural ones, no trees. Of several images in a cell the first is
explained.

What this cannot show: large parts that decide together. The values of neighbours can have opposite
signs, and a network that is nearly flat where it is sure gives small ones. How far the sum misses
the difference stands beside the method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.lazy import torch
from gobelin.embedding.encoders import ReadsPixels
from gobelin.prediction.attribution.parts import Attribution, Parts
from gobelin.prediction.attribution.path import integrated_gradients
from gobelin.prediction.attribution.pixels import PixelParts
from gobelin.prediction.explainers import Question

GRID = 8  # cells along each side of the random maps that it is compared with


@settings_class
class Gradients:
    """Integrated gradients of the pixels of an image."""

    steps: int = setting(
        default=50, ge=1, le=10_000, description="Points of the path, each with one gradient."
    )

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    unit: ClassVar[str] = "gradient"

    def parts(self, question: Question, field: str) -> Parts | None:
        cell = question.cells.get(field)
        encoder = question.embedder.encoders[field]
        if cell is None or question.differentiable is None:
            return None
        read, _ = encoder.decode(cell, question.root)
        if not isinstance(encoder, ReadsPixels) or read.ndim != 4:
            return None
        return PixelParts(question, field, read, GRID)

    def explain(self, parts: Parts, seed: int) -> Attribution:
        assert isinstance(parts, PixelParts)
        ends = parts.answers(np.array([[0.0], [1.0]]) * np.ones(np.prod(parts.size)))[:, 0]
        shown = torch.from_numpy(parts.read[0].astype(np.float32))
        hidden = torch.from_numpy(parts.mixed(np.zeros((1, *parts.size, 1)))[0].astype(np.float32))
        found = integrated_gradients(_answer(parts), shown, hidden, self.steps)
        values = found.sum(0 if parts.first else 2).double().numpy().ravel()
        missed, difference = abs(values.sum() - (ends[1] - ends[0])), abs(ends[1] - ends[0])
        miss = f"; their sum misses it by {missed / max(difference, 1e-12):.2%}"
        return Attribution(
            (),
            values,
            float(ends[0]),
            float(ends[1]),
            f"integrated gradients, {self.steps} steps{miss}",
            shape=parts.size,
        )


def _answer(parts: PixelParts) -> Callable[[torch.Tensor], torch.Tensor]:
    """[k, ...] pixels of the first image -> float32 [k]: the explained answer."""
    question, field = parts.question, parts.field
    encoder, others = question.embedder.encoders[field], parts.read[1:]
    assert isinstance(encoder, ReadsPixels) and question.differentiable is not None
    follow = question.differentiable
    rest = np.zeros(encoder.width, np.float32)
    if len(others):
        rest = len(others) * encoder.embed([others])[0]

    def answer(pixels: torch.Tensor) -> torch.Tensor:
        features = encoder.of_pixels(pixels)
        features = (features + torch.from_numpy(rest).to(features.device)) / (1 + len(others))
        return follow(question.rows, field, features.cpu())[:, question.output]

    return answer
