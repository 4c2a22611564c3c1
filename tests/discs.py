"""Planted images for the tests of generators, and how to ask for them: discs whose colour class and
vector say."""

from __future__ import annotations

import numpy as np
import torch

from gobelin.generation.generators import Condition, Controls, ImageRows, Sampler

COLOURS = np.array([[220, 30, 30], [30, 60, 220]])


def planted(
    n: int,
    height: int = 16,
    width: int = 16,
    channels: int = 3,
    away: float = 0.1,
    radius: float = 0.3,
) -> ImageRows:
    """Discs of random place on white: class 0 red, vector e_0; class 1 blue, vector e_1; a third
    lack each part."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, n)
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(0.5 - away, 0.5 + away, (n, 2)) * (height, width)
    inside = np.hypot(y - centre[:, :1, None], x - centre[:, 1:, None]) < radius * min(
        height, width
    )
    colour = (
        np.resize(COLOURS[target], (n, 4))[:, :channels]
        if channels > 3
        else COLOURS[target][:, :channels]
    )
    images = np.where(inside[..., None], colour[:, None, None], 255).astype(np.uint8)
    vectors = torch.nn.functional.one_hot(torch.from_numpy(target), 4).float()[:, None]
    present = torch.from_numpy(rng.random((n, 1)) < 0.67)
    shown = torch.from_numpy(np.where(rng.random(n) < 0.67, target, -1))
    return ImageRows(
        images, Condition(("hint",), vectors, present, shown, fingerprint="space"), ("red", "blue")
    )


def asking(n: int, target: int = -1, hint: int = -1) -> Condition:
    vectors = torch.zeros(n, 1, 4)
    vectors[:, 0, max(hint, 0)] = float(hint >= 0)
    present = torch.full((n, 1), hint >= 0)
    return Condition(("hint",), vectors, present, torch.full((n,), target), fingerprint="space")


def make(sampler: Sampler, condition: Condition, controls: Controls | None = None) -> np.ndarray:
    return np.concatenate(
        list(sampler.sample(condition, range(len(condition)), controls or Controls()))
    )


def redder(images: np.ndarray) -> np.ndarray:
    """bool [N]: red rather than blue, judged on the whole image."""
    mean = images.astype(float).mean((1, 2))
    return mean[:, 0] > mean[:, 2]
