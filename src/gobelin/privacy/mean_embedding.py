"""The mean embedding of images, released once with noise (DP-MERF, Harder et al. 2021).

A row becomes a vector of a length of 1 at most, in the slot of its class. It has three parts:

- random Fourier features of its pixels (Rahimi & Recht 2007): their mean describes which images
  are frequent, as seen by a Gaussian kernel;
- its pixels, averaged over coarse cells: their mean is a blurred mean image;
- a constant, whose sum is the count of rows of the class.

A group's vector is the mean over its rows, so its length is 1 at most, too. The sum over the groups
moves by 1 at most when a group comes or goes. It is released once, by the Gaussian mechanism; the
formula for the noise stands in `gobelin.privacy.gaussian`.

What is fixed before the rows are seen: the random directions, the width of the kernel, the cells.

What this cannot show: whether the noisy means suffice to make good images. Under a few hundred rows
a class they hardly do at epsilon 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import torch
from gobelin.core.machine import generator
from gobelin.privacy import secure_noise

BLOCK_ROWS = 512  # embedded at once


@dataclass(frozen=True)
class Means:
    """What is known of the rows of each of S slots, divided by their noisy count."""

    features: np.ndarray  # float64 [S, D]: mean random features and mean cells
    counts: np.ndarray  # float64 [S]: of groups, 0 or more


@dataclass(frozen=True)
class MeanEmbedding:
    """The map from images to vectors. Parts of a row's vector have these squared lengths."""

    size: tuple[int, int, int]  # H, W, C of the images
    slots: int  # S: classes, or 1
    random: int  # R: random features, an even number; 0 for none
    cells: int  # cells a side
    width: float  # of the kernel: images that differ by this in every pixel (black to white: 2)
    shares: tuple[float, float, float]  # random, cells, count; they sum to 1
    seed: int  # of the random directions, which are public

    @property
    def length(self) -> int:
        """D: numbers of a slot, without the count."""
        return self.random + self.size[2] * self.cells**2

    def directions(self) -> torch.Tensor:
        """float64 [C H W, R / 2]: frequencies, normal with the deviation 1 / (width sqrt(CHW))."""
        pixels = math.prod(self.size)
        drawn = torch.randn(
            pixels, self.random // 2, generator=generator(self.seed, "directions")
        ).double()
        return drawn / (self.width * math.sqrt(pixels))

    def features(self, images: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] in -1 .. 1 -> [N, D]: random features of length 1, cells of at most 1."""
        phase = images.flatten(1) @ directions
        waves = torch.cat([phase.cos(), phase.sin()], dim=1) * math.sqrt(2 / max(self.random, 1))
        pooled = torch.nn.functional.adaptive_avg_pool2d(images, self.cells).flatten(1)
        return torch.cat([waves, pooled / math.sqrt(pooled.shape[1])], dim=1)

    def scales(self) -> np.ndarray:
        """float64 [D]: what multiplies each feature, so that all parts together have length 1."""
        waves, cells, _ = np.sqrt(self.shares)
        return np.repeat([waves, cells], [self.random, self.length - self.random])

    def sums(self, images: np.ndarray, slots: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """float64 [S, D + 1]: the sum over the rows, each multiplied by its factor.

        images: uint8 [N, H, W, C]. slots: int [N]. factors: [N] from 0; they sum to 1 at most over
        the rows of a group, so that no group moves the result by more than 1."""
        out = np.zeros((self.slots, self.length + 1))
        directions, scales = self.directions(), self.scales()
        for start in range(0, len(images), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            pixels = torch.from_numpy(np.array(images[rows])).permute(0, 3, 1, 2)
            features = self.features(pixels.double() / 127.5 - 1, directions).numpy() * scales
            whole = np.column_stack([features, np.full(len(features), math.sqrt(self.shares[2]))])
            np.add.at(out, slots[rows], whole * factors[rows, None])
        return out

    def released(self, sums: np.ndarray, noise: float) -> np.ndarray:
        """The sums with normal noise of this deviation, from the operating system's source."""
        return sums + secure_noise.normal(sums.size, noise).reshape(sums.shape)

    def means(self, released: np.ndarray) -> Means:
        """What the released sums tell. Nothing here looks at a row."""
        counts = np.maximum(released[:, -1] / math.sqrt(self.shares[2]), 0)
        features = released[:, :-1] / self.scales() / np.maximum(counts, 1.0)[:, None]
        return Means(features, counts)


def factors(groups: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """float64 [N]: 1 / rows of the group, times the row's weight where that is below 1. A weight
    above 1 counts as 1: no group may count more than one."""
    _, of, count = np.unique(groups, return_inverse=True, return_counts=True)
    once: np.ndarray = 1 / count[of]
    return once if weights is None else once * np.minimum(weights, 1.0)
