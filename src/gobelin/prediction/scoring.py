"""What a predictor is scored by (`predict.metric`), and what it predicts to score well.

The probabilities are those of the rows' own mix of classes whatever the metric. The metric says
which class follows from them, which answers are compared, and what `fit`, `evaluate`, the
leaderboard and the report tell first.

What this cannot show: that heads are fitted to the metric. They are fitted to the log loss, or to
the squared error of a number: a score that counts mistakes has no slope to follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Target
from gobelin.evidence import intervals, scores
from gobelin.evidence.intervals import Interval
from gobelin.evidence.scores import Weighted

Name = Literal[
    "auto",
    "balanced_accuracy",
    "accuracy",
    "log_loss",
    "auroc",
    "f1",
    "mae",
    "rmse",
    "spearman",
    "quadratic_kappa",
]
AUTO = "auto"  # the first metric of the kind of target
# kind of target -> {metric: name of its finding}
METRICS: dict[str, dict[str, str]] = {
    "class": {
        "balanced_accuracy": "balanced_accuracy",
        "accuracy": "accuracy",
        "log_loss": "log_loss",
        "auroc": "macro_auroc",
        "f1": "macro_f1",
    },
    "ordinal": {
        "mae": "mean_level_error",
        "quadratic_kappa": "quadratic_kappa",
        "spearman": "spearman",
        "balanced_accuracy": "balanced_accuracy",
        "accuracy": "accuracy",
        "log_loss": "log_loss",
    },
    "labels": {"auroc": "macro_auroc", "f1": "macro_f1", "log_loss": "log_loss"},
    "number": {"mae": "mean_absolute_error", "rmse": "rmse", "spearman": "spearman"},
}
LOWER = ("mae", "rmse", "log_loss")  # is better
SHARES = ("balanced_accuracy", "accuracy")  # are told in percent
# In which a rare class counts as much as a common one; of the last two, as far as it helps
BALANCED = (AUTO, "balanced_accuracy", "f1", "quadratic_kappa")
# For these a number is answered by its median, for all others by its mean
MEDIAN = ("mae",)
LEANS = (1.0, 0.75, 0.5, 0.25, 0.0)  # tried where the metric says so
LEANING = ("f1", "quadratic_kappa")
SMALLEST = 1e-12  # probability that a log loss is taken of
KINDS = {
    "class": "holds classes",
    "ordinal": "holds ordered classes",
    "labels": "has several labels a row",
    "number": "is a number",
}


def check_metric(name: str, target: Target) -> None:
    """Raises GobelinError for a metric that targets of this kind do not have."""
    known = METRICS[target.kind]
    if name != AUTO and name not in known:
        *names, last = known
        raise GobelinError(
            f"predict.metric: {target.name!r} {KINDS[target.kind]}, which {name} does not score."
            f" Choose {', '.join(names)} or {last}."
        )


def of_kind(name: str, kind: str) -> str:
    """The metric that `name` means for targets of this kind."""
    return next(iter(METRICS[kind])) if name == AUTO else name


def finding_name(name: str, kind: str) -> str:
    return METRICS[kind][of_kind(name, kind)]


def better(name: str, kind: str) -> str:
    """'higher' or 'lower'."""
    return "lower" if of_kind(name, kind) in LOWER else "higher"


def unit(name: str, kind: str) -> str:
    return "share" if of_kind(name, kind) in SHARES else ""


@dataclass(frozen=True, eq=False)
class Answers:
    """What n rows are answered.

    probabilities: float64 [n, C] in the rows' own mix, of labels each for itself; [n, 0] of a
    number. chosen: int64 [n] classes or levels, bool [n, C] labels, or float [n] numbers."""

    probabilities: np.ndarray
    chosen: np.ndarray


def chosen_classes(name: str, kind: str, probabilities: np.ndarray) -> np.ndarray:
    """int64 [n]: the class of each row. probabilities: [n, C], in the mix that decides (`leaning`).

    Of ordered classes it is the median level, which has the smallest expected distance; for the
    quadratic kappa the rounded mean, which has the smallest squared one; the most probable level
    where the distance does not count."""
    found = of_kind(name, kind)
    if kind == "ordinal" and found in ("mae", "spearman"):
        return median_level(probabilities)
    if found == "quadratic_kappa":
        return np.rint(probabilities @ np.arange(probabilities.shape[1])).astype(np.int64)
    return probabilities.argmax(1)


def median_level(p: np.ndarray) -> np.ndarray:
    """int64 [N]: the median level of probabilities [N, C] of ordered classes."""
    return (p.cumsum(1) < 0.5).sum(1).clip(max=p.shape[1] - 1)


def best_lean(name: str, target: Target, decided: Callable[[float], np.ndarray]) -> float:
    """How much of `predictor.own_mix` is taken off the logits before a class is chosen: all of it,
    so that classes count equally, or that of `LEANS` which scores best on these n rows.

    target: of these rows. decided: of a lean, the probabilities [n, C] that decide."""
    if name not in LEANING or not target.exclusive:
        return 1.0
    every, found = np.ones(len(target)), []
    for lean in LEANS:
        p = decided(lean)
        answers = Answers(p, chosen_classes(name, target.kind, p))
        found.append(weighted(name, answers, target)(every))
    return LEANS[int(np.nanargmax(found))] if np.isfinite(found).any() else 1.0


def weighted(name: str, answers: Answers, target: Target) -> Weighted:
    """The score of these rows as a function of their weights. target: of these n rows."""
    found, truth, p = of_kind(name, target.kind), target.values, answers.probabilities
    if found == "log_loss":
        losses = log_losses(answers, target)
        return lambda w: float(w @ losses / w.sum())
    if found == "auroc":
        return scores.macro([scores.auroc(p[:, c], _holds(target, c)) for c in _scored(target)])
    if found == "f1":
        said = answers.chosen
        held = said.T if target.kind == "labels" else [said == c for c in range(p.shape[1])]
        return scores.macro([scores.f1(held[c], _holds(target, c)) for c in _scored(target)])
    if found == "quadratic_kappa":
        return scores.quadratic_kappa(answers.chosen, truth, len(target.classes))
    if found == "spearman":
        ranked = p @ np.arange(p.shape[1]) if target.kind == "ordinal" else answers.chosen
        return scores.spearman(ranked, truth.astype(np.float64))
    if found == "balanced_accuracy":
        hits = (answers.chosen == truth).astype(float)
        return scores.macro([_share(hits, truth == c) for c in np.unique(truth)])
    off = answers.chosen - truth.astype(np.float64)
    if found == "rmse":
        return lambda w: math.sqrt(float(w @ off**2 / w.sum()))
    each = np.abs(off) if found == "mae" else (off == 0).astype(float)
    return lambda w: float(w @ each / w.sum())


def interval(
    name: str, answers: Answers, target: Target, units: Sequence[str], draws: int = 500
) -> Interval:
    """The score of these rows with its interval: a closed form where there is one, else the
    bootstrap. target: of these n rows. units: n names."""
    found = of_kind(name, target.kind)
    if found == "log_loss":
        return intervals.mean(log_losses(answers, target), units)
    if found in SHARES:
        hits = (answers.chosen == target.values).astype(float)
        if found == "accuracy":
            return intervals.proportion(hits, units)
        return intervals.balanced_accuracy(hits, target.values, units)
    if found == "mae":
        return intervals.mean(np.abs(answers.chosen - target.values), units)
    best = 0.0 if found == "rmse" else 1.0
    return scores.interval(weighted(name, answers, target), units, best, draws=draws)


def chance(name: str, target: Target, known: np.ndarray) -> float | None:
    """The score of the best answer that is the same for every one of these rows.

    target: of these rows. known: values of training rows, of which numbers and levels are guessed;
    None is returned where they are needed and there are none."""
    found, truth = of_kind(name, target.kind), target.values
    if found in ("mae", "rmse"):
        if not len(known):
            return None
        guess = np.median(known) if found == "mae" else known.mean()
        off = np.abs(truth - guess)
        return float(off.mean()) if found == "mae" else math.sqrt(float((off**2).mean()))
    if found == "auroc":
        return 0.5
    if found in ("spearman", "quadratic_kappa"):
        return 0.0
    if target.kind == "labels":
        q = truth[:, _scored(target)].mean(0)
        if found == "f1":
            return float((2 * q / (1 + q)).mean())
        return float((q * _log(q) + (1 - q) * _log(1 - q)).mean())
    q = np.bincount(truth, minlength=len(target.classes)) / max(len(truth), 1)
    if found == "accuracy":
        return float(q.max())
    if found == "log_loss":
        return float((q * _log(q)).sum())
    share = 1 / max(int(np.count_nonzero(q)), 1)
    return share if found == "balanced_accuracy" else float((2 * q / (1 + q)).max() * share)


def log_losses(answers: Answers, target: Target) -> np.ndarray:
    """float64 [n]: -log of the probability of the truth; of labels the mean over those scored."""
    p = answers.probabilities
    if target.kind != "labels":
        return _log(p[np.arange(len(p)), target.values])
    scored = _scored(target)
    return _log(np.where(target.values == 1, p, 1 - p)[:, scored]).mean(1)


def _log(p: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(p, SMALLEST, None))


def _scored(target: Target) -> list[int]:
    """The classes or labels that are ranked: of labels, those that every part has."""
    every = np.arange(len(target.classes))
    if target.kind != "labels":
        return list(np.unique(target.values))
    return list(every[target.scored] if len(target.scored) else every)


def _holds(target: Target, c: int) -> np.ndarray:
    """int64 [n]: 1 where the row has the class or label."""
    held = target.values[:, c] == 1 if target.kind == "labels" else target.values == c
    return held.astype(np.int64)


def _share(hits: np.ndarray, rows: np.ndarray) -> Weighted:
    """The weighted mean of hits [n] in some rows, bool [n]; nan where they have no weight."""

    def score(weight: np.ndarray) -> float:
        total = float(weight[rows].sum())
        return float(weight[rows] @ hits[rows]) / total if total > 0 else math.nan

    return score
