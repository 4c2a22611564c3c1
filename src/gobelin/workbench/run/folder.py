"""What a run has made so far: data, encoders, features, the shared space, the predictor, the
generators.

Each is made when it is first asked for, written as a stage of the run folder under the key of what
it was made from, and loaded from there ever after. So a killed run continues, and a run opens
without its training data where it doesn't need it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    file_name,
    fingerprint,
    read_json,
    read_lines,
    write_json,
    write_lines,
)
from gobelin.core.machine import Progress, Runtime, environment
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.data.images import image_values, png_bytes
from gobelin.embedding import schema
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.alignment.align import Align, Alignment, Shared
from gobelin.embedding.encoders import FitsFiles
from gobelin.embedding.features import Embeddings, Reader
from gobelin.embedding.index import FORMAT, Index, create, rows_of, tell_lost
from gobelin.evidence.findings import Finding
from gobelin.generation import sampling
from gobelin.generation.generators import ImageRows, Sampler
from gobelin.generation.image_rows import image_field as generation_image_field
from gobelin.generation.image_rows import image_rows as generation_image_rows
from gobelin.prediction import fusion_choice, predictor
from gobelin.prediction.cross_fit import Training
from gobelin.prediction.fusion_choice import ALL
from gobelin.prediction.predictor import Model
from gobelin.prediction.tuning import decision
from gobelin.quality import data
from gobelin.quality.data import Scan
from gobelin.workbench.run import data_files
from gobelin.workbench.run.rows import Rows, read_rows
from gobelin.workbench.run.settings import Settings

OTHER_RUN = "Choose another --run, or delete that folder."
# folder of the kept table of rows that search reads; a saved run has one where it was saved too
INDEX = "index"


class Artefacts:
    """The lazy chain. Nothing is written before the data was read and found usable."""

    def __init__(
        self, run: RunFolder, settings: Settings, progress: Progress, given: Dataset | None = None
    ) -> None:
        self.run, self.settings, self.progress, self.given = run, settings, progress, given

    @property
    def runtime(self) -> Runtime:
        return self.settings.runtime.apply()

    @cached_property
    def rows(self) -> Rows:
        """The data, its cells that can't be opened set aside."""
        rows = self._read
        said = self.settings.data.fingerprint
        if said and said != rows.dataset.fingerprint:
            raise GobelinError(
                f"{self.run.folder}: was made from other data than {rows.dataset.source} holds now."
                " Choose another --run."
            )
        if said:
            data_files.check(self.run.folder, rows.dataset, rows.schema, self.runtime.threads)
        made = np.isin(
            rows.dataset.ids, self.scan.marked
        )  # nothing of a made row is judged: no label, no place in a test
        parts = np.where(made, "train", rows.parts)
        return replace(
            rows, dataset=self.scan.dataset, target=rows.target.without(made), parts=parts
        )

    @cached_property
    def _read(self) -> Rows:
        if self.run.saved:
            raise GobelinError(
                f"{self.run.folder}: was saved without its data, needed here. Use the run it was"
                " saved from."
            )
        return read_rows(self.settings, self.given)

    @cached_property
    def data_key(self) -> str:
        s = self.settings
        return fingerprint(
            s.data.fingerprint or self._read.dataset.fingerprint,
            s.data.target,
            s.data.order,
            s.schema,
            s.fields,
            s.encoders,
            resolved(s.split),
            s.runtime.seed,
            s.runtime.precision,
        )

    def begin(self) -> None:
        """Write settings, environment and schema: from here on the folder is a run."""
        rows = self._read
        if self.run.exists():
            said = self.run.stored("settings.json")["data"]["fingerprint"]
            if said != rows.dataset.fingerprint:
                raise GobelinError(
                    f"{self.run.folder}: holds a run of another data set. {OTHER_RUN}"
                )
            was, found = (
                self.run.stored("settings.json")["data"]["target"],
                self.settings.data.target,
            )
            if was != found:
                raise GobelinError(
                    f"{self.run.folder}: holds a run with the target {was!r}, found {found!r}."
                    f" {OTHER_RUN}"
                )
            data_files.check(self.run.folder, rows.dataset, rows.schema, self.runtime.threads)
        _ = self.scan  # refuses data with too many bad cells before anything is written
        decision.check(
            self.settings.tune,
            self.plain_reader,
            set(self.schema.field_names) - set(self.settings.leave_out),
        )
        if not self.run.exists():
            data_files.write(self.run.folder, rows.dataset, rows.schema, self.runtime.threads)
        self.record(
            replace(
                self.settings,
                data=replace(self.settings.data, fingerprint=rows.dataset.fingerprint),
            )
        )
        write_json(self.run.folder / "environment.json", environment())
        write_json(self.run.folder / "schema.json", schema.described(rows.schema))
        for name, encoder in self.plain_reader.encoders.items():
            self.run.stage(f"encoders/{file_name(name)}", self.data_key, encoder.save)

    def record(self, settings: Settings) -> None:
        """Write settings.json anew; what was decided by a measurement is replayed from there."""
        self.settings = settings
        write_json(self.run.folder / "settings.json", resolved(settings))

    @cached_property
    def schema(self) -> Schema:
        """Of the run; its data need not be there."""
        path = self.run.folder / "schema.json"
        if not (self.settings.data.fingerprint and path.is_file()):
            return self._read.schema
        return schema.restored(self.run.stored("schema.json"), str(path))

    @cached_property
    def plain_reader(self) -> Reader:
        """Encoders fitted on training cells, or as this run saved them; none of them tuned."""
        encoders = {}
        for field in self.schema.fields:
            component = schema.build_encoder(field.encoder, self.settings.choices)
            stage = f"encoders/{file_name(field.name)}"
            if self.run.has(stage, self.data_key):
                encoders[field.name] = component.load(self.run.checked(stage), self.runtime)
            elif (kept := kept_space.encoder_folder(self.settings.align, field)) is not None:
                encoders[field.name] = component.load(kept, self.runtime)
            else:
                rows = self._read
                cells = rows.dataset.rows(rows.part("train")).cells(field)
                kinds = {c: rows.schema.kind(c) for c in field.columns}
                if isinstance(component, FitsFiles):
                    root = rows.dataset.root
                    encoders[field.name] = component.fit_files(
                        cells, field, kinds, self.runtime, root
                    )
                else:
                    encoders[field.name] = component.fit(cells, field, kinds, self.runtime)
        cache = None if self.run.saved else self.run.folder / "cache"
        return Reader(self.schema, encoders, cache, self.runtime.threads)

    @cached_property
    def reader(self) -> Reader:
        """The same, with the tuned encoders in the place of theirs, if tuning was asked for and
        kept."""
        how, key = self.settings.tune, self._features_key
        if not how.fields:
            return self.plain_reader
        work = self.run.folder / "work" / "tuned"

        def make(folder: Path) -> None:
            decision.save(folder, *decision.tuned(how, self._material, work, key))

        self.run.stage("tuned", key, make)
        shutil.rmtree(work, ignore_errors=True)
        return decision.loaded(self.plain_reader, self.run.checked("tuned"))

    @property
    def _features_key(self) -> str:
        """Of the encoders' features: the data's own, unless tuning may change them."""
        s = self.settings
        said = (resolved(s.tune), list(s.leave_out), resolved(s.check), resolved(s.predict))
        return fingerprint(self.data_key, *said) if s.tune.fields else self.data_key

    @property
    def _material(self) -> decision.Material:
        """What tuning sees: labelled training rows, nothing else."""
        r, rows = self.rows, self.rows.labelled("train")
        training = Training(
            self.settings.predict,
            self.plain.rows(rows).keep(self._used_fields),
            r.target.rows(rows),
            np.arange(len(rows)),
            [r.groups[k] for k in rows],
            r.weights[rows],
            self.runtime,
            self.progress,
        )
        return decision.Material(self.plain_reader, r.dataset.rows(rows), training)

    def tuning(self) -> list[Finding]:
        """What was found when encoders were tuned; nothing where that was not asked for."""
        return decision.said(self.run.folder / "tuned") if self.settings.tune.fields else []

    @cached_property
    def scan(self) -> Scan:
        return data.scan(self.plain_reader, self._read.dataset, self.settings.check, self.progress)

    @cached_property
    def plain(self) -> Embeddings:
        """Features of all rows by the encoders before any tuning."""
        return self.plain_reader.embed(self.rows.dataset, self.progress)

    @cached_property
    def embeddings(self) -> Embeddings:
        """Features of all rows."""
        return (
            self.plain
            if self.reader is self.plain_reader
            else self.reader.embed(self.rows.dataset, self.progress)
        )

    @property
    def _align_key(self) -> str:
        return fingerprint(self._features_key, resolved(self.settings.align))

    @cached_property
    def alignment(self) -> Alignment:
        key = self._align_key

        def make(folder: Path) -> None:
            train = self.rows.part("train")
            groups = [self.rows.groups[k] for k in train]
            how, x = self.settings.align, self.embeddings.rows(train)
            kept_space.space(how, self.reader, x, groups, self.runtime, self.progress).save(folder)

        self.run.stage("alignment", key, make)
        return Align.load(self.run.checked("alignment"))

    @cached_property
    def shared(self) -> Shared:
        return self.alignment.project(self.embeddings)

    @cached_property
    def index(self) -> Index:
        """The kept table that search reads: the data's rows, and those that were added later."""
        space = self.alignment.fingerprint()
        if not self.run.saved:

            def make(folder: Path) -> None:
                rows = self.rows
                create(
                    folder,
                    rows_of(self.shared, rows.dataset, rows.schema, rows.parts.tolist()),
                    space,
                )
                tell_lost(self.run.folder / INDEX, len(rows.dataset))

            self.run.stage(INDEX, fingerprint(self._align_key, space, FORMAT), make)
        elif not (self.run.folder / INDEX).is_dir():
            raise GobelinError(
                f"{self.run.folder}: was saved without an index, needed here. Save it with --index."
            )
        return Index(self.run.folder / INDEX, space)

    @cached_property
    def predict_fields(self) -> tuple[str, ...]:
        """The fields that prediction uses: not those left out by name, nor (auto) those that give
        the label away."""
        if self.run.has("model", self._model_key) and self.model.fields:
            return self.model.fields  # so that a fitted run predicts without its training data
        return self._used_fields

    @property
    def _used_fields(self) -> tuple[str, ...]:
        out = set(self.settings.leave_out)
        if "auto" in out:
            _, found = self.giveaways
            out |= set(found)
        kept = tuple(f for f in self.schema.field_names if f not in out)
        if not kept:
            raise GobelinError(
                "fit: every field is left out of prediction. Keep one with --set"
                " leave_out=FIELD,..."
            )
        return kept

    @cached_property
    def giveaways(self) -> tuple[list[data.Finding], tuple[str, ...]]:
        rows = self.rows
        return data.giveaways(
            rows.dataset,
            rows.schema,
            rows.target,
            self.plain.present,
            self.plain.fields,
            rows.part("train"),
            self.settings.check,
        )

    def inputs(self, embeddings: Embeddings) -> Embeddings:
        """What the fusion sees of these rows."""
        if self.settings.predict.features == "shared":
            return predictor.as_features(self.alignment.project(embeddings))
        return embeddings

    @property
    def _model_key(self) -> str:
        s = self.settings
        return fingerprint(
            self._features_key,
            resolved(s.predict),
            resolved(s.fusion),
            list(s.leave_out),
            resolved(s.check),
            resolved(s.align) if s.predict.features == "shared" else "",
        )

    @cached_property
    def model(self) -> Model:
        if self.settings.fusion.name == ALL:
            self._decide_fusion()
        how, key = self.settings.fusion, self._model_key

        def make(folder: Path) -> None:
            predictor.fit(
                how.name, catalog.build("fusion", how.name, how.settings), self.training
            ).save(folder)

        self.run.stage("model", key, make)
        return Model.load(self.run.checked("model"))

    @property
    def training(self) -> Training:
        """What the predictor is fitted on."""
        rows, x = self.rows, self.inputs(self.embeddings).keep(self.predict_fields)
        found = Training(
            self.settings.predict,
            x,
            rows.target,
            rows.labelled("train"),
            rows.groups,
            rows.weights,
            self.runtime,
            self.progress,
        )
        if self.reader is self.plain_reader:
            return found
        return replace(found, unseen=found.rows[decision.held_back(self.settings.tune, found)])

    def _decide_fusion(self) -> None:
        """The best of all fusions, found once and written down."""
        able = [
            n
            for n in catalog.names("fusion")
            if self.rows.target.kind != "labels" or catalog.find("fusion", n).several
        ]
        fusions = {name: catalog.build("fusion", name) for name in able}
        key = fingerprint(self._model_key, {name: resolved(one) for name, one in fusions.items()})

        def make(folder: Path) -> None:
            best, found = fusion_choice.contest(fusions, self.training)
            write_json(folder / "best.json", {"name": best})
            write_lines(folder / "findings.jsonl", [one.to_dict() for one in found])

        self.run.stage("fusions", key, make)
        best = read_json(self.run.checked("fusions") / "best.json")["name"]
        self.record(
            replace(
                self.settings,
                fusion=replace(self.settings.fusion, name=best, settings=resolved(fusions[best])),
            )
        )

    def contested(self) -> list[Finding]:
        """What was found when all fusions were compared; nothing where they were not."""
        return [
            Finding.from_dict(row)
            for row in read_lines(self.run.folder / "fusions" / "findings.jsonl")
        ]

    @property
    def image_field(self) -> str:
        """The field whose images are made."""
        return generation_image_field(self.schema, self.settings.generator.source)

    @property
    def fitted(self) -> str:
        """Names the predictor and the space that findings are about."""
        return fingerprint(self.model.fingerprint(), self.alignment.fingerprint())

    @cached_property
    def image_rows(self) -> tuple[ImageRows, ImageRows]:
        """Training and validation rows with an image, for the generator; with captions and sources
        if it can use them."""
        parts = catalog.find("generators", self.settings.generator.name).accepts
        size = self.settings.generator.size
        return self.pictures(self.rows.part("train"), size, parts), self.pictures(
            self.rows.part("valid"), size, parts
        )

    def pictures(
        self, rows: np.ndarray, size: int, parts: frozenset[str] = frozenset()
    ) -> ImageRows:
        """Those of these rows that have an image, at this size, with these parts beside vectors and
        target."""
        r, source = self.rows, self.settings.generator.source
        return generation_image_rows(
            r.dataset,
            rows,
            r.schema,
            self.shared,
            r.target,
            size,
            self.runtime.threads,
            source,
            parts,
            r.weights,
        )

    def generator_folder(self, seed: int) -> str:
        return f"generators/{self.settings.generator.name}-{seed}"

    def has_generator(self) -> bool:
        return self.run.has(self.generator_folder(0))

    def sampler(self, seed: int = 0) -> tuple[Sampler, str, str]:
        """The generator trained from this seed: its sampler, its component's name, its space.
        Trains it if need be."""
        self.decide_steps()
        how, name, key = (
            self.settings.generator,
            self.generator_folder(seed),
            self._generator_key(seed),
        )
        if self.run.has(name) and not self.run.has(name, key):
            self.run.discard("verbs/generate", "verbs/augment", "verbs/audit")
        work = self.run.folder / "work" / name

        def make(folder: Path) -> None:
            train, valid = self.image_rows
            fresh = self.runtime.seed + seed
            sampler = sampling.train(
                how, fresh, train, valid, work, self.runtime, how.steps, self.progress
            )
            sampling.save(sampler, how, self.shared.fingerprint, folder)
            sampling.keep_samples(sampler, work, folder)

        self.run.stage(name, key, make)
        shutil.rmtree(work, ignore_errors=True)
        return sampling.load(
            self.run.checked(name), self.runtime, how.settings if self.run.saved else None
        )

    def quality(self) -> dict[int, dict[int, float | None]]:
        """{seed: {step: held-out score}} of the generators that are there and were watched; lower
        is better."""
        out: dict[int, dict[int, float | None]] = {}
        for seed in range(self.settings.generator.seeds):
            rows = read_lines(
                self.run.folder / self.generator_folder(seed) / "samples" / "held_out.jsonl"
            )
            out |= {seed: {int(row["step"]): row["held_out"] for row in rows}} if rows else {}
        return out

    def _generator_key(self, seed: int) -> str:
        trained = replace(
            self.settings.generator, minutes=1.0, seeds=1, guidance=1.0
        )  # what training depends on
        return fingerprint(
            self._features_key, resolved(self.settings.align), resolved(trained), seed
        )

    def keys(self) -> dict[str, str]:
        """{stage: key} of all that predicting and generating need, as these settings ask for it."""
        keys = {f"encoders/{file_name(f.name)}": self.data_key for f in self.schema.fields}
        keys |= {"tuned": self._features_key} if self.settings.tune.fields else {}
        keys |= {"alignment": self._align_key, "model": self._model_key}
        seeds = range(self.settings.generator.seeds)
        return keys | {self.generator_folder(seed): self._generator_key(seed) for seed in seeds}

    def decide_steps(self) -> None:
        """Minutes into a count of steps, measured once and written down."""
        if (how := self.settings.generator).steps:
            return
        component = catalog.build("generators", how.name, how.settings)
        steps = component.steps_for(self.image_rows[0], self.runtime, how.minutes)
        self.record(replace(self.settings, generator=replace(how, steps=steps)))

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        """Features [n, D_f] of uint8 images [n, H, W, 3] by the run's image encoder."""
        name = self.image_field
        column = self.schema.field(name).columns[0]
        values = [png_bytes(i) for i in images]
        return self.reader.embed_column(name, column, values, Path()).features[name]

    def image_path(self, row: int) -> Path | None:
        """The file of a row's image, to look at; None where the cell holds bytes or nothing."""
        field = self.schema.field(self.image_field)
        cell = self.rows.dataset.cells(field)[row]
        value = image_values(cell)[0] if cell else None
        return self.rows.dataset.root / value if isinstance(value, str) else None

    def ids(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        return [self.rows.dataset.ids[int(k)] for k in rows]
