"""The generated images of a study: as many as the largest ratio needs, generated once.

They are stored in the run folder, so that a study that was killed continues with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.core.files import fingerprint
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import Dataset, derived_rows
from gobelin.generation.conditions import captions, condition, narrowed
from gobelin.generation.generators import Controls
from gobelin.workbench.augment.generators import GeneratorTraining
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.run import lineage


@dataclass(frozen=True, eq=False)
class GeneratedImages:
    """M images of one training of one generator, one for each parent."""

    parents: Parents
    training: GeneratorTraining
    number: int  # of the training among those of the study

    @property
    def folder(self) -> RunFolder:
        return self.training.generator.folder

    @property
    def ids(self) -> list[str]:
        return [f"made-{self.number}-{k}" for k in range(len(self.parents.places))]

    @property
    def seeds(self) -> list[int]:
        first = 1_000_000 * (self.training.seed + 1)
        return [first + k for k in range(len(self.parents.places))]

    @cached_property
    def pixels(self) -> np.ndarray:
        """uint8 [M, H, W, 3], or [M, D, H, W, C] of volumes."""
        trained, parents = self.training.trained, self.parents
        key = fingerprint(
            trained.sampler.fingerprint(),
            [parents.real.ids[p] for p in parents.places],
            self.seeds,
            self.training.generator.settings.guidance,
        )

        def make(stage: Path) -> None:
            np.save(stage / "images.npy", self._sampled(), allow_pickle=False)

        def load(stage: Path) -> np.ndarray:
            return np.load(stage / "images.npy", allow_pickle=False)

        pixels = self.folder.kept(f"made/{trained.name}-{self.training.seed}", key, make, load)
        self._record()
        return pixels

    def _record(self) -> None:
        """Write into the lineage of the run from which row each image was made."""
        parents, generator = self.parents, self.training.generator
        rows, real = parents.checked.rows, parents.real.ids
        images = zip(self.ids, self.seeds, (real[p] for p in parents.places), strict=True)
        run = generator.features.data.folder
        stage = (self.folder.folder / generator.stage(self.training.seed)).relative_to(run.folder)
        lineage.record_images(
            run,
            self.training.trained.sampler.fingerprint()[:16],
            lineage.about(generator.settings.name, self.training.seed, stage.as_posix()),
            [lineage.one_by_one("augment", images)],
            (rows.named.names[k] for k in rows.part("train")),
        )

    def _sampled(self) -> np.ndarray:
        """uint8 [M, H, W, 3]: each image from the class and the other fields of its parent.

        The generator does not get the image of the parent.
        """
        generator, trained = self.training.generator, self.training.trained
        rows, shared, chosen = self.parents.checked.rows, generator.space.shared, self.parents.rows
        others = [f for f in shared.fields if f != generator.field]
        requested = condition(shared, rows.target, chosen, others)
        if "text" in trained.sampler.accepts:
            requested = replace(requested, text=captions(rows.dataset, rows.schema, chosen))
        requested = narrowed(requested, trained.sampler.accepts)
        controls = Controls(guidance=generator.settings.guidance)
        progress = generator.features.data.progress
        return np.concatenate(list(trained.sample(requested, self.seeds, controls, progress)))

    def dataset(self, selected: np.ndarray) -> Dataset:
        """The selected generated rows. selected: bool [M].

        The image is generated. All other cells, the group among them, are the parent's.
        """
        trained, positions = self.training.trained, np.flatnonzero(selected)
        parents = self.parents.real.rows(self.parents.places[selected])
        ids, seeds = self.ids, self.seeds
        lineage = [
            {
                "generator": trained.name,
                "weights": trained.sampler.fingerprint()[:16],
                "seed": seeds[int(k)],
                "parents": [parent],
                "condition": "class and other fields",
            }
            for k, parent in zip(positions, parents.ids, strict=True)
        ]
        of_kind, extent = self.training.generator.medium, self.training.generator.extent
        files = [
            of_kind.cell(image, origin, extent)
            for image, origin in zip(self.pixels[selected], lineage, strict=True)
        ]
        cells = {self.training.generator.column: files}
        return derived_rows(parents, cells, [ids[int(k)] for k in positions], "generated", lineage)
