"""The verb `search`: its recall, and the rows that it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.embedding.search import recall, recall_baselines
from gobelin.embedding.search.index import ADDED
from gobelin.embedding.search.index_rows import rows_of, with_fields
from gobelin.evidence.findings import Finding
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.predict.predict import new_rows
from gobelin.workbench.run.space import RunSpace


def recalled(space: RunSpace, exhibits: Exhibits) -> list[Finding]:
    """Recall on validation rows for every ordered pair of fields, and for each language of a
    caption.

    Baselines are closed forms fitted on the pair alone.
    """
    rows, embeddings = space.checked.rows, space.features.embeddings
    valid, train = rows.part("valid"), rows.part("train")
    x = embeddings.rows(valid)
    shared = space.alignment.project(x)
    groups, train_groups = ([rows.groups[r] for r in part] for part in (valid, train))
    seed = space.features.data.runtime.seed
    baselines = recall_baselines.RecallBaselines(embeddings.rows(train), train_groups, seed)
    findings = recall.recall(shared, groups, baselines.methods(x))
    dataset = rows.dataset.rows(valid)
    for field in rows.schema.fields:
        if len(field.columns) > 1 and rows.schema.kind(field.columns[0]) == "text":
            findings += recall.recall_of_columns(
                space.features.embedder, space.alignment, dataset, shared, field.name, groups
            )
    at_five = [f for f in findings if f.name == "recall@5" and "by" not in f.scope]
    exhibits.bars(
        "recall",
        "Recall at 5 on validation rows, for every ordered pair of fields.",
        [_bar(f) for f in at_five],
        "pair",
    )
    return findings


def _bar(f: Finding) -> Finding:
    """The finding with its pair of fields as the label of a bar."""
    chance = 100 * (f.chance or 0)
    pair = f"{f.scope['from']} to {f.scope['to']} ({f.note}, chance {chance:.1f})"
    return Finding(
        name=f.name, scope={"pair": pair}, value=f.value, low=f.low, high=f.high, unit=f.unit, n=f.n
    )


def indexed(space: RunSpace, added: Dataset | None, deleted: Sequence[str]) -> list[Finding]:
    """Add rows to the index, delete rows by id; the finding is the number of rows."""
    if added is not None or deleted:
        _change(space, added, deleted)
    return [
        Finding(
            name="rows_searched",
            value=float(len(space.index)),
            n=len(space.index),
            note="columns for filters: " + ", ".join(space.index.known),
            source="index",
        )
    ]


def _change(space: RunSpace, added: Dataset | None, deleted: Sequence[str]) -> None:
    folder, data = space.folder, space.features.data
    if folder.saved:
        raise GobelinError(
            f"{folder.folder}: is a saved run, which can't be changed. Use the run that it was"
            " saved from."
        )
    with folder.alone():
        rows = None
        if added is not None:
            dataset = new_rows(space.features, added, data.settings.check, "index").dataset
            embeddings = space.features.embedder.embed(dataset, data.progress)
            shared = space.alignment.project(embeddings)
            if data.schema.role("id") not in dataset.column_names:
                # row numbers would be those of the run's own rows
                names = tuple(f"{Path(dataset.source).stem}-{k}" for k in shared.ids)
                shared = replace(shared, ids=names)
            table = rows_of(shared, dataset, data.schema, [ADDED] * len(shared))
            rows = with_fields(table, shared, str(dataset.root.absolute()))
        space.index.change(rows, deleted)
