"""The verb `search`, its index and its recall."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.embedding import recall, recall_baselines
from gobelin.embedding.index import ADDED, rows_of
from gobelin.evidence.findings import Finding
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.predict import _taken
from gobelin.workbench.run.folder import Artefacts


def searched(made: Artefacts, exhibits: Exhibits) -> list[Finding]:
    """Recall on validation rows for every ordered pair of fields, beside closed forms of the pair
    alone, and for each language of a caption."""
    rows, train = made.rows.part("valid"), made.rows.part("train")
    own, taught = made.embeddings.rows(rows), made.embeddings.rows(train)
    shared = made.alignment.project(own)
    groups, seen = ([made.rows.groups[r] for r in some] for some in (rows, train))

    rivals = recall_baselines.Baselines(taught, seen, made.runtime.seed).rivals(own)
    found = recall.recall(shared, groups, rivals)
    dataset = made.rows.dataset.rows(rows)
    for field in made.schema.fields:
        if len(field.columns) > 1 and made.schema.kind(field.columns[0]) == "text":
            found += recall.recall_of_columns(
                made.reader, made.alignment, dataset, shared, field.name, groups
            )
    fives = [f for f in found if f.name == "recall@5" and "by" not in f.scope]
    shown = [
        Finding(
            name=f.name,
            scope={
                "pair": (
                    f"{f.scope['from']} to {f.scope['to']} ({f.note}, chance"
                    f" {100 * (f.chance or 0):.1f})"
                )
            },
            value=f.value,
            low=f.low,
            high=f.high,
            unit=f.unit,
            n=f.n,
        )
        for f in fives
    ]
    exhibits.bars(
        "recall", "Recall at 5 on validation rows, for every ordered pair of fields.", shown, "pair"
    )
    return found


def indexed(made: Artefacts, added: Dataset | None, deleted: Sequence[str]) -> list[Finding]:
    """How many rows are searched, after these were added and those with these ids deleted."""
    if (added is not None or deleted) and made.run.saved:
        raise GobelinError(
            f"{made.run.folder}: is a saved run, nothing is changed in it. Use the run it was saved"
            " from."
        )
    with made.run.alone() if not made.run.saved else nullcontext():
        if added is not None:
            dataset = _taken(made, added, made.settings.check, "index").dataset
            shared = made.alignment.project(made.reader.embed(dataset, made.progress))
            if (
                made.schema.role("id") not in dataset.column_names
            ):  # row numbers would be those of the run's rows
                shared = replace(
                    shared, ids=tuple(f"{Path(dataset.source).stem}-{k}" for k in shared.ids)
                )
        made.index.change(
            rows_of(shared, dataset, made.schema, [ADDED] * len(shared)) if added else None, deleted
        )
    said = "filters know " + ", ".join(made.index.known)
    return [
        Finding(
            name="rows_searched",
            value=float(len(made.index)),
            n=len(made.index),
            note=said,
            source="index",
        )
    ]
