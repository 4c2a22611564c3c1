"""The verbs that look: check, evaluate, search, predict, index. Findings from the stages, exhibits beside them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from gobelin import baselines, evaluation, generation, making, search
from gobelin.artefacts import Artefacts
from gobelin.check import Check, Scan, Twin, scan
from gobelin.data.dataset import Dataset
from gobelin.errors import GobelinError
from gobelin.evidence import Finding
from gobelin.exhibits import Shelf
from gobelin.index import ADDED, rows_of
from gobelin.predict import Predictions

SHOWN_TWINS = 12


def checked(made: Artefacts, found: Sequence[Finding], twins: Sequence[Twin], shelf: Shelf) -> None:
    """What `check` shows: the classes, the missing cells, the schema, the look-alikes across splits."""
    classes = [f for f in found if f.name == "training_rows"]
    shelf.bars("classes", "Training rows of every class.", classes, "class")
    missing = [f for f in found if f.name == "missing_cells"]
    shelf.bars("missing", "Share of missing cells in every field.", missing, "field")
    shown = [(c.name, c.kind, c.role, f"{c.confidence:.2f}", c.reason) for c in made.schema.columns]
    shelf.table(
        "schema", "What every column was taken for, and why.", ("column", "kind", "role", "confidence", "reason"), shown
    )
    field = making.image_field_or_none(made)
    if made.scan.bad:
        rows = [(i, c, why) for i, c, why in made.scan.bad[:200]]
        shelf.table("set_aside", "Cells that can't be used; they count as missing.", ("row", "column", "reason"), rows)
    pairs = []
    for twin in [t for t in twins if t.field == field][:SHOWN_TWINS]:
        left, right = (thumbnail(made, r) for r in (twin.left, twin.right))
        if left and right:
            names = made.ids((twin.left, twin.right))
            caption = f"{names[0]} / {names[1]} (distance {twin.closeness:.2f} of the median)"
            pairs.append({"left": left, "right": right, "caption": caption})
    if pairs:
        shelf.pairs("look_alikes", "Look-alikes on both sides of the split.", "training", "validation or test", pairs)
    others = [(t.field, *made.ids((t.left, t.right)), f"{t.closeness:.2f}") for t in twins if t.field != field][:60]
    if others:
        titles = ("field", "training row", "other row", "distance, of the median")
        shelf.table("twins", "Look-alikes in the other fields.", titles, others)


def thumbnail(made: Artefacts, row: int) -> str | None:
    """A copy of a row's image inside the run folder, its path relative to it; None where there is no file."""
    source = made.image_path(row)
    if source is None or not source.is_file():
        return None
    name = f"images/data/{row}{source.suffix.lower()}"
    target = made.run.folder / name
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return name


def fitted(made: Artefacts, shelf: Shelf) -> list[Finding]:
    """What was fitted, in figures that need no other rows."""
    model, left = made.model, [f for f in made.schema.field_names if f not in made.predict_fields]
    note = f"fusion {model.fusion}, weight decay {model.decay:g}, temperature {model.temperature:.2f}"
    found = [Finding("fields_used", {"fields": " + ".join(made.predict_fields)}, value=float(len(made.predict_fields)),
                     note=note, source="fit")]  # fmt: skip
    there = made.embeddings.present.mean(0)
    found += [
        Finding("field_left_out", {"field": f}, value=float(there[made.embeddings.fields.index(f)]), unit="share", source="fit",
                note="of the rows have it; named in leave_out, or gives the label away")
        for f in left
    ]  # fmt: skip
    if contested := made.contested():
        found += contested
        own = [f for f in contested if not f.comparator]
        shelf.bars("fusions", "Every fusion on training rows that it had not seen.", own, "fusion")
    found += made.tuning()
    kept = made.alignment.kept
    found.append(
        Finding("shared_space", value=float(made.alignment.settings.width), unit="dimensions", source="fit",
                note=f"{kept} projections were kept: they retrieve best among held-back training rows")
    )  # fmt: skip
    if curves := made.quality():
        steps = sorted({step for curve in curves.values() for step in curve})
        series = {f"seed {seed}": [curve.get(step) for step in steps] for seed, curve in curves.items()}
        name = made.settings.generator.name
        caption = f"How good {name} was on validation rows while it trained; lower is better, the best weights were kept."
        shelf.curve("generator", caption, steps, series, "training steps", "held-out score")
    return found


def evaluated(made: Artefacts, shelf: Shelf) -> list[Finding]:
    """The predictor on validation rows."""
    rows = evaluation.scored_rows(made.rows.target, made.rows.labelled("valid"))
    target = made.rows.target.rows(rows)
    chance = evaluation.chance_of(made.rows.target, made.rows.labelled("train"), rows)
    x = made.inputs(made.embeddings.rows(rows)).keep(made.predict_fields)
    found, predictions = evaluation.evaluate(made.model, x, target, [made.rows.groups[r] for r in rows], chance)
    by_class = [f for f in found if f.name in ("recall", "auroc")]
    shelf.bars("by_class", f"{_words(by_class)} of each class on validation rows.", by_class, "class")
    by_subset = [f for f in found if "fields" in f.scope and f.name == found[0].name]
    shelf.bars("by_fields", f"{_words(found)} when only these fields are shown.", by_subset, "fields", chance)
    if target.kind == "number":
        return found
    sure, right, _ = evaluation.reliability(predictions, target)
    series = {"share right": right, "calibrated": sure}
    shelf.curve("reliability", "Are the probabilities honest?", sure, series, "mean confidence", "share right")
    return found


