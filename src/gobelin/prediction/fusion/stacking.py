"""Late fusion: each field's own scikit-learn estimator answers, and a linear model of cross-fitted
answers joins them.

Stacked generalisation (Wolpert 1992): the joining model sees answers for rows that the estimators
were not fitted on. It also sees which fields are there, and copies of the rows in which fields are
hidden at random, so that any subset is a case it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, read_json
from gobelin.core.machine import Progress, Runtime, numpy_generator
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import estimators
from gobelin.prediction.estimators import LatePredictor, Panel
from gobelin.prediction.heads.job import Job

FLOOR = 1e-3  # least probability whose logarithm is joined


@settings_class
class Stacking:
    """Settings."""

    estimator: str = setting(
        default="RandomForest",
        description="Estimator of scikit-learn, without the ending Classifier or Regressor.",
    )
    options: Mapping[str, Any] = setting(
        default_factory=dict, description="The estimator's own settings, such as n_estimators."
    )
    folds: int = setting(default=4, ge=2, le=100, description="Folds of the cross-fitting.")
    copies: int = setting(
        default=2, ge=0, le=100, description="Copies of each row with fields hidden."
    )
    decay: float = setting(
        default=1e-3,
        ge=0,
        le=1e6,
        description="Weight decay of the joining model, where tuning chooses none.",
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
    ) -> list[StackingPredictor]:
        """Jobs that differ in their weight decay alone share their estimators."""
        made: dict[str, tuple[Panel, np.ndarray]] = {}
        out = []
        for k, job in enumerate(jobs):
            rows, answers = embeddings.rows(job.rows), target.values[job.rows]
            key = fingerprint(
                "stacking", asdict(self), rows.fingerprint, answers, job.weights, job.seed
            )
            if key not in made:
                made[key] = self._panels(rows, answers, job, target)
            decay = self.decay if job.decay is None else job.decay
            head = self._head(*made[key], answers, job, decay)
            out.append(
                StackingPredictor(
                    self, rows.fields, rows.space, made[key][0], fingerprint(key, decay), head
                )
            )
            progress("fit", k + 1, len(jobs))
        return out

    def _panels(
        self, rows: Embeddings, answers: np.ndarray, job: Job, target: Target
    ) -> tuple[Panel, np.ndarray]:
        """The estimators of all rows, and cross-fitted answers [n, F, outputs]; a fold holds all
        classes alike."""

        def fit(some: np.ndarray) -> Panel:
            few, weights = rows.rows(np.flatnonzero(some)), job.weights[some]
            return Panel.fit(
                self.estimator, self.options, few, answers[some], weights, target, job.seed
            )

        order = numpy_generator(job.seed, "folds").permutation(len(answers))
        order = order[np.argsort(answers[order], kind="stable")]
        fold = np.empty(len(answers), int)
        fold[order] = np.arange(len(answers)) % self.folds
        whole = fit(np.ones(len(answers), bool))
        crossed = np.full((len(answers), len(rows.fields), whole.outputs), np.nan)
        for f in range(self.folds):
            held = np.flatnonzero(fold == f)
            if len(held):
                crossed[held] = fit(fold != f).answers(rows.rows(held))
        return whole, crossed

    def _head(
        self, panel: Panel, crossed: np.ndarray, answers: np.ndarray, job: Job, decay: float
    ) -> Any:  # noqa: ANN401
        rng = numpy_generator(job.seed, "hidden")
        seen = [crossed]
        for _ in range(self.copies):
            hidden = rng.random(crossed.shape[:2]) > rng.random((len(crossed), 1))
            seen.append(np.where(hidden[..., None], np.nan, crossed))
        x, weights = joined(panel, np.concatenate(seen)), np.tile(job.weights, len(seen))
        penalty = max(decay, 1e-9) * weights.sum()
        if panel.numeric:
            return Ridge(penalty).fit(x, np.tile(answers, len(seen)), weights)
        return LogisticRegression(C=1 / penalty, max_iter=2000).fit(
            x, np.tile(answers, len(seen)), weights
        )

    def load(self, folder: Path) -> StackingPredictor:
        values, state = read_json(folder / "config.json"), estimators.load(folder / "panel.skops")
        head, settings = state.pop("head"), Stacking(**values["settings"])
        return StackingPredictor(
            settings, tuple(values["fields"]), values["space"], Panel(**state), values["key"], head
        )


def joined(panel: Panel, said: np.ndarray) -> np.ndarray:
    """float64 [n, F outputs + F]: what the joining model sees: logarithms of the probabilities less
    those of the shares of the classes, or numbers less their mean; 0 where a field abstains; and
    whether it abstains."""
    rest = panel.resting if panel.numeric else np.log(np.clip(panel.resting, FLOOR, None))
    moved = (said if panel.numeric else np.log(np.clip(said, FLOOR, None))) - rest
    absent = np.isnan(said).any(2)
    return np.concatenate(
        [np.where(absent[..., None], 0, moved).reshape(len(said), -1), absent], axis=1
    )


@dataclass(frozen=True, eq=False)
class StackingPredictor(LatePredictor):
    """head: the joining model."""

    head: Any

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        out = np.full(
            (len(embeddings), self.panel.outputs), 0.0 if self.panel.numeric else np.log(FLOOR)
        )
        if len(embeddings):
            x = joined(self.panel, self.said(embeddings))
            if self.panel.numeric:
                out[:, 0] = self.head.predict(x)
            else:
                out[:, self.head.classes_] = self.head.predict_log_proba(x)
        return out.astype(np.float32)

    def state(self) -> dict[str, Any]:
        return self.panel.state() | {"head": self.head}
