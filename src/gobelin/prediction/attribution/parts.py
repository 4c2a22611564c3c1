"""A row in parts that can be hidden, and how much each part moved the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gobelin.prediction.predictor import Predictions

LEAST_PROBABILITY = 1e-9  # so that log odds stay finite


class Parts(Protocol):
    """One row in P parts."""

    @property
    def names(self) -> tuple[str, ...]:
        """P of them; none where parts are pixels."""
        ...

    def answers(self, kept: np.ndarray) -> np.ndarray:
        """float64 [k, K]: the answer when parts are hidden, k times. kept: [k, P], 1 = the part is
        there, 0 = it is hidden. K: how many rows were drawn that take the place of what is hidden;
        1 where nothing is drawn. The answer is the mean over K."""
        ...

    def at_random(self, rng: np.random.Generator) -> np.ndarray:
        """float64 [P]: values that know nothing, as smooth as the explainer's own."""
        ...


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each of P parts moved one answer."""

    parts: tuple[str, ...]
    values: np.ndarray  # float64 [P], in the unit of the answer
    base: float  # the answer with every part hidden
    whole: float  # the answer with every part there
    method: str  # in words
    # float64 [P]: the standard errors of the values that come from drawing; 0 where nothing is
    error: np.ndarray = field(default_factory=lambda: np.zeros(0))
    # float64 [P, P]: the Shapley interaction index of two parts, 0 on the diagonal; None: unknown
    pairs: np.ndarray | None = None
    shape: tuple[int, ...] = ()  # of an image's pixels, (H, W); () where parts have names

    @property
    def main(self) -> np.ndarray:
        """float64 [P]: what each part does without the others, its value less half of its
        interactions (Lundberg et al. 2020, equation 5)."""
        return self.values if self.pairs is None else self.values - self.pairs.sum(1) / 2

    @property
    def shares(self) -> np.ndarray:
        """float64 [P]: the absolute values as shares of their sum."""
        size = np.abs(self.values)
        return size / max(float(size.sum()), 1e-300)


def answers_of(predictions: Predictions) -> np.ndarray:
    """float64 [N, V]: log odds of the C classes or labels, log p / (1 - p) of the calibrated
    probabilities; of a number its value [N, 1]."""
    if not predictions.classes:
        return predictions.values[:, None].astype(np.float64)
    p = np.clip(predictions.probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.asarray(np.log(p) - np.log1p(-p))
