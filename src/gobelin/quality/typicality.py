"""How typical a row is among the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 5  # a row's distance is the mean distance to this many nearest training rows
ODD_SHARE = 0.025  # a row is "odd" if at most this share of training rows lies as far away


@dataclass(frozen=True)
class Typicality:
    """Distances of training rows to the other training rows, and of one more row to all of them.

    training: float [n], one distance a training row. distance: that of the row in question.
    """

    training: np.ndarray
    distance: float

    @property
    def share(self) -> float:
        """The share of rows, the row in question one of them, that lie at least as far away.

        (1 + #{d_i >= d}) / (n + 1) is the conformal p-value of 'drawn like the training rows'
        (Vovk et al. 2005, section 2.2).
        """
        return float((1 + (self.training >= self.distance).sum()) / (len(self.training) + 1))

    @property
    def verdict(self) -> str:
        return "odd" if self.share <= ODD_SHARE else "typical"


def typicality(training: np.ndarray, row: np.ndarray) -> Typicality:
    """Distances in feature space. training: float [n, D], n > NEIGHBOURS. row: float [D]."""
    training, row = training.astype(np.float64), row.astype(np.float64)
    squares = (training**2).sum(1)
    # |x - y|^2 = |x|^2 + |y|^2 - 2 x y; rounding can bring it below 0
    between = np.sqrt(
        np.clip(squares[:, None] + squares - 2 * training @ training.T, 0, None)
    )  # [n, n]
    np.fill_diagonal(between, np.inf)  # a row is not its own neighbour
    away = np.sqrt(((training - row) ** 2).sum(1))  # [n]
    return Typicality(
        np.partition(between, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS].mean(1),
        float(np.partition(away, NEIGHBOURS - 1)[:NEIGHBOURS].mean()),
    )
