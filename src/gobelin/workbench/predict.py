"""The verb `predict`."""

from __future__ import annotations

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.prediction.predictor import Predictions
from gobelin.quality.data import Check, Scan, scan
from gobelin.workbench.run.folder import Artefacts


def predicted(made: Artefacts, dataset: Dataset, how: Check) -> Predictions:
    """Predictions for another data set."""
    scanned = _taken(made, dataset, how, "predict")
    x = made.inputs(made.reader.embed(scanned.dataset, made.progress)).keep(made.predict_fields)
    return made.model.predict(x)


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
