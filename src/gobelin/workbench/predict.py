"""The verb `predict`: predictions for another dataset with the same columns."""

from __future__ import annotations

import logging
from dataclasses import replace

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.embedding.encoders import NamesUnseen
from gobelin.embedding.roles import role_of
from gobelin.prediction.predictor import Predictions
from gobelin.quality.data import Check, Scan, scan
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.predictor import RunPredictor

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def predicted(predictor: RunPredictor, dataset: Dataset, settings: Check) -> Predictions:
    """One prediction for each row. Bad cells count as missing."""
    features = predictor.features
    rows = new_rows(features, dataset, settings, "predict").dataset
    embeddings = features.embedder.embed(rows, features.data.progress)
    predictions = predictor.model.predict(predictor.inputs(embeddings))
    return replace(predictions, id_column=_id_column(features, dataset) or "id")


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
            f"{verb}: {dataset.source} has none of the columns {', '.join(columns)}; it has"
            f" {', '.join(dataset.column_names)}. Give the columns the same names."
        )
    dataset = dataset.with_ids(_id_column(features, dataset))
    scanned = scan(features.embedder, dataset, settings, features.data.progress)
    if lines := _odd(features, dataset):
        LOG.warning("%s: %s.", dataset.source, "; ".join(lines))
    return scanned


def _odd(features: RunFeatures, dataset: Dataset) -> list[str]:
    """What the rows lack or have that the training rows had or lacked, each with its count."""
    schema = features.data.schema
    wanted, known = [c for f in schema.fields for c in f.columns], {c.name for c in schema.columns}
    lines = [
        f"{len(names)} {what} ({', '.join(map(repr, names[:3]))}{', ...' * (len(names) > 3)})"
        for names, what in (
            ([c for c in wanted if c not in dataset.column_names], "columns are missing"),
            ([c for c in dataset.column_names if c not in known], "columns are not known"),
        )
        if names
    ]
    for field in schema.fields:
        encoder = features.embedder.encoders[field.name]
        unseen = encoder.unseen(dataset.cells(field)) if isinstance(encoder, NamesUnseen) else {}
        lines += [
            f"column {name!r}: {len(values)} cells hold a value that was not learned (first:"
            f" {values[0][:40]!r})"
            for name, values in unseen.items()
        ]
    return lines
