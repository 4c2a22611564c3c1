"""Abstention: which predictions are better left to a person, and what is gained by that.

The rows are ordered by the confidence of their predictions. The risk at a coverage is the mean loss
of that share of the rows, the most confident ones; the area under this risk-coverage curve (AURC,
Geifman & El-Yaniv 2017; Geifman et al. 2019, equation 3) is small where the errors are among the
least confident rows. A random order has the mean loss of all rows as its area.

The loss of a row is 1 for a wrong class or level and 0 for a right one. With several labels a row
it is the Jaccard distance: the share of the labels that are predicted or true, but not both. The
confidence is the probability of the predicted class; of several labels the expected labels in
common over the expected labels in either set.

`bound` chooses the confidence below which a row is referred to a person, so that the loss of the
others stays below a limit: the algorithm SGR of Geifman & El-Yaniv 2017 on cross-fitted rows.

What this cannot show: the risk of rows unlike these. Of rows that nothing in training resembles a
model can be wrong and sure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Target
from gobelin.evidence import intervals, scores
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.evidence.scores import Weighted
from gobelin.prediction.scoring import Answers

DOUBT = 0.05  # of `bound`: the chance that the limit does not hold
POINTS = 20  # of a risk-coverage curve
REFER_ALL = 2.0  # a bound above every confidence


def check_limit(max_error: float | None, target: Target) -> None:
    """Raises GobelinError for a limit of the error of a number, which is no share."""
    if max_error is not None and target.kind == "number":
        raise GobelinError(
            f"predict.max_error: {target.name!r} is a number, whose error is no share of rows."
            " Leave it out, and use the ends low and high of pred.csv."
        )


def confidence(kind: str, answers: Answers) -> np.ndarray:
    """float64 [N] in 0..1, of N rows with classes, levels or several labels (see above)."""
    p = answers.probabilities
    if kind != "labels":
        return p[np.arange(len(p)), answers.chosen]
    held = answers.chosen
    common, either = (p * held).sum(1), held.sum(1) + (p * ~held).sum(1)
    none = np.exp(np.log1p(-np.minimum(p, 1 - 1e-12)).sum(1))  # no label is true
    return np.where(held.any(1), common / np.maximum(either, 1e-12), none)


def losses(kind: str, answers: Answers, truth: np.ndarray) -> np.ndarray:
    """float64 [N] in 0..1. truth: int [N], or 0 and 1 [N, C] of several labels a row."""
    if kind != "labels":
        return (answers.chosen != truth).astype(np.float64)
    held, true = answers.chosen, truth == 1
    either = (held | true).sum(1)
    return np.where(either > 0, (held != true).sum(1) / np.maximum(either, 1), 0.0)


def scored(answers: Answers, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and loss, float64 [N] each; of several labels a row, those that are scored."""
    if target.kind != "labels":
        return confidence(target.kind, answers), losses(target.kind, answers, target.values)
    columns = np.flatnonzero(target.scored)
    some = Answers(answers.probabilities[:, columns], answers.chosen[:, columns])
    return confidence("labels", some), losses("labels", some, target.values[:, columns])


def area(sure: np.ndarray, loss: np.ndarray) -> Weighted:
    """The area under the risk-coverage curve as a function of the rows' weights. Rows of equal
    confidence enter together. sure, loss: [N]."""
    order = np.argsort(-sure, kind="stable")
    starts = np.flatnonzero(np.diff(sure[order], prepend=np.inf))
    lost = loss[order]

    def score(weight: np.ndarray) -> float:
        w = weight[order]
        taken, wrong = (np.add.reduceat(x, starts) for x in (w, w * lost))
        covered = taken.cumsum()
        risk = wrong.cumsum() / np.maximum(covered, 1e-300)
        return float((taken * risk).sum() / covered[-1])

    return score


