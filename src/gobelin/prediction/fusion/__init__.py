"""The contract of every fusion: features of several fields, some missing, in; a predictor out.

`fit` takes several jobs at once. A job is a training set (rows and their weights) and a seed, so
that all arms and seeds of a comparison are one call. A `batchable` fusion trains them as one
computation, with the same results as one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from gobelin.core.lazy import torch
from gobelin.core.machine import Progress, Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.job import Job


@runtime_checkable
class Fusion(Protocol):
    """The settings of a fusion, a frozen dataclass."""

    batchable: ClassVar[bool]  # all jobs train as one computation
    several: ClassVar[bool]  # it can learn a target of several labels a row, each apart

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[Predictor]:
        """One predictor a job.

        embeddings, target: of all N rows; a job names its rows among them. basis: int64 [n], the
        rows that scales and components are learned from, shared by all jobs."""
        ...

    def load(self, folder: Path) -> Predictor:
        """The inverse of `Predictor.save`."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """A fitted fusion."""

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """float32 [N, C] for N rows: logits of classes or labels, logarithms of the probabilities
        of ordered classes; float32 [N, 1] for a number. What an absent field holds has no
        effect."""
        ...

    def fingerprint(self) -> str:
        """A hash of the fitted predictor."""
        ...

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class Differentiable(Predictor, Protocol):
    """A predictor through which one can follow a score back to the features."""

    @property
    def has_gradient(self) -> bool:
        """Whether all of its heads have one: trees have none."""
        ...

    def scores_of(self, row: Embeddings, field: str, features: torch.Tensor) -> torch.Tensor:
        """float64 [n, C]: `scores` of one row with other features of a field that it has, float
        [n, D_f]. Differentiable in them."""
        ...
