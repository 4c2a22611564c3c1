"""The generated images that become training rows.

Everything is learned from training rows. Of validation and test rows only the images are used, to
leave out generated images that are near them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.augmentation import screening
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.later import in_key
from gobelin.evidence.findings import Finding
from gobelin.privacy.audits import Result
from gobelin.quality import images as image_quality
from gobelin.quality import judge
from gobelin.quality.judge import NamedImages
from gobelin.quality.probes import IndependentEncoder
from gobelin.workbench.augment.cells import cells_of
from gobelin.workbench.augment.conditions import Conditions, Matched, condition_fields
from gobelin.workbench.augment.generated_images import GeneratedImages
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.augment.row_losses import references, row_losses
from gobelin.workbench.run.chain import Run

MOST_READ = 4096  # real images that readers of labels and conditions are fitted on, at most


class OncePerImages:
    """A function of images that is computed once for equal images."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.function = function
        self.results: dict[str, np.ndarray] = {}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        key = fingerprint(images)
        if key not in self.results:
            self.results[key] = self.function(images)
        return self.results[key]


@dataclass(frozen=True, eq=False)
class RealImages:
    """The images of the real rows at the generator's size, and three image encoders: the run's, a
    second one that judges quality, and an independent one that reads labels.
    """

    run: Run

    @cached_property
    def train(self) -> NamedImages:
        return self.of(self.run.generator.with_image("train"))

    @cached_property
    def valid(self) -> NamedImages:
        return self.of(self.run.generator.with_image("valid"))

    @cached_property
    def test(self) -> NamedImages:
        """Images only; answers of test rows are not used."""
        return self.of(self.run.generator.with_image("test"))

    def of(self, chosen: np.ndarray) -> NamedImages:
        """The decoded images of these rows."""
        rows, size = self.run.checked.rows, self.run.settings.generator.size
        column, root = self.run.generator.column, rows.dataset.root
        values, opening = rows.dataset.values(column), rows.dataset.opening(column)
        of_kind = self.run.generator.medium
        images = [of_kind.decoded({column: values[r]}, root, opening, size)[0] for r in chosen]
        stacked = np.stack(images) if images else np.zeros((0, *of_kind.shape(size)), np.uint8)
        groups = tuple(rows.groups[r] for r in chosen)
        return NamedImages(stacked, tuple(rows.ids(chosen)), groups)

    @property
    def conditioned_on(self) -> str:
        """The image encoder whose vectors condition the generators."""
        return self.run.data.schema.field(self.run.generator.field).encoder

    @cached_property
    def encode(self) -> OncePerImages:
        """The run's image encoder."""
        return OncePerImages(self.run.generator.encode)

    @cached_property
    def encode_second(self) -> OncePerImages:
        """The second encoder, which judges quality; fitted on training images."""
        runtime, settings = self.run.data.runtime, self.run.settings.judge
        encoder = image_quality.second(settings, self.train.images, self.conditioned_on, runtime)
        return OncePerImages(
            lambda images: np.concatenate(list(image_quality.features(encoder, images, runtime)))
        )

    @cached_property
    def independent(self) -> OncePerImages | None:
        """An image encoder that the run does not use; None where none is installed."""
        kind = self.run.data.schema.field(self.run.generator.field).kind
        encoder = IndependentEncoder.choose(self.run.data.schema, self.run.data.runtime, kind)
        return None if encoder is None else OncePerImages(encoder.features)


