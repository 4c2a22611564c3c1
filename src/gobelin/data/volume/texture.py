"""Intensity and texture of a volume in closed form.

All of it is measured on a cube of bytes, after the window that the training rows set: the histogram
and quantiles of the voxels, gradients, the entropy of small blocks, and the grey-level
co-occurrence matrix over the thirteen directions of space (Haralick, Shanmugam & Dinstein 1973).
What this cannot show: where in the volume something lies; pictures of it show that.
"""

from __future__ import annotations

from itertools import product

import numpy as np

HISTOGRAM = 16  # bins of the voxels' values
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
GREY_LEVELS = 8  # of the co-occurrence matrix
BLOCK = 8  # side of the blocks whose entropy is measured, in voxels
# One of each two opposite neighbours of a voxel: thirteen directions
DIRECTIONS = tuple(d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0))
TEXTURE_WIDTH = HISTOGRAM + len(QUANTILES) + 2 + 6 + 4 + 5


def texture(cube: np.ndarray) -> np.ndarray:
    """uint8 [S, S, S] -> float64 [TEXTURE_WIDTH].

    Shares of the values in 16 bins · quantiles, from 0 to 1 · mean and deviation · of the length of
    the gradient: mean, deviation, median, 0.9 and 0.99 quantile, and share of flat voxels · of the
    entropy of blocks of 8 x 8 x 8 voxels: mean, deviation, least, most · contrast, homogeneity,
    energy, correlation and entropy of the co-occurrence matrix."""
    x = cube.astype(np.float64) / 255
    counts = np.bincount(cube.ravel() // (256 // HISTOGRAM), minlength=HISTOGRAM)
    parts = [
        counts / cube.size,
        np.quantile(x, QUANTILES),
        [x.mean(), x.std()],
        _gradients(x),
        _entropies(cube),
        cooccurrence_numbers(cooccurrence(cube // (256 // GREY_LEVELS))),
    ]
    return np.concatenate([np.asarray(p, np.float64) for p in parts])


def _gradients(x: np.ndarray) -> list[float]:
    """Of central differences, in values from 0 to 1 a voxel."""
    length = np.sqrt(sum(g**2 for g in np.gradient(x)))
    middle, high, highest = (float(q) for q in np.quantile(length, (0.5, 0.9, 0.99)))
    flat = float((length < 0.5 / 255).mean())
    return [float(length.mean()), float(length.std()), middle, high, highest, flat]


def _entropies(cube: np.ndarray) -> list[float]:
    """In bits, of the histogram of each block; what is left over at the far sides is not used."""
    depth, height, width = (max(1, side // BLOCK) for side in cube.shape)
    side = min(BLOCK, *cube.shape)
    whole = cube[: depth * side, : height * side, : width * side] // (256 // HISTOGRAM)
    blocks = whole.reshape(depth, side, height, side, width, side)
    rows = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(-1, side**3).astype(np.int64)
    names = rows + HISTOGRAM * np.arange(len(rows))[:, None]
    counts = np.bincount(names.ravel(), minlength=HISTOGRAM * len(rows)).reshape(len(rows), -1)
    found = entropy(counts / side**3)
    return [float(f) for f in (found.mean(), found.std(), found.min(), found.max())]


def entropy(shares: np.ndarray) -> np.ndarray:
    """[..., K] of sum 1 -> [...], in bits."""
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(-1))


def cooccurrence(levels: np.ndarray) -> np.ndarray:
    """int [D, H, W] below GREY_LEVELS -> float64 [GREY_LEVELS, GREY_LEVELS], the share of each pair
    of levels among neighbours in all directions, both ways (Haralick 1973, section II)."""
    counts = np.zeros(GREY_LEVELS * GREY_LEVELS)
    levels = levels.astype(np.int64)
    for direction in DIRECTIONS:
        near = tuple(
            slice(max(0, -d), min(n, n - d)) for d, n in zip(direction, levels.shape, strict=True)
        )
        far = tuple(
            slice(max(0, d), min(n, n + d)) for d, n in zip(direction, levels.shape, strict=True)
        )
        pairs = levels[near] * GREY_LEVELS + levels[far]
        counts += np.bincount(pairs.ravel(), minlength=len(counts))
    matrix = counts.reshape(GREY_LEVELS, GREY_LEVELS)
    matrix = matrix + matrix.T
    return matrix / max(matrix.sum(), 1.0)


def cooccurrence_numbers(p: np.ndarray) -> list[float]:
    """Contrast, homogeneity (inverse difference moment), energy (angular second moment),
    correlation and entropy of a co-occurrence matrix (Haralick 1973, appendix I, 2, 5, 1, 3, 9)."""
    i, j = np.indices(p.shape)
    mean = float((i * p).sum())
    variance = float(((i - mean) ** 2 * p).sum())
    covariance = float(((i - mean) * (j - mean) * p).sum())
    return [
        float(((i - j) ** 2 * p).sum()),
        float((p / (1 + (i - j) ** 2)).sum()),
        float((p**2).sum()),
        covariance / variance if variance > 1e-12 else 0.0,
        float(entropy(p.ravel())),
    ]
