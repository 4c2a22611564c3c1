"""Occlusion: hide parts at random many times, and see what the answer follows.

RISE (Petsiuk, Das & Saenko 2018): coarse random masks, enlarged smoothly and moved at random. Its
equation 6 weighs masks by the answer. Here a place's value is the slope of the answer over the
mask at that place, cov(answer, mask) / var(mask), which takes out the answer's mean, so fewer masks
do. Each mask is asked together with its opposite, which takes out what is even in the masks.
"""

from __future__ import annotations

import numpy as np

from gobelin.core.machine import numpy_generator

SHOWN = 0.5  # chance that a cell of a mask is shown


def smooth_map(cells: np.ndarray, shift: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """float32 [H, W]: values of a coarse grid [g + 1, g + 1], between them linearly. shift: how far
    the grid is moved, each in 0 .. 1 of a cell. size: H, W."""
    weights = [
        _between(n, len(cells) - 1, moved) for n, moved in zip(size, shift, strict=True)
    ]  # [H, g + 1], [W, g + 1]
    return np.asarray(weights[0] @ cells @ weights[1].T, np.float32)


def _between(size: int, grid: int, shift: float) -> np.ndarray:
    """float64 [size, grid + 1]: how much each corner of the grid counts at each place."""
    at = np.clip((np.arange(size) + 0.5) / size * (grid - 1) + shift, 0, grid - 1e-9)
    low = at.astype(int)
    out = np.zeros((size, grid + 1))
    out[np.arange(size), low] = 1 - (at - low)
    out[np.arange(size), low + 1] = at - low
    return out


def masks(count: int, grid: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """float32 [count, H, W] in 0 .. 1, 1 = shown; the second half are the opposites of the first.
    count: even. grid: cells along each side. size: H, W."""
    rng = numpy_generator(seed, "masks")
    half = [
        smooth_map(
            (rng.random((grid + 2, grid + 2)) < SHOWN).astype(np.float64),
            (float(rng.random()), float(rng.random())),
            size,
        )
        for _ in range(count // 2)
    ]
    first = np.stack(half)
    return np.concatenate([first, 1 - first])


def slopes(shown: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [P], [P]: the slope of answers over each place's mask, and its standard error.

    shown: [k, P]. answers: [k]. A place that is never hidden, or always, has slope 0."""
    x = shown - shown.mean(0)
    y = answers - answers.mean()
    spread = np.einsum("kp,kp->p", x, x, dtype=np.float64)
    slope = (y @ x) / np.maximum(spread, 1e-12)
    rest = y @ y - slope**2 * spread  # the sum of squares that a place leaves
    return slope, np.sqrt(np.maximum(rest, 0) / max(len(y) - 2, 1) / np.maximum(spread, 1e-12))
