"""What a private training is about to promise: known before anything is taken from the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.privacy import gaussian
from gobelin.privacy.guarantee import Budget, Guarantee


@dataclass(frozen=True)
class Terms:
    """How much may be told of whom."""

    epsilon: float
    delta: float
    unit: str  # 'group', or 'row' where each row is one
    groups: int
    weighed: bool  # whether rows have weights

    @staticmethod
    def of(groups: np.ndarray, weights: np.ndarray | None, budget: Budget) -> Terms:
        """groups: of the n rows that training uses, [n]. weights: of all rows.

        Raises GobelinError for a delta from 1 / groups on."""
        count = len(np.unique(groups))
        delta = gaussian.delta_for(budget.delta, count, "generator.settings.dp")
        unit = "row" if count == len(groups) else "group"
        weighed = weights is not None and bool((weights != 1).any())
        return Terms(budget.epsilon, delta, unit, count, weighed)

    def promise(self, noise: float, mechanism: str) -> Guarantee:
        """noise: standard deviation, over the most that one unit changes."""
        return Guarantee(self.epsilon, self.delta, self.unit, noise, mechanism, self.weighed)
