"""Cross-fitting: predictions for rows by models that were not trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from scipy.special import log_expit, log_softmax

from gobelin.core import catalog
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.machine import Progress, Runtime, numpy_generator, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.fusion import Fusion, Predictor
from gobelin.prediction.heads.job import Job

LEAST_ROWS = 30


@settings_class
class Predict:
    """Settings of the predictor."""

    balance: bool = setting(default=True, description="Whether all classes count equally.")
    folds: int = setting(default=4, ge=2, le=100, description="Folds of the cross-fitting.")
    decays: tuple[Annotated[float, setting(ge=0, le=1e6)], ...] = setting(
        default=(1e-4, 1e-3, 1e-2, 1e-1),
        min_length=1,
        description="Weight decays to choose from, by cross-fitting.",
    )
    features: Literal["encoder", "shared"] = setting(
        default="encoder",
        description="Vectors that the predictor reads: of the encoders, or of the shared space.",
    )
    level: float = setting(
        default=0.9,
        ge=0.01,
        le=0.999,
        description="Share of prediction sets and intervals that cover the true answer.",
    )
    weights: Mapping[str, Annotated[float, setting(ge=0, lt=1e9)]] = setting(
        default_factory=dict, description="Weight of each class. Classes not named have weight 1."
    )
    sets: Literal["lac", "aps"] = setting(
        default="lac",
        description="Kind of prediction set: lac is smallest, aps is larger for hard rows.",
    )
    by_class: bool = setting(
        default=False, description="Whether the level holds within each class."
    )
    local: bool = setting(
        default=False, description="Whether a number's interval is wider where errors are larger."
    )
    threshold: float = setting(
        default=0.5,
        ge=0,
        le=1,
        description="Probability from which a label holds. 0 takes the one with the best F1.",
    )


def balanced(
    target: Target,
    rows: np.ndarray,
    weights: np.ndarray,
    balance: bool,
    by_class: Mapping[str, float] | None = None,
) -> np.ndarray:
    """float32 [n]: the rows' weights with every class's sum the same and their mean one; as they
    are without `balance`. by_class: then the classes' own weights come on top, the mean kept."""
    out = weights.astype(np.float64)
    if balance and target.exclusive:
        label = target.values[rows]
        sums = np.bincount(label, weights=out)
        out = out / np.maximum(sums[label], 1e-12) * len(rows) / max(np.count_nonzero(sums), 1)
    if by_class and target.exclusive:
        before, factor = out.sum(), np.array([by_class.get(c, 1.0) for c in target.classes])
        out = out * factor[target.values[rows]]
        out *= before / max(out.sum(), 1e-12)
    return out.astype(np.float32)


def check_weights(weights: Mapping[str, float], target: Target) -> None:
    """Every class that `predict.weights` names must be one."""
    if weights and not target.exclusive:
        what = "is a number" if target.kind == "number" else "has labels that hold side by side"
        raise GobelinError(
            f"predict.weights: weighs classes, and {target.name!r} {what}. Weigh rows: --set"
            " schema.COL=weight."
        )
    for name in weights:
        if name not in target.classes:
            raise GobelinError(
                f"predict.weights.{name}: no such class of"
                f" {target.name!r}.{nearest(name, target.classes)}"
            )
    if weights and sum(weights.get(c, 1.0) > 0 for c in target.classes) < 2:
        raise GobelinError(
            "predict.weights: leave fewer than two classes a weight above 0. Raise one."
        )


def folds_of(
    target: Target, rows: np.ndarray, groups: Sequence[str], folds: int, seed: int
) -> np.ndarray:
    """int [n]: a fold for each of these rows, whole groups, classes spread evenly."""
    rng = numpy_generator(seed, "folds")
    label = target.strata[rows]
    first: dict[str, int] = {}
    for k, r in enumerate(rows):
        first.setdefault(groups[r], int(label[k]))
    names = sorted(first)
    order = sorted(rng.permutation(len(names)).tolist(), key=lambda k: first[names[k]])
    fold = {names[k]: place % folds for place, k in enumerate(order)}
    return np.array([fold[groups[r]] for r in rows])


