"""A generator that is over-fitted on purpose: the control of the membership audit.

It is a linear autoencoder (principal components of the images) with a kernel density over its codes
(Parzen 1962): draw a training image, encode it, move the code by a little noise, decode. A kernel
density of this width has learned nothing but its rows. Any generator that is trained for too long
on its rows goes the same way: what minimises the loss of a diffusion on finitely many images
returns these images (Gu et al. 2023). So this stands for an over-fitted generator of any kind, with
its blur and its noise. It is fitted in closed form, in seconds and without steps, and is
the same for a generator that was trained elsewhere. The density of a code is known exactly,
so it also has a loss of every row.

What this cannot show: that a generator leaks which memorises in another way, such as single
features of a row, or one row in a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.neighbours import nearest

MOST_BASIS_ROWS = 512  # images that the components are computed from
KEPT_VARIANCE = 0.95  # of these images, by the components
MEASURED_ROWS = 512  # codes whose nearest neighbours set the width of the noise
NOISE = 0.25  # length of the noise over the distance of two neighbours
BLOCK = 256  # images at once
TINY = 1e-6  # least noise that a density is computed with


@dataclass(frozen=True, eq=False)
class Memorised:
    """An over-fitted generator of images like these n, uint8 [n, H, W, C]."""

    images: np.ndarray
    mean: np.ndarray  # float32 [D], of the pixels
    basis: np.ndarray  # float32 [K, D], orthonormal
    noise: float  # standard deviation of the noise in each direction

    @staticmethod
    def of(images: np.ndarray, rng: np.random.Generator) -> Memorised:
        """Fitted in closed form. n > 0."""
        some = rng.permutation(len(images))[:MOST_BASIS_ROWS]
        rows = _flat(images[some])
        mean = rows.mean(0)
        basis = _components(rows - mean)
        codes = (rows[:MEASURED_ROWS] - mean) @ basis.T
        apart = nearest(codes, codes, np.arange(len(codes)))[0]
        length = NOISE * float(np.median(apart)) if len(codes) > 1 else 0.0
        return Memorised(images, mean, basis, length / max(1, len(basis)) ** 0.5)

    def drawn(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """uint8 [count, H, W, C]. Each is made from one of the images, drawn with replacement."""
        source = rng.integers(0, len(self.images), count)
        out = np.empty((count, *self.images.shape[1:]), np.uint8)
        for start in range(0, count, BLOCK):
            chosen = _flat(self.images[source[start : start + BLOCK]]) - self.mean
            # in every direction
            chosen += rng.normal(0, self.noise, chosen.shape).astype(np.float32)
            # what lies outside of the components is lost
            decoded = (chosen @ self.basis.T) @ self.basis + self.mean
            pixels = np.clip(np.rint(255 * decoded), 0, 255)
            out[start : start + BLOCK] = pixels.reshape(-1, *self.images.shape[1:])
        return out

    def row_loss(self, rows: np.ndarray) -> np.ndarray:
        """float64 [N]: minus the logarithm of the density of the code of each row, uint8 [N, H, W,
        C], up to a constant: log n - log sum_i exp(-|z - z_i|^2 / (2 s^2))."""
        known, codes = self._codes(self.images), self._codes(rows)
        squares, variance = (known**2).sum(1), 2 * max(self.noise, TINY) ** 2
        out = np.empty(len(rows))
        for start in range(0, len(rows), BLOCK):
            z = codes[start : start + BLOCK]
            apart = np.maximum((z**2).sum(1)[:, None] - 2 * z @ known.T + squares, 0)  # [b, n]
            nearness = -apart / variance
            highest = nearness.max(1)
            out[start : start + BLOCK] = -highest - np.log(
                np.exp(nearness - highest[:, None]).sum(1)
            )
        return out + np.log(len(known))

    def _codes(self, images: np.ndarray) -> np.ndarray:
        """float64 [n, K]."""
        blocks = range(0, len(images), BLOCK)
        parts = [(_flat(images[k : k + BLOCK]) - self.mean) @ self.basis.T for k in blocks]
        return np.concatenate([np.zeros((0, len(self.basis))), *parts])


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
