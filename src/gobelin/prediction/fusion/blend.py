"""Early fusion twice: a linear head mixed with a small share of boosted trees.

Both read all fields side by side, as the same components. Trees handle missing values (histogram
gradient boosting, Ke et al. 2017) and products of fields; a linear head adds up many weak
directions. Where their mistakes differ, a small share of the trees' log probabilities corrects some
of the head's mistakes (a logarithmic opinion pool, Genest & Zidek 1986). It is worth its time where
many cells are missing; the comparison of fusions shows where it isn't.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, Runtime, one_thread
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import estimators, saved_estimators
from gobelin.prediction.estimators import LEAST_PROBABILITY
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.joins import Join, SideBySide
from gobelin.prediction.heads.neural import Neural, NeuralPredictor, Projection
from gobelin.prediction.heads.trees import few_values

VALUES = 255  # different ones of a column, which scikit-learn's trees tell apart


@settings_class
class Blend(Neural):
    """A linear head and boosted trees. The other settings are those of `Neural`."""

    share: float = setting(
        default=0.1, ge=0, le=1, description="Weight of the trees beside the linear head."
    )
    trees: int = setting(default=100, ge=1, le=10_000, description="Rounds of boosting.")
    seen: int = setting(
        default=32, ge=1, le=8192, description="Components of each field that the trees see."
    )
    rate: float = setting(default=0.02, ge=1e-9, le=10, description="Learning rate at the start.")

    several: ClassVar[bool] = False

    @property
    def join(self) -> Join:
        return SideBySide(0)

    def fit(
        self,
        embeddings: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[Any]:
        """As `Fusion.fit`. Jobs that differ in their weight decay alone share their trees."""
        heads = super().fit(embeddings, target, jobs, basis, runtime, progress)
        fitted: dict[str, tuple[Any, np.ndarray]] = {}
        out = []
        for k, (job, head) in enumerate(zip(jobs, heads, strict=True)):
            rows, answers = embeddings.rows(job.rows), target.values[job.rows]
            x = side_by_side(rows, head.projections, self.seen)
            key = fingerprint("blend", asdict(self), x, answers, job.weights, job.seed)
            if key not in fitted:
                fitted[key] = self._trees(x, answers, job, target)
            outputs = 1 if target.kind == "number" else len(target.classes)
            out.append(BlendPredictor(head, *fitted[key], key, outputs))
            progress("fit", k + 1, len(jobs))
        return out

    def _trees(
        self, x: np.ndarray, answers: np.ndarray, job: Job, target: Target
    ) -> tuple[Any, np.ndarray]:
        """Fitted trees, and the columns of x [n, K] that hold any value. None in place of trees
        where all rows have one class, or no column holds a value."""
        columns = np.flatnonzero(~np.isnan(x).all(0))
        if not len(columns) or (target.kind != "number" and len(np.unique(answers)) < 2):
            return None, columns
        options = {"max_iter": self.trees, "early_stopping": False}
        trees = estimators.build("HistGradientBoosting", target.kind == "number", options, job.seed)
        x = few_values(x[:, columns], job.weights, VALUES)
        with one_thread():
            return trees.fit(x, answers, sample_weight=job.weights), columns

    def load(self, folder: Path) -> Any:  # noqa: ANN401 - a BlendPredictor, which its parent doesn't know
        return BlendPredictor(super().load(folder), **saved_estimators.load(folder / "trees.skops"))


def side_by_side(
    rows: Embeddings, projections: Mapping[str, Projection], components: int
) -> np.ndarray:
    """float32 [N, K]: the first components of every field, nan where it is absent."""
    parts = [
        (rows.features[f] - projections[f].mean) @ projections[f].directions[:, :components]
        for f in rows.fields
    ]
    return np.concatenate(
        [np.where(rows.present[:, [k]], p, np.nan) for k, p in enumerate(parts)], 1
    ).astype(np.float32)


@dataclass(frozen=True, eq=False)
class BlendPredictor:
    """A fitted blend.

    head: the fitted linear head. trees: a fitted estimator, or None. columns: int64, those of
    `side_by_side` that the trees are given. key: hash of the trees' settings and data. outputs: C
    classes, or 1 for a number."""

    head: NeuralPredictor
    trees: Any
    columns: np.ndarray
    key: str
    outputs: int

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        rows = embeddings.checked(self.head.fields, self.head.space)
        scores = self.head.scores(embeddings)  # [N, outputs]
        if self.trees is None or not len(rows):
            return scores
        settings = self.head.settings
        assert isinstance(settings, Blend)
        x = side_by_side(rows, self.head.projections, settings.seen)[:, self.columns]
        if self.outputs == 1:
            numbers = self.trees.predict(x)[:, None]
            mixed = (1 - settings.share) * scores + settings.share * numbers
            return mixed.astype(np.float32)
        # trees say 0 of a class that they were never shown
        trees = np.full(scores.shape, LEAST_PROBABILITY)
        trees[:, self.trees.classes_] = np.clip(
            self.trees.predict_proba(x), LEAST_PROBABILITY, None
        )
        pool = log_softmax(scores, axis=1) + settings.share * np.log(trees)
        return log_softmax(pool, axis=1).astype(np.float32)

    def fingerprint(self) -> str:
        return fingerprint(self.head.fingerprint(), self.key)

    def save(self, folder: Path) -> None:
        self.head.save(folder)
        state = {
            "trees": self.trees,
            "columns": self.columns,
            "key": self.key,
            "outputs": self.outputs,
        }
        saved_estimators.save(folder / "trees.skops", state)
