"""Which fusion: each is cross-fitted on the same training rows, and all are compared with the best
in pairs.

What this can't show: that the best will stay the best on other data. It was picked by the very
figures that are compared, so its own is a little too high. The intervals of the differences hold
all together (Bonferroni)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.special import expit

from gobelin.data.fields import Target
from gobelin.evidence import comparison, intervals
from gobelin.evidence.findings import Finding
from gobelin.prediction.cross_fit import CrossFit, Training, cross_fit
from gobelin.prediction.fusion import Fusion

ALL = "all"  # in the place of a fusion's name: the best of them
SOURCE = "fit"
OWN, DIFFERENCE = "cross_fitted_score", "fusion_difference"


def contest(fusions: Mapping[str, Fusion], training: Training) -> tuple[str, list[Finding]]:
    """The best by balanced accuracy (of a number, and of probabilities of labels: by root mean
    squared error), and a finding for each fusion and each other."""
    target, fits = (
        training.target,
        {name: cross_fit(fusion, training) for name, fusion in fusions.items()},
    )
    rows = next(iter(fits.values())).rows
    units = [training.groups[r] for r in rows]
    right = {name: right_of(fit, target) for name, fit in fits.items()}
    own = {
        name: (
            own_score(hits, target, rows, units).finding(
                OWN,
                scope={"fusion": name},
                better="higher" if target.exclusive else "lower",
                unit="share" if target.exclusive else "",
                note=(
                    f"{_measure(target)} of training rows, each unseen; weight decay"
                    f" {fits[name].decay:g}"
                ),
                source=SOURCE,
            )
        )
        for name, hits in right.items()
    }
    best = _best(right, target, rows)
    others = [name for name in fits if name != best]
    compared = [paired(right[best], right[name], target, rows, units) for name in others]
    found = list(own.values())
    for name, one in zip(
        others, comparison.simultaneous(compared) if compared else [], strict=True
    ):
        verdict = "worse" if one.high < 0 else "no evidence"
        made = one.finding(name, best, verdict=verdict, source=SOURCE)
        note = (
            "row by row on the same training rows; the intervals hold all together; other training"
            " rows may give another"
        )
        found.append(
            replace(made, name=DIFFERENCE, scope={"fusion": name}, note=note, needed_n=None)
        )
    return best, found


def _measure(target: Target) -> str:
    if target.exclusive:
        return "balanced accuracy"
    return (
        "mean absolute error"
        if target.kind == "number"
        else "root mean squared error of a row's probabilities"
    )


def right_of(fit: CrossFit, target: Target) -> np.ndarray:
    """float64 [n]: 1 where the class was read right; or by how much a number was wrong, or the
    labels' probabilities."""
    truth = target.values[fit.rows]
    if target.kind == "labels":
        return np.sqrt(((expit(fit.scores) - truth) ** 2).mean(1))
    return (
        (fit.scores.argmax(1) == truth).astype(float)
        if target.exclusive
        else fit.scores[:, 0] - truth
    )


def own_score(
    hits: np.ndarray, target: Target, rows: np.ndarray, units: list[str]
) -> intervals.Interval:
    if not target.exclusive:
        return intervals.mean(np.abs(hits), units)
    return intervals.balanced_accuracy(hits, target.values[rows], units)


def paired(
    best: np.ndarray, other: np.ndarray, target: Target, rows: np.ndarray, units: list[str]
) -> comparison.Comparison:
    if not target.exclusive:
        return comparison.compare(best, other, units=units, metric="rmse")
    return comparison.compare(best, other, target.values[rows], units)


def _best(right: Mapping[str, np.ndarray], target: Target, rows: np.ndarray) -> str:
    """Of equals the first."""
    if not target.exclusive:
        return min(right, key=lambda name: float((right[name] ** 2).mean()))
    label = target.values[rows]
    return max(
        right,
        key=lambda name: float(np.mean([right[name][label == c].mean() for c in np.unique(label)])),
    )
