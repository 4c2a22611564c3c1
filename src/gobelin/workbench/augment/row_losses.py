"""What the membership audit knows of a generator beside its images: the losses of rows under it,
and under reference generators.

A reference is trained as the generator was, with as many steps, on a half of all training and
validation rows. Only its losses are kept. A reference of a private generator spends nothing of its
epsilon: no image and no weight of it leaves the audit.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from gobelin.core import catalog
from gobelin.core.files import fingerprint
from gobelin.core.machine import derived_seed
from gobelin.generation import sampling
from gobelin.generation.generators import KnowsLoss
from gobelin.privacy.audits import References
from gobelin.privacy.reference_attack import FOR_LIRA
from gobelin.workbench.augment.generators import GeneratorTraining
from gobelin.workbench.fit import cost
from gobelin.workbench.run.chain import Run

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def row_losses(training: GeneratorTraining) -> Callable[[], tuple[np.ndarray, np.ndarray]] | None:
    """The losses of training and validation rows with an image; None where the generator knows
    none, and where it starts from a source image, which a row may lack.
    """
    if not _knows_loss(training):
        return None

    def losses() -> tuple[np.ndarray, np.ndarray]:
        values = _losses(training, cast(KnowsLoss, training.trained.sampler))
        n = len(training.generator.with_image("train"))
        return values[:n], values[n:]

    return losses


def references(run: Run, training: GeneratorTraining) -> References | None:
    """The reference generators of a training; None where none is asked for, and, with a warning,
    where the generator knows no loss."""
    count = run.settings.judge.references
    if not count:
        return None
    if not _knows_loss(training):
        LOG.warning(
            "audit: %s knows no loss of a row, so no reference generator is trained.", training.name
        )
        return None

    def losses(learned: np.ndarray) -> np.ndarray:
        references = [_Reference(training, k, own) for k, own in enumerate(learned)]
        missing = [one for one in references if not one.stored]
        if missing:
            LOG.warning("audit: %s.", _told(run, training, count, len(missing)))
        return np.stack([one.losses() for one in references])

    return References(count, losses)


def planned(count: int, trainings: int) -> str:
    """What the setting judge.references asks for, in words."""
    attack = "LiRA" if count >= FOR_LIRA else "RMIA"
    return f"{count} for each of {trainings} trainings, for the attack {attack} of the audit"


def _told(run: Run, training: GeneratorTraining, count: int, missing: int) -> str:
    """The cost of the references, before they are trained."""
    told = f"{missing} of {count} reference generators are trained now"
    if missing == count:
        told = f"{count} reference generators are trained now"
    told += f", {training.generator.settings.made_steps} steps each"
    seconds = None
    if training.name == run.settings.generator.name:
        seconds = cost.training_seconds(run)
    if seconds is not None:
        told += f": about {missing * seconds / 60:.2g} minutes (half or twice as long is usual)"
    return told


def _knows_loss(training: GeneratorTraining) -> bool:
    sampler = training.trained.sampler
    return isinstance(sampler, KnowsLoss) and "source" not in sampler.accepts


def _losses(training: GeneratorTraining, sampler: KnowsLoss) -> np.ndarray:
    """float64 [n + m]: of training and validation rows with an image."""
    images = training.generator.images(_rows(training), parts=training.trained.sampler.accepts)
    return sampler.row_loss(images).double().numpy()


def _rows(training: GeneratorTraining) -> np.ndarray:
    """int64 [n + m]: training rows with an image, then validation rows."""
    generator = training.generator
    return np.concatenate([generator.with_image("train"), generator.with_image("valid")])


class _Reference:
    """One reference generator."""

    def __init__(self, training: GeneratorTraining, number: int, learned: np.ndarray) -> None:
        """learned: bool [n + m]."""
        self.training, self.number, self.learned = training, number, learned
        generator = training.generator
        self.stage = f"references/{training.name}-{training.seed}-{number}"
        self.key = fingerprint(generator.key(training.seed), number, learned)

    @property
    def stored(self) -> bool:
        """Whether the run folder holds its losses."""
        return self.training.generator.folder.has(self.stage, self.key)

    def losses(self) -> np.ndarray:
        """float64 [n + m]: of all rows. It is trained first where the run folder lacks them."""

        def make(stage: Path) -> None:
            np.save(stage / "losses.npy", self._trained(), allow_pickle=False)

        def load(stage: Path) -> np.ndarray:
            return np.load(stage / "losses.npy", allow_pickle=False)

        return self.training.generator.folder.kept(self.stage, self.key, make, load)

    def _trained(self) -> np.ndarray:
        generator, settings = self.training.generator, self.training.generator.settings
        data, rows = generator.features.data, _rows(self.training)
        parts = catalog.find("generators", settings.name).accepts
        own, others = (
            generator.images(rows[kind], parts=parts) for kind in (self.learned, ~self.learned)
        )
        work = generator.folder.folder / "work" / self.stage
        seed = derived_seed(data.runtime.seed, self.stage)
        sampler = sampling.train(
            settings, seed, own, others, work, data.runtime, settings.steps, data.progress
        )
        assert isinstance(sampler, KnowsLoss)
        losses = _losses(self.training, sampler)
        shutil.rmtree(work, ignore_errors=True)
        return losses
