"""One training set of many that are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Job:
    """One training set. rows: int64 [n] into the embeddings. weights: float32 [n]. seed: of
    initialisation and order. decay: weight decay of this job, None for the fusion's own (what
    tuning varies)."""

    rows: np.ndarray
    weights: np.ndarray
    seed: int = 0
    decay: float | None = None
