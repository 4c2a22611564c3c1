"""The curated dataset: corrected labels and captions, a weight and a record of changes a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import write_json
from gobelin.core.shell import shell_word
from gobelin.data.copied_files import copied_bytes
from gobelin.data.dataset import CURATED_COLUMN, SPLIT_COLUMN, WEIGHT_COLUMN, Dataset
from gobelin.data.fields import PATH_KINDS
from gobelin.data.files import BadCell
from gobelin.data.provenance.marks import records
from gobelin.workbench.curate.decisions import (
    Decisions,
    caption_field,
    decisions,
    generated_rows,
)
from gobelin.workbench.export_folder import new_folder
from gobelin.workbench.run import lineage
from gobelin.workbench.run.chain import Run

CURATED_SET = "curated.parquet"


def curated_dataset(run: Run) -> Dataset:
    """All rows of the run, with corrected labels and captions in training rows.

    The columns `gobelin_weight` and `gobelin_split` are added, and `gobelin_curated` records the
    changes.
    """
    decided, rows, schema = decisions(run), run.checked.rows, run.data.schema
    whole, model = rows.dataset.with_ids(), run.predictor.model
    labels, values = whole.values(model.target), rows.target.values
    written = {int(c): labels[r] for r, c in enumerate(values) if c >= 0}  # class -> its cell
    changes = _earlier_changes(whole)
    weight = rows.weights.astype(float)
    weight[decided.rows] = decided.weight
    for k in np.flatnonzero(decided.label != decided.given):
        row = int(decided.rows[k])
        was = None if decided.given[k] < 0 else model.classes[decided.given[k]]
        labels[row] = written[int(decided.label[k])]
        changes[row][model.target] = {
            "was": was,
            "probability": round(float(decided.chance[k]), 4),
        }
    table = _with(whole.table, model.target, pa.array(labels, whole.table[model.target].type))
    field = caption_field(schema)
    for column in schema.field(field).columns if field and len(decided.borrowed) else ():
        texts = whole.values(column)
        for row, donor in decided.borrowed[:, :2].astype(int):
            texts[row] = texts[donor]
        table = _with(table, column, pa.array(texts, table[column].type))
    for row, donor, _, closeness in decided.borrowed.tolist():
        origin = {"from": whole.ids[int(donor)], "closeness": round(closeness, 4)}
        changes[int(row)][str(field)] = origin
    replaced = {schema.role("weight"), schema.role("split")} & {*table.column_names}
    table = table.drop_columns(sorted(map(str, replaced)))
    table = _with(table, WEIGHT_COLUMN, pa.array(weight))
    table = _with(table, SPLIT_COLUMN, pa.array(rows.parts.tolist()))
    texts = [json.dumps(c, sort_keys=True, ensure_ascii=False) if c else "" for c in changes]
    curated = replace(whole, table=_with(table, CURATED_COLUMN, pa.array(texts)))
    return curated.rows(np.flatnonzero(~generated_rows(run.checked)))


def export(run: Run, folder: Path) -> Path:
    """Write the curated dataset as Parquet with its files inside, a recipe for it, and a README.

    Returns the path of the Parquet file. Raises GobelinError for a folder that is not empty.
    """
    dataset = curated_dataset(run)
    table = dataset.table
    for column in run.data.schema.columns:
        if column.kind in PATH_KINDS and column.name in table.column_names:
            copied = partial(copied_bytes, root=dataset.root, kind=column.kind)
            files = [_contents(v, copied) for v in dataset.values(column.name)]
            table = _with(table, column.name, pa.array(files))
    settings = resolved(run.settings)
    recipe = {name: settings[name] for name in ("schema", "fields", "encoders", "leave_out")}
    recipe["schema"] = {c: k for c, k in settings["schema"].items() if c in table.column_names}
    recipe["data"] = {"order": settings["data"]["order"]}
    note = _note(decisions(run), len(dataset), run.predictor.model.target)
    with new_folder(folder, CURATED_SET) as temporary:
        pq.write_table(table, temporary / CURATED_SET)
        write_json(temporary / "recipe.json", recipe)
        (temporary / "README.md").write_text(note, encoding="utf-8")
    lineage.record_export(run.folder, folder / CURATED_SET, list(dataset.ids))
    return folder / CURATED_SET


def _earlier_changes(whole: Dataset) -> list[dict[str, Any]]:
    """The changes that an earlier curation recorded, one mapping a row."""
    if CURATED_COLUMN not in whole.table.column_names:
        return [{} for _ in range(len(whole))]
    return records(whole.table[CURATED_COLUMN].to_pylist(), CURATED_COLUMN)


def _note(decided: Decisions, rows: int, target: str) -> str:
    changed = int((decided.label != decided.given).sum())
    return (
        f"# Curated rows\n\n{rows} rows. Of {len(decided.rows)} training rows that were checked"
        f" {changed} have another label than before, and {len(decided.borrowed)} have a new"
        f" caption. `{CURATED_COLUMN}` records the changes of a row, `{WEIGHT_COLUMN}` the"
        f" probability of its label, `{SPLIT_COLUMN}` its part. Validation and test rows are"
        " unchanged. All rows are real.\n\n    gobelin fit curated.parquet --target"
        f" {shell_word(target)} --recipe recipe.json --generator NAME\n"
    )


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    """The table with this column in the place of the old one, or at its end."""
    names = table.column_names
    if name in names:
        return table.set_column(names.index(name), name, column)
    return table.append_column(name, column)


def _contents(value: Any, copied: Callable[[Any], bytes]) -> Any:  # noqa: ANN401 - a cell is any
    """The contents of files in the place of their paths. copied: of one. Raises GobelinError where
    one is over the budget.
    """
    if isinstance(value, list):
        return [_contents(v, copied) for v in value]
    try:
        return None if value is None else copied(value)
    except BadCell as error:
        raise GobelinError(
            f"{str(value)[:60]}: {error}. The export holds the contents of files."
        ) from error
