"""The contract of every rival: the real training rows in, a training set (an `Arm`) out.

Every rival and every generator ends as an arm, so the loop knows no difference between them. A
rival that there is nothing for (no pool of unlabelled rows) gives None and is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from gobelin.core.workers import in_order
from gobelin.data.dataset import Dataset, derived_rows

Kind = Literal["real", "rival", "generated", "both"]


@dataclass(frozen=True)
class Arm:
    """A training set of a study: the real training rows first, then what this arm adds."""

    name: str  # 'real', 'classic', 'generated', 'classic + generated' ...
    dataset: Dataset
    weights: np.ndarray  # float32 [N]
    kind: Kind = "rival"  # both: classic augmentation and generated images
    generator: str = ""  # the component whose images it adds
    generator_seed: int | None = None  # of the training that made its images
    # int64 [added rows]: rows with a smaller number enter first as the ratio grows, rows of one
    # number together. None: as they stand.
    order: np.ndarray | None = None


@dataclass(frozen=True)
class Pool:
    """Real rows with an image and without an answer. rows [P]; answers [P]: what the multimodal
    model reads, as the target column would hold it; classes: int64 [P], of a number all 0; sure:
    float [P], how sure it is, larger is surer."""

    rows: Dataset
    target: str
    answers: Sequence[Any]
    classes: np.ndarray
    sure: np.ndarray


@dataclass(frozen=True)
class Material:
    """What a rival is given. train: the real training rows. column: the image column. plan: int64
    [M], the parent rows (in `train`) of the made images, the first ones first where fewer are
    wanted. size: the generator's image side in pixels. seed, workers: as everywhere. classes: int64
    [n] of the real rows, of a number all 0. pool: unlabelled real rows, if there are any."""

    train: Dataset
    column: str
    plan: np.ndarray
    size: int
    seed: int
    workers: int = 1
    classes: np.ndarray | None = None
    pool: Pool | None = None


@runtime_checkable
class Rival(Protocol):
    """A frozen dataclass; its fields are its settings."""

    def arm(self, material: Material) -> Arm | None: ...


def again(material: Material, name: str, shown: Sequence[int] | None = None) -> Arm:
    """An arm with training rows once more, the parents of the made images, those without an image
    left out. shown: rows [M] whose images stand in the place of the parents' own; their files are
    not read, so nothing is encoded anew."""
    train = material.train.with_ids()
    values = train.values(material.column)
    pairs = list(zip(material.plan, material.plan if shown is None else shown, strict=True))
    kept = [(int(p), int(i)) for p, i in pairs if values[p] is not None and values[i] is not None]
    ids = [f"{name}-{k}-{train.ids[p]}" for k, (p, _) in enumerate(kept)]
    lineage = [
        {"rule": name, "parents": list(dict.fromkeys((train.ids[p], train.ids[i])))}
        for p, i in kept
    ]
    images = {material.column: [values[i] for _, i in kept]}
    added = derived_rows(
        train.rows(np.array([p for p, _ in kept], int)), images, ids, "view", lineage
    )
    return Arm(name, train.join(added), np.ones(len(train) + len(added), np.float32))


def in_place(
    material: Material, name: str, image: Callable[[int, Any], Any], **said: object
) -> Arm:
    """An arm with `image(k, cell of its parent)` in the place of every made image k whose parent
    has one. said: more of the lineage."""
    train = material.train.with_ids()
    values = train.values(material.column)
    parents = [int(p) for p in material.plan if isinstance(values[p], str | bytes)]
    images = list(
        in_order(
            lambda one: image(one[0], values[one[1]]), list(enumerate(parents)), material.workers
        )
    )
    ids = [f"{name}-{k}-{train.ids[p]}" for k, p in enumerate(parents)]
    lineage = [{"rule": name, **said, "parents": [train.ids[p]]} for p in parents]
    added = derived_rows(
        train.rows(np.array(parents, int)), {material.column: images}, ids, "view", lineage
    )
    return Arm(name, train.join(added), np.ones(len(train) + len(added), np.float32))
