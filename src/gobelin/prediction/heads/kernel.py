"""Linear heads on random features of a Gaussian kernel (Rahimi & Recht 2007, section 3).

cos(x . w + b) with w drawn from a normal distribution and b from [0, 2 pi): the mean product of
such features of two rows is exp(-|x - y|^2 / (2 width^2)). So a linear head on them is smooth and
curved, as one on distances between rows would be, and holds no row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import torch
from gobelin.core.machine import numpy_generator
from gobelin.prediction.heads.linear import Linear

FEATURES = 300  # random ones
WIDTHS = {"kernel": 1.0, "near": 0.3}  # of the root of the total variance of the inputs


@dataclass(frozen=True, eq=False)
class Kernel:
    """directions: float32 [K, D]. phases: float32 [D]. weight: float64 [D + K, V]. bias: float64
    [V]."""

    directions: np.ndarray
    phases: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, V], of x [n, K]."""
        return features(x, self.directions, self.phases) @ self.weight + self.bias

    def scores_of(self, x: torch.Tensor) -> torch.Tensor:
        """The same, differentiable in x."""
        directions, phases = (torch.from_numpy(a).double() for a in (self.directions, self.phases))
        waves = (x @ directions + phases).cos() * (2 / len(phases)) ** 0.5
        weight, bias = torch.from_numpy(self.weight), torch.from_numpy(self.bias)
        return torch.cat([waves, x], 1) @ weight + bias


def features(x: np.ndarray, directions: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """float64 [n, D + K]: the random features, with a total variance of about 1, and x itself."""
    waves = np.cos(x @ directions.astype(np.float64) + phases)
    return np.hstack([waves * np.sqrt(2 / len(phases)), x])


def drawn(inputs: int, reach: float, count: int = FEATURES) -> tuple[np.ndarray, np.ndarray]:
    """Directions float32 [inputs, count] and phases float32 [count] of a kernel whose width is
    `reach`; the same for the same arguments."""
    rng = numpy_generator(0, "kernel", inputs)
    directions = (rng.normal(size=(inputs, count)) / reach).astype(np.float32)
    return directions, rng.uniform(0, 2 * np.pi, count).astype(np.float32)


def kernel(x: np.ndarray, width: float, fit: Callable[[np.ndarray], Linear]) -> Kernel:
    """The features are drawn once for each number of inputs, so heads of other seeds or rows have
    the same.

    x: [n, K], where each field that K comes from has a total variance of 1. width: in roots of
    their total variance. fit: fits a linear head to features [n, D + K]."""
    directions, phases = drawn(x.shape[1], width * max(float(x.var(0).sum()), 1e-12) ** 0.5)
    line = fit(features(x, directions, phases))
    return Kernel(directions, phases, line.weight, line.bias)