def summary(answers: Answers, target: Target, groups: Sequence[str]) -> Finding:
    """The area under the risk-coverage curve. chance: that of a random order. floor: that of the
    best order of these losses. groups: N names, the units of the interval."""
    sure, loss = scored(answers, target)
    best = -np.argsort(np.argsort(loss, kind="stable")).astype(np.float64)  # no two are equal
    found = scores.interval(area(sure, loss), list(groups), best=0.0)
    return found.finding(
        "risk_coverage_area",
        better="lower",
        chance=float(loss.mean()),
        floor=area(best, loss)(np.ones(len(loss))),
        source="evaluate",
        note=_note(sure, loss),
    )


def _note(sure: np.ndarray, loss: np.ndarray) -> str:
    """What referring the least confident fifth of the rows would gain."""
    kept = np.argsort(-sure, kind="stable")[: max(1, math.ceil(0.8 * len(loss)))]
    return (
        f"mean loss {100 * loss.mean():.1f} % on all rows,"
        f" {100 * loss[kept].mean():.1f} % on the most confident 80 %"
    )


def curve(
    answers: Answers, target: Target, groups: Sequence[str]
) -> tuple[list[float], list[Interval]]:
    """Coverages and the risk at each, with its interval; at most `POINTS` of them. Rows of equal
    confidence enter together."""
    sure, loss = scored(answers, target)
    order, units = np.argsort(-sure, kind="stable"), np.asarray(groups)
    ends = np.append(np.flatnonzero(np.diff(sure[order])), len(order) - 1) + 1
    asked = np.ceil(np.linspace(0, 1, POINTS + 1)[1:] * len(order) - 1e-9)
    counts = np.unique(ends[np.searchsorted(ends, asked)])
    risks = [intervals.proportion(loss[order[:k]], units[order[:k]]) for k in counts]
    return (counts / len(order)).tolist(), risks


def referral(
    answers: Answers, target: Target, refer: np.ndarray, most: float, groups: Sequence[str]
) -> list[Finding]:
    """The share of rows that are answered, and their mean loss, which was promised to be `most` at
    most. refer: bool [N]. groups: N names."""
    answered, units = ~refer, np.asarray(groups)
    note = f"at most {100 * most:g} % was promised"
    if not answered.any():
        note = "all rows are referred to a person: no confidence keeps the promise"
    share = intervals.proportion(answered.astype(float), units)
    findings = [
        share.finding("answered", better="higher", unit="share", source="evaluate", note=note)
    ]
    if answered.any():
        _, loss = scored(answers, target)
        error = intervals.proportion(loss[answered], units[answered])
        findings.append(
            error.finding(
                "error_of_answered", better="lower", unit="share", source="evaluate", note=note
            )
        )
    return findings


def bound(sure: np.ndarray, loss: np.ndarray, units: Sequence[str], most: float) -> float:
    """The lowest confidence that is answered, so that the mean loss of what is answered stays at
    most `most` in 1 - DOUBT of samples of rows (SGR, algorithm 2 of Geifman & El-Yaniv 2017: a
    binary search over the rows with a bound of Clopper & Pearson 1934 at each step, whose doubt is
    shared by all steps). `REFER_ALL` where no share of the rows allows it.

    sure, loss: [N]. units: N names; rows of one unit are dependent."""
    order, names = np.argsort(-sure, kind="stable"), np.asarray(units)
    ends = np.append(np.flatnonzero(np.diff(sure[order])), len(order) - 1) + 1
    steps = max(1, math.ceil(math.log2(len(ends) + 1)))
    level = 1 - 2 * DOUBT / steps
    low, high = 0, len(ends)  # counts of blocks of equal confidence; the first `low` are answered
    while low < high:
        middle = (low + high + 1) // 2
        rows = order[: ends[middle - 1]]
        risk = intervals.proportion(loss[rows], names[rows], level, intervals.exact)
        low, high = (middle, high) if risk.high <= most else (low, middle - 1)
    return float(sure[order[ends[low - 1] - 1]]) if low else REFER_ALL
