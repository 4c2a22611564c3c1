"""The training rows of a study, and the plan of its images: which row each image is made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gobelin.augmentation import plan
from gobelin.augmentation.settings import Augment
from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.checked_rows import CheckedRows
from gobelin.workbench.run.generator import RunGenerator


@dataclass(frozen=True, eq=False)
class Parents:
    """settings: of the study. generator: any of its generators; the field of the images is read
    from it."""

    settings: Augment
    checked: CheckedRows
    generator: RunGenerator

    @staticmethod
    def of(run: Run) -> Parents:
        """Refuses cells that hold several images: generated rows can't stand beside them yet."""
        column = run.generator.column
        if any(isinstance(v, list) for v in run.checked.rows.dataset.values(column)):
            raise GobelinError(
                f"augment, column {column!r}: holds several images a cell; made rows can't stand"
                " beside them yet. Give one image a cell, or leave augment out."
            )
        return Parents(run.settings.augment, run.checked, run.generator)

    @cached_property
    def train(self) -> np.ndarray:
        """int64 [n]: the labelled training rows."""
        return self.checked.training_rows

    @cached_property
    def real(self) -> Dataset:
        """These rows."""
        return self.checked.rows.dataset.rows(self.train)

    @cached_property
    def label(self) -> np.ndarray:
        """int64 [n]: their classes; of a number all 0."""
        target = self.checked.rows.target
        return target.values[self.train] if target.exclusive else np.zeros(len(self.train), int)

    @cached_property
    def usable(self) -> np.ndarray:
        """int64 [k]: the training rows that images can be made from."""
        target, with_image = self.checked.rows.target, self.generator.with_image("train")
        known = target.scored[target.values[self.train]] if target.exclusive else True
        return self.train[np.isin(self.train, with_image) & known]

    @cached_property
    def places(self) -> np.ndarray:
        """int64 [M]: places in `train`, one generated image each; the first ones first where fewer
        are wanted."""
        target, settings = self.checked.rows.target, self.settings
        if not len(self.usable):
            raise GobelinError(
                "augment: no labelled training row has an image, so nothing can be made. Check that"
                " column."
            )
        seed = self.generator.features.data.runtime.seed
        chosen = plan.plan(target, self.usable, max(settings.sweep), seed, settings.per_class)
        if not len(chosen):
            raise GobelinError(
                "augment: no image was asked for. Raise augment.ratio, or --per-class."
            )
        place = {int(r): k for k, r in enumerate(self.train)}
        return np.array([place[int(r)] for r in chosen], np.int64)

    @property
    def rows(self) -> np.ndarray:
        """int64 [M]: the parent rows themselves."""
        return self.train[self.places]
