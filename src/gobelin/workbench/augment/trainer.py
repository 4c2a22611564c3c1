"""Training and scoring of the predictors of a study: the run's fusion, and its encoders where they
are tuned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gobelin.augmentation.study import FittedPredictor
from gobelin.core import catalog
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.cross_fit import balanced
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.heads.job import Job
from gobelin.workbench.augment import tuned_arms
from gobelin.workbench.augment.arms import ArmTable
from gobelin.workbench.run.chain import Run


@dataclass(frozen=True, eq=False)
class RunTrainer:
    """A `Trainer` of one set of training rows."""

    run: Run
    table: ArmTable
    target: Target  # of the run's rows
    scored: Mapping[str, np.ndarray]  # {'valid', 'test': int64 [n], the rows that are scored}
    real: int  # labelled training rows, the first ones of the table

    @cached_property
    def fusion(self) -> Fusion:
        chosen = self.run.settings.fusion
        return catalog.build("fusion", chosen.name, chosen.settings)

    @cached_property
    def inputs(self) -> dict[str, Embeddings]:
        """{part: inputs of the fusion for the scored rows}."""
        x, predictor = self.run.features.embeddings, self.run.predictor
        return {part: predictor.inputs(x.rows(rows)) for part, rows in self.scored.items()}

    def fit(self, jobs: Sequence[Job]) -> list[FittedPredictor]:
        data, table = self.run.data, self.table
        predictors = self.fusion.fit(
            table.features,
            table.target,
            jobs,
            np.arange(self.real),
            data.runtime,
            data.progress,
        )
        return [FittedPredictor(predictor) for predictor in predictors]

    def fit_chosen(self, jobs: Sequence[Job]) -> list[FittedPredictor]:
        if not self.run.settings.augment.tune:
            return self.fit(jobs)
        return tuned_arms.fit(self.run, self.fusion, self.table, jobs, self.scored["test"])

    def weigh(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        predict = self.run.settings.predict
        return balanced(self.table.target, rows, weights, predict.balanced, predict.weights)

    def score(self, fitted: FittedPredictor, part: str, fields: Sequence[str] | None) -> np.ndarray:
        # a predictor with encoders of its own never scores validation rows
        x = self.inputs[part] if fitted.test is None else fitted.test
        scores = fitted.predictor.scores(x if fields is None else x.only(fields))
        truth = self.target.values[self.scored[part]]
        if self.target.kind == "number":
            return scores[:, 0] - truth
        return (scores.argmax(1) == truth).astype(float)

    def summary(self, hits: np.ndarray) -> float:
        if self.target.kind == "number":
            return -float(np.sqrt((hits**2).mean()))
        truth = self.target.values[self.scored["valid"]]
        return float(np.mean([hits[truth == c].mean() for c in np.unique(truth)]))
