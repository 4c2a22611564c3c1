"""The contact sheet of `generate`: images from every class, from queries, images, rows, nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gobelin.core.config import resolved
from gobelin.core.files import fingerprint
from gobelin.data.media import stem_of
from gobelin.data.provenance.marks import save_png
from gobelin.evidence.findings import Finding
from gobelin.generation.conditions import condition, from_query, target_tensor
from gobelin.generation.generators import Condition, Controls
from gobelin.quality import judge
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.generate import condition_match, filling
from gobelin.workbench.generate.images import write_images
from gobelin.workbench.generate.request import Start, condition_of, split_prompt
from gobelin.workbench.run import lineage
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained

SHOWN = 8  # images a condition
READ_IMAGES = 40  # images a class, for label agreement
THUMBNAIL = 64  # pixels a side
FOLDER = "images/contact_sheet"  # its images in the run folder, which holds nothing else


def key_of(run: Run, queries: Sequence[Mapping[str, str]]) -> str:
    """Cache key of the contact sheet."""
    return fingerprint(run.predictor.fingerprint, queries, resolved(run.settings.generator))


def showcase(run: Run, queries: Sequence[Mapping[str, str]], exhibits: Exhibits) -> list[Finding]:
    """Write the contact sheet; findings on label agreement, condition match and filling.

    Label agreement: how often the predictor reads the requested class from the image alone. A
    condition that the generator does not accept is left out.
    """
    shutil.rmtree(run.folder.folder / FOLDER, ignore_errors=True)
    generator = run.generator
    trained = generator.sampler(0)
    sheet = _Sheet(run, trained, [])
    sheet.classes()
    sheet.queries(queries)
    sheet.images()
    sheet.sources()
    sheet.add("nothing", "nothing", sheet.empty(), {"nothing": ""})
    weights = trained.sampler.fingerprint()[:16]
    about = lineage.about(trained.name, 0, generator.stage(0))
    lineage.record_images(run.folder, weights, about, sheet.made)
    exhibits.sheet("contact_sheet", "Generated images, each row with its condition.", sheet.groups)
    findings = []
    if run.predictor.model.exclusive and "target" in trained.sampler.accepts:
        findings += _agreement(run, trained)
    others = range(1, generator.settings.seeds)
    trainings = [generator.sampler(k) for k in others if run.folder.has(generator.stage(k))]
    findings += condition_match.match(run, [trained, *trainings])
    return findings + filling.filled(run.predictor, generator)


class _Sheet:
    """The groups of the contact sheet, one for each condition."""

    def __init__(self, run: Run, trained: Trained, groups: list[dict[str, object]]) -> None:
        self.run, self.trained, self.groups = run, trained, groups
        self.made: list[dict[str, object]] = []  # for the lineage of the run

    def empty(self) -> Condition:
        """No condition at all."""
        space, kind = self.run.space.empty(), self.run.predictor.model.kind
        return from_query(None, None, space, kind, SHOWN)

    def add(
        self,
        name: str,
        label: str,
        requested: Condition,
        described: Mapping[str, str],
        source: str | None = None,
        row: str | None = None,
    ) -> None:
        """Add images of a condition. row: the id of the row that it is taken from."""
        if not requested.used() <= self.trained.sampler.accepts:
            return
        folder = self.run.folder.folder / FOLDER / name
        controls = Controls(guidance=self.run.settings.generator.guidance)
        seeds, progress = list(range(SHOWN)), self.run.data.progress
        names = write_images(
            self.trained,
            requested,
            seeds,
            described,
            folder,
            controls,
            progress,
            pictures=True,
            of_kind=self.run.generator.medium,
        )
        images = ((f"{name}/{n}", s, row) for n, s in zip(names, seeds, strict=True) if row)
        self.made.append(
            lineage.one_by_one("generate", images)
            if row
            else lineage.one_name("generate", folder, "seed-", seeds)
        )
        group: dict[str, object] = {
            "label": label,
            "images": [f"{FOLDER}/{name}/{stem_of(Path(n))}.png" for n in names],
        }
        group |= {"views": views} if (views := self._views(name, names[0])) else {}
        self.groups.append(group | ({"source": source} if source else {}))

    def _views(self, name: str, file: str) -> list[dict[str, object]]:
        """The views of the first volume of a condition, written as strips; none of an image."""
        folder, of_kind = f"{FOLDER}/{name}", self.run.generator.medium
        if of_kind.dimensions == 2:
            return []
        array, views = of_kind.array((self.run.folder.folder / folder / file).read_bytes()), []
        for view, (strip, count) in of_kind.views(array).items():
            path = f"{folder}/{stem_of(Path(file))}-{view}.png"
            save_png(self.run.folder.folder / path, strip, {"views of": file})
            views.append({"name": view, "strip": path, "count": count})
        return views

    def classes(self) -> None:
        model, space = self.run.predictor.model, self.run.space.empty()
        for k, c in enumerate(model.exclusive):
            requested = from_query(None, k, space, model.kind, SHOWN)
            self.add(f"class-{k}", f"class: {c}", requested, {"label": c})

    def queries(self, queries: Sequence[Mapping[str, str]]) -> None:
        accepts = self.trained.sampler.accepts
        for k, query in enumerate(queries):
            text_alone = "text" in accepts and "vectors" not in accepts
            if text_alone and split_prompt(self.run, query)[1]:
                continue
            label = ", ".join(f"{flag}: {text}" for flag, text in query.items())
            requested = condition_of(self.run, self.trained, None, query, Start(), SHOWN)
            self.add(f"query-{k}", label, requested, query)

    def images(self) -> None:
        """Add conditions that are the vector of a validation row's image."""
        rows, shared, field = self.run.checked.rows, self.run.space.shared, self.run.generator.field
        valid = rows.part("valid")
        shown = [int(r) for r in valid if shared.has(field)[r]][:: max(1, len(valid) // 3)][:3]
        for row in shown:
            name = rows.ids([row])[0]
            requested = condition(shared, None, np.array([row] * SHOWN), (field,))
            pixels = self.run.generator.images(np.array([row]), THUMBNAIL).images[0]
            source = self._beside(f"{FOLDER}/source-{row}.png", name, pixels)
            label = f"{self.run.generator.medium.kind}: {name} (unseen)"
            self.add(f"image-{row}", label, requested, {"image": name}, source, name)

    def sources(self) -> None:
        """Add source images of validation rows, for a generator trained on pairs."""
        rows, generator = self.run.checked.rows, self.run.generator
        space, kind = self.run.space.empty(), self.run.predictor.model.kind
        stride = max(1, len(rows.part("valid")) // 6)
        for row in self._with_source()[::stride][:6]:
            pair = generator.images(np.array([row]), parts=frozenset({"source"})).condition.source
            assert pair is not None
            name = rows.ids([row])[0]
            requested = from_query(None, None, space, kind, SHOWN, source=pair[0])
            source = self._beside(f"{FOLDER}/start-{row}.png", name, pair[0])
            self.add(
                f"start-{row}",
                f"source: {name} (unseen)",
                requested,
                {"source": name},
                source,
                name,
            )

    def _with_source(self) -> list[int]:
        """The validation rows that have an image and its source image."""
        rows, generator = self.run.checked.rows, self.run.generator
        if not generator.settings.source:
            return []
        values = rows.dataset.values(generator.settings.source)
        has = self.run.space.shared.has(generator.field)
        return [int(r) for r in rows.part("valid") if values[int(r)] is not None and has[r]]

    def _beside(self, path: str, name: str, pixels: np.ndarray) -> str:
        picture = self.run.generator.medium.picture(pixels)
        save_png(self.run.folder.folder / path, picture, {"copy of row": name}, trained=False)
        return path


def _agreement(run: Run, trained: Trained) -> list[Finding]:
    """Label agreement of generated images, overall and by class; real validation images give the
    ceiling.
    """
    field, classes = run.generator.field, run.predictor.model.classes
    if field not in run.predictor.fields:
        return []
    labels = np.repeat(np.arange(len(classes)), READ_IMAGES)
    template = from_query(None, 0, run.space.empty(), run.predictor.model.kind, len(labels))
    requested = Condition(
        template.fields,
        template.vectors,
        template.present,
        target_tensor(labels, "class"),
        fingerprint=template.fingerprint,
    )
    seeds = [10_000 + k for k in range(len(labels))]
    controls = Controls(guidance=run.settings.generator.guidance)
    blocks = trained.sample(requested, seeds, controls, run.data.progress)
    read = _read(run, field, np.concatenate(list(blocks)))
    target, rows = run.checked.rows.target, run.checked.rows
    valid = target.scored_rows(rows.labelled("valid"))
    valid = np.array([r for r in valid if run.space.shared.has(field)[r]])
    right = _read(run, field, run.generator.images(valid).images) == target.values[valid]
    ceilings = [
        float(right[target.values[valid] == c].mean()) for c in np.unique(target.values[valid])
    ]
    units, chance = np.array([str(s) for s in seeds]), 1 / len(classes)
    ceiling = float(np.mean(ceilings))
    findings = [judge.agreement(read, labels, {}, chance, ceiling, units.tolist())]
    for k, c in enumerate(classes):
        of_class = labels == k
        findings.append(
            judge.agreement(
                read[of_class],
                labels[of_class],
                {"class": c},
                chance,
                None,
                units[of_class].tolist(),
            )
        )
    return findings


def _read(run: Run, field: str, images: np.ndarray) -> np.ndarray:
    """int64 [n]: the class that the predictor reads from images alone."""
    column = run.data.schema.field(field).columns[0]
    generator = run.generator
    files = [generator.medium.cell(image, extent=generator.extent) for image in images]
    x = run.features.embedder.embed_column(field, column, files, Path())
    return run.predictor.model.predict(run.predictor.inputs(x)).class_indices
