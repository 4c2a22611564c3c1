"""Which rows a predictor got wrong: counts by truth and prediction, and the worst rows.

What this cannot show: why. A wrong label looks the same as a wrong prediction (see `curate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from gobelin.data.fields import Target
from gobelin.data.values.spelling import named
from gobelin.evidence.findings import number
from gobelin.prediction.predictor import Predictions

MOST_NAMED_LABELS = 3  # of a row, in a text


@dataclass(frozen=True)
class Mistake:
    """One row whose prediction is wrong."""

    row: int  # its place among the predicted rows
    truth: str
    predicted: str
    detail: str  # how wrong it is, in words


def confusion(predictions: Predictions, target: Target) -> np.ndarray:
    """int64 [C, C]: how many rows of each class (row) get each prediction (column).

    target: of the predicted rows, all labelled, one class a row."""
    count = len(target.classes)
    pairs = target.values * count + predictions.class_indices
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def label_errors(predictions: Predictions, target: Target) -> np.ndarray:
    """int64 [C, 4]: of each label the rows that have it, those of them that it is missing from in
    the prediction, the rows that lack it, and those of them that get it. Several labels a row."""
    has, gets = target.values == 1, _sets(predictions)
    return np.stack([has.sum(0), (has & ~gets).sum(0), (~has).sum(0), (~has & gets).sum(0)], axis=1)


def right_rows(predictions: Predictions, target: Target) -> np.ndarray:
    """bool [N]: the rows whose class, or whose every label, is right. Not for numbers."""
    if target.kind == "labels":
        return (_sets(predictions) == (target.values == 1)).all(1)
    return predictions.class_indices == target.values


def worst(predictions: Predictions, target: Target, most: int = 10) -> list[Mistake]:
    """The worst mistakes, worst first, at most `most`.

    Classes: wrong rows, by the probability of the truth. Levels: by the distance, then by that
    probability. Numbers: by the absolute error. Several labels: by the number of wrong labels, then
    by the log loss. Equal ones stay in the order of the rows."""
    ranked = {
        "class": _wrong_classes,
        "ordinal": _wrong_classes,
        "number": _wrong_numbers,
        "labels": _wrong_labels,
    }
    return ranked[target.kind](predictions, target, most)


def _wrong_classes(predictions: Predictions, target: Target, most: int) -> list[Mistake]:
    index, truth, p = predictions.class_indices, target.values, predictions.probabilities
    rows = np.arange(len(truth))
    of_truth, of_predicted = p[rows, truth], p[rows, index]
    distance = np.abs(index - truth) if target.kind == "ordinal" else np.ones(len(truth))
    wrong = np.flatnonzero(index != truth)
    order = wrong[np.lexsort((of_truth[wrong], -distance[wrong]))][:most]
    found = []
    for k in map(int, order):
        detail = f"{_percent(of_predicted[k])} for it, {_percent(of_truth[k])} for the truth"
        if target.kind == "class" and of_predicted[k] < p[k].max():
            detail += "; classes count equally, so a rare one needs less"
        if target.kind == "ordinal":
            levels = int(distance[k])
            detail = f"{levels} level{'s' * (levels > 1)} off; {detail}"
        found.append(Mistake(k, target.classes[truth[k]], target.classes[index[k]], detail))
    return found


def _wrong_numbers(predictions: Predictions, target: Target, most: int) -> list[Mistake]:
    error = np.abs(predictions.values - target.values)
    order = np.argsort(-error, kind="stable")[:most]
    return [
        Mistake(
            k,
            named(float(target.values[k])),
            number(float(predictions.values[k])),
            f"off by {number(float(error[k]))}; interval {number(float(predictions.low[k]))} to"
            f" {number(float(predictions.high[k]))}",
        )
        for k in map(int, order)
        if error[k] > 0
    ]


def _wrong_labels(predictions: Predictions, target: Target, most: int) -> list[Mistake]:
    has, gets, p = target.values == 1, _sets(predictions), predictions.probabilities
    count = (has != gets).sum(1)
    loss = -np.log(np.clip(np.where(has, p, 1 - p), 1e-12, None)).sum(1)
    wrong = np.flatnonzero(count)
    order = wrong[np.lexsort((-loss[wrong], -count[wrong]))][:most]
    found = []
    for k in map(int, order):
        parts = [
            (_listed(compress(target.classes, has[k] & ~gets[k])), "missed"),
            (_listed(compress(target.classes, ~has[k] & gets[k])), "added"),
        ]
        detail = "; ".join(f"{word} {names}" for names, word in parts if names)
        texts = [_listed(compress(target.classes, row[k])) or "none" for row in (has, gets)]
        found.append(Mistake(k, texts[0], texts[1], detail))
    return found


def _sets(predictions: Predictions) -> np.ndarray:
    """bool [N, C]: the labels of each row."""
    if predictions.sets is None:
        return predictions.probabilities >= 0.5
    return predictions.sets


def _listed(names: Sequence[str] | compress[str]) -> str:
    every = list(names)
    more = len(every) - MOST_NAMED_LABELS
    return ", ".join(every[:MOST_NAMED_LABELS]) + (f" and {more} more" if more > 0 else "")


def _percent(p: float) -> str:
    """A probability; a tiny one is not printed as 0."""
    return f"{100 * p:.1f} %" if p >= 0.0005 else "under 0.1 %"
