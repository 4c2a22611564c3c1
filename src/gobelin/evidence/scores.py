"""Scores of probabilities and of ordered levels, each with an interval: rankings, averages over
labels, agreement, calibration.

The rows of one unit are dependent. A score without a closed form gets the percentile bootstrap over
units (Efron 1979).

What these cannot show: anything about rows drawn in another way. The bootstrap is too short under
about 20 units, and for a label that few rows have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from gobelin.core.lazy import special
from gobelin.evidence.intervals import Interval, wilson

CALIBRATION_BINS = 8  # of equal count
Weighted = Callable[[np.ndarray], float]  # row weights [N] -> a score


def auroc(scores: np.ndarray, label: np.ndarray) -> Weighted:
    """The chance that a row with the label scores above a row without it; a tie counts half (Hanley
    & McNeil 1982).

    scores float [N], label 0 or 1 [N]. nan unless both kinds of rows have weight.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    hit = label[order].astype(np.float64)

    def score(weight: np.ndarray) -> float:
        w = weight[order]
        positive, negative = (np.add.reduceat(w * part, starts) for part in (hit, 1 - hit))
        pairs = positive.sum() * negative.sum()
        below = negative.cumsum() - negative
        return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else math.nan

    return score


def average_precision(scores: np.ndarray, label: np.ndarray) -> Weighted:
    """The sum over thresholds of precision times the step in recall. Rows of equal score enter
    together.

    scores float [N], label 0 or 1 [N]. nan unless both kinds of rows have weight.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hit = label[order].astype(np.float64)

    def score(weight: np.ndarray) -> float:
        w = weight[order]
        hits, taken = (w * hit).cumsum()[ends], w.cumsum()[ends]
        if hits[-1] <= 0 or hits[-1] >= taken[-1]:
            return math.nan
        steps = np.diff(hits, prepend=0.0)
        return float((steps * hits / np.maximum(taken, 1e-12)).sum() / hits[-1])

    return score


def f1(predicted: np.ndarray, label: np.ndarray) -> Weighted:
    """2 tp / (2 tp + fp + fn), 0 without a true positive. predicted bool [N], label 0 or 1 [N]."""
    both, either = (predicted & (label == 1)).astype(float), predicted.astype(float) + (label == 1)

    def score(weight: np.ndarray) -> float:
        total = float(weight @ either)
        return 2 * float(weight @ both) / total if total > 0 else math.nan

    return score


def quadratic_kappa(predicted: np.ndarray, truth: np.ndarray, levels: int) -> Weighted:
    """1 - sum w_ij observed_ij / sum w_ij expected_ij with w_ij = (i - j)^2 (Cohen 1968).

    predicted, truth: int [N] in 0..levels-1. 0 is no better than chance.
    """
    place = truth * levels + predicted
    distance = (np.arange(levels)[:, None] - np.arange(levels)) ** 2

    def score(weight: np.ndarray) -> float:
        observed = np.bincount(place, weight, levels * levels).reshape(levels, levels)
        expected = np.outer(observed.sum(1), observed.sum(0)) / max(observed.sum(), 1e-12)
        worst = float((distance * expected).sum())
        return 1 - float((distance * observed).sum()) / worst if worst > 0 else math.nan

    return score


def spearman(predicted: np.ndarray, truth: np.ndarray) -> Weighted:
    """The correlation of the ranks of two numbers (Spearman 1904); equal numbers share their mean
    rank. predicted, truth: float [N]. nan where either is the same in all rows with weight."""
    places = [np.unique(x, return_inverse=True)[1] for x in (predicted, truth)]

    def score(weight: np.ndarray) -> float:
        sums = [np.bincount(place, weight) for place in places]
        a, b = (
            (total.cumsum() - total / 2)[place] for total, place in zip(sums, places, strict=True)
        )
        share = weight / weight.sum()
        a, b = a - share @ a, b - share @ b
        spread = math.sqrt(float(share @ a**2) * float(share @ b**2))
        return float(share @ (a * b)) / spread if spread > 1e-12 else math.nan

    return score


def macro(scores: Sequence[Weighted]) -> Weighted:
    """The mean over the scores that are not nan."""

    def score(weight: np.ndarray) -> float:
        values = [v for part in scores if not math.isnan(v := part(weight))]
        return float(np.mean(values)) if values else math.nan

    return score


def interval(
    score: Weighted, units: Sequence[str], best: float = 1.0, level: float = 0.95, draws: int = 500
) -> Interval:
    """A score with its percentile bootstrap over units [N] (Efron 1979).

    No draw of a perfect score can be less than perfect. So a perfect score gets the lower bound of
    a share that was right in every unit.
    """
    _, unit = np.unique(np.asarray(units), return_inverse=True)
    count, rng = int(unit.max()) + 1, np.random.default_rng(0)
    value = score(np.ones(len(unit)))
    drawn = np.array(
        [
            score(rng.multinomial(count, np.full(count, 1 / count))[unit].astype(float))
            for _ in range(draws)
        ]
    )
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(value, math.nan, math.nan, level, "no interval", count)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    if value == best:
        low = min(low, best * wilson(count, count, level).low)
    return Interval(
        value, float(low), float(high), level, "bootstrap over units (Efron 1979)", count
    )


def calibration_error(
    sure: np.ndarray,
    right: np.ndarray,
    share: np.ndarray,
    units: Sequence[str],
    bins: int = CALIBRATION_BINS,
    level: float = 0.95,
) -> tuple[Interval, float]:
    """Expected calibration error, sum_b w_b |confidence_b - share right_b| (Naeini et al. 2015), in
    bins of equal count (Nixon et al. 2019). And its floor: the error that a calibrated model is
    expected to show on as many rows.

    sure: confidence [N] in 0..1. right: 1 or 0 [N]. share: weight of each row [N]. units: [N].
    Every bin has its Wilson interval at the level that holds for all bins together (Bonferroni), at
    the effective count (sum w)^2 / sum w^2 of its units. The bounds of the sum are the sums of the
    bins' bounds. So the interval is never too short, and rather long.

    What this cannot show: errors that cancel within a bin, or in classes other than the predicted
    one. The value is never 0 on few rows, hence the floor.
    """
    unit = np.unique(np.asarray(units), return_inverse=True)[1]
    parts = [p for p in np.array_split(np.argsort(sure, kind="stable"), bins) if len(p)]
    within, total = 1 - (1 - level) / len(parts), share.sum()
    value = low = high = floor = 0.0
    for part in parts:
        w, weight = share[part], share[part].sum() / total
        if weight <= 0:
            continue
        effective = _effective(w, unit[part])
        hits = wilson(float(w @ right[part]) / w.sum() * effective, effective, within)
        confidence = float(w @ sure[part]) / w.sum()
        spread = float(w @ (sure[part] * (1 - sure[part]))) / w.sum() / effective
        value += weight * abs(confidence - hits.value)
        low += weight * max(0.0, hits.low - confidence, confidence - hits.high)
        high += weight * max(hits.high - confidence, confidence - hits.low)
        floor += weight * math.sqrt(2 * spread / math.pi)  # the mean of |N(0, spread)|
    method = "Wilson 1927 in every bin, all bins together (Bonferroni)"
    return Interval(value, low, high, level, method, int(unit.max()) + 1), floor


def _effective(weight: np.ndarray, unit: np.ndarray) -> float:
    """The effective number of units (Kish 1965): (sum w)^2 / sum w^2 over the units' sums."""
    sums = np.bincount(unit, weight)
    return float(sums.sum() ** 2 / max((sums**2).sum(), 1e-300))


def weighted_mean(
    values: np.ndarray,
    share: np.ndarray,
    units: Sequence[str],
    level: float = 0.95,
    least: float = -math.inf,
) -> Interval:
    """sum w x / sum w. values x, share w, units: [N]. No interval with one unit. least: the
    smallest value that x can have; the interval ends there, and covers the mean as often.

    The interval is the sandwich over units (Cameron & Miller 2015) with t, one degree of freedom
    less than units.
    """
    unit = np.unique(np.asarray(units), return_inverse=True)[1]
    count, centre = int(unit.max()) + 1, float(share @ values / share.sum())
    if count < 2:
        return Interval(centre, math.nan, math.nan, level, "one unit: no interval", count)
    off = np.bincount(unit, share * (values - centre))
    half = (
        float(special.stdtrit(count - 1, 0.5 + level / 2))
        * math.sqrt(count / (count - 1) * float((off**2).sum()))
        / float(share.sum())
    )
    return Interval(
        centre,
        max(centre - half, least),
        centre + half,
        level,
        "sandwich over units (Cameron & Miller 2015)",
        count,
    )
