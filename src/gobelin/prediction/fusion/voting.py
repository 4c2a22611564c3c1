"""Late fusion: each field's own scikit-learn estimator gives probabilities, and their mean decides
(soft voting).

By default a random forest a field (Breiman 2001), as practitioners build by hand. A field that is
absent in a row doesn't vote; a row of which nothing is there gets the shares of the classes."""

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
from gobelin.prediction import estimators
from gobelin.prediction.estimators import LatePredictor, Panel
from gobelin.prediction.heads.job import Job

FLOOR = 1e-3  # least probability: a forest that never saw a class says 0


@settings_class
class Voting:
    """Settings."""

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
        """A job's weight decay changes nothing here, so jobs that differ in it alone are one."""
        made: dict[str, VotingPredictor] = {}
        out = []
        for k, job in enumerate(jobs):
            rows, answers = embeddings.rows(job.rows), target.values[job.rows]
            key = fingerprint(
                "voting", asdict(self), rows.fingerprint, answers, job.weights, job.seed
            )
            if key not in made:
                panel = Panel.fit(
                    self.estimator, self.options, rows, answers, job.weights, target, job.seed
                )
                made[key] = VotingPredictor(self, embeddings.fields, embeddings.space, panel, key)
            out.append(made[key])
            progress("fit", k + 1, len(jobs))
        return out

    def load(self, folder: Path) -> VotingPredictor:
        values, panel = (
            read_json(folder / "config.json"),
            Panel(**estimators.load(folder / "panel.skops")),
        )
        return VotingPredictor(
            Voting(**values["settings"]),
            tuple(values["fields"]),
            values["space"],
            panel,
            values["key"],
        )


class VotingPredictor(LatePredictor):
    """The mean of the answers of those that are there."""

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        said = self.said(embeddings)
        voters = (~np.isnan(said)).sum(1)
        mean = np.where(
            voters > 0, np.nansum(said, axis=1) / np.maximum(voters, 1), self.panel.resting
        )
        return (mean if self.panel.numeric else np.log(np.clip(mean, FLOOR, None))).astype(
            np.float32
        )
