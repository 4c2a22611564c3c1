"""Ridge regression of the logarithm of a number above 0, such as a price or a count of people.

Where a number is a product of what fields say, its logarithm is a sum, and its errors have one size
in percent. The mean of the number itself is larger than exp of the mean logarithm, so answers are
multiplied by the factor that makes them right on average (smearing, Duan 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import torch
from gobelin.data.coarse import middle_of, spread_of
from gobelin.prediction.heads.linear import ridge

SMALLEST = 1e-3  # of the median: values below it count as this
MOST_SPREADS = 4.0  # above the mean logarithm: no answer is larger
LEAST_VARIATION = 0.25  # standard deviation over mean, from which logarithms are worth a try


@dataclass(frozen=True, eq=False)
class Logarithm:
    """weight: float64 [K, 1] and bias: float64 [1], of the logarithm. factor, most, zero: float64
    [1]; most is the largest logarithm, zero is added."""

    weight: np.ndarray
    bias: np.ndarray
    factor: np.ndarray
    most: np.ndarray
    zero: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, 1], of x [n, K]."""
        return np.exp(np.minimum(x @ self.weight + self.bias, self.most)) * self.factor + self.zero

    def scores_of(self, x: torch.Tensor) -> torch.Tensor:
        """The same, differentiable in x."""
        weight, bias, factor, most, zero = map(torch.from_numpy, vars(self).values())
        return torch.minimum(x @ weight + bias, most).exp() * factor + zero


def suits(values: np.ndarray) -> bool:
    """Whether logarithms may be better: all values [n] are above 0, and they differ by much."""
    return bool((values > 0).all() and values.std() >= LEAST_VARIATION * values.mean())


def logarithm(
    x: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray,
    strength: float,
    zero: float,
    group: np.ndarray,
    least_groups: int,
) -> Logarithm:
    """x: [n, K]. values: [n], in any unit, in which 0 is at `zero`. weights: [n], 0 or more. group:
    int [n]. The mean and the spread that `most` comes from are rounded: of two exact ones, which
    differ by a row, its answer follows."""
    used = weights > 0
    share = weights[used] / weights[used].sum()
    above = values[used] - zero
    logs = np.log(np.maximum(above, SMALLEST * max(float(np.median(above)), 1e-300)))
    middle = middle_of(logs, group[used], least_groups)
    spread = spread_of(logs, group[used], middle, least_groups) or 1.0
    line = ridge(x[used], (logs - middle) / spread, weights[used], strength)
    weight, bias = line.weight * spread, line.bias * spread + middle
    most = np.array([middle + MOST_SPREADS * spread])
    answers = np.exp(np.minimum(x[used] @ weight + bias, most))[:, 0]
    factor = np.array([float(share @ above) / float(share @ answers)])
    return Logarithm(weight, bias, factor, most, np.array([zero]))
