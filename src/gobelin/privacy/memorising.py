"""A generator that is over-fitted on purpose: the control of the membership audit.

It is a linear autoencoder (principal components of the images) with a kernel density over its codes
(Parzen 1962): draw a training image, encode it, move the code by a little noise, decode. A kernel
density of this width has learned nothing but its rows. Any generator that is trained for too long
on its rows goes the same way: what minimises the loss of a diffusion on finitely many images
returns these images (Gu et al. 2023). So this stands for an over-fitted generator of any kind, with
its blur and its noise. It is fitted in closed form, in seconds and without steps, and is
the same for a generator that was trained elsewhere.

What this cannot show: that a generator leaks which memorises in another way, such as single
features of a row, or one row in a thousand.
"""

from __future__ import annotations

import numpy as np

from gobelin.core.neighbours import nearest

MOST_BASIS_ROWS = 512  # images that the components are computed from
KEPT_VARIANCE = 0.95  # of these images, by the components
MEASURED_ROWS = 512  # codes whose nearest neighbours set the width of the noise
NOISE = 0.25  # length of the noise over the distance of two neighbours
BLOCK = 256  # images at once


def memorised(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [count, H, W, C]: images that are generated from images, uint8 [n, H, W, C].

    Each is made from one of them, drawn with replacement. n > 0.
    """
    some = rng.permutation(len(images))[:MOST_BASIS_ROWS]
    rows = _flat(images[some])
    mean = rows.mean(0)
    basis = _components(rows - mean)  # [K, D], orthonormal
    codes = (rows[:MEASURED_ROWS] - mean) @ basis.T
    apart = nearest(codes, codes, np.arange(len(codes)))[0]
    length = NOISE * float(np.median(apart)) if len(codes) > 1 else 0.0
    scale = length / max(1, len(basis)) ** 0.5
    source = rng.integers(0, len(images), count)
    out = np.empty((count, *images.shape[1:]), np.uint8)
    for start in range(0, count, BLOCK):
        chosen = _flat(images[source[start : start + BLOCK]]) - mean
        chosen += rng.normal(0, scale, chosen.shape).astype(np.float32)  # in every direction
        decoded = (chosen @ basis.T) @ basis + mean  # what lies outside of the components is lost
        pixels = np.clip(np.rint(255 * decoded), 0, 255)
        out[start : start + BLOCK] = pixels.reshape(-1, *images.shape[1:])
    return out


def _flat(images: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, C] -> float32 [n, D] in 0..1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _components(centred: np.ndarray) -> np.ndarray:
    """float32 [K, D]: the principal components that hold KEPT_VARIANCE of rows [n, D]."""
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    share = np.cumsum(values) / max(values.sum(), 1e-12)
    kept = min(int(np.searchsorted(share, KEPT_VARIANCE)) + 1, int((values > 1e-9).sum()))
    basis = vectors[:, :kept].T @ centred / np.sqrt(values[:kept, None])
    return basis.astype(np.float32)
