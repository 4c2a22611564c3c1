"""The contract of every fusion: features of several fields, some missing, in; a predictor out.

`fit` takes several jobs at once. A job is a training set (rows and their weights) and a seed, so
that all arms and seeds of a comparison are one call; a `batchable` fusion trains them as one
computation, with the results of one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from gobelin.core.machine import Progress, Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.job import Job


@runtime_checkable
class Fusion(Protocol):
    """Settings of a fusion, a frozen dataclass. batchable: all jobs train as one computation.
    several: it can learn a target of several labels a row, each apart."""

    batchable: ClassVar[bool]
    several: ClassVar[bool]

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[Predictor]:
        """One predictor a job. basis: the rows that scales and components are learned from, shared
        by all jobs."""
        ...

    def load(self, folder: Path) -> Predictor: ...


@runtime_checkable
class Predictor(Protocol):
    """A fitted fusion."""

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """float32 [N, C] logits, of labels one each, of ordered classes logarithms of
        probabilities; or [N, 1] numbers. Absent fields are masked and never zero pictures."""
        ...

    def fingerprint(self) -> str: ...

    def save(self, folder: Path) -> None: ...
