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
from gobelin.data.fields import Target
from gobelin.evidence import comparison, intervals
from gobelin.evidence.findings import Finding
from gobelin.prediction.cross_fit import CrossFit, Training, cross_fit
from gobelin.prediction.fusion import Fusion

BEST_OF_ALL = "all"  # in place of a fusion's name
AUTO = "auto"  # likewise: the heads of a pool, found on the training rows
POOL = "pool"  # the fusion that auto means
WITHOUT_POOL = "concat"  # what auto means where a pool can't learn the target
FUSION_SCORE = "cross_fitted_score"  # name of the finding of each fusion
FUSION_DIFFERENCE = "fusion_difference"  # name of the finding of each fusion but the best


def able(target: Target) -> list[str]:
    """The fusions that can learn the target."""
    names = catalog.names("fusion")
    if target.kind != "labels":
        return names
    return [name for name in names if catalog.find("fusion", name).several]


def choose_fusion(fusions: Mapping[str, Fusion], training: Training) -> tuple[str, list[Finding]]:
    """The name of the best fusion, and findings: the score of each, and its difference from the
    best.

    The best has the highest balanced accuracy, or for a number and for labels the smallest root
    mean squared error. Raises what `cross_fit` raises."""
    target = training.target
    fits = {}
    for number, (name, fusion) in enumerate(fusions.items(), 1):
        shown = partial(_of_fusion, training.progress, f"{name}, fusion {number}/{len(fusions)}")
        fits[name] = cross_fit(fusion, replace(training, progress=shown))
    rows = next(iter(fits.values())).rows
    units = [training.groups[r] for r in rows]
    results = {name: row_results(fit, target) for name, fit in fits.items()}
    findings = [
        score_interval(result, target, rows, units).finding(
            FUSION_SCORE,
            scope={"fusion": name},
            better="higher" if target.exclusive else "lower",
            unit="share" if target.exclusive else "",
            note=(
                f"{measure(target)} of training rows, each unseen; weight decay"
                f" {fits[name].decay:g}"
            ),
            source="fit",
        )
        for name, result in results.items()
    ]
    best = _best(results, target, rows)
    others = [name for name in fits if name != best]
    compared = [paired(results[best], results[name], target, rows, units) for name in others]
    differences = comparison.simultaneous(compared) if compared else []
    note = (
        "row by row on the same training rows; the intervals hold all together; other training"
        " rows may give another"
    )
    for name, difference in zip(others, differences, strict=True):
        verdict = "worse" if difference.high < 0 else "no evidence"
        finding = difference.finding(name, best, verdict=verdict, source="fit")
        findings.append(
            replace(
                finding, name=FUSION_DIFFERENCE, scope={"fusion": name}, note=note, needed_n=None
            )
        )
    return best, findings


def _of_fusion(progress: Progress, which: str, what: str, done: int, total: int) -> None:
    """Progress of fitting one of the fusions."""
    progress(f"{which}: {what}", done, total)


def measure(target: Target) -> str:
    """Name of the score."""
    if target.exclusive:
        return "balanced accuracy"
    return (
        "mean absolute error"
        if target.kind == "number"
        else "root mean squared error of a row's probabilities"
    )


def row_results(fit: CrossFit, target: Target) -> np.ndarray:
    """float64 [n], one result a row: 1 where the class is right, else 0; the error of a number; the
    root mean squared error of the labels' probabilities."""
    truth = target.values[fit.rows]
    if target.kind == "labels":
        return np.sqrt(((special.expit(fit.scores) - truth) ** 2).mean(1))
    return (
        (fit.scores.argmax(1) == truth).astype(float)
        if target.exclusive
        else fit.scores[:, 0] - truth
    )


def score_interval(
    results: np.ndarray, target: Target, rows: np.ndarray, units: list[str]
) -> intervals.Interval:
    """The score of all rows with its interval: balanced accuracy, or the mean absolute result.

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


def _best(results: Mapping[str, np.ndarray], target: Target, rows: np.ndarray) -> str:
    """The name of the best; of equals the first."""
    if not target.exclusive:
        return min(results, key=lambda name: float((results[name] ** 2).mean()))
    label = target.values[rows]

    def balanced_accuracy(name: str) -> float:
        return float(np.mean([results[name][label == c].mean() for c in np.unique(label)]))

    return max(results, key=balanced_accuracy)