@dataclass(frozen=True)
class CrossFit:
    """A fusion, its decay chosen. predictor: of all rows. scores: [n, C] or [n, 1] for the same
    rows, each by a predictor that was fitted without the row's fold. share: float32 [n], how much
    each row counts. fold: int [n]; parts: the predictors, that of fold f fitted without it."""

    rows: np.ndarray
    share: np.ndarray
    decay: float
    predictor: Predictor
    scores: np.ndarray
    fold: np.ndarray
    parts: tuple[Predictor, ...]

    def shown(self, embeddings: Embeddings, places: np.ndarray, present: np.ndarray) -> np.ndarray:
        """The scores of some of the rows as if they had these fields alone, each by the predictor
        that has not seen it.

        embeddings: of all rows. places: int [k] in 0 .. n - 1. present: bool [k, F]."""
        out = np.zeros((len(places), self.scores.shape[1]))
        for f, part in enumerate(self.parts):
            own = np.flatnonzero(self.fold[places] == f)
            if len(own):
                out[own] = part.scores(
                    replace(embeddings.rows(self.rows[places[own]]), present=present[own])
                )
        return out


@dataclass(frozen=True)
class Training:
    """What a predictor is fitted on. embeddings, target, groups, weights (float32): of all N rows.
    rows: the training rows among them; those without a label teach nothing. least: labelled ones,
    fewer are refused. unseen: those of `rows` whose features were not trained on their labels, None
    = all: they alone choose the decay, calibrate and are compared."""

    settings: Predict
    embeddings: Embeddings
    target: Target
    rows: np.ndarray
    groups: Sequence[str]
    weights: np.ndarray
    runtime: Runtime
    progress: Progress = silent
    least: int = LEAST_ROWS
    unseen: np.ndarray | None = None


def cross_fit(fusion: Fusion, training: Training) -> CrossFit:
    """The decay with the smallest cross-fitted loss; all decays and folds are one call to the
    fusion."""
    settings, target, weights, runtime = (
        training.settings,
        training.target,
        training.weights,
        training.runtime,
    )
    rows = training.rows[target.present[training.rows]]
    if len(rows) < training.least:
        raise GobelinError(
            f"fit: {len(rows)} labelled training rows, at least {training.least} are needed. Add"
            " labels."
        )
    if target.exclusive and len(np.unique(target.values[rows])) < 2:
        raise GobelinError("fit: all training rows have one class. At least two are needed.")
    if target.kind == "labels" and not fusion.several:
        several = [n for n in catalog.names("fusion") if catalog.find("fusion", n).several]
        raise GobelinError(
            f"fusion.name: {type(fusion).__name__.lower()} learns one answer a row, and"
            f" {target.name!r} has several labels. Choose --fusion {' or '.join(several)}."
        )

    def weigh(some: np.ndarray) -> np.ndarray:
        return balanced(target, some, weights[some], settings.balance, settings.weights)

    fold = folds_of(target, rows, training.groups, settings.folds, runtime.seed)
    jobs = [
        Job(rows[kept], weigh(rows[kept]), runtime.seed, decay)
        for decay in settings.decays
        for kept in [fold != f for f in range(settings.folds)] + [np.ones(len(rows), bool)]
    ]
    predictors = fusion.fit(training.embeddings, target, jobs, rows, runtime, training.progress)
    step, share = settings.folds + 1, weigh(rows)
    crossed = []
    for d in range(len(settings.decays)):
        out = np.zeros((len(rows), 1 if target.kind == "number" else len(target.classes)))
        for f in range(settings.folds):
            out[fold == f] = predictors[d * step + f].scores(
                training.embeddings.rows(rows[fold == f])
            )
        crossed.append(out)
    told = np.ones(len(rows), bool) if training.unseen is None else np.isin(rows, training.unseen)
    best = int(np.argmin([_loss(s[told], target, rows[told], share[told]) for s in crossed]))
    *parts, whole = predictors[best * step : (best + 1) * step]
    return CrossFit(
        rows[told],
        share[told],
        settings.decays[best],
        whole,
        crossed[best][told],
        fold[told],
        tuple(parts),
    )


def _loss(scores: np.ndarray, target: Target, rows: np.ndarray, weights: np.ndarray) -> float:
    """Weighted log loss, or mean squared error."""
    truth = target.values[rows]
    if target.kind == "number":
        return float(((scores[:, 0] - truth) ** 2).mean())
    if target.kind == "labels":
        each = -log_expit(np.where(truth == 1, scores, -scores)).sum(1)
    else:
        each = -log_softmax(scores, axis=1)[np.arange(len(rows)), truth]
    return float((each * weights).sum() / weights.sum())
