"""The contract of every fusion: features of several fields, some missing, in; a predictor out.

`fit` takes several jobs at once. A job is a training set (rows and their weights) and a seed, so that all arms and seeds of
a comparison are one call; a `batchable` fusion trains them as one computation, with the results of one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from gobelin.data.fields import Target
from gobelin.embedding import Embeddings
from gobelin.errors import GobelinError
from gobelin.runtime import Progress, Runtime


@dataclass(frozen=True)
class Job:
    """One training set. rows: int64 [n] into the embeddings. weights: float32 [n]. seed: of initialisation and order.
    decay: weight decay of this job, None for the fusion's own (what tuning varies)."""

    rows: np.ndarray
    weights: np.ndarray
    seed: int = 0
    decay: float | None = None


@runtime_checkable
class Fusion(Protocol):
    """Settings of a fusion, a frozen dataclass. batchable: all jobs train as one computation."""

    batchable: ClassVar[bool]

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[Predictor]:
        """One predictor a job. basis: the rows that scales and components are learned from, shared by all jobs."""
        ...

    def load(self, folder: Path) -> Predictor: ...


@runtime_checkable
class Predictor(Protocol):
    """A fitted fusion."""

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        """float32 [N, C] logits, or [N, 1] numbers. Absent fields are masked and never zero pictures."""
        ...

    def fingerprint(self) -> str: ...

    def save(self, folder: Path) -> None: ...


def own(embeddings: Embeddings, fields: tuple[str, ...], space: str) -> Embeddings:
    """The fields that a predictor was fitted on, if these rows come from the encoders of its fit."""
    kept = embeddings.keep(fields)
    if embeddings.space != space or kept.fields != fields:
        raise GobelinError("predict: these rows come from other encoders than the predictor. Embed them with its own run.")
    return kept
