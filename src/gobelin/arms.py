"""The arms of one study: real rows, every rival, each generator's images after screening, all as training sets.

Images are made once, as many as the largest ratio asks for, and kept in the run folder, so a study that was killed goes on with
them. Everything is learned from training rows; of validation and test rows the images alone are looked at, to keep what is near
them out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin import catalog, generation, judge, loop, planning, quality, screening
from gobelin.artefacts import Artefacts
from gobelin.audits import Result
from gobelin.config import resolved
from gobelin.data.dataset import Dataset, made_rows
from gobelin.data.images import Opening, decode_images
from gobelin.errors import GobelinError
from gobelin.evidence import Finding
from gobelin.generators import Controls
from gobelin.judge import Pictures
from gobelin.matching import Eyes
from gobelin.provenance import marked_png
from gobelin.rivals import Arm, Material, Pool
from gobelin.runtime import numpy_generator
from gobelin.store import Run, fingerprint

GENERATED, BOTH = "generated", f"{loop.CLASSIC} + generated"
LEARNT = 4096  # real images that the label reader is fitted on


@dataclass(frozen=True)
class Batch:
    """One training of one generator. made: the run with this generator as its own."""

    made: Artefacts
    seed: int

    @property
    def name(self) -> str:
        return self.made.settings.generator.name

    def label(self) -> str:
        return f"{self.name}, training seed {self.seed}"


@dataclass(frozen=True)
class Screen:
    """bool [M] each: what is wrong with the made images."""

    copies: np.ndarray
    near: np.ndarray
    unread: np.ndarray
    failed: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        return ~(self.copies | self.near | self.unread | self.failed)

    def reasons(self) -> dict[str, int]:
        """How many for each reason, each image under its first one."""
        left, out = np.ones(len(self.copies), bool), {}
        for why, bad in (("copy of a training image", self.copies), ("near a validation or test image", self.near),
                         ("class that the generator failed on", self.failed), ("label not read", self.unread)):  # fmt: skip
            out[why] = int((bad & left).sum())
            left &= ~bad
        return out


class Arms:
    """Of one set of training rows. counts: int [n], how often each labelled training row stands in them; None = once."""

    def __init__(self, made: Artefacts, counts: np.ndarray | None = None) -> None:
        self.made, self.how, self.counts = made, made.settings.augment, counts
        self.field = made.image_field
        self.column = made.schema.field(self.field).columns[0]
        if any(isinstance(v, list) for v in made.rows.dataset.values(self.column)):
            raise GobelinError(
                f"augment, column {self.column!r}: holds several images a cell; made rows can't stand beside them yet. Give "
                "one image a cell, or leave augment out."
            )

    @cached_property
    def train(self) -> np.ndarray:
        rows = self.made.rows.labelled("train")
        return rows if self.counts is None else np.repeat(rows, self.counts)

    @cached_property
    def batches(self) -> list[Batch]:
        return batches_of(self.made)

    @cached_property
    def parents(self) -> np.ndarray:
        """int64 [M]: places in the real training rows; one made image each."""
        target = self.made.rows.target
        has = self.made.embeddings.present[:, self.made.embeddings.fields.index(self.field)]
        usable = np.array([r for r in self.train if has[r] and (not target.exclusive or target.scored[target.values[r]])])
        if not len(usable):
            raise GobelinError("augment: no labelled training row has an image, so nothing can be made. Check that column.")
        chosen = planning.plan(target, usable, max(self.how.sweep), self.made.runtime.seed, self.how.per_class)
        if not len(chosen):
            raise GobelinError("augment: no image was asked for. Raise augment.ratio, or --per-class.")
        place = {int(r): k for k, r in enumerate(self.train)}
        return np.array([place[int(r)] for r in chosen], np.int64)

    @cached_property
    def real(self) -> Dataset:
        return self.made.rows.dataset.rows(self.train)

    @cached_property
    def label(self) -> np.ndarray:
        """int64 [n] of the real training rows; of a number all 0."""
        target = self.made.rows.target
        return target.values[self.train] if target.exclusive else np.zeros(len(self.train), np.int64)

    def made_images(self, batch: int) -> np.ndarray:
        """uint8 [M, H, W, 3]: one image a parent, from its class and its other fields; the parent's image is not shown."""
        made = self.batches[batch].made
        sampler, name, space = made.sampler(self.batches[batch].seed)
        fields = [f for f in made.shared.fields if f != self.field]
        rows = self.train[self.parents]
        wanted = generation.condition(made.shared, made.rows.target, rows, fields)
        if "text" in sampler.accepts:
            wanted = replace(wanted, text=generation.captions(made.rows.dataset, made.schema, rows))
        wanted = generation.narrowed(wanted, sampler.accepts)
        controls = Controls(guidance=made.settings.generator.guidance)
        blocks = generation.sample(sampler, name, space, wanted, self.made_seeds(batch), controls, made.progress)
        return np.concatenate(list(blocks))

    @cached_property
    def images(self) -> list[np.ndarray]:
        """Of every batch, from the run folder where they are there already."""
        out = []
        for k, batch in enumerate(self.batches):
            sampler, name, _ = batch.made.sampler(batch.seed)
            parents = [self.real.ids[p] for p in self.parents]
            key = fingerprint(sampler.fingerprint(), parents, self.made_seeds(k), batch.made.settings.generator.guidance)

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

    def _audit(self, batch: int, images: np.ndarray) -> Mapping[str, Result]:
        made, settings = self.made, self.made.settings
        random = settings.split.by == "random" and made.schema.role("split") is None
        why = "random split by group" if random else ""
        train, held, own = self._pictured("train"), self._pictured("valid"), Pictures(images, tuple(self.made_ids(batch)))
        spaces = {"encoder": self._encode, "second encoder": self._second}
        return judge.copies(settings.judge, train, held, own, spaces, why, made.runtime.seed)

    def quality(self, batch: int) -> list[Finding]:
        """What the metrics say of a batch's images, those later left out among them; of rows that have an answer, as made ones
        have. Test rows stay closed."""
        made, target = self.made, self.made.rows.target

        def seen(rows: np.ndarray, images: np.ndarray) -> quality.Seen:
            return quality.Seen(images, np.array(target.classes)[target.values[rows]] if target.exclusive else None)

        def answered(part: str) -> quality.Seen:
            rows = self._with_image(part)
            known = target.present[rows]
            return seen(rows[known], self._pictured(part).images[known])

        new = seen(self.train[self.parents], self.images[batch])
        how, driven = made.settings.judge, self._conditioned_on
        return quality.quality(how, answered("train"), answered("valid"), new, driven, made.runtime)

    def _pictured(self, part: str) -> Pictures:
        """A part's images, decoded once."""
        if part not in self._decoded:
            self._decoded[part] = self._pictures(self._with_image(part))
        return self._decoded[part]

    @cached_property
    def _decoded(self) -> dict[str, Pictures]:
        return {}

    def _with_image(self, part: str) -> np.ndarray:
        rows = self.made.rows.part(part)
        return rows[self.made.embeddings.present[rows, self.made.embeddings.fields.index(self.field)]]

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
        encoder = quality.second(made.settings.judge, self._pictured("train").images, self._conditioned_on, made.runtime)
        return lambda images: np.concatenate(list(quality.features(encoder, images, made.runtime)))

    @property
    def _conditioned_on(self) -> str:
        return self.made.schema.field(self.field).encoder

    @cached_property
    def _encoded(self) -> dict[str, np.ndarray]:
        return {}

    def _pictures(self, rows: np.ndarray) -> Pictures:
        d, size = self.made.rows.dataset, self.made.settings.generator.size
        values = d.values(self.column)
        images = [decode_images({self.column: values[r]}, d.root, Opening(), size)[0][0] for r in rows]
        return Pictures(np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8), tuple(self.made.ids(rows)))

    def made_ids(self, batch: int) -> list[str]:
        return [f"made-{batch}-{k}" for k in range(len(self.parents))]

    def made_seeds(self, batch: int) -> list[int]:
        return [1_000_000 * (self.batches[batch].seed + 1) + k for k in range(len(self.parents))]

    def made_dataset(self, batch: int, kept: np.ndarray) -> Dataset:
        """The made rows: image made, everything else the parent's, its group and missing cells too."""
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
        return made_rows(parents, {self.column: files}, [ids[int(k)] for k in np.flatnonzero(kept)], "generated", lineage)

    @cached_property
    def reader(self) -> screening.LabelReader | None:
        """Reads labels from images; None where there is nothing to read or nobody to read it."""
        made, target = self.made, self.made.rows.target
        eyes = Eyes.beside(made.schema, made.runtime) if self.how.agree and target.exclusive else None
        rows = np.intersect1d(self._with_image("train"), self.made.rows.labelled("train"))
        rows = rows[:: max(1, -(-len(rows) // LEARNT))]
        if eyes is None or len(np.unique(target.values[rows])) < 2:
            return None
        groups = [made.rows.groups[r] for r in rows]
        images = self._pictures(rows).images
        return screening.LabelReader.fit(eyes, images, target.values[rows], len(target.classes), groups, made.runtime)

    @cached_property
    def screens(self) -> list[Screen]:
        return [self._screen(k) for k in range(len(self.batches))]

    def _screen(self, batch: int) -> Screen:
        images, nothing = self.images[batch], np.zeros(len(self.parents), bool)
        copies = near = unread = out = nothing
        if self.how.quarantine:
            copies = np.any([[r["flagged"] for r in one.rows] for one in self.audits[batch].values()], axis=0)
            opened = np.concatenate([self._pictured(part).images for part in ("valid", "test")])
            train, seed = self._pictured("train").images, self.made.runtime.seed
            near = screening.near(images, opened, train, self._encode, self.made.settings.judge, seed)
        if self.reader is not None:
            asked = self.label[self.parents]
            unread = ~self.reader.agrees(images, asked)
            out = np.isin(asked, screening.failed(asked, ~unread))
        return Screen(copies | nothing, near, unread, out)

    def kept(self, batch: int) -> np.ndarray:
        """bool [M]: the made images that become training rows."""
        return self.screens[batch].kept

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
        return Pool(made.rows.dataset.rows(rows), target.name, [word[int(c)] for c in labels], labels, sure)

    @cached_property
    def arms(self) -> list[Arm]:
        """real, every rival that there is something for, and for each batch: generated, and classic + generated."""
        made, real = self.made, self.real.with_ids()
        classes = self.label if made.rows.target.exclusive else None
        material = Material(
            real, self.column, self.parents, made.settings.generator.size, made.runtime.seed, made.runtime.threads, classes,
            self.pool,
        )  # fmt: skip
        arms = [Arm(loop.BASELINE, real, np.ones(len(real), np.float32))]
        rivals = [catalog.build("rivals", name).arm(material) for name in self.how.rivals]
        arms += [arm for arm in rivals if arm is not None]
        classic = next((a for a in arms if a.name == loop.CLASSIC), None)
        for k, batch in enumerate(self.batches):
            kept = self.kept(k)
            rows, order, (alone, both) = self.made_dataset(k, kept), np.flatnonzero(kept), arm_names(made, batch.name)
            joined = real.join(rows)
            arms.append(Arm(alone, joined, np.ones(len(joined), np.float32), batch.seed, order))
            if classic is not None:
                dataset = classic.dataset.join(rows)
                views = np.arange(len(classic.dataset) - len(real))
                order = np.concatenate([views, order])  # each of the two kinds grows with the ratio
                arms.append(Arm(both, dataset, np.ones(len(dataset), np.float32), batch.seed, order))
        return arms


def generators(made: Artefacts) -> tuple[str, ...]:
    """The names of the study's generators: those that were asked for, else the run's own."""
    return made.settings.augment.generators or (made.settings.generator.name,)


def arm_names(made: Artefacts, generator: str) -> tuple[str, str]:
    """Of the arm of a generator's images, and of the one with the classic views too."""
    by = f" by {generator}" if len(generators(made)) > 1 else ""
    return f"{GENERATED}{by}", f"{BOTH}{by}"


def batches_of(made: Artefacts) -> list[Batch]:
    """Every training of every generator of the study; the data aren't needed for the run's own."""
    each = [with_generator(made, name) for name in generators(made)]
    return [Batch(one, seed) for one in each for seed in range(one.settings.generator.seeds)]


def with_generator(made: Artefacts, name: str) -> Artefacts:
    """The run with another generator in the place of its own, at its own settings; all that doesn't depend on it is shared.
    Its count of steps is decided once and written to the run's settings."""
    how = made.settings
    if name == how.generator.name:
        made.decide_steps()
        return made
    component = catalog.build("generators", name)
    source = how.generator.source if "source" in component.accepts else ""
    own = replace(how.generator, name=name, settings=resolved(component), steps=how.augment.steps.get(name, 0), source=source)
    _ = made.shared, made.rows
    other = copy.copy(made)
    other.__dict__.pop("image_rows", None)
    other.settings = replace(how, generator=own)
    if not own.steps:
        steps = component.steps_for(other.image_rows[0], made.runtime, own.minutes)
        made.record(replace(how, augment=replace(how.augment, steps={**how.augment.steps, name: steps})))
        other.settings = replace(made.settings, generator=replace(own, steps=steps))
    return other


def resampled(made: Artefacts, number: int) -> Arms:
    """The arms of one resample of the training rows: groups drawn with replacement, within their commonest class, as often as
    there are (bootstrap, Efron 1979). Space, generators, screening and tuning are made anew from it in a folder of its own;
    the encoders, and with them the features, stay as they are."""
    rows = made.rows
    _ = made.reader, made.embeddings, made.predict_fields
    train, rng = rows.part("train"), numpy_generator(made.runtime.seed, "resample", number)
    of: dict[str, list[int]] = {}
    for r in train:
        of.setdefault(rows.groups[r], []).append(int(r))
    stratum = {g: int(np.bincount(rows.target.strata[own] + 1).argmax()) for g, own in of.items()}
    count = np.zeros(len(rows.parts), np.int64)
    for s in sorted(set(stratum.values())):
        names = [g for g in of if stratum[g] == s]
        for g in rng.choice(len(names), len(names)):
            count[of[names[int(g)]]] += 1
    other = copy.copy(made)
    for name in ("alignment", "shared", "model", "image_rows", "index"):
        other.__dict__.pop(name, None)
    parts = np.where((rows.parts == "train") & (count == 0), "left", rows.parts)
    weights = np.where(rows.parts == "train", rows.weights * count, rows.weights).astype(np.float32)
    other.run = Run(made.run.folder / "method" / str(number))
    other.__dict__["rows"] = replace(rows, parts=parts, weights=weights)
    other.__dict__["data_key"] = fingerprint(made.data_key, "resample", number)
    drawn = np.flatnonzero((parts == "train") & rows.target.present)
    return Arms(other, count[drawn])