@dataclass(frozen=True, eq=False)
class Screening:
    """The screening of one set of training rows."""

    run: Run
    parents: Parents
    real: RealImages
    images: tuple[GeneratedImages, ...]  # of every training of every generator

    @cached_property
    def audits(self) -> list[Mapping[str, Result]]:
        """For each training of a generator {audit: result}. Held-out rows are validation rows."""
        return [self._audit(images) for images in self.images]

    def _audit(self, images: GeneratedImages) -> Mapping[str, Result]:
        run, settings, ids = self.run, self.run.settings.judge, tuple(images.ids)
        key = fingerprint(
            run.checked.key,
            run.predictor.fingerprint,
            in_key(settings),
            images.pixels,
            ids,
        )

        def make(stage: Path) -> None:
            results = judge.audited(
                settings,
                self.real.train,
                self.real.valid,
                NamedImages(images.pixels, ids),
                {"encoder": self.real.encode, "second encoder": self.real.encode_second},
                exchangeable(run),
                run.data.runtime.seed,
                row_losses(images.training),
                cells_of(run, images),
                references(run, images.training),
            )
            described = {name: result.to_dict() for name, result in results.items()}
            write_json(stage / "results.json", described)

        def load(stage: Path) -> Mapping[str, Result]:
            stored = read_json(stage / "results.json")
            return {name: Result.from_dict(record) for name, record in stored.items()}

        training = images.training
        return run.folder.kept(f"audited/{training.name}-{training.seed}", key, make, load)

    def unsure(self, number: int) -> list[Finding]:
        """Findings of audits that found too few planted copies to judge single images."""
        results = [result for result in self.audits[number].values() if result.rows]
        return [f for result in results for f in result.findings if not f.sure]

    @cached_property
    def readable(self) -> tuple[np.ndarray, np.ndarray]:
        """The training rows that readers are fitted on, int64 [n], all with an image and an answer;
        features of their images by the independent encoder, float [n, D].
        """
        assert self.real.independent is not None
        rows = np.intersect1d(
            self.run.generator.with_image("train"), self.run.checked.rows.labelled("train")
        )
        rows = rows[:: max(1, -(-len(rows) // MOST_READ))]
        return rows, self.real.independent(self.real.of(rows).images)

    @cached_property
    def reader(self) -> screening.LabelReader | None:
        """Reads labels from images. None where labels are not screened, or without an independent
        encoder.
        """
        rows, runtime = self.run.checked.rows, self.run.data.runtime
        target = rows.target
        if not self.parents.settings.agree or not target.exclusive or not self.real.independent:
            return None
        chosen, features = self.readable
        if len(np.unique(target.values[chosen])) < 2:
            return None
        groups = [rows.groups[r] for r in chosen]
        labels = target.values[chosen]
        return screening.LabelReader.fit(features, labels, len(target.classes), groups, runtime)

    @cached_property
    def conditions(self) -> Conditions | None:
        """Reads the other fields from images. None where they are not screened, or without an
        independent encoder.
        """
        if not self.parents.settings.match or self.real.independent is None:
            return None
        run = self.run
        return Conditions.fit(run.features, run.checked.rows, run.generator.field, *self.readable)

    @cached_property
    def matched(self) -> list[Matched]:
        """For each training of a generator, the images that don't match their conditions."""
        return [self._matched(images) for images in self.images]

    def _matched(self, images: GeneratedImages) -> Matched:
        accepts = images.training.trained.sampler.accepts
        fields = set(condition_fields(self.run.features, accepts)) - {self.run.generator.field}
        if not fields or self.conditions is None or self.real.independent is None:
            return Matched(None, ())
        features = self.real.independent(images.pixels)
        label = images.training.label()
        return self.conditions.matched(label, accepts, self.parents.rows, features)

    @cached_property
    def screens(self) -> list[screening.Screen]:
        """For each training of a generator, the faults of its images."""
        return [self._screen(number) for number in range(len(self.images))]

    def _screen(self, number: int) -> screening.Screen:
        pixels, real = self.images[number].pixels, self.real
        copies = near = unread = failed = None
        if self.parents.settings.quarantine:
            results = self.audits[number].values()
            flags = [[bool(r["flagged"]) for r in result.rows] for result in results if result.rows]
            copies = np.any(flags, axis=0) if flags else None
            held_out = np.concatenate([real.valid.images, real.test.images])
            near = screening.near(
                pixels,
                held_out,
                real.train.images,
                real.encode,
                self.run.settings.judge,
                self.run.data.runtime.seed,
            )
        if self.reader is not None and real.independent is not None:
            requested = self.parents.label[self.parents.places]
            unread = ~self.reader.agrees(real.independent(pixels), requested)
            failed = np.isin(requested, screening.failed(requested, ~unread))
        return screening.Screen(copies, near, unread, failed, self.matched[number].wrong)

    def copied(self, number: int) -> list[str]:
        """The ids of the training rows whose images were copied, the nearest copy first."""
        if not self.parents.settings.quarantine:
            return []
        results = self.audits[number].values()
        rows = [r for result in results for r in result.rows if r["flagged"]]
        rows.sort(key=lambda r: float(r["ratio"]))
        return list(dict.fromkeys(str(r["nearest"]) for r in rows))

    def selected(self, number: int) -> np.ndarray:
        """bool [M]: the images that become training rows."""
        return self.screens[number].accepted(len(self.parents.places))

    def quality(self, number: int) -> list[Finding]:
        """The findings of the metrics on all images of one training, before screening.

        They are compared with training and validation rows that have an answer, as generated rows
        have one. Test rows are not used.
        """
        target, generator = self.run.checked.rows.target, self.run.generator

        def labelled(rows: np.ndarray, images: np.ndarray) -> image_quality.ImageSet:
            labels = np.array(target.classes)[target.values[rows]] if target.exclusive else None
            return image_quality.ImageSet(images, labels)

        def answered(part: str, images: NamedImages) -> image_quality.ImageSet:
            rows = generator.with_image(part)
            known = target.present[rows]
            return labelled(rows[known], images.images[known])

        return image_quality.quality(
            self.run.settings.judge,
            answered("train", self.real.train),
            answered("valid", self.real.valid),
            labelled(self.parents.rows, self.images[number].pixels),
            self.real.conditioned_on,
            self.run.data.runtime,
        )


def exchangeable(run: Run) -> str:
    """Why training and held-out rows are exchangeable; empty where they are not."""
    random = run.settings.split.by == "random" and run.data.schema.role("split") is None
    return "random split by group" if random else ""
