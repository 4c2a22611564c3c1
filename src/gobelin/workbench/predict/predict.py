"""The verb `predict`: predictions for another dataset with the same columns."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from gobelin.core import config
from gobelin.core.errors import GobelinError, close_match, some
from gobelin.core.printable import counted
from gobelin.data.dataset import Dataset
from gobelin.data.read import read
from gobelin.data.tables.frames import TableLike
from gobelin.data.values.numbers import is_infinite
from gobelin.embedding.columns.roles import role_of
from gobelin.embedding.encoders import LeavesOut, NamesFar, NamesUnseen
from gobelin.prediction.predictor import Predictions
from gobelin.quality.data import Check, Scan, scan
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.delivered import RunDelivered
from gobelin.workbench.run.features import RunFeatures

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def other_rows(
    run: Run, data: str | Path | Dataset | TableLike, root: str | Path | None, max_bad: float | None
) -> tuple[Dataset, Check]:
    """Another dataset as it is read, and what share of its cells may be set aside.

    root: folder that relative paths start from. max_bad: None = as in the settings."""
    dataset = data if isinstance(data, Dataset) else read(data, root)
    values = config.resolved(run.settings.check)
    values |= {} if max_bad is None else {"max_bad": max_bad}
    return dataset, config.build(Check, values, "check")


def predicted(predictor: RunDelivered, dataset: Dataset, settings: Check) -> Predictions:
    """One prediction for each row. Bad cells count as missing."""
    features = predictor.features
    rows = new_rows(features, dataset, settings, "predict").dataset
    embeddings = features.embedder.embed(rows, features.data.progress)
    predictions = predictor.model.predict(predictor.inputs(embeddings))
    told = (_favoured(predictions), _without_classes(predictions), _referred(predictions))
    for line in filter(None, told):
        LOG.warning("predict: %s", line)
    return replace(predictions, id_column=_id_column(features, dataset) or "id")


def _favoured(predictions: Predictions) -> str:
    """A line on rows whose class is not the most probable one; '' for none."""
    if predictions.kind != "class":
        return ""
    other = int((predictions.class_indices != predictions.probabilities.argmax(1)).sum())
    if not other:
        return ""
    return (
        f"{counted(other, 'row gets', 'rows get')} a class that is not the most probable one, as"
        " rare classes count as much as common ones. Fit with --metric accuracy to get the most"
        " probable."
    )


def _without_classes(predictions: Predictions) -> str:
    """A line on rows whose prediction set is empty; '' for none."""
    if predictions.kind == "labels" or predictions.sets is None:
        return ""
    count = int((~predictions.sets.any(1)).sum())
    if not count:
        return ""
    return (
        f"{counted(count, 'row has', 'rows have')} an empty set: no class is as probable as the"
        " true class was in most training rows. Such rows count as doubtful."
    )


def _referred(predictions: Predictions) -> str:
    """A line on rows that are referred to a person; '' for none."""
    count = 0 if predictions.refer is None else int(predictions.refer.sum())
    if not count:
        return ""
    return (
        f"{counted(count, 'row is', 'rows are')} referred to a person (column refer): no limit of"
        " the error can be promised for them (predict.max_error)."
    )


def _id_column(features: RunFeatures, dataset: Dataset) -> str | None:
    """The column with the ids of new rows: the one that the run has, or where it has none, the one
    that is an id by its name. None where rows have no ids."""
    if name := features.data.schema.role("id"):
        return name if name in dataset.column_names else None
    known = {c.name for c in features.data.schema.columns}
    for name in dataset.column_names:
        if name not in known:
            values = [v for v in dataset.values(name) if v is not None]
            if (role_of(name, values, len(dataset)) or ("",))[0] == "id":
                return name
    return None


def new_rows(features: RunFeatures, dataset: Dataset, settings: Check, verb: str) -> Scan:
    """Rows of another dataset by the schema of this run, with bad cells set aside. One warning
    line counts the columns that are missing or not known, and the categories never seen.

    Raises GobelinError for a dataset that has none of the columns.
    """
    schema = features.data.schema
    columns = [c for f in schema.fields for c in f.columns]
    if not set(columns) & set(dataset.column_names):
        raise GobelinError(
            f"{verb}: {dataset.source} has none of the columns {some(columns)}; it has"
            f" {some(dataset.column_names)}. Give the columns the same names."
        )
    dataset = dataset.with_ids(_id_column(features, dataset))
    scanned = scan(features.embedder, dataset, settings, features.data.progress)
    if lines := _odd(features, dataset, scanned):
        LOG.warning("%s: %s.", dataset.source, "; ".join(lines))
    return scanned


def _odd(features: RunFeatures, dataset: Dataset, scanned: Scan) -> list[str]:
    """What the rows lack or have that the training rows had or lacked, each with its count."""
    schema, names = features.data.schema, dataset.column_names
    least = features.data.settings.data.least_groups
    wanted, known = [c for f in schema.fields for c in f.columns], {c.name for c in schema.columns}
    lacking = [c for c in wanted if c not in names]
    unknown = [c for c in names if c not in known]
    alike = [f" - is it {m!r}?" if (m := close_match(c, unknown)) else "" for c in lacking]
    empty = [c for c in wanted if c in names and all(v is None for v in dataset.values(c))]
    lines = [
        f"{counted(len(found), 'column is', 'columns are')} {what}"
        f" ({', '.join(found[:3])}{', ...' * (len(found) > 3)})"
        for found, what in (
            ([f"{c!r}{a}" for c, a in zip(lacking, alike, strict=True)], "missing"),
            ([repr(c) for c in unknown], "not known"),
            ([repr(c) for c in empty], "empty in every row"),
        )
        if found
    ]
    if scanned.marked:
        rows = counted(len(scanned.marked), "row holds", "rows hold")
        lines.append(
            f"{rows} an image that is marked as generated, and nothing of them is used (first:"
            f" {scanned.marked[0]})"
        )
    bad = [cell for cell in scanned.bad if cell[0] not in scanned.marked]
    for column in dict.fromkeys(c for _, c, _ in bad):
        reasons = [(row, reason) for row, c, reason in bad if c == column]
        lines.append(
            f"column {column!r}: {counted(len(reasons), 'cell counts', 'cells count')} as missing"
            f" (first: row {reasons[0][0]}: {reasons[0][1]})"
        )
    for name in (c.name for c in schema.columns if c.kind == "number" and c.name in wanted):
        if name in names and (count := sum(map(is_infinite, dataset.values(name)))):
            are = counted(count, "cell is infinite and counts", "cells are infinite and count")
            lines.append(f"column {name!r}: {are} as missing")
    for field in schema.fields:
        cells = dataset.cells(field)
        if all(cell is None for cell in cells):
            continue
        encoder = features.embedder.encoders[field.name]
        unseen = encoder.unseen(cells) if isinstance(encoder, NamesUnseen) else {}
        rare = encoder.rare() if isinstance(encoder, LeavesOut) else {}
        few = f": fewer than {least} groups of training rows have it (setting data.least_groups)"
        lines += [
            f"column {name!r}: {counted(len(values), 'cell holds', 'cells hold')} a value that was"
            f" not learned (first: {values[0][:40]!r}){few if name in rare and least > 1 else ''}"
            for name, values in unseen.items()
        ]
        far = encoder.far(cells) if isinstance(encoder, NamesFar) else {}
        lines += [
            f"column {name!r}: {counted(len(one.values), 'cell lies', 'cells lie')} far outside of"
            f" most training values, about {one.low} to {one.high} (first: {one.values[0][:40]!r})."
            f" {one.advice}"
            for name, one in far.items()
        ]
    return lines
