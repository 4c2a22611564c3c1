"""One of many models that are fitted in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Job:
    """One model to fit: its training rows, their weights, its seed and its weight decay."""

    rows: np.ndarray  # int64 [n], numbers of rows of the embeddings
    weights: np.ndarray  # float32 [n], how much each row counts
    seed: int = 0  # of the initial weights and of the order of rows
    decay: float | None = None  # weight decay; None for the fusion's own
    # float32 [n], the same of coarse weights of rows, for what is told of them; None: weights
    told: np.ndarray | None = None
