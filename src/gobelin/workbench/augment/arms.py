"""The arms of a study: real rows, every rival, each generator's images after screening, all as
training sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np

from gobelin.augmentation.arms import BASELINE, CLASSIC, ArmRows
from gobelin.augmentation.rivals import Arm, Pool, RivalInput
from gobelin.core import catalog
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Target
from gobelin.data.targets import target_of
from gobelin.embedding.features import Embeddings
from gobelin.embedding.schema import weights_of
from gobelin.workbench.augment.generated_images import GeneratedImages
from gobelin.workbench.augment.generators import arm_names, trainings_of
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.augment.screens import RealImages, Screening
from gobelin.workbench.run.chain import Run


@dataclass(frozen=True, eq=False)
class StudySet:
    """One set of training rows of a study: the run's own, or a resample of them."""

    run: Run

    @cached_property
    def parents(self) -> Parents:
        return Parents.of(self.run)

    @cached_property
    def images(self) -> tuple[GeneratedImages, ...]:
        """The images of every training of every generator."""
        return tuple(
            GeneratedImages(self.parents, training, number)
            for number, training in enumerate(trainings_of(self.run))
        )

    @cached_property
    def screening(self) -> Screening:
        return Screening(self.run, self.parents, RealImages(self.run), self.images)

    @cached_property
    def arms(self) -> list[Arm]:
        """real, every rival that there is something for, and for each training: generated, and
        classic + generated."""
        parents, runtime = self.parents, self.run.data.runtime
        real, target = parents.real.with_ids(), self.run.checked.rows.target
        source = RivalInput(
            real,
            self.run.generator.column,
            parents.places,
            self.run.settings.generator.size,
            runtime.seed,
            runtime.threads,
            parents.label if target.exclusive else None,
            self._pool(),
        )
        arms = [Arm(BASELINE, real, _ones(real), "real")]
        for name in parents.settings.rivals:
            arm = catalog.build("rivals", name).arm(source)
            arms += [] if arm is None else [arm]
        classic = next((a for a in arms if a.name == CLASSIC), None)
        for number, images in enumerate(self.images):
            selected = self.screening.selected(number)
            added, order = images.dataset(selected), np.flatnonzero(selected)
            generator, seed = images.training.name, images.training.seed
            alone, both = arm_names(self.run, generator)
            joined = real.join(added)
            arms.append(Arm(alone, joined, _ones(joined), "generated", generator, seed, order))
            if classic is not None:
                joined = classic.dataset.join(added)
                views = np.arange(len(classic.dataset) - len(real))
                # views and generated images each grow with the ratio
                order = np.concatenate([views, order])
                arms.append(Arm(both, joined, _ones(joined), "both", generator, seed, order))
        return arms

    def _pool(self) -> Pool | None:
        """Training rows with an image and without an answer, as the run's model answers them."""
        rows, predictor = self.run.checked.rows, self.run.predictor
        target, unlabelled = rows.target, self.run.generator.with_image("train")
        unlabelled = unlabelled[~target.present[unlabelled]]
        wanted = "retrieved" in self.parents.settings.rivals
        if not len(unlabelled) or not target.exclusive or not wanted:
            return None
        x = predictor.inputs(self.run.features.embeddings.rows(unlabelled))
        predictions = predictor.model.predict(x)
        cells = rows.dataset.values(target.name)
        written = {int(target.values[r]): cells[r] for r in self.parents.train}
        known = np.isin(predictions.labels, list(written))
        unlabelled, labels = unlabelled[known], predictions.labels[known]
        return Pool(
            rows.dataset.rows(unlabelled),
            target.name,
            [written[int(c)] for c in labels],
            labels,
            predictions.probabilities[known, labels],
        )


def _ones(dataset: Dataset) -> np.ndarray:
    return np.ones(len(dataset), np.float32)


@dataclass(frozen=True)
class ArmTable:
    """The rows of all arms, each once."""

    arms: list[ArmRows]  # as row numbers of this table
    dataset: Dataset
    features: Embeddings  # as the fusion sees them
    target: Target


def table_of(run: Run, arms: Sequence[Arm]) -> ArmTable:
    """The arms of one set of training rows in one table."""
    index: dict[str, int] = {}
    datasets, features, values, out = [], [], [], []
    schema, target, progress = run.data.schema, run.checked.rows.target, run.data.progress
    for arm in arms:
        new = [k for k, i in enumerate(arm.dataset.ids) if i not in index]
        if new:
            rows = arm.dataset.rows(new)
            datasets.append(rows)
            features.append(run.predictor.inputs(run.features.embedder.embed(rows, progress)))
            values.append(target_of(rows, schema, target.classes).values)
            start = len(index)
            index.update({i: start + n for n, i in enumerate(rows.ids)})
        places = np.array([index[i] for i in arm.dataset.ids])
        # a generated row weighs as much as its parent
        out.append(numbered(arm, places, arm.weights * weights_of(arm.dataset, schema)))
    return ArmTable(
        out,
        reduce(Dataset.join, datasets),
        reduce(Embeddings.join, features),
        replace(target, values=np.concatenate(values)),
    )


def numbered(arm: Arm, places: np.ndarray, weights: np.ndarray) -> ArmRows:
    """An arm as row numbers, [N], of some table; what it adds told from its real rows."""
    added = arm.dataset.with_origin().origins != "real"
    order = arm.order
    if order is not None:
        order = np.concatenate([np.full((~added).sum(), -1), order])
    return ArmRows(arm.name, places, added, weights, arm.kind, arm.generator_seed, order)
