"""The generator of a run: one training for each seed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.later import in_key, without_unchanged
from gobelin.core.machine import Progress, silent
from gobelin.core.stages import RunFolder
from gobelin.data.media import Medium, in_words_of, medium
from gobelin.embedding.columns.schema import build_encoder, default_encoder
from gobelin.generation import image_rows, sampling
from gobelin.generation.generators import Condition, Controls, ImageRows, Sampler
from gobelin.generation.sampling import Generation
from gobelin.networks.training.limit import Guard, Pilot, ended_within, pilot_within
from gobelin.privacy.guarantee import Budget
from gobelin.privacy.terms import Terms
from gobelin.workbench.run import privacy_ledger, verbs
from gobelin.workbench.run.checked_rows import CheckedRows
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.space import RunSpace

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@dataclass(frozen=True)
class Trained:
    """A generator that can sample."""

    sampler: Sampler
    name: str  # of its component
    space: str  # fingerprint of the shared space that its conditions must come from

    @property
    def promised(self) -> dict[str, float]:
        """Epsilon and delta of a private generator, for the lineage of its images; {} of others."""
        promise = getattr(self.sampler, "promise", None)
        return {"epsilon": promise.epsilon, "delta": promise.delta} if promise else {}

    def sample(
        self,
        condition: Condition,
        seeds: Sequence[int],
        controls: Controls,
        progress: Progress = silent,
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C] or [n, D, H, W, C], one image or volume for each seed.

        Raises GobelinError for conditions of another space.
        """
        return sampling.sample(
            self.sampler, self.name, self.space, condition, seeds, controls, progress
        )


