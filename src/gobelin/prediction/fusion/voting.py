"""Late fusion: one scikit-learn estimator a field, and their mean probability decides.

This is soft voting. The default is a random forest a field (Breiman 2001), as practitioners build
by hand. A field that is absent in a row doesn't vote. A row without any field gets the classes'
shares of the training rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, read_json
from gobelin.core.machine import Progress, Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import saved_estimators
from gobelin.prediction.estimators import LEAST_PROBABILITY, LatePredictor, Panel
from gobelin.prediction.heads.job import Job


@settings_class
class Voting:
    """One estimator a field, and the mean of their answers."""

    estimator: str = setting(
        default="RandomForest",
        description="Estimator of scikit-learn, without the ending Classifier or Regressor.",
    )
    options: Mapping[str, Any] = setting(
        default_factory=dict, description="The estimator's own settings, such as n_estimators."
    )

    batchable: ClassVar[bool] = False
    several: ClassVar[bool] = False

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[VotingPredictor]:
        """As `Fusion.fit`. A job's weight decay changes nothing here, so jobs that differ in it
        alone share one predictor."""
        fitted: dict[str, VotingPredictor] = {}
        out = []
        for k, job in enumerate(jobs):
            rows, answers = embeddings.rows(job.rows), target.values[job.rows]
            key = fingerprint(
                "voting", asdict(self), rows.fingerprint, answers, job.weights, job.seed
            )
            if key not in fitted:
                panel = Panel.fit(
                    self.estimator, self.options, rows, answers, job.weights, target, job.seed
                )
                fitted[key] = VotingPredictor(self, embeddings.fields, embeddings.space, panel, key)
            out.append(fitted[key])
            progress("fit", k + 1, len(jobs))
        return out

    def load(self, folder: Path) -> VotingPredictor:
        values = read_json(folder / "config.json")
        return VotingPredictor(
            Voting(**values["settings"]),
            tuple(values["fields"]),
            values["space"],
            Panel(**saved_estimators.load(folder / "panel.skops")),
            values["key"],
        )


class VotingPredictor(LatePredictor):
    """The mean of the answers of the present fields."""

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        answers = self.answers(embeddings)  # [N, F, outputs]
        voters = (~np.isnan(answers)).sum(1)  # [N, outputs]
        mean = np.nansum(answers, axis=1) / np.maximum(voters, 1)
        mean = np.where(voters > 0, mean, self.panel.resting)
        if not self.panel.numeric:  # a forest says 0 of a class that it was never shown
            mean = np.log(np.clip(mean, LEAST_PROBABILITY, None))
        return mean.astype(np.float32)
