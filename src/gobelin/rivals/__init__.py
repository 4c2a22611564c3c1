"""The contract of every rival: the real training rows in, a training set (an `Arm`) out.

Every rival and every generator ends as an arm, so the loop knows no difference between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gobelin.data.dataset import Dataset, made_rows
from gobelin.engine import in_order


@dataclass(frozen=True)
class Arm:
    """A training set. dataset: the real training rows first, then what this arm adds. weights: float32 [N].

    name: 'real', 'classic', 'generated', 'classic + generated' ... generator_seed: which of the G trainings of the generator
    its images come from, None for an arm without one.
    """

    name: str
    dataset: Dataset
    weights: np.ndarray
    generator_seed: int | None = None


@dataclass(frozen=True)
class Material:
    """What a rival is given. train: the real training rows. column: the image column. plan: int64 [M], the parent rows (in
    `train`) of the made images. size: the generator's image side in pixels. seed, workers: as everywhere."""

    train: Dataset
    column: str
    plan: np.ndarray
    size: int
    seed: int
    workers: int = 1


@runtime_checkable
class Rival(Protocol):
    """A frozen dataclass; its fields are its settings."""

    def arm(self, material: Material) -> Arm: ...


def in_place(material: Material, name: str, image: Callable[[int, Any], Any], **said: object) -> Arm:
    """An arm with `image(k, cell of its parent)` in the place of every made image k whose parent has one. said: more of the
    lineage."""
    train = material.train.with_ids()
    values = train.values(material.column)
    parents = [int(p) for p in material.plan if isinstance(values[p], str | bytes)]
    images = list(in_order(lambda one: image(one[0], values[one[1]]), list(enumerate(parents)), material.workers))
    ids = [f"{name}-{k}-{train.ids[p]}" for k, p in enumerate(parents)]
    lineage = [{"rule": name, **said, "parents": [train.ids[p]]} for p in parents]
    added = made_rows(train.rows(np.array(parents, int)), {material.column: images}, ids, "view", lineage)
    return Arm(name, train.join(added), np.ones(len(train) + len(added), np.float32))
