"""Early fusion: the fields' features side by side with their presence, and one head over all.

An absent field is zeros *and* says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from gobelin import fused
from gobelin.config import within
from gobelin.data.fields import Target
from gobelin.embedding import Embeddings
from gobelin.fused import NeuralPredictor
from gobelin.jobs import Job
from gobelin.networks.joins import SideBySide
from gobelin.runtime import Progress, Runtime


@dataclass(frozen=True)
class Concat:
    """components: principal components kept of each field. hidden: width of a hidden layer, 0 for a linear head. decay: L2
    penalty. dropout: chance that a present field is hidden in a training step. steps, batch, rate: of the training."""

    components: int = 160
    hidden: int = 0
    decay: float = 1e-3
    dropout: float = 0.3
    steps: int = 300
    batch: int = 256
    rate: float = 0.02

    batchable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        within(self, {
            "components": (1, 8192), "hidden": (0, 65536), "decay": (0, 1e6), "dropout": (0, 0.95), "steps": (1, 1e7),
            "batch": (1, 1e7), "rate": (1e-9, 10),
        })  # fmt: skip

    join = property(lambda self: SideBySide(self.hidden))

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[NeuralPredictor]:
        return fused.fit(self, embeddings, target, jobs, basis, progress)

    def load(self, folder: Path) -> NeuralPredictor:
        return fused.load(Concat, folder)
