"""The verb `predict`: predictions for another dataset with the same columns."""

from __future__ import annotations

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.prediction.predictor import Predictions
from gobelin.quality.data import Check, Scan, scan
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.predictor import RunPredictor


def predicted(predictor: RunPredictor, dataset: Dataset, settings: Check) -> Predictions:
    """One prediction for each row. Bad cells count as missing."""
    features = predictor.features
    rows = new_rows(features, dataset, settings, "predict").dataset
    embeddings = features.embedder.embed(rows, features.data.progress)
    return predictor.model.predict(predictor.inputs(embeddings))


def new_rows(features: RunFeatures, dataset: Dataset, settings: Check, verb: str) -> Scan:
    """Rows of another dataset by the schema of this run, with bad cells set aside.

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
    return scan(features.embedder, dataset, settings, features.data.progress)
