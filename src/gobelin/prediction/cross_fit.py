"""Cross-fitting: scores of rows by predictors that were not fitted on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from gobelin.core import catalog
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.later import in_key
from gobelin.core.lazy import special
from gobelin.core.machine import Progress, Runtime, numpy_generator, silent
from gobelin.core.softmax import log_softmax
from gobelin.data.fields import Target
from gobelin.data.split.purging import TimeOrder
from gobelin.embedding.features import Embeddings
from gobelin.prediction import scoring
from gobelin.prediction.fusion import Fusion, Predictor
from gobelin.prediction.heads.job import Job
from gobelin.prediction.time_folds import time_folds
from gobelin.prediction.told_weights import told_weights

LEAST_LABELLED_ROWS = 30  # training rows with a label; fewer are refused


@settings_class
class Predict:
    """Settings of the predictor."""

    metric: scoring.Name = setting(
        default="auto",
        description="What the predictor is scored by. The predicted class follows from it.",
    )
    balance: bool | None = setting(
        default=None,
        description="Whether rare classes are predicted as readily as common ones. Default: as the"
        " metric asks.",
    )
    preset: Literal["quick", "good", "best"] = setting(
        default="good",
        description="How many heads the fusion auto compares: few, all kinds, or larger trees too.",
    )
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
    max_error: Annotated[float, setting(ge=0, le=1)] | None = setting(
        default=None,
        description="Largest mean error of answered rows; the others are referred. Empty: all"
        " answered.",
    )
    threshold: Annotated[float, setting(ge=0, le=1)] | None = setting(
        default=None,
        description="Probability from which a label holds, 0 for the best F1. Default: 0.5, or of"
        " f1 0.",
    )

    later: ClassVar[tuple[str, ...]] = ("metric", "max_error")  # `core.later`

    @property
    def balanced(self) -> bool:
        """Whether classes count equally: as `balance` says, else as the metric asks."""
        return self.metric in scoring.BALANCED if self.balance is None else self.balance

    @property
    def held_from(self) -> float:
        """The probability from which a label holds; 0 for the best F1 of each."""
        if self.threshold is not None:
            return self.threshold
        return 0.0 if self.metric == "f1" else 0.5


def key_of(settings: Predict) -> dict[str, object]:
    """The settings that change what is fitted, for a cache key. `preset` only says what is compared
    before. What follows from the metric is told as a run tells it that names no metric."""
    values = {name: value for name, value in in_key(settings).items() if name != "preset"}
    return values | {"balance": settings.balanced, "threshold": settings.held_from}


def balanced(
    target: Target,
    rows: np.ndarray,
    weights: np.ndarray,
    balance: bool,
    by_class: Mapping[str, float] | None = None,
) -> np.ndarray:
    """float32 [n]: the rows' weights, scaled so that every class has the same sum and their mean is
    one; unchanged without `balance`. A class that is too small to be scored keeps its share: one
    row would weigh as much as all of another class.

    rows: int [n]. weights: [n]. by_class: {class: weight}, multiplied in afterwards; the mean
    stays."""
    out = weights.astype(np.float64)
    if balance and target.exclusive:
        label = target.values[rows]
        sums = np.bincount(label, out, len(target.classes))
        even = sums > 0
        if len(target.scored) and (even & target.scored).any():
            even &= target.scored
        share = sums / max(float(sums.sum()), 1e-12)  # of each class
        share[even] = share[even].sum() / max(np.count_nonzero(even), 1)
        out = out / np.maximum(sums[label], 1e-12) * share[label] * len(rows)
    if by_class and target.exclusive:
        before, factor = out.sum(), np.array([by_class.get(c, 1.0) for c in target.classes])
        out = out * factor[target.values[rows]]
        out *= before / max(out.sum(), 1e-12)
    return out.astype(np.float32)


def check_weights(weights: Mapping[str, float], target: Target) -> None:
    """Raises GobelinError where a name in `predict.weights` is no class, or where fewer than
    two classes have a weight above 0."""
    if weights and not target.exclusive:
        kind = "is a number" if target.kind == "number" else "has several labels a row"
        raise GobelinError(
            f"predict.weights: weighs classes, and {target.name!r} {kind}. Weigh rows: --set"
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
            "predict.weights: fewer than two classes have a weight above 0. Raise one."
        )


def folds_of(
    target: Target, rows: np.ndarray, groups: Sequence[str], folds: int, seed: int
) -> np.ndarray:
    """int [n]: a fold in 0 .. folds - 1 for each of these rows. A group is in one fold, and classes
    are spread evenly. groups: N names, of all rows."""
    rng = numpy_generator(seed, "folds")
    label = target.strata[rows]
    group_label: dict[str, int] = {}  # that of the group's first row
    for k, r in enumerate(rows):
        group_label.setdefault(groups[r], int(label[k]))
    names = sorted(group_label)
    # groups are shuffled, sorted by class, and dealt to the folds in turn
    order = sorted(rng.permutation(len(names)).tolist(), key=lambda k: group_label[names[k]])
    fold = {names[k]: place % folds for place, k in enumerate(order)}
    return np.array([fold[groups[r]] for r in rows])


@dataclass(frozen=True)
class CrossFit:
    """A fitted fusion with a chosen weight decay, and cross-fitted scores of n rows."""

    rows: np.ndarray  # int64 [n]
    share: np.ndarray  # float32 [n], how much each row counts
    decay: float
    predictor: Predictor  # fitted on all training rows
    scores: np.ndarray  # [n, C] or [n, 1], each by the predictor fitted without the row's fold
    fold: np.ndarray  # int [n]
    fold_predictors: tuple[Predictor, ...]  # number f was fitted without fold f

    def scores_with_fields(
        self, embeddings: Embeddings, places: np.ndarray, present: np.ndarray
    ) -> np.ndarray:
        """[k, C] or [k, 1]: scores of some of the rows as if they had these fields alone, each by
        the predictor that was fitted without it.

        embeddings: of all N rows. places: int [k] in 0 .. n - 1. present: bool [k, F]."""
        out = np.zeros((len(places), self.scores.shape[1]))
        for f, predictor in enumerate(self.fold_predictors):
            of_fold = np.flatnonzero(self.fold[places] == f)
            if len(of_fold):
                rows = embeddings.rows(self.rows[places[of_fold]])
                out[of_fold] = predictor.scores(replace(rows, present=present[of_fold]))
        return out


@dataclass(frozen=True)
class CrossScores:
    """Cross-fitted scores of n rows, as in `CrossFit`, with the weight decay of the smallest loss
    and the predictors of the folds."""

    rows: np.ndarray  # int64 [n]
    share: np.ndarray  # float32 [n]
    decay: float
    scores: np.ndarray  # [n, C] or [n, 1]
    fold: np.ndarray  # int [n]
    fold_predictors: tuple[Predictor, ...]


@dataclass(frozen=True)
class Training:
    """The data and settings that a predictor is fitted with."""

    settings: Predict
    embeddings: Embeddings  # of all N rows
    target: Target  # of all N rows
    rows: np.ndarray  # int [n], the training rows; those without a label are ignored
    groups: Sequence[str]  # N names
    weights: np.ndarray  # float32 [N]
    runtime: Runtime
    progress: Progress = silent
    least: int = LEAST_LABELLED_ROWS  # labelled training rows; fewer are refused
    # Those of `rows` whose labels did not train the features; None: all. Only these rows choose
    # the weight decay, calibrate and are compared.
    unseen: np.ndarray | None = None
    # Of a split by time: every row is scored by a predictor of earlier rows. None: folds are drawn.
    order: TimeOrder | None = None
    # The weight decays to choose from; None: those of the settings. Where the best of those is
    # known, it alone gives the same predictor, but for rounding.
    decays: tuple[float, ...] | None = None

    def told_weights(self, rows: np.ndarray) -> np.ndarray:
        """float64 [n]: the weights of these rows, as a predictor tells them. rows: int [n]."""
        groups, least = self.embeddings.group_numbers[rows], self.embeddings.least_groups
        return told_weights(self.target, rows, self.weights[rows], groups, least)

    def folds(self, rows: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """int [n], the fold of each of these labelled rows, -1 for a row that no fold scores, and
        for each fold the rows that it learns from, bool [n]. rows: int [n]."""
        if self.order is not None:
            return time_folds(self.order, rows, self.groups, self.settings.folds)
        seed, folds = self.runtime.seed, self.settings.folds
        fold = folds_of(self.target, rows, self.groups, folds, seed)
        return fold, [fold != f for f in range(folds)]


def learned_rows(training: Training) -> np.ndarray:
    """int64 [n]: the labelled training rows. Raises GobelinError for too few, for one class alone,
    and where all weigh nothing."""
    target, weights = training.target, training.weights
    rows = training.rows[target.present[training.rows]]
    if len(rows) < training.least:
        raise GobelinError(
            f"fit: {len(rows)} labelled training rows, at least {training.least} are needed. Add"
            " labels."
        )
    weighing = rows[weights[rows] > 0]
    if not len(weighing):
        raise GobelinError(
            f"fit: all {len(rows)} labelled training rows have a weight of 0. Raise some in the"
            " column of weights, or --set schema.COLUMN=ignore."
        )
    if target.exclusive and len(np.unique(target.values[weighing])) < 2:
        some = "that have a weight above 0 " if len(weighing) < len(rows) else ""
        raise GobelinError(f"fit: all training rows {some}have one class. At least two are needed.")
    return rows


def cross_fit(fusion: Fusion, training: Training) -> CrossFit:
    """The fusion with the weight decay of the smallest cross-fitted loss. All decays and folds are
    one call to the fusion.

    Raises what `learned_rows` raises, and GobelinError for a fusion that can't learn several labels
    a row."""
    found, of_best = _fitted(fusion, training, whole=True)
    return CrossFit(
        found.rows,
        found.share,
        found.decay,
        of_best[-1],
        found.scores,
        found.fold,
        found.fold_predictors,
    )


def cross_scores(fusion: Fusion, training: Training) -> CrossScores:
    """The scores of `cross_fit`, but for rounding, without the predictors of all rows. Raises what
    it raises."""
    return _fitted(fusion, training, whole=False)[0]


def _fitted(
    fusion: Fusion, training: Training, whole: bool
) -> tuple[CrossScores, Sequence[Predictor]]:
    """The scores with the decay of the smallest loss, and the predictors of that decay."""
    plan = _planned(fusion, training, whole)
    predictors = fusion.fit(
        training.embeddings,
        training.target,
        plan.jobs,
        plan.rows,
        training.runtime,
        training.progress,
    )
    return _chosen(plan, predictors, training)


@dataclass(frozen=True)
class _Plan:
    """What is fitted: for each decay a job for each fold, and with `whole` one of all rows."""

    rows: np.ndarray  # int64 [n], those that are learned from
    share: np.ndarray  # float32 [n]
    fold: np.ndarray  # int [n], -1 for a row that no fold scores
    folds: int
    decays: tuple[float, ...]
    jobs: list[Job]


def _planned(fusion: Fusion, training: Training, whole: bool) -> _Plan:
    settings, target = training.settings, training.target
    rows = learned_rows(training)
    if target.kind == "labels" and not fusion.several:
        several = [n for n in catalog.names("fusion") if catalog.find("fusion", n).several]
        raise GobelinError(
            f"fusion.name: {type(fusion).__name__.lower()} learns one answer a row, and"
            f" {target.name!r} has several labels a row. Choose --fusion {' or '.join(several)}."
        )

    def weigh(some: np.ndarray, told: bool = False) -> np.ndarray:
        weights = training.told_weights(some) if told else training.weights[some]
        return balanced(target, some, weights, settings.balanced, settings.weights)

    fold, learned = training.folds(rows)
    decays = settings.decays if training.decays is None else training.decays
    subsets = [rows[subset] for subset in learned] + ([rows] if whole else [])
    jobs = [Job(r, weigh(r), training.runtime.seed, told=weigh(r, told=True)) for r in subsets]
    jobs = [replace(job, decay=decay) for decay in decays for job in jobs]
    return _Plan(rows, weigh(rows), fold, len(learned), decays, jobs)


def _chosen(
    plan: _Plan, predictors: Sequence[Predictor], training: Training
) -> tuple[CrossScores, Sequence[Predictor]]:
    """The scores with the decay of the smallest loss, and the predictors of that decay."""
    target, rows, fold = training.target, plan.rows, plan.fold
    each = len(predictors) // len(plan.decays)  # predictors of a decay
    known: dict[tuple[int, int], np.ndarray] = {}  # of fusions that no weight decay changes

    def told(predictor: Predictor, f: int) -> np.ndarray:
        """The scores of the rows of a fold, once for each predictor."""
        key = (id(predictor), f)
        if key not in known:
            known[key] = predictor.scores(training.embeddings.rows(rows[fold == f]))
        return known[key]

    scores = []  # of each decay, [rows, C] or [rows, 1]
    for d in range(len(plan.decays)):
        out = np.zeros((len(rows), 1 if target.kind == "number" else len(target.classes)))
        for f in range(plan.folds):
            out[fold == f] = told(predictors[d * each + f], f)
        scores.append(out)
    judged = fold >= 0
    if training.unseen is not None:
        judged &= np.isin(rows, training.unseen)
    losses = [_loss(s[judged], target, rows[judged], plan.share[judged]) for s in scores]
    best = int(np.argmin(losses))
    of_best = predictors[best * each : (best + 1) * each]
    found = CrossScores(
        rows[judged],
        plan.share[judged],
        plan.decays[best],
        scores[best][judged],
        fold[judged],
        tuple(of_best[: plan.folds]),
    )
    return found, of_best


def _loss(scores: np.ndarray, target: Target, rows: np.ndarray, weights: np.ndarray) -> float:
    """Weighted log loss, or mean squared error of a number. scores: [n, C] or [n, 1]. weights:
    [n]."""
    truth = target.values[rows]
    if target.kind == "number":
        return float(((scores[:, 0] - truth) ** 2).mean())
    if target.kind == "labels":
        row_loss = -special.log_expit(np.where(truth == 1, scores, -scores)).sum(1)
    else:
        row_loss = -log_softmax(scores, axis=1)[np.arange(len(rows)), truth]
    return float((row_loss * weights).sum() / weights.sum())