def _words(found: Sequence[Finding]) -> str:
    """The name of the first as the beginning of a sentence."""
    return found[0].name.replace("_", " ").capitalize() if found else ""


def searched(made: Artefacts, shelf: Shelf) -> list[Finding]:
    """Recall on validation rows for every ordered pair of fields, beside closed forms of the pair alone, and for each language
    of a caption."""
    rows, train = made.rows.part("valid"), made.rows.part("train")
    own, taught = made.embeddings.rows(rows), made.embeddings.rows(train)
    shared = made.alignment.project(own)
    groups, seen = ([made.rows.groups[r] for r in some] for some in (rows, train))

    rivals = baselines.Baselines(taught, seen, made.runtime.seed).rivals(own)
    found = search.recall(shared, groups, rivals)
    dataset = made.rows.dataset.rows(rows)
    for field in made.schema.fields:
        if len(field.columns) > 1 and made.schema.kind(field.columns[0]) == "text":
            found += search.recall_of_columns(made.reader, made.alignment, dataset, shared, field.name, groups)
    fives = [f for f in found if f.name == "recall@5" and "by" not in f.scope]
    shown = [
        Finding(f.name, {"pair": f"{f.scope['from']} to {f.scope['to']} ({f.note}, chance {100 * (f.chance or 0):.1f})"},
                value=f.value, low=f.low, high=f.high, unit=f.unit, n=f.n)
        for f in fives
    ]  # fmt: skip
    shelf.bars("recall", "Recall at 5 on validation rows, for every ordered pair of fields.", shown, "pair")
    return found


def predicted(made: Artefacts, dataset: Dataset, how: Check) -> Predictions:
    """Predictions for another data set."""
    scanned = _taken(made, dataset, how, "predict")
    x = made.inputs(made.reader.embed(scanned.dataset, made.progress)).keep(made.predict_fields)
    return made.model.predict(x)


def indexed(made: Artefacts, added: Dataset | None, deleted: Sequence[str]) -> list[Finding]:
    """How many rows are searched, after these were added and those with these ids deleted."""
    if (added is not None or deleted) and made.run.saved:
        raise GobelinError(f"{made.run.folder}: is a saved run, nothing is changed in it. Use the run it was saved from.")
    with made.run.alone() if not made.run.saved else nullcontext():
        if added is not None:
            dataset = _taken(made, added, made.settings.check, "index").dataset
            shared = made.alignment.project(made.reader.embed(dataset, made.progress))
            if made.schema.role("id") not in dataset.column_names:  # row numbers would be those of the run's rows
                shared = replace(shared, ids=tuple(f"{Path(dataset.source).stem}-{k}" for k in shared.ids))
        made.index.change(rows_of(shared, dataset, made.schema, [ADDED] * len(shared)) if added else None, deleted)
    said = "filters know " + ", ".join(made.index.known)
    return [Finding("rows_searched", value=float(len(made.index)), n=len(made.index), note=said, source="index")]


def _taken(made: Artefacts, dataset: Dataset, how: Check, verb: str) -> Scan:
    """Rows of another data set by this run's schema, their bad cells set aside."""
    columns = [c for f in made.schema.fields for c in f.columns]
    if not set(columns) & set(dataset.column_names):
        raise GobelinError(
            f"{verb}: {dataset.source} has none of the columns {', '.join(columns)}; it has "
            f"{', '.join(dataset.column_names)}. Name them alike."
        )
    name = made.schema.role("id")
    dataset = dataset.with_ids(name) if name in dataset.column_names else dataset.with_ids()
    return scan(made.reader, dataset, how, made.progress)


def planned(made: Artefacts, generator: bool) -> list[Finding]:
    """The size of the work: rows, cells to encode, heads to train, the generator's minutes."""
    rows, s = made.rows, made.settings
    found = [
        Finding("rows", {"split": p}, value=float((rows.parts == p).sum()), n=int((rows.parts == p).sum()), source="plan")
        for p in ("train", "valid", "test")
    ]
    for field in rows.schema.fields:
        there = sum(c is not None for c in rows.dataset.cells(field))
        found.append(Finding("cells_to_encode", {"field": field.name, "encoder": field.encoder}, value=float(there), n=there,
                             note="fewer where the cache has them", source="plan"))  # fmt: skip
    heads = (s.predict.folds + 1) * len(s.predict.decays)
    found.append(Finding("heads_to_train", {"verb": "fit"}, value=float(heads), source="plan"))
    if generator:
        generation.image_field(rows.schema, s.generator.source)
        minutes = s.generator.minutes * s.generator.seeds
        found.append(Finding("generator_minutes", value=minutes, unit="minutes", source="plan"))
    return found


def summary(made: Artefacts) -> list[str]:
    """What a run folder holds."""
    s, run = made.settings, made.run
    stages = sorted(p.parent.relative_to(run.folder).as_posix() for p in run.folder.glob("**/stage.json"))
    fields = ", ".join(f"{f.name} ({f.encoder}: {', '.join(f.columns)})" for f in made.schema.fields)
    return [
        f"data: {s.data.path or 'not here'}, target {s.data.target or 'none'}",
        f"fields: {fields}",
        f"fusion {s.fusion.name}, generator {s.generator.name} ({s.generator.steps or 'no'} steps), seed {s.runtime.seed}",
        f"made so far: {', '.join(stages)}",
    ]
