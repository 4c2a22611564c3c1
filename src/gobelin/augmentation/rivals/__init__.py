"""The contract of every baseline method: real training rows in, a training set (an `Arm`) out.

The images of a generator end as an arm too, so a study treats both alike. A baseline method that
has nothing to work on (no unlabelled rows, for instance) returns None and is left out.
"""

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
    """A training set of a study with N rows: the real ones first, then the rows that it adds."""

    name: str  # 'real', 'classic', 'generated', 'classic + generated' ...
    dataset: Dataset
    weights: np.ndarray  # float32 [N]
    kind: Kind = "rival"  # both = classic augmentation and generated images
    generator: str = ""  # component whose images it adds; empty without any
    generator_seed: int | None = None  # seed of the generator's training
    # int64 [added rows]: as the ratio grows, rows with a smaller number enter first; rows of one
    # number enter together. None: in the order of the rows.
    order: np.ndarray | None = None


@dataclass(frozen=True)
class UnlabelledPool:
    """P real rows with an image and without an answer, and the answers of the run's predictor."""

    rows: Dataset
    target: str  # name of the target column
    answers: Sequence[Any]  # P predicted answers, as cells of the target column
    classes: np.ndarray  # int64 [P], the predicted classes; all 0 for a number
    sure: np.ndarray  # float [P], larger is more certain


@dataclass(frozen=True)
class RivalInput:
    """The input of a baseline method."""

    train: Dataset  # n real training rows
    column: str  # the image column, or that of another medium
    plan: np.ndarray  # int64 [M], the parent (a row of `train`) of each generated image
    size: int  # side of generated images in pixels
    seed: int
    workers: int = 1  # threads
    classes: np.ndarray | None = None  # int64 [n], None for a number
    pool: UnlabelledPool | None = None  # unlabelled real rows, if there are any
    kind: str = "image"  # of the column: its medium (`data.media`)


@runtime_checkable
class Rival(Protocol):
    """A baseline method: a frozen dataclass whose fields are its settings."""

    def arm(self, source: RivalInput) -> Arm | None:
        """The training set of this method; None where there is nothing to add."""


def repeated_rows(source: RivalInput, name: str, images_of: Sequence[int] | None = None) -> Arm:
    """An arm with the parents of the generated images a second time; those without image left out.

    images_of: M rows whose images replace those of the parents. No file is read, so nothing is
    encoded again.
    """
    train = source.train.with_ids()
    values = train.values(source.column)
    pairs = list(zip(source.plan, source.plan if images_of is None else images_of, strict=True))
    usable = [(int(p), int(i)) for p, i in pairs if values[p] is not None and values[i] is not None]
    ids = [f"{name}-{k}-{train.ids[p]}" for k, (p, _) in enumerate(usable)]
    lineage = [
        {"rule": name, "parents": list(dict.fromkeys((train.ids[p], train.ids[i])))}
        for p, i in usable
    ]
    images = {source.column: [values[i] for _, i in usable]}
    added = derived_rows(
        train.rows(np.array([p for p, _ in usable], int)), images, ids, "view", lineage
    )
    return Arm(name, train.join(added), np.ones(len(train) + len(added), np.float32))


def replaced_images(
    source: RivalInput, name: str, image: Callable[[int, Any], Any], **lineage_facts: object
) -> Arm:
    """An arm with another image in the place of every generated one whose parent has an image.

    image: (number of the generated image, image cell of its parent) -> image cell. lineage_facts:
    are written to the lineage of every added row.
    """
    train = source.train.with_ids()
    values = train.values(source.column)
    parents = [int(p) for p in source.plan if isinstance(values[p], str | bytes)]
    images = list(
        in_order(
            lambda pair: image(pair[0], values[pair[1]]), list(enumerate(parents)), source.workers
        )
    )
    ids = [f"{name}-{k}-{train.ids[p]}" for k, p in enumerate(parents)]
    lineage = [{"rule": name, **lineage_facts, "parents": [train.ids[p]]} for p in parents]
    added = derived_rows(
        train.rows(np.array(parents, int)), {source.column: images}, ids, "view", lineage
    )
    return Arm(name, train.join(added), np.ones(len(train) + len(added), np.float32))
