"""Occlusion: hide parts at random many times, and see what the answer follows.

RISE (Petsiuk, Das & Saenko 2018): coarse random masks, enlarged smoothly and moved at random. Its
equation 6 weighs masks by the answer. Here a place's value is the slope of the answer over the
mask at that place, cov(answer, mask) / var(mask). Each mask is asked together with its opposite,
which takes out what is even in the masks. Slopes that are read off few masks hold what other
places did in these masks. So a ridge regression on all places at once is fitted first, as LIME does
(Ribeiro, Singh & Guestrin 2016, section 3.4). A slope is then the one that its answers have over
all possible masks, in closed form, and the slope of what it misses of masks left out: a control
variate, which leaves no error of the regression in it.
"""

from __future__ import annotations

import numpy as np

from gobelin.core.machine import numpy_generator

SHOWN = 0.5  # chance that a cell of a mask is shown
SHIFTS = 16  # places of a mask over which its covariance is averaged
TINY = 1e-12
PENALTIES = np.geomspace(1e-3, 30, 26)  # that are tried, over the mean size of a direction


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


def effects(shown: np.ndarray, answers: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 [H, W], [H, W]: how much the answer rises from hidden to shown at each place, and
    the standard error of it.

    shown: [k, H, W] of `masks`, with the opposites. answers: [k]. grid: as of `masks`."""
    half, size = len(shown) // 2, (shown.shape[1], shown.shape[2])
    # of a mask and its opposite: half of their difference, which is 0 on average
    x = (shown[:half].astype(np.float64) - shown[half:]).reshape(half, -1) / 2
    y = (answers[:half] - answers[half:]) / 2
    weights, missed = _regression(x, y)
    rows, columns = (_together(n, grid) for n in size)
    slope = rows @ weights.reshape(size) @ columns / np.outer(np.diag(rows), np.diag(columns))
    spread = (x**2).sum(0) + TINY
    rest, error = missed @ x / spread, np.sqrt(missed**2 @ x**2) / spread
    return slope + rest.reshape(size), error.reshape(size)


def _regression(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [P], [k]: the weights of a ridge regression of y [k] on x [k, P], and what it misses
    of each row by the others. Its penalty misses least. Rows left out are in closed form (Allen
    1974)."""
    sizes, axes = np.linalg.eigh(x @ x.T)
    sizes, along = np.maximum(sizes, 0), axes.T @ y
    found = []
    for penalty in PENALTIES * (float(sizes.mean()) + TINY):
        kept = sizes / (sizes + penalty)
        missed = (y - axes @ (kept * along)) / (1 - (axes**2) @ kept)
        found.append((float((missed**2).mean()), float(penalty), missed))
    _, penalty, missed = min(found, key=lambda one: one[:2])
    return (axes @ (along / (sizes + penalty))) @ x, missed


def _together(size: int, grid: int) -> np.ndarray:
    """float64 [n, n]: how the masks of two places along one side go together, averaged over how
    far a mask is moved: their covariance is that along the height times that along the width times
    the variance of a cell."""
    moved = (np.arange(SHIFTS) + 0.5) / SHIFTS
    between = [_between(size, grid + 1, float(shift)) for shift in moved]
    return np.asarray(sum(w @ w.T for w in between) / SHIFTS)