@dataclass(frozen=True, eq=False)
class RunGenerator:
    """The generator of a run, trained when it is first used.

    For another generator of the same run, replace `settings` (`dataclasses.replace`).
    """

    folder: RunFolder
    checked: CheckedRows
    features: RunFeatures
    space: RunSpace
    settings: Generation

    @property
    def field(self) -> str:
        """The field whose images are generated."""
        return image_rows.image_field(self.features.data.schema, self.settings.source)

    @property
    def field_or_none(self) -> str | None:
        """The same; None where there are no images."""
        try:
            return self.field
        except GobelinError:
            return None

    @property
    def column(self) -> str:
        """The column of that field."""
        return self.features.data.schema.field(self.field).columns[0]

    @property
    def medium(self) -> Medium:
        """The medium of that field."""
        return medium(self.features.data.schema.field(self.field).kind)

    def say(self, text: str) -> str:
        """A sentence on images in the words of what this run generates."""
        return in_words_of(self.medium, text) if self.field_or_none else text

    @cached_property
    def extent(self) -> float | None:
        """The length in mm of the longest side of training rows; None where none is known, and in a
        saved run."""
        if self.folder.saved or self.medium.dimensions == 2:
            return None
        rows, chosen = self.checked.rows, self.checked.rows.part("train")
        cells = rows.dataset.rows(chosen).cells(rows.schema.field(self.field))
        present, opening = [c for c in cells if c], rows.dataset.opening(self.column)
        return self.medium.extent(present, rows.dataset.root, opening)

    def stage(self, seed: int) -> str:
        return f"generators/{self.settings.name}-{seed}"

    def key(self, seed: int) -> str:
        # The steps are decided by now: minutes, number of seeds and guidance change no training.
        # minutes: its default in earlier versions, whose keys stay as they were
        trained = in_key(replace(self.settings, minutes=1.0, seeds=1, guidance=1.0))
        component = catalog.find("generators", self.settings.name)
        trained["settings"] = without_unchanged(component, trained["settings"])
        align = self.features.data.settings.align
        return fingerprint(self.features.key_of(self.checked), resolved(align), trained, seed)

    @property
    def trained(self) -> bool:
        """Whether the run folder holds the training of seed 0, whatever its settings."""
        return self.folder.has(self.stage(0))

    def outdated(self, seed: int = 0) -> bool:
        """Whether the folder holds a training of this seed that rests on other data or settings
        than those of the run by now."""
        stage = self.stage(seed)
        return self.folder.has(stage) and not self.folder.has(stage, self.key(seed))

    @cached_property
    def image_rows(self) -> tuple[ImageRows, ImageRows]:
        """Training and validation rows with an image, with captions and source images if the
        generator accepts them. Raises GobelinError where too few groups have images, and for a
        generator that does not make what the field holds.
        """
        image_rows.refuse_medium(
            self.settings.name, self.features.data.schema, self.settings.source
        )
        if self.field in self.features.scarce_fields(self.checked):
            least = self.features.data.settings.data.least_groups
            raise GobelinError(
                f"generate: fewer than {least} groups of training rows have {self.field!r}; what"
                " they teach would tell of each. Add images, or lower --set data.least_groups."
            )
        parts = catalog.find("generators", self.settings.name).accepts
        train, valid = (self.checked.rows.part(part) for part in ("train", "valid"))
        return self.images(train, parts=parts), self.images(valid, parts=parts)

    def images(
        self, rows: np.ndarray, size: int | None = None, parts: frozenset[str] = frozenset()
    ) -> ImageRows:
        """Those of these rows that have an image, with their images and conditions.

        rows: int64 [n]. size: of the images, None = the generator's. parts: of conditions, besides
        vectors and target.
        """
        r = self.checked.rows
        return image_rows.image_rows(
            r.dataset,
            rows,
            r.schema,
            self.space.shared,
            r.target,
            size or self.settings.size,
            self.features.data.runtime.threads,
            self.settings.source,
            parts,
            r.weights,
            np.unique(r.groups, return_inverse=True)[1],
            self.features.data.settings.data.least_groups,
        )

    def with_image(self, part: str) -> np.ndarray:
        """int64 [n]: the rows of a part that have an image."""
        rows, x = self.checked.rows.part(part), self.features.embeddings
        return rows[x.present[rows, x.fields.index(self.field)]]

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Features [n, D_f] of uint8 images [n, H, W, 3] by the run's image encoder; of volumes
        [n, D, H, W, C] by that of volumes."""
        files = [self.medium.cell(image, extent=self.extent) for image in images]
        embedder = self.features.embedder
        return embedder.embed_column(self.field, self.column, files, Path()).features[self.field]

    def sampler(self, seed: int = 0) -> Trained:
        """The generator trained from this seed. It is trained where the run folder lacks it."""
        data, settings, name = self.features.data, self.settings, self.stage(seed)
        if self.outdated(seed):
            verbs.discard_resting_on(self.folder, "generator")
        work = self.folder.folder / "work" / name

        def make(stage: Path) -> None:
            sampler = self._trained(seed, work, settings.steps)
            sampling.save(sampler, settings, self.space.shared.fingerprint, stage)
            sampling.keep_samples(sampler, work, stage)

        over = settings.settings if self.folder.saved else None
        sampler, component, space = self.folder.kept(
            name, self.key(seed), make, lambda stage: sampling.load(stage, data.runtime, over)
        )
        shutil.rmtree(work, ignore_errors=True)
        # of images that were made elsewhere, and read into the run
        if not self.folder.saved and (why := getattr(sampler, "outdated", str)()):
            LOG.warning("%s. They are read again.", why)
            verbs.discard_resting_on(self.folder, "generator")
            self.folder.discard(name)
            return self.sampler(seed)
        return Trained(sampler, component, space)

    def _trained(
        self, seed: int, work: Path, steps: int, pilot: Pilot | Guard | None = None
    ) -> Sampler:
        data = self.features.data
        data.take_over({"generator": resolved(self.settings)})
        self._refuse_learned_range()
        (train, valid), runtime = self.image_rows, data.runtime
        return sampling.train(
            self.settings,
            runtime.seed + seed,
            train,
            valid,
            work,
            runtime,
            steps,
            data.progress,
            pilot,
            lambda promise: privacy_ledger.spend(
                data.folder, f"{self.settings.name}, training seed {seed}", promise
            ),
        )

    def _refuse_learned_range(self) -> None:
        """Raises GobelinError for a private generator whose images are opened by the range of the
        training rows' pixels: one row could change all images, and the promise bounds what it
        changes in its own.
        """
        if self.terms is None:
            return
        data = self.features.data
        opening = self.checked.rows.dataset.opening(self.column)
        encoder = data.schema.field(self.field).encoder
        given = getattr(build_encoder(encoder, data.settings.choices), "opening", None)
        ends = ("low", "high")
        if any(getattr(opening, end) != getattr(given, end, None) for end in ends):
            kind = default_encoder(data.schema.field(self.field).kind) or encoder
            raise GobelinError(
                f"generator {self.settings.name}: the range of pixels that are no bytes,"
                f" {opening.low:g} to {opening.high:g}, was learned from training rows, and epsilon"
                " does not cover that. Give one that does not come from these rows: --set"
                f" encoders.{kind}.opening.low=N --set encoders.{kind}.opening.high=N."
            )

    @property
    def planned_steps(self) -> int:
        """The number of training steps without a limit: as set, or by the training images.
        Nothing is opened.
        """
        settings, r = self.settings, self.checked.rows
        if settings.steps:
            return settings.made_steps
        component = catalog.build("generators", settings.name, settings.settings)
        images = image_rows.with_images(
            r.dataset, r.part("train"), r.schema, settings.source, component.accepts
        )
        return component.steps_for(len(images), self.medium.shape(settings.size))

    @property
    def terms(self) -> Terms | None:
        """What each training is about to promise; None where the generator is not private. Nothing
        is opened. Raises GobelinError for a delta that is too large.
        """
        settings, r = self.settings, self.checked.rows
        component = catalog.build("generators", settings.name, settings.settings)
        budget: Budget | None = getattr(component, "dp", None)
        if budget is None:
            return None
        images = image_rows.with_images(
            r.dataset, r.part("train"), r.schema, settings.source, component.accepts
        )
        rows = np.asarray(images)
        weights = r.weights[rows]
        return Terms.of(np.asarray(r.groups)[rows[weights > 0]], weights, budget)

    def steps(self) -> int:
        """The number of training steps. Where minutes limit a number that is not set, the first
        tenth of the training decides.
        """
        return self.limited_steps()[0]

    def limited_steps(self) -> tuple[int, float]:
        """The number of training steps, and the seconds after which a limit ends the training of
        seed 0; 0 seconds where nothing limits it.
        """
        settings, planned = self.settings, self.planned_steps
        if settings.steps or settings.minutes is None or planned == 1:
            return planned, 0.0
        pilot = pilot_within(
            settings.minutes, planned, lambda pilot: self._trained(0, self._work, planned, pilot)
        )
        return pilot.steps, pilot.left

    def ended_after(self, seconds: float) -> int:
        """Train seed 0 up to its checkpoint; the step after which it ended because it took longer
        than this, 0 where it did not.
        """
        steps = self.settings.steps
        return ended_within(seconds, lambda guard: self._trained(0, self._work, steps, guard))

    @property
    def _work(self) -> Path:
        """Where the training of seed 0 keeps its checkpoint."""
        return self.folder.folder / "work" / self.stage(0)

    def few_steps(self, steps: int) -> str:
        """A warning where this number of steps is less than the generator needs; '' else."""
        least = catalog.find("generators", self.settings.name).least_steps
        if steps >= least:
            return ""
        return (
            f"fewer than the {least} with which {self.medium.plural} of {self.settings.name} begin"
            " to follow the data: expect blobs, and judge nothing by them"
        )
