"""Late fusion: one scikit-learn estimator a field, and a linear model joins their answers.

Stacked generalisation (Wolpert 1992): the joining model learns from answers for rows that the
estimators were not fitted on. Its inputs also say which fields are present. It learns from copies
of the rows with fields hidden at random too, so that it knows every subset of fields.
"""

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
from gobelin.prediction import saved_estimators
from gobelin.prediction.estimators import LEAST_PROBABILITY, LatePredictor, Panel
from gobelin.prediction.heads.job import Job


@settings_class
class Stacking:
    """One estimator a field, and a linear model of their answers."""

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
        """As `Fusion.fit`. Jobs that differ in their weight decay alone share their estimators."""
        fitted: dict[str, tuple[Panel, np.ndarray]] = {}
        out = []
        for k, job in enumerate(jobs):
            rows, answers = embeddings.rows(job.rows), target.values[job.rows]
            key = fingerprint(
                "stacking", asdict(self), rows.fingerprint, answers, job.weights, job.seed
            )
            if key not in fitted:
                fitted[key] = self._panel(rows, answers, job, target)
            panel, crossed = fitted[key]
            decay = self.decay if job.decay is None else job.decay
            head = self._head(panel, crossed, answers, job, decay)
            out.append(
                StackingPredictor(
                    self, rows.fields, rows.space, panel, fingerprint(key, decay), head
                )
            )
            progress("fit", k + 1, len(jobs))
        return out

    def _panel(
        self, rows: Embeddings, answers: np.ndarray, job: Job, target: Target
    ) -> tuple[Panel, np.ndarray]:
        """The estimators, fitted on all n rows, and cross-fitted answers [n, F, outputs]."""

        def fit(some: np.ndarray) -> Panel:
            """Estimators of the rows where `some` (bool [n]) is true."""
            subset, weights = rows.rows(np.flatnonzero(some)), job.weights[some]
            return Panel.fit(
                self.estimator, self.options, subset, answers[some], weights, target, job.seed
            )

        # Rows are dealt to the folds class by class, so that the folds have the same classes.
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
    ) -> Any:  # noqa: ANN401 - an estimator of scikit-learn
        """The joining model. crossed: [n, F, outputs], cross-fitted answers."""
        rng = numpy_generator(job.seed, "hidden")
        copies = [crossed]
        for _ in range(self.copies):
            # a share of a row's fields, itself drawn from 0 .. 1, is hidden
            hidden = rng.random(crossed.shape[:2]) > rng.random((len(crossed), 1))
            copies.append(np.where(hidden[..., None], np.nan, crossed))
        x = joined(panel, np.concatenate(copies))
        answers, weights = np.tile(answers, len(copies)), np.tile(job.weights, len(copies))
        penalty = max(decay, 1e-9) * weights.sum()
        if panel.numeric:
            return Ridge(penalty).fit(x, answers, weights)
        return LogisticRegression(C=1 / penalty, max_iter=2000).fit(x, answers, weights)

    def load(self, folder: Path) -> StackingPredictor:
        values, state = (
            read_json(folder / "config.json"),
            saved_estimators.load(folder / "panel.skops"),
        )
        head, settings = state.pop("head"), Stacking(**values["settings"])
        return StackingPredictor(
            settings, tuple(values["fields"]), values["space"], Panel(**state), values["key"], head
        )


def joined(panel: Panel, answers: np.ndarray) -> np.ndarray:
    """float64 [n, F outputs + F]: the inputs of the joining model, from answers [n, F, outputs].

    They are logarithms of probabilities less those of the classes' shares, or numbers less their
    mean, 0 where a field abstains; and 1 where it abstains."""

    def scaled(values: np.ndarray) -> np.ndarray:
        return values if panel.numeric else np.log(np.clip(values, LEAST_PROBABILITY, None))

    absent = np.isnan(answers).any(2)  # [n, F]
    centred = np.where(absent[..., None], 0, scaled(answers) - scaled(panel.resting))
    return np.concatenate([centred.reshape(len(answers), -1), absent], axis=1)


@dataclass(frozen=True, eq=False)
class StackingPredictor(LatePredictor):
    """Answers of the estimators, joined. head: the fitted joining model."""

    head: Any

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        # a class that the joining model never saw keeps the least probability
        least = 0.0 if self.panel.numeric else np.log(LEAST_PROBABILITY)
        out = np.full((len(embeddings), self.panel.outputs), least)
        if len(embeddings):
            x = joined(self.panel, self.answers(embeddings))
            if self.panel.numeric:
                out[:, 0] = self.head.predict(x)
            else:
                out[:, self.head.classes_] = self.head.predict_log_proba(x)
        return out.astype(np.float32)

    def state(self) -> dict[str, Any]:
        return self.panel.state() | {"head": self.head}
