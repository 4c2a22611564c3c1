"""The arms (training sets) of a study: the real rows, every baseline method, and each generator's
images after screening.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np

from gobelin.augmentation.arms import BASELINE, CLASSIC, ArmRows
from gobelin.augmentation.rivals import Arm, RivalInput, UnlabelledPool
from gobelin.core import catalog
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Target
from gobelin.data.targets import target_of
from gobelin.embedding.columns.schema import weights_of
from gobelin.embedding.features import Embeddings
from gobelin.workbench.augment.generated_images import GeneratedImages
from gobelin.workbench.augment.generators import arm_names, trainings_of
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.augment.selection import RealImages, Screening
from gobelin.workbench.run.chain import Run


@dataclass(frozen=True, eq=False)
class StudySet:
    """One set of training rows of a study: those of the run, or a resample of them."""

    run: Run

    @cached_property
    def parents(self) -> Parents:
        return Parents.of(self.run)

    @cached_property
    def images(self) -> tuple[GeneratedImages, ...]:
        """The generated images of every training of every generator."""
        return tuple(
            GeneratedImages(self.parents, training, number)
            for number, training in enumerate(trainings_of(self.run))
        )

    @cached_property
    def screening(self) -> Screening:
        return Screening(self.run, self.parents, RealImages(self.run), self.images)

    @cached_property
    def arms(self) -> list[Arm]:
        """`real`, every baseline method that has something to work on, and for each training of a
        generator `generated` and `classic + generated`.
        """
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
            self.run.generator.medium.kind,
        )
        arms = [Arm(BASELINE, real, _ones(real), "real")]
        for name in parents.settings.rivals:
            settings = parents.settings.rival_settings.get(name, {})
            arm = catalog.build("rivals", name, settings).arm(source)
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

    def _pool(self) -> UnlabelledPool | None:
        """Training rows with an image and without an answer, with the predictor's answers."""
        rows, predictor = self.run.checked.rows, self.run.predictor
        target, unlabelled = rows.target, self.run.generator.with_image("train")
        unlabelled = unlabelled[~target.present[unlabelled]]
        used = "retrieved" in self.parents.settings.rivals
        if not len(unlabelled) or not target.exclusive or not used:
            return None
        x = predictor.inputs(self.run.features.embeddings.rows(unlabelled))
        predictions = predictor.model.predict(x)
        cells = rows.dataset.values(target.name)
        cell_of_class = {int(target.values[r]): cells[r] for r in self.parents.train}
        known = np.isin(predictions.class_indices, list(cell_of_class))
        unlabelled, labels = unlabelled[known], predictions.class_indices[known]
        return UnlabelledPool(
            rows.dataset.rows(unlabelled),
            target.name,
            [cell_of_class[int(c)] for c in labels],
            labels,
            predictions.probabilities[known, labels],
        )


def _ones(dataset: Dataset) -> np.ndarray:
    return np.ones(len(dataset), np.float32)


@dataclass(frozen=True)
class ArmTable:
    """The different rows of all arms, in one table."""

    arms: list[ArmRows]  # as row numbers of this table
    dataset: Dataset
    features: Embeddings  # the fusion's inputs
    target: Target


def table_of(run: Run, arms: Sequence[Arm]) -> ArmTable:
    """The arms of one set of training rows as one table."""
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
        positions = np.array([index[i] for i in arm.dataset.ids])
        # a generated row weighs as much as its parent
        out.append(numbered(arm, positions, arm.weights * weights_of(arm.dataset, schema)))
    return ArmTable(
        out,
        reduce(Dataset.join, datasets),
        reduce(Embeddings.join, features),
        replace(target, values=np.concatenate(values)),
    )


def numbered(arm: Arm, positions: np.ndarray, weights: np.ndarray) -> ArmRows:
    """An arm of N rows as row numbers.

    positions: int64 [N], the rows of the arm in a table. weights: float32 [N].
    """
    added = arm.dataset.with_origin().origins != "real"
    order = arm.order
    if order is not None:
        order = np.concatenate([np.full((~added).sum(), -1), order])
    return ArmRows(arm.name, positions, added, weights, arm.kind, arm.generator_seed, order)
