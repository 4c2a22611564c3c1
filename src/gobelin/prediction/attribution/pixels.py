"""An image in its pixels, each of which can be hidden: it then has the image's mean colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gobelin.prediction.attribution.occlusion import smooth_map

if TYPE_CHECKING:
    from gobelin.prediction.explainers import Question

AT_ONCE = 64  # masked images that are encoded together


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
            mixed = self.mixed(kept[start : start + AT_ONCE].reshape(-1, *self.size, 1))
            batch = [np.concatenate([one[None], self.read[1:]]) for one in mixed]
            vectors = self.question.embedder.encoders[self.field].embed(batch)
            out.append(self.question.with_features(self.field, vectors))
        return np.concatenate(out)[:, None]

    def mixed(self, kept: np.ndarray) -> np.ndarray:
        """[k, H, W, 3] or [k, 3, H, W], in the type that the encoder reads: the first image with
        parts hidden. kept: [k, H, W, 1]."""
        mixed = kept.astype(np.float32) * (self.image - self.ground)
        mixed += self.ground
        if self.read.dtype == np.uint8:
            mixed = np.rint(mixed, out=mixed).astype(np.uint8)
        return mixed.transpose(0, 3, 1, 2) if self.first else mixed

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        cells = rng.random((self.grid + 2, self.grid + 2))
        shift = float(rng.random()), float(rng.random())
        return smooth_map(cells, shift, self.size).ravel().astype(np.float64)
