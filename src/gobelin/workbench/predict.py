"""The verb `predict`: predictions for another dataset with the same columns."""

from __future__ import annotations

import logging
from pathlib import Path

from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.frames import Frame
from gobelin.data.read import read
from gobelin.embedding.encoders import NamesUnseen
from gobelin.prediction.predictor import Predictions
from gobelin.quality.data import Check, Scan, scan
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.predictor import RunPredictor

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def other_rows(
    run: Run, data: str | Path | Dataset | Frame, root: str | Path | None, max_bad: float | None
) -> tuple[Dataset, Check]:
    """Another dataset as it is read, and what share of its cells may be set aside.

    root: folder that relative paths start from. max_bad: None = as in the settings."""
    dataset = data if isinstance(data, Dataset) else read(data, root)
    values = config.resolved(run.settings.check)
    values |= {} if max_bad is None else {"max_bad": max_bad}
    return dataset, config.build(Check, values, "check")


def predicted(predictor: RunPredictor, dataset: Dataset, settings: Check) -> Predictions:
    """One prediction for each row. Bad cells count as missing."""
    features = predictor.features
    rows = new_rows(features, dataset, settings, "predict").dataset
    embeddings = features.embedder.embed(rows, features.data.progress)
    return predictor.model.predict(predictor.inputs(embeddings))


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
    name = schema.role("id")
    dataset = dataset.with_ids(name) if name in dataset.column_names else dataset.with_ids()
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
        cells = dataset.cells(field)
        if all(cell is None for cell in cells):
            continue
        encoder = features.embedder.encoders[field.name]
        unseen = encoder.unseen(cells) if isinstance(encoder, NamesUnseen) else {}
        lines += [
            f"column {name!r}: {len(values)} cells hold a value that was not learned (first:"
            f" {values[0][:40]!r})"
            for name, values in unseen.items()
        ]
    return lines
