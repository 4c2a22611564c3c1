"""How typical a row is among the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = 5  # of them, whose mean distance says how far away it is


ODD = 0.025  # share of training rows at least as odd, up to which a field is called so


@dataclass(frozen=True)
class Oddness:
    """Distances of training rows to the NEAR nearest others of them, and of a record to them."""

    own: np.ndarray
    asked: float

    @property
    def share(self) -> float:
        """The share of rows, the record one of them, that are at least as far away: (1 + #{d >=
        asked}) / (n + 1), the conformal p-value of 'drawn like the training rows' (Vovk et al.
        2005, sec. 2.2)."""
        return float((1 + (self.own >= self.asked).sum()) / (len(self.own) + 1))

    @property
    def verdict(self) -> str:
        return "odd" if self.share <= ODD else "typical"


def oddness(pool: np.ndarray, asked: np.ndarray) -> Oddness:
    """pool: float [n, D], n > NEAR. asked: float [D]."""
    pool, asked = pool.astype(np.float64), asked.astype(np.float64)
    squares = (pool**2).sum(1)
    d = np.sqrt(np.clip(squares[:, None] + squares - 2 * pool @ pool.T, 0, None))
    np.fill_diagonal(d, np.inf)
    away = np.sqrt(((pool - asked) ** 2).sum(1))
    return Oddness(
        np.partition(d, NEAR - 1, axis=1)[:, :NEAR].mean(1),
        float(np.partition(away, NEAR - 1)[:NEAR].mean()),
    )
