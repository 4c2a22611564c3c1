"""Rows in parts whose answers are a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Game:
    """Parts whose answer is a function of what is kept: [k, P] -> [k] or [k, K]."""

    count: int
    formula: Callable[[np.ndarray], np.ndarray]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"part {k}" for k in range(self.count))

    def answers(self, kept: np.ndarray) -> np.ndarray:
        found = np.asarray(self.formula(kept), float)
        return found[:, None] if found.ndim == 1 else found

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        return rng.random(self.count)
