"""The units of a private training: groups of rows. One is drawn or not as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.privacy import secure_noise
from gobelin.privacy.mean_embedding import factors


@dataclass(frozen=True)
class Units:
    """The rows of each of G groups, and how much a group counts."""

    rows: np.ndarray  # int64 [n], group by group
    start: np.ndarray  # int64 [G + 1]: the first row of each group; the last is n
    ends: np.ndarray  # float64 [n + 1]: sum of the factors of the rows before this one
    factors: np.ndarray  # float64 [G], from 0 to 1

    @staticmethod
    def of(rows: np.ndarray, groups: np.ndarray, weights: np.ndarray | None) -> Units:
        """rows: int64 [n], those that training uses. groups, weights: of each of them, [n]. A
        group's factor is the mean weight of its rows, where one above 1 counts as 1."""
        order = np.argsort(groups, kind="stable")
        factor = factors(groups, weights)[order]
        start = np.append(np.unique(groups[order], return_index=True)[1], len(order))
        ends = np.append(0.0, np.cumsum(factor))
        return Units(rows[order], start, ends, np.minimum(np.diff(ends[start]), 1.0))

    def __len__(self) -> int:
        return len(self.factors)

    def drawn(self, units: np.ndarray, draws: int) -> np.ndarray:
        """int64 [U, K]: K rows of each of these U groups, a row of more weight more often."""
        low, high = self.start[units, None], self.start[units + 1, None]
        share = secure_noise.uniform(len(units) * draws).reshape(-1, draws)
        point = self.ends[low] + share * (self.ends[high] - self.ends[low])
        places = np.searchsorted(self.ends, point) - 1
        return self.rows[np.clip(places, low, high - 1)]  # rounding leads into no other group
