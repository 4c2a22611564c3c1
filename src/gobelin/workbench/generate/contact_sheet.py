"""The contact sheet of `generate`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gobelin.data.images import png_bytes
from gobelin.data.provenance import save_png
from gobelin.embedding.alignment.align import Shared
from gobelin.evidence.findings import Finding
from gobelin.generation import sampling
from gobelin.generation.conditions import condition, from_query, target_tensor
from gobelin.generation.generators import Condition
from gobelin.prediction.evaluation import scored_rows
from gobelin.quality import judge
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.generate import condition_match, filling
from gobelin.workbench.generate.condition_match import Trained
from gobelin.workbench.generate.images import (
    READ,
    SHOWN,
    Start,
    _controls,
    _prompt,
    _space,
    _wanted,
    _write,
)
from gobelin.workbench.run.folder import Artefacts


def showcase(
    made: Artefacts, queries: Sequence[Mapping[str, str]], exhibits: Exhibits
) -> list[Finding]:
    """The contact sheet, and how often the class asked for is read from the image alone. What the
    generator can't be asked is left out."""
    base = made.run.folder / "images" / "generate"
    shutil.rmtree(base, ignore_errors=True)
    seeds, space, groups = list(range(SHOWN)), _space(made), []
    trained = sampler, generator, _ = made.sampler(0)

    def add(
        name: str,
        label: str,
        wanted: Condition,
        described: Mapping[str, str],
        source: str | None = None,
    ) -> None:
        if not wanted.used() <= sampler.accepts:
            return
        names = _write(made, trained, wanted, seeds, described, base / name, _controls(made))
        group = {"label": label, "images": [f"images/generate/{name}/{n}" for n in names]}
        groups.append({**group, "source": source} if source else group)

    def beside(name: str, row: int, pixels: np.ndarray) -> str:
        save_png(made.run.folder / name, pixels, {"copy of row": made.ids([row])[0]}, trained=False)
        return name

    kind = made.model.kind
    for k, c in enumerate(made.model.exclusive):
        add(f"class-{k}", f"class: {c}", from_query(None, k, space, kind, SHOWN), {"label": c})
    for k, asked in enumerate(queries):
        if (
            {"text"} <= sampler.accepts
            and "vectors" not in sampler.accepts
            and _prompt(made, asked)[1]
        ):
            continue
        said = ", ".join(f"{flag}: {text}" for flag, text in asked.items())
        add(
            f"query-{k}",
            said,
            _wanted(made, sampler, generator, None, asked, Start(), SHOWN),
            asked,
        )
    field = made.image_field
    rows = made.rows.part("valid")
    for row in [int(r) for r in rows if made.shared.has(field)[r]][:: max(1, len(rows) // 3)][:3]:
        wanted = condition(made.shared, None, np.array([row] * SHOWN), (field,))
        source = beside(
            f"images/generate/source-{row}.png", row, made.pictures(np.array([row]), 64).images[0]
        )
        add(
            f"image-{row}",
            f"image: {made.ids([row])[0]} (unseen)",
            wanted,
            {"image": made.ids([row])[0]},
            source,
        )
    for row in _with_source(made)[:: max(1, len(rows) // 6)][:6]:
        pair = made.pictures(
            np.array([row]), made.settings.generator.size, frozenset({"source"})
        ).condition.source
        assert pair is not None
        wanted = from_query(None, None, space, kind, SHOWN, source=pair[0])
        source = beside(f"images/generate/start-{row}.png", row, pair[0])
        add(
            f"start-{row}",
            f"source: {made.ids([row])[0]} (unseen)",
            wanted,
            {"source": made.ids([row])[0]},
            source,
        )
    add("nothing", "nothing", from_query(None, None, space, kind, SHOWN), {"nothing": ""})
    exhibits.sheet("contact_sheet", "Made images, each row with what it was made from.", groups)
    found = (
        _agreement(made, trained, space)
        if made.model.exclusive and "target" in sampler.accepts
        else []
    )
    others = [
        k for k in range(1, made.settings.generator.seeds) if made.run.has(made.generator_folder(k))
    ]
    found += condition_match.match(made, [trained, *(made.sampler(k) for k in others)])
    return found + filling.filled(made)


def _with_source(made: Artefacts) -> list[int]:
    """Validation rows that have an image and the image that it is made from."""
    source, field = made.settings.generator.source, made.image_field
    if not source:
        return []
    values = made.rows.dataset.values(source)
    return [
        int(r)
        for r in made.rows.part("valid")
        if values[int(r)] is not None and made.shared.has(field)[r]
    ]


def _agreement(made: Artefacts, trained: Trained, space: Shared) -> list[Finding]:
    """Label agreement of made images by class and overall, with its ceiling from real validation
    images."""
    field, classes = made.image_field, made.model.classes
    if field not in made.predict_fields:
        return []
    asked = np.repeat(np.arange(len(classes)), READ)
    wanted = from_query(None, 0, space, made.model.kind, len(asked))
    wanted = Condition(
        wanted.fields,
        wanted.vectors,
        wanted.present,
        target_tensor(asked, "class"),
        fingerprint=wanted.fingerprint,
    )
    sampler, name, trained_in = trained
    seeds = [10_000 + k for k in range(len(asked))]
    blocks = sampling.sample(
        sampler, name, trained_in, wanted, seeds, _controls(made), made.progress
    )
    read = _read(made, field, np.concatenate(list(blocks)))
    valid = scored_rows(made.rows.target, made.rows.labelled("valid"))
    valid = np.array([r for r in valid if made.shared.has(field)[r]])
    real = made.pictures(valid, made.settings.generator.size)
    right = _read(made, field, real.images) == made.rows.target.values[valid]
    ceilings = [
        float(right[made.rows.target.values[valid] == c].mean())
        for c in np.unique(made.rows.target.values[valid])
    ]
    units, chance = [str(s) for s in seeds], 1 / len(classes)
    found = [judge.agreement(read, asked, {}, chance, float(np.mean(ceilings)), units)]
    for k, c in enumerate(classes):
        own = asked == k
        found.append(
            judge.agreement(
                read[own],
                asked[own],
                {"class": c},
                chance,
                None,
                [u for u, o in zip(units, own, strict=True) if o],
            )
        )
    return found


def _read(made: Artefacts, field: str, images: np.ndarray) -> np.ndarray:
    """The class that the predictor reads from images alone, int64 [n]."""
    values = [png_bytes(i) for i in images]
    column = made.schema.field(field).columns[0]
    x = made.reader.embed_column(field, column, values, Path())
    return made.model.predict(made.inputs(x).keep(made.predict_fields)).labels
