"""Early fusion twice: a linear head over all fields side by side, and a little of what boosted
trees say of the same.

Trees know missing values (histogram gradient boosting, Ke et al. 2017) and products of fields, a
linear head adds up many weak directions; where their mistakes differ, a small share of the trees'
log probabilities mends some of the head's (a logarithmic opinion pool, Genest & Zidek 1986). Worth
its time where many cells are missing; the comparison of fusions says where it isn't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_softmax

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import estimators
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.joins import Join, SideBySide
from gobelin.prediction.heads.neural import Neural, NeuralPredictor

FLOOR = 1e-3  # least probability: trees that never saw a class say 0


@settings_class
class Blend(Neural):
    """Settings."""

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
        """Jobs that differ in their weight decay alone share their trees."""
        heads = super().fit(embeddings, target, jobs, basis, runtime, progress)
        made: dict[str, tuple[Any, np.ndarray]] = {}
        out = []
        for k, (job, head) in enumerate(zip(jobs, heads, strict=True)):
            rows, answers = embeddings.rows(job.rows), target.values[job.rows]
            x = side_by_side(rows, head.weights, self.seen)
            key = fingerprint("blend", asdict(self), x, answers, job.weights, job.seed)
            if key not in made:
                made[key] = self._trees(x, answers, job, target)
            outputs = 1 if target.kind == "number" else len(target.classes)
            out.append(BlendPredictor(head, *made[key], key, outputs))
            progress("fit", k + 1, len(jobs))
        return out

    def _trees(
        self, x: np.ndarray, answers: np.ndarray, job: Job, target: Target
    ) -> tuple[Any, np.ndarray]:
        """Fitted trees and the columns that they see, those of which anything is there. None where
        there is nothing to tell."""
        columns = np.flatnonzero(~np.isnan(x).all(0))
        if not len(columns) or (target.kind != "number" and len(np.unique(answers)) < 2):
            return None, columns
        options = {"max_iter": self.trees, "early_stopping": False}
        trees = estimators.build("HistGradientBoosting", target.kind == "number", options, job.seed)
        return trees.fit(x[:, columns], answers, sample_weight=job.weights), columns

    def load(self, folder: Path) -> Any:  # noqa: ANN401 - a BlendPredictor, which its parent doesn't know
        return BlendPredictor(super().load(folder), **estimators.load(folder / "trees.skops"))


def side_by_side(rows: Embeddings, weights: dict[str, np.ndarray], seen: int) -> np.ndarray:
    """float32 [N, K]: the first components of every field, nan where it is absent."""
    parts = [
        (rows.features[f] - weights[f"{f}/mean"]) @ weights[f"{f}/projection"][:, :seen]
        for f in rows.fields
    ]
    return np.concatenate(
        [np.where(rows.present[:, [k]], p, np.nan) for k, p in enumerate(parts)], 1
    ).astype(np.float32)


@dataclass(frozen=True, eq=False)
class BlendPredictor:
    """columns: of the components side by side, that the trees see. key: names what they were fitted
    on."""

    head: NeuralPredictor
    trees: Any
    columns: np.ndarray
    key: str
    outputs: int

    def scores(self, embeddings: Embeddings) -> np.ndarray:
        kept, said = embeddings.own(self.head.fields, self.head.space), self.head.scores(embeddings)
        if self.trees is None or not len(kept):
            return said
        settings = self.head.settings
        assert isinstance(settings, Blend)
        x = side_by_side(kept, self.head.weights, settings.seen)[:, self.columns]
        if self.outputs == 1:
            return (
                (1 - settings.share) * said + settings.share * self.trees.predict(x)[:, None]
            ).astype(np.float32)
        told = np.full(said.shape, FLOOR)
        told[:, self.trees.classes_] = np.clip(self.trees.predict_proba(x), FLOOR, None)
        return log_softmax(
            log_softmax(said, axis=1) + settings.share * np.log(told), axis=1
        ).astype(np.float32)

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
        estimators.save(folder / "trees.skops", state)
