"""Which fusion: each is cross-fitted on the same training rows, and each is compared with the best.

What this can't show: that the best will stay the best on other data. It was chosen by the same
scores that are compared, so its own score is a little too high. The intervals of the differences
hold all together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from gobelin.core import catalog
from gobelin.core.lazy import special
from gobelin.core.machine import Progress
from gobelin.core.softmax import softmax
from gobelin.data.fields import Target
from gobelin.evidence import comparison, intervals, scores
from gobelin.evidence.findings import Finding
from gobelin.prediction import calibration, predictor, scoring
from gobelin.prediction.cross_fit import (
    CrossFit,
    CrossScores,
    Predict,
    Training,
    cross_scores,
)
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.scoring import Answers

BEST_OF_ALL = "all"  # in place of a fusion's name
AUTO = "auto"  # likewise: the heads of a pool, found on the training rows
POOL = "pool"  # the fusion that auto means
WITHOUT_POOL = "concat"  # what auto means where settings of one fusion are given
FUSION_SCORE = "cross_fitted_score"  # name of the finding of each fusion
FUSION_DIFFERENCE = "fusion_difference"  # name of the finding of each fusion but the best


def able(target: Target) -> list[str]:
    """The fusions that can learn the target."""
    names = catalog.names("fusion")
    if target.kind != "labels":
        return names
    return [name for name in names if catalog.find("fusion", name).several]


def choose_fusion(
    fusions: Mapping[str, Fusion], training: Training
) -> tuple[str, float, list[Finding]]:
    """The name of the best fusion by `predict.metric`, its weight decay, and findings: the score of
    each, and its difference from the best. Of equals the first is the best. Raises what `cross_fit`
    raises."""
    fits = {}
    for number, (name, fusion) in enumerate(fusions.items(), 1):
        shown = partial(_of_fusion, training.progress, f"{name}, fusion {number}/{len(fusions)}")
        # no predictor of all rows: the chosen fusion is fitted to them afterwards
        fits[name] = cross_scores(fusion, replace(training, progress=shown))
    fitted, metric = next(iter(fits.values())).rows, training.settings.metric
    rows = training.target.scored_rows(fitted)
    target, units = training.target.rows(rows), [training.groups[r] for r in rows]
    read = np.isin(fitted, rows)
    answers = {name: crossed_answers(fit, training, read) for name, fit in fits.items()}
    scored = {name: scoring.interval(metric, one, target, units) for name, one in answers.items()}
    better, unit = scoring.better(metric, target.kind), scoring.unit(metric, target.kind)
    findings = [
        found.finding(
            FUSION_SCORE,
            scope={"fusion": name},
            better=better,
            unit=unit,
            note=(
                f"{measure(metric, target)} of training rows, each unseen; weight decay"
                f" {fits[name].decay:g}"
            ),
            source="fit",
        )
        for name, found in scored.items()
    ]
    sign = -1 if better == "lower" else 1
    best = max(scored, key=lambda name: sign * scored[name].value)
    others = [name for name in fits if name != best]
    note = (
        "row by row on the same training rows; the intervals hold all together; other training"
        " rows may give another"
    )
    for name in others:
        difference = _difference(
            metric, answers[name], answers[best], target, units, 1 - 0.05 / len(others)
        )
        findings.append(
            replace(
                difference,
                name=FUSION_DIFFERENCE,
                scope={"fusion": name},
                comparator=best,
                level=0.95,
                better="higher",
                verdict="worse" if (difference.high or 0.0) < 0 else "no evidence",
                note=note,
                needed_n=None,
                source="fit",
            )
        )
    return best, fits[best].decay, findings


def _difference(
    metric: scoring.Name,
    one: Answers,
    other: Answers,
    target: Target,
    units: list[str],
    level: float,
) -> Finding:
    """How much better `one` is on these n rows, paired; below 0 it is worse."""
    if target.kind == "class" and scoring.of_kind(metric, "class") == "balanced_accuracy":
        hits = [(answers.chosen == target.values).astype(float) for answers in (one, other)]
        return comparison.compare(hits[1], hits[0], target.values, units, level=level).finding(
            "", ""
        )
    scores_of = [scoring.weighted(metric, answers, target) for answers in (one, other)]
    sign = -1 if scoring.better(metric, target.kind) == "lower" else 1

    def gain(weight: np.ndarray) -> float:
        return sign * (scores_of[0](weight) - scores_of[1](weight))

    unit = "points" if scoring.unit(metric, target.kind) else ""
    return scores.interval(gain, units, level=level).finding(FUSION_DIFFERENCE, unit=unit)


def crossed_answers(fit: CrossFit | CrossScores, training: Training, read: np.ndarray) -> Answers:
    """What rows are answered by predictors that were not fitted on them, before calibration. read:
    bool [n], which of the rows of the fit."""
    mix = np.array(predictor.own_mix(training) or 0.0)
    target = training.target.rows(fit.rows[read])
    return answers_of(fit.scores[read], target, training.settings, mix)


def answers_of(given: np.ndarray, target: Target, settings: Predict, mix: np.ndarray) -> Answers:
    """The answers of scores that were not calibrated.

    given: [n, C] or [n, 1], as `Predictor.scores`. target: of these rows. mix: [C], or 0, see
    `predictor.own_mix`."""
    if target.kind == "number":
        values = given[:, 0]
        if settings.metric in scoring.MEDIAN:
            off = target.values - values
            values = values + calibration.weighted_median(off, np.ones(len(off)))
        return Answers(np.zeros((len(given), 0)), values)
    if target.kind == "labels":
        p = special.expit(given.astype(np.float64))
        return Answers(p, p >= calibration.thresholds(p, target.values, settings.held_from))

    def decided(lean: float) -> np.ndarray:
        return softmax(given + (1 - lean) * mix, axis=1)

    p = decided(scoring.best_lean(settings.metric, target, decided))
    chosen = scoring.chosen_classes(settings.metric, target.kind, p)
    return Answers(softmax(given + mix, axis=1), chosen)


def _of_fusion(progress: Progress, which: str, what: str, done: int, total: int) -> None:
    """Progress of fitting one of the fusions."""
    progress(f"{which}: {what}", done, total)


def measure(metric: scoring.Name, target: Target) -> str:
    """Name of the score, in words."""
    return scoring.finding_name(metric, target.kind).replace("_", " ")


def row_results(fit: CrossFit, target: Target) -> np.ndarray:
    """float64 [n], one result a row: 1 where the class is right, else 0; the error of a number."""
    truth = target.values[fit.rows]
    return (
        (fit.scores.argmax(1) == truth).astype(float)
        if target.exclusive
        else fit.scores[:, 0] - truth
    )


def score_interval(
    results: np.ndarray, target: Target, rows: np.ndarray, units: list[str]
) -> intervals.Interval:
    """The score of all rows with its interval: balanced accuracy, or the mean absolute error.

    results: [n], as `row_results`. rows: int [n]. units: n names of groups."""
    if not target.exclusive:
        return intervals.mean(np.abs(results), units)
    return intervals.balanced_accuracy(results, target.values[rows], units)


def paired(
    best: np.ndarray, other: np.ndarray, target: Target, rows: np.ndarray, units: list[str]
) -> comparison.Comparison:
    """The difference of two predictors, row by row. best, other: [n], as `row_results`."""
    if not target.exclusive:
        return comparison.compare(best, other, units=units, metric="rmse")
    return comparison.compare(best, other, target.values[rows], units)
