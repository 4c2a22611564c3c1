"""Softmax and its logarithm, as scipy computes them. Loading scipy's takes longer than most
answers."""

from __future__ import annotations

import numpy as np


def softmax(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    """exp(x) over its sum along an axis, None = over all; of the shape of x."""
    powers = np.exp(x - np.amax(x, axis=axis, keepdims=True))
    out: np.ndarray = powers / np.sum(powers, axis=axis, keepdims=True)
    return out


def log_softmax(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The logarithm of `softmax`, exact where that is near 0."""
    shifted = x - np.amax(x, axis=axis, keepdims=True)
    out: np.ndarray = shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    return out
