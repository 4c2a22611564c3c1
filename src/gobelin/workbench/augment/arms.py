"""The arms of one study: real rows, every rival, each generator's images after screening, all as
training sets.

Images are made once, as many as the largest ratio asks for, and kept in the run folder, so a study
that was killed goes on with them. Everything is learned from training rows; of validation and test
rows the images alone are looked at, to keep what is near them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.augmentation import plan, screening
from gobelin.augmentation.arms import BASELINE, CLASSIC
from gobelin.augmentation.rivals import Arm, Material, Pool
from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.data.dataset import Dataset, made_rows
from gobelin.data.images import Opening, decode_images
from gobelin.data.provenance import marked_png
from gobelin.evidence.conclusion import UNSURE
from gobelin.evidence.findings import Finding
from gobelin.generation import sampling
from gobelin.generation.conditions import captions, condition, narrowed
from gobelin.generation.generators import Controls
from gobelin.privacy.audits import Result
from gobelin.quality import images as quality
from gobelin.quality import judge
from gobelin.quality.judge import NamedImages
from gobelin.quality.probes import IndependentEncoder
from gobelin.workbench.augment.conditions import Conditions, Matched, asked_fields
from gobelin.workbench.augment.trainings import Batch, arm_names, batches_of
from gobelin.workbench.run.folder import Artefacts

LEARNT = 4096  # real images that readers of labels and conditions are fitted on


class Arms:
    """Of one set of training rows. counts: int [n], how often each labelled training row stands in
    them; None = once."""

    def __init__(self, made: Artefacts, counts: np.ndarray | None = None) -> None:
        self.made, self.how, self.counts = made, made.settings.augment, counts
        self.field = made.image_field
        self.column = made.schema.field(self.field).columns[0]
        if any(isinstance(v, list) for v in made.rows.dataset.values(self.column)):
            raise GobelinError(
                f"augment, column {self.column!r}: holds several images a cell; made rows can't"
                " stand beside them yet. Give one image a cell, or leave augment out."
            )

    @cached_property
    def train(self) -> np.ndarray:
        rows = self.made.rows.labelled("train")
        return rows if self.counts is None else np.repeat(rows, self.counts)

    @cached_property
    def batches(self) -> list[Batch]:
        return batches_of(self.made)

    @cached_property
    def usable(self) -> np.ndarray:
        """int64 [n]: the training rows that images can be made from."""
        target = self.made.rows.target
        has = self.made.embeddings.present[:, self.made.embeddings.fields.index(self.field)]
        known = target.scored[target.values[self.train]] if target.exclusive else True
        return self.train[has[self.train] & known]

    @cached_property
    def parents(self) -> np.ndarray:
        """int64 [M]: places in the real training rows; one made image each."""
        target, usable = self.made.rows.target, self.usable
        if not len(usable):
            raise GobelinError(
                "augment: no labelled training row has an image, so nothing can be made. Check that"
                " column."
            )
        chosen = plan.plan(
            target, usable, max(self.how.sweep), self.made.runtime.seed, self.how.per_class
        )
        if not len(chosen):
            raise GobelinError(
                "augment: no image was asked for. Raise augment.ratio, or --per-class."
            )
        place = {int(r): k for k, r in enumerate(self.train)}
        return np.array([place[int(r)] for r in chosen], np.int64)

    @cached_property
    def real(self) -> Dataset:
        return self.made.rows.dataset.rows(self.train)

    @cached_property
    def label(self) -> np.ndarray:
        """int64 [n] of the real training rows; of a number all 0."""
        target = self.made.rows.target
        return (
            target.values[self.train] if target.exclusive else np.zeros(len(self.train), np.int64)
        )

    def made_images(self, batch: int) -> np.ndarray:
        """uint8 [M, H, W, 3]: one image a parent, from its class and its other fields; the parent's
        image is not shown."""
        made = self.batches[batch].made
        sampler, name, space = made.sampler(self.batches[batch].seed)
        fields = [f for f in made.shared.fields if f != self.field]
        rows = self.train[self.parents]
        wanted = condition(made.shared, made.rows.target, rows, fields)
        if "text" in sampler.accepts:
            wanted = replace(wanted, text=captions(made.rows.dataset, made.schema, rows))
        wanted = narrowed(wanted, sampler.accepts)
        controls = Controls(guidance=made.settings.generator.guidance)
        blocks = sampling.sample(
            sampler, name, space, wanted, self.made_seeds(batch), controls, made.progress
        )
        return np.concatenate(list(blocks))

    @cached_property
    def images(self) -> list[np.ndarray]:
        """Of every batch, from the run folder where they are there already."""
        out = []
        for k, batch in enumerate(self.batches):
            sampler, name, _ = batch.made.sampler(batch.seed)
            parents = [self.real.ids[p] for p in self.parents]
            key = fingerprint(
                sampler.fingerprint(),
                parents,
                self.made_seeds(k),
                batch.made.settings.generator.guidance,
            )

            def make(folder: Path, k: int = k) -> None:
                np.save(folder / "images.npy", self.made_images(k), allow_pickle=False)

            stage = f"made/{name}-{batch.seed}"
            self.made.run.stage(stage, key, make)
            out.append(np.load(self.made.run.checked(stage) / "images.npy", allow_pickle=False))
        return out

    @cached_property
    def audits(self) -> list[Mapping[str, Result]]:
        """For each batch, every audit's result. Held-out rows are validation rows."""
        return [self._audit(k, images) for k, images in enumerate(self.images)]

    @property
    def exchangeable(self) -> str:
        """Why training and held-out rows can be exchanged, '' when they can't."""
        random = self.made.settings.split.by == "random" and self.made.schema.role("split") is None
        return "random split by group" if random else ""

    def _audit(self, batch: int, images: np.ndarray) -> Mapping[str, Result]:
        made, settings, ids = self.made, self.made.settings, tuple(self.made_ids(batch))

        def make(folder: Path) -> None:
            train, held = self._pictured("train"), self._pictured("valid")
            spaces = {"encoder": self._encode, "second encoder": self._second}
            found = judge.copies(
                settings.judge,
                train,
                held,
                NamedImages(images, ids),
                spaces,
                self.exchangeable,
                made.runtime.seed,
            )
            write_json(
                folder / "results.json", {name: result.to_dict() for name, result in found.items()}
            )

        stage = (
            f"audited/{self.batches[batch].made.settings.generator.name}-{self.batches[batch].seed}"
        )
        made.run.stage(
            stage,
            fingerprint(made.data_key, made.fitted, config.resolved(settings.judge), images, ids),
            make,
        )
        results = read_json(made.run.checked(stage) / "results.json")
        return {name: Result.from_dict(told) for name, told in results.items()}

    def unsure(self, batch: int) -> list[Finding]:
        """What audits found that caught too few planted copies to say anything of the made
        images."""
        return [
            f
            for one in self.audits[batch].values()
            for f in one.findings
            if f.verdict.startswith(UNSURE)
        ]

    def quality(self, batch: int) -> list[Finding]:
        """What the metrics say of a batch's images, those later left out among them; of rows that
        have an answer, as made ones have. Test rows stay closed."""
        made, target = self.made, self.made.rows.target

        def seen(rows: np.ndarray, images: np.ndarray) -> quality.ImageSet:
            return quality.ImageSet(
                images, np.array(target.classes)[target.values[rows]] if target.exclusive else None
            )

        def answered(part: str) -> quality.ImageSet:
            rows = self._with_image(part)
            known = target.present[rows]
            return seen(rows[known], self._pictured(part).images[known])

        new = seen(self.train[self.parents], self.images[batch])
        how, driven = made.settings.judge, self._conditioned_on
        return quality.quality(how, answered("train"), answered("valid"), new, driven, made.runtime)

    def _pictured(self, part: str) -> NamedImages:
        """A part's images, decoded once."""
        if part not in self._decoded:
            self._decoded[part] = self._pictures(self._with_image(part))
        return self._decoded[part]

    @cached_property
    def _decoded(self) -> dict[str, NamedImages]:
        return {}

    def _with_image(self, part: str) -> np.ndarray:
        rows = self.made.rows.part(part)
        return rows[
            self.made.embeddings.present[rows, self.made.embeddings.fields.index(self.field)]
        ]

    def _encode(self, images: np.ndarray) -> np.ndarray:
        """The run's image encoder; the same images are encoded once."""
        key = fingerprint(images)
        if key not in self._encoded:
            self._encoded[key] = self.made.encode_images(images)
        return self._encoded[key]

    @cached_property
    def _second(self) -> Callable[[np.ndarray], np.ndarray]:
        """Images -> features of the encoder that judges quality, fitted on training images."""
        made = self.made
        encoder = quality.second(
            made.settings.judge, self._pictured("train").images, self._conditioned_on, made.runtime
        )
        return lambda images: np.concatenate(list(quality.features(encoder, images, made.runtime)))

    @property
    def _conditioned_on(self) -> str:
        return self.made.schema.field(self.field).encoder

    @cached_property
    def _encoded(self) -> dict[str, np.ndarray]:
        return {}

    def _pictures(self, rows: np.ndarray) -> NamedImages:
        d, size = self.made.rows.dataset, self.made.settings.generator.size
        values = d.values(self.column)
        images = [
            decode_images({self.column: values[r]}, d.root, Opening(), size)[0][0] for r in rows
        ]
        whole = np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8)
        return NamedImages(
            whole, tuple(self.made.ids(rows)), tuple(self.made.rows.groups[r] for r in rows)
        )

    def made_ids(self, batch: int) -> list[str]:
        return [f"made-{batch}-{k}" for k in range(len(self.parents))]

    def made_seeds(self, batch: int) -> list[int]:
        return [1_000_000 * (self.batches[batch].seed + 1) + k for k in range(len(self.parents))]

    def made_dataset(self, batch: int, kept: np.ndarray) -> Dataset:
        """The made rows: image made, everything else the parent's, its group and missing cells
        too."""
        sampler, name, _ = self.batches[batch].made.sampler(self.batches[batch].seed)
        ids, seeds = self.made_ids(batch), self.made_seeds(batch)
        parents, images = self.real.rows(self.parents[kept]), self.images[batch][kept]
        lineage = [
            {
                "generator": name,
                "weights": sampler.fingerprint()[:16],
                "seed": seeds[int(k)],
                "parents": [p],
                "condition": "class and other fields",
            }
            for k, p in zip(np.flatnonzero(kept), parents.ids, strict=True)
        ]
        files = [marked_png(i, one) for i, one in zip(images, lineage, strict=True)]
        return made_rows(
            parents,
            {self.column: files},
            [ids[int(k)] for k in np.flatnonzero(kept)],
            "generated",
            lineage,
        )

    @cached_property
    def eyes(self) -> IndependentEncoder | None:
        """Who looks at made images without a part in the run."""
        return IndependentEncoder.choose(self.made.schema, self.made.runtime)

    def see(self, images: np.ndarray) -> np.ndarray:
        """float32 [n, D]; the same images are seen once."""
        key, eyes = fingerprint(images), self.eyes
        assert eyes is not None
        if key not in self._saw:
            self._saw[key] = eyes.features(images)
        return self._saw[key]

    @cached_property
    def _saw(self) -> dict[str, np.ndarray]:
        return {}

    @cached_property
    def taught(self) -> tuple[np.ndarray, np.ndarray]:
        """Training rows with image and answer that readers learn from, int64 [n], and what is seen
        of them [n, D]."""
        rows = np.intersect1d(self._with_image("train"), self.made.rows.labelled("train"))
        rows = rows[:: max(1, -(-len(rows) // LEARNT))]
        return rows, self.see(self._pictures(rows).images)

    @cached_property
    def reader(self) -> screening.LabelReader | None:
        """Reads labels from images; None where there is nothing to read or nobody to read it."""
        made, target = self.made, self.made.rows.target
        if not self.how.agree or not target.exclusive or self.eyes is None:
            return None
        rows, seen = self.taught
        if len(np.unique(target.values[rows])) < 2:
            return None
        groups = [made.rows.groups[r] for r in rows]
        return screening.LabelReader.fit(
            seen, target.values[rows], len(target.classes), groups, made.runtime
        )

    @cached_property
    def conditions(self) -> Conditions | None:
        """Reads the other fields from images; None where it isn't asked for, or nobody is there to
        look."""
        return (
            Conditions.fit(self.made, self.field, *self.taught)
            if self.how.match and self.eyes is not None
            else None
        )

    @cached_property
    def matched(self) -> list[Matched]:
        """Of every batch, which images don't match what they were asked with."""
        return [self._matched(k) for k in range(len(self.batches))]

    def _matched(self, batch: int) -> Matched:
        of = self.batches[batch]
        sampler, _, _ = of.made.sampler(of.seed)
        if (
            not set(asked_fields(self.made, sampler.accepts)) - {self.field}
            or self.conditions is None
        ):
            return Matched(None, ())
        seen = self.see(self.images[batch])
        return self.conditions.matched(of.label(), sampler.accepts, self.train[self.parents], seen)

    @cached_property
    def screens(self) -> list[screening.Screen]:
        return [self._screen(k) for k in range(len(self.batches))]

    def _screen(self, batch: int) -> screening.Screen:
        images = self.images[batch]
        copies = near = unread = out = None
        if self.how.quarantine:
            flags = [[bool(r["flagged"]) for r in one.rows] for one in self.audits[batch].values()]
            copies = np.any(flags, axis=0) if flags else None
            opened = np.concatenate([self._pictured(part).images for part in ("valid", "test")])
            train, seed = self._pictured("train").images, self.made.runtime.seed
            near = screening.near(
                images, opened, train, self._encode, self.made.settings.judge, seed
            )
        if self.reader is not None:
            asked = self.label[self.parents]
            unread = ~self.reader.agrees(self.see(images), asked)
            out = np.isin(asked, screening.failed(asked, ~unread))
        return screening.Screen(copies, near, unread, out, self.matched[batch].wrong)

    def copied(self, batch: int) -> list[str]:
        """The training rows whose images were copied, the nearest copy's first."""
        if not self.how.quarantine:
            return []
        rows = [r for one in self.audits[batch].values() for r in one.rows if r["flagged"]]
        return list(
            dict.fromkeys(str(r["nearest"]) for r in sorted(rows, key=lambda r: float(r["ratio"])))
        )

    def kept(self, batch: int) -> np.ndarray:
        """bool [M]: the made images that become training rows."""
        return self.screens[batch].kept(len(self.parents))

    @cached_property
    def pool(self) -> Pool | None:
        """Training rows with an image and without an answer, as the run's model answers them."""
        made, target = self.made, self.made.rows.target
        rows = self._with_image("train")
        rows = rows[~target.present[rows]]
        if not len(rows) or not target.exclusive or "retrieved" not in self.how.rivals:
            return None
        said = made.model.predict(made.inputs(made.embeddings.rows(rows)).keep(made.predict_fields))
        values = made.rows.dataset.values(target.name)
        word = {int(target.values[r]): values[r] for r in self.train}
        known = np.isin(said.labels, list(word))
        rows, labels = rows[known], said.labels[known]
        sure = said.probabilities[known, labels]
        return Pool(
            made.rows.dataset.rows(rows), target.name, [word[int(c)] for c in labels], labels, sure
        )

    @cached_property
    def arms(self) -> list[Arm]:
        """real, every rival that there is something for, and for each batch: generated, and classic
        + generated."""
        made, real = self.made, self.real.with_ids()
        classes = self.label if made.rows.target.exclusive else None
        material = Material(
            real,
            self.column,
            self.parents,
            made.settings.generator.size,
            made.runtime.seed,
            made.runtime.threads,
            classes,
            self.pool,
        )
        arms = [Arm(BASELINE, real, np.ones(len(real), np.float32))]
        rivals = [catalog.build("rivals", name).arm(material) for name in self.how.rivals]
        arms += [arm for arm in rivals if arm is not None]
        classic = next((a for a in arms if a.name == CLASSIC), None)
        for k, batch in enumerate(self.batches):
            kept = self.kept(k)
            rows, order, (alone, both) = (
                self.made_dataset(k, kept),
                np.flatnonzero(kept),
                arm_names(made, batch.name),
            )
            joined = real.join(rows)
            arms.append(Arm(alone, joined, np.ones(len(joined), np.float32), batch.seed, order))
            if classic is not None:
                dataset = classic.dataset.join(rows)
                views = np.arange(len(classic.dataset) - len(real))
                order = np.concatenate([views, order])  # each of the two kinds grows with the ratio
                arms.append(
                    Arm(both, dataset, np.ones(len(dataset), np.float32), batch.seed, order)
                )
        return arms
