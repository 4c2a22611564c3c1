"""The heads of the default fusion in planted studies (`planted`): a pool of a linear head, a curved
one, boosted trees and a forest, as `--fusion auto` would pick them, fitted by `fusion.pool` itself.

Linear and curved heads draw nothing, so what a seed of initialisation brings is that of the trees,
and a random weight of every row as in `planted`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from planted import FIELD, Bench, Cell, Heads, Rows, fresh

from gobelin.core import catalog
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads.job import Job

FIELDS = ("image", "text", "table")
MEMBERS = (
    {"head": "linear"},
    {"head": "kernel"},
    {"head": "boosted", "trees": 8},
    {"head": "forest", "trees": 8},
)
SPACE = "planted"


def embeddings(inputs: np.ndarray) -> Embeddings:
    """Rows of `Rows.inputs` [n, 22] as features of three fields, each with 0 where it is absent."""
    x, shown = inputs[:, : len(FIELD)].astype(np.float32), inputs[:, len(FIELD) : -1] > 0
    features = {name: np.ascontiguousarray(x[:, FIELD == k]) for k, name in enumerate(FIELDS)}
    return Embeddings(FIELDS, features, shown, tuple(map(str, range(len(x)))), SPACE)


@lru_cache(maxsize=2)
def fresh_rows(cell: Cell, points: int) -> list[Embeddings]:
    """The rows that the truth is read from, class by class."""
    return [embeddings(rows) for rows in fresh(cell, points)]


class PoolHeads(Heads):
    """All pools of one call."""

    def __init__(self, bench: PoolBench, jobs: list[Job]) -> None:
        self.bench, self._hits = bench, {}
        alike: dict[bytes, Job] = {}  # a pool has no decay: jobs that differ in it are one
        keys = []
        for job in jobs:
            lucky = (job.weights * bench.luck(job.seed)[job.rows]).astype(np.float32)
            key = job.rows.tobytes() + lucky.tobytes()
            keys.append(key)
            alike.setdefault(key, Job(job.rows, lucky, job.seed))
        pool = catalog.build("fusion", "pool", {"members": MEMBERS})
        # the real rows come first in the table, and one arm has them alone
        basis = np.arange(min(len(job.rows) for job in jobs))
        fitted = pool.fit(
            bench.features, bench.target, list(alike.values()), basis, Runtime(0), silent
        )
        places = {key: k for k, key in enumerate(alike)}
        self.fitted: list[Any] = fitted
        self.place = np.array([places[key] for key in keys])

    def hits(self, part: str) -> np.ndarray:
        """[J, n] right or wrong."""
        if part not in self._hits:
            inputs, label = self.bench.parts[part]
            rows = embeddings(inputs)
            right = [one.scores(rows).argmax(1) == label for one in self.fitted]
            self._hits[part] = np.stack(right).astype(np.float64)[self.place]
        return self._hits[part]

    def right(self, cell: Cell, points: int) -> np.ndarray:
        """[J] their balanced accuracy on fresh rows."""
        of_class = [
            [float((one.scores(rows).argmax(1) == label).mean()) for one in self.fitted]
            for label, rows in enumerate(fresh_rows(cell, points))
        ]
        return np.mean(of_class, axis=0)[self.place]


class PoolBench(Bench):
    """The study's trainer with pools as heads. The real rows come first in the table."""

    def __init__(self, rows: Rows, parts: dict[str, Rows], seed: int) -> None:
        self.seed = seed
        self.features = embeddings(rows.inputs())
        self.inputs, self.label, self._luck = rows.inputs(), rows.label, {}
        names = tuple(f"class {c}" for c in range(rows.label.max() + 1))
        self.target = Target("class", "class", rows.label, names, np.ones(len(names), bool))
        self.parts = {name: (part.inputs(), part.label) for name, part in parts.items()}
        self.calls = []

    def heads(self, jobs: list[Job]) -> PoolHeads:
        return PoolHeads(self, jobs)
