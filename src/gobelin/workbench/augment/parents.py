"""The training rows of a study, and the parent row of each of its images."""

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
    """The parent rows of the generated images of one set of training rows."""

    settings: Augment
    checked: CheckedRows
    generator: RunGenerator  # any generator of the study: all have the same image field

    @staticmethod
    def of(run: Run) -> Parents:
        """Raises GobelinError where a cell holds several images: it can't be a parent yet."""
        column = run.generator.column
        if any(isinstance(v, list) for v in run.checked.rows.dataset.values(column)):
            raise GobelinError(
                f"augment, column {column!r}: holds several images a cell, which augment can't"
                " use yet. Give one image a cell, or leave augment out."
            )
        return Parents(run.settings.augment, run.checked, run.generator)

    @cached_property
    def train(self) -> np.ndarray:
        """int64 [n]: the labelled training rows."""
        return self.checked.training_rows

    @cached_property
    def real(self) -> Dataset:
        """The data set of these rows."""
        return self.checked.rows.dataset.rows(self.train)

    @cached_property
    def label(self) -> np.ndarray:
        """int64 [n]: their classes; all 0 for a number."""
        target = self.checked.rows.target
        return target.values[self.train] if target.exclusive else np.zeros(len(self.train), int)

    @cached_property
    def usable(self) -> np.ndarray:
        """int64 [k]: the training rows that can be parents: with an image, of a scored class."""
        target, with_image = self.checked.rows.target, self.generator.with_image("train")
        known = target.scored[target.values[self.train]] if target.exclusive else True
        return self.train[np.isin(self.train, with_image) & known]

    @cached_property
    def places(self) -> np.ndarray:
        """int64 [M]: the parent of each generated image, as a position in `train`.

        A study with fewer images uses the first ones. Raises GobelinError where there is no image
        to generate.
        """
        target, settings = self.checked.rows.target, self.settings
        if not len(self.usable):
            raise GobelinError(
                "augment: no labelled training row has an image, so no image can be generated."
                " Check that column."
            )
        seed = self.generator.features.data.runtime.seed
        chosen = plan.plan(target, self.usable, max(settings.sweep), seed, settings.per_class)
        if not len(chosen):
            raise GobelinError(
                "augment: found 0 images to generate. Raise augment.ratio, or --per-class."
            )
        position = {int(r): k for k, r in enumerate(self.train)}
        return np.array([position[int(r)] for r in chosen], np.int64)

    @property
    def rows(self) -> np.ndarray:
        """int64 [M]: the parent rows themselves."""
        return self.train[self.places]
