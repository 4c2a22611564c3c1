"""A linear head for ordered levels: proportional odds (McCullagh 1980, section 2).

P(level <= k) = expit(cut_k - x @ weight), with rising cuts. One direction tells all levels apart,
so few rows a level are enough; a multinomial head has a direction for each level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import optimize, special
from gobelin.prediction.heads.linear import MOST_ITERATIONS, narrow

LARGEST_GAP = 8.0  # logarithm of the distance of two cuts, either way


@dataclass(frozen=True, eq=False)
class Ordered:
    """weight: float64 [K]. cuts: float64 [C - 1], rising."""

    weight: np.ndarray
    cuts: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, C], of x [n, K]: logarithms of the levels' probabilities."""
        return _log_levels(self.cuts[None] - (x @ self.weight)[:, None])


def proportional_odds(
    x: np.ndarray, level: np.ndarray, weights: np.ndarray, levels: int, strength: float
) -> Ordered:
    """The smallest |weight|^2 / 2 + strength * sum of w_i loss_i.

    x: [n, K]. level: int [n], in 0 .. C - 1. weights: [n], 0 or more."""
    used = weights > 0
    rows, back = narrow(x[used])
    level, share, width = level[used], weights[used].astype(np.float64), rows.shape[1]
    counted = np.bincount(level, share, levels) + 0.5
    below = np.clip(counted.cumsum()[:-1] / counted.sum(), 1e-6, 1 - 1e-6)
    start = special.logit(below)
    at = np.concatenate([np.zeros(width), start[:1], np.log(np.maximum(np.diff(start), 1e-3))])

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and its gradient, at (weight, first cut, logarithms of the gaps)."""
        weight, gaps = at[:width], np.exp(at[width + 1 :])
        cuts = at[width] + np.concatenate([[0.0], gaps.cumsum()])
        z = cuts[None] - (rows @ weight)[:, None]  # [n, C - 1]
        logs = _log_levels(z)[np.arange(len(level)), level]
        value = weight @ weight / 2 - strength * share @ logs
        # d log P / d cut: the density of the logistic at the cut over P, above less below
        density = special.log_expit(z) + special.log_expit(-z)
        above, under = np.flatnonzero(level < levels - 1), np.flatnonzero(level > 0)
        by_cut = np.zeros_like(z)
        by_cut[above, level[above]] += np.exp(density[above, level[above]] - logs[above])
        by_cut[under, level[under] - 1] -= np.exp(density[under, level[under] - 1] - logs[under])
        by_cut *= -strength * share[:, None]  # of the value
        cut_slope = by_cut.sum(0)
        # a gap moves every cut after it
        gap_slope = gaps * cut_slope[::-1].cumsum()[::-1][1:]
        weight_slope = weight - rows.T @ by_cut.sum(1)
        return float(value), np.concatenate([weight_slope, [cut_slope.sum()], gap_slope])

    bounds = [(None, None)] * (width + 1) + [(-LARGEST_GAP, LARGEST_GAP)] * (levels - 2)
    found = optimize.minimize(
        loss,
        at,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": MOST_ITERATIONS, "maxfun": 2 * MOST_ITERATIONS},
    ).x
    cuts = found[width] + np.concatenate([[0.0], np.exp(found[width + 1 :]).cumsum()])
    return Ordered(back @ found[:width], cuts)


def _log_levels(z: np.ndarray) -> np.ndarray:
    """float64 [n, C] of z [n, C - 1], rising cuts less the score of each row."""
    below, above = special.log_expit(z), special.log_expit(-z)
    # log(expit(b) - expit(a)) = log expit(b) + log expit(-a) + log(1 - exp(a - b))
    gaps = np.maximum(np.diff(z, axis=1), 1e-12)
    between = below[:, 1:] + above[:, :-1] + np.log(-np.expm1(-gaps))
    return np.concatenate([below[:, :1], between, above[:, -1:]], axis=1)
