"""Which labels of the training data look wrong to the predictor that was fitted on them.

Confident learning (Northcutt, Jiang & Chuang 2021) uses cross-fitted scores: no row's scores come
from a predictor that was fitted on it. It counts how often a row labelled i looks surely like class
j. That is the joint distribution of given and true labels. From it follow the rows whose label
looks wrong, how many there are, and the share of each true class that got each label (the
transition T). A row's scores are probabilities of given labels; with T they become probabilities of
true classes. They give unlabelled rows a label, correct labels, and are a row's weight.

What this cannot show: that a label is wrong. A row that the predictor can't read looks like a
mislabelled one. So classes that are hard to tell apart raise the estimated noise; the interval
includes the draw of rows but not this. Noise that the predictor learned (all rows of one kind have
the same wrong label) is not seen at all. Rows without a label must be like those with one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.lazy import csgraph, sparse
from gobelin.core.machine import numpy_generator
from gobelin.core.neighbours import nearest
from gobelin.embedding.features import Embeddings
from gobelin.evidence import intervals
from gobelin.evidence.intervals import Interval

EM_ROUNDS = 100  # of expectation and maximisation: enough to separate two classes that scores mix
COUNT_FACTOR = 1.25  # from one tested count of most confident rows to the next


@settings_class
class Curate:
    """Settings of finding and mending wrong labels."""

    precision: float = setting(
        default=0.95,
        ge=0.5,
        le=0.999,
        description="Of labels given to unlabelled rows, this share must be right (95 % bound).",
    )
    sure: float = setting(
        default=0.8,
        ge=0.5,
        le=1,
        description="Probability from which the suggested class replaces a suspect's label.",
    )
    caption: float = setting(
        default=0.5,
        ge=0,
        le=1,
        description="A row takes the nearest row's caption below this share of the usual distance.",
    )
    alike: bool = setting(default=True, description="Whether near-duplicate rows share one weight.")
    draws: int = setting(default=200, ge=20, le=100_000, description="Draws of the bootstrap.")
    shown: int = setting(default=60, ge=0, le=10_000, description="Suspects shown in the report.")


def thresholds(scores: np.ndarray, given: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """float64 [C]: t_j, the mean score of class j over the rows that are labelled j (equation 2);
    inf without such a row.

    scores: [N, C], cross-fitted. given: labels, int64 [N]. counts: how often each row counts,
    [N].
    """
    score_of_label = scores[np.arange(len(given)), given]
    classes = scores.shape[1]
    sums, sizes = (
        np.bincount(given, counts * w, minlength=classes)
        for w in (score_of_label, np.ones(len(given)))
    )
    return np.where(sizes > 0, sums / np.maximum(sizes, 1e-300), np.inf)


def joint(scores: np.ndarray, given: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """float64 [C, C], summing to 1: the joint distribution of given (row) and true class (column),
    equations 1 and 3. Arguments as in `thresholds`.

    A row counts for the likeliest class among those whose threshold it reaches, and for no class
    where it reaches none. The counts of each given class are then scaled to its share of all rows.
    The labels of a class without a sure row are taken for right.
    """
    classes = scores.shape[1]
    reached = np.where(scores >= thresholds(scores, given, counts), scores, -np.inf)
    sure = np.isfinite(reached.max(1))
    cells = given[sure] * classes + reached[sure].argmax(1)
    counted = np.bincount(cells, counts[sure], minlength=classes**2).reshape(classes, classes)
    sizes, sums = np.bincount(given, counts, minlength=classes), counted.sum(1)
    counted[sums == 0] = np.eye(classes)[sums == 0]
    return counted / counted.sum(1, keepdims=True) * (sizes / sizes.sum())[:, None]


def suspects(scores: np.ndarray, given: np.ndarray, joint_distribution: np.ndarray) -> np.ndarray:
    """int64 [N]: the class that a row seems to be of if it looks mislabelled, -1 for the
    others (pruning by noise rate, section 3.2).

    For each pair of classes i, j these are the N * joint[i, j] rows labelled i with the largest
    margin of j over i, if it is above zero. Of several suggestions the one with the largest margin
    is taken. joint_distribution: [C, C] of `joint`.
    """
    largest, suggested = np.zeros(len(given)), np.full(len(given), -1, np.int64)
    for i, j in np.argwhere(
        (joint_distribution > 0) & ~np.eye(len(joint_distribution), dtype=bool)
    ):
        labelled = np.flatnonzero(given == i)
        margin = scores[labelled, j] - scores[labelled, i]
        for k in np.argsort(-margin, kind="stable")[
            : round(len(given) * float(joint_distribution[i, j]))
        ]:
            if margin[k] > largest[labelled[k]]:
                largest[labelled[k]], suggested[labelled[k]] = margin[k], j
    return suggested


def wrong_labels(
    scores: np.ndarray, given: np.ndarray, groups: Sequence[str], draws: int, seed: int
) -> Interval:
    """The share of labels that are wrong, 1 - trace of the joint distribution, with an interval by
    bootstrap over groups (Efron 1979). groups: [N]. draws: of the bootstrap.
    """
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    rng, units = numpy_generator(seed, "curate", "bootstrap"), int(group.max()) + 1
    resampled = [
        1
        - np.trace(
            joint(
                scores,
                given,
                rng.multinomial(units, np.full(units, 1 / units))[group].astype(float),
            )
        )
        for _ in range(draws)
    ]
    value = float(1 - np.trace(joint(scores, given, np.ones(len(given)))))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(
        value, min(low, value), max(high, value), 0.95, "bootstrap over groups (Efron 1979)", units
    )


def transition(joint_distribution: np.ndarray, rows: int) -> np.ndarray:
    """float64 [C, C]: T[k, i], the probability that a row of true class k is labelled i.

    Every class gets one imaginary row more, spread over all labels, so that no label is
    impossible. rows: N.
    """
    counts = joint_distribution.T * rows
    return (counts + 1 / len(counts)) / (counts.sum(1, keepdims=True) + 1)


def unmixed(scores: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """float64 [N, C]: the probabilities q of true classes that fit the scores p of labels best.

    They maximise sum_i p_i log sum_k q_k T[k, i], by expectation and maximisation (Richardson 1972,
    Lucy 1974). scores: p [N, C]. mixing: T [C, C].
    """
    q = scores.astype(np.float64)
    for _ in range(EM_ROUNDS):
        q = q * ((scores / np.maximum(q @ mixing, 1e-300)) @ mixing.T)
    return q / q.sum(1, keepdims=True)


def posterior(true: np.ndarray, given: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """float64 [N, C]: P(true class | row, its label) = q_k T[k, given] / sum_l q_l T[l, given]; q
    for a row without a label (-1). true: q [N, C]. mixing: T [C, C].
    """
    out = np.where((given >= 0)[:, None], true * mixing.T[given], true)
    return out / np.maximum(out.sum(1, keepdims=True), 1e-300)


@dataclass(frozen=True)
class ConfidenceBar:
    """The least probability at which the predicted class is right often enough.

    confidence: that probability, inf where none suffices. right: the share of labelled rows above
    it whose prediction is right, wrong labels allowed for. agree: the share whose prediction is
    their label.
    """

    confidence: float
    right: Interval
    agree: float


def confidence_bar(
    true: np.ndarray, given: np.ndarray, mixing: np.ndarray, groups: Sequence[str], precision: float
) -> ConfidenceBar:
    """The lowest probability above which predictions are right at `precision` or more, with 95 %
    certainty.

    true: probabilities q of true classes [N, C]. given: labels int64 [N]. mixing: T [C, C]. groups:
    [N], units of the interval.

    The tests take more and more of the most confident rows until one fails, so no test needs
    a correction (fixed sequence, Bauer 1991; Angelopoulos et al. 2021). A prediction agrees with
    its label with probability d if it is right and o if it is wrong, so right = (agree - o) / (d -
    o) (Natarajan et al. 2013). d is T[k, k], or the agreement of the first rows where that is more:
    they are taken for right (anchors, Patrini et al. 2017), so labels that are all right lower
    nothing.

    What this cannot show: errors of those first rows. They count as wrong labels, and the precision
    is overstated by their share.
    """
    answers, confidence = true.argmax(1), true.max(1)
    agree, units = (answers == given).astype(float), np.asarray(groups)
    right_label = mixing.diagonal()  # d by class: T[k, k]
    labelled = np.bincount(given, minlength=len(mixing)) / len(given)  # share of each label
    share = true.mean(0)  # of each true class
    # o by class: the share of the rows of other classes that have its label
    wrong_label = np.clip((labelled - share * right_label) / np.maximum(1 - share, 1e-9), 0, 1)
    d, o = right_label[answers].mean(), wrong_label[answers].mean()
    order = np.argsort(-confidence, kind="stable")
    first = count = min(len(order), _enough(precision, o, max(d - o, 1e-3), len(order) // 4))
    anchor, best = agree[order[:first]].mean(), None
    while True:
        top = order[:count]
        d, o = max(right_label[answers[top]].mean(), anchor), wrong_label[answers[top]].mean()
        agreed = intervals.proportion(agree[top], units[top], 0.9)  # 95 % certainty on each side
        value, low, high = (
            min(1.0, max(0.0, (x - o) / max(d - o, 1e-9)))
            for x in (agreed.value, agreed.low, agreed.high)
        )
        method = f"{agreed.method}; wrong labels allowed for (Natarajan 2013)"
        right = Interval(value, low, high, 0.9, method, count)
        if low < precision:
            return best or ConfidenceBar(math.inf, right, agreed.value)
        best = ConfidenceBar(float(confidence[top[-1]]), right, agreed.value)
        if count == len(order):
            return best
        count = min(len(order), math.ceil(count * COUNT_FACTOR))


def _enough(precision: float, o: float, gain: float, most: int) -> int:
    """How many rows the first test needs for 80 % power, if predictions make half of the errors
    that `precision` allows.

    o: agreement of wrong predictions with labels. gain: d - o. most: the largest answer, but
    the answer is never fewer than could pass the test with no error at all.
    """
    # agreement with labels at the limit, and at half of the allowed errors
    low, high = o + precision * gain, o + (1 + precision) / 2 * gain
    # normal quantiles of 95 % certainty and of 80 % power
    spread = 1.645 * math.sqrt(low * max(1 - low, 0)) + 0.842 * math.sqrt(high * max(1 - high, 0))
    return math.ceil(
        max(min((spread / (high - low)) ** 2, most), math.log(0.05) / math.log(precision))
    )


def near_duplicate_groups(embeddings: Embeddings, rows: np.ndarray, near: float) -> np.ndarray:
    """int64 [n]: rows that look the same in all their fields have one number, 0 .. G - 1.

    rows: int64 [n]. near: as in `quality.data.Check`, a share of the median distance to the nearest
    neighbour.
    """
    columns = []
    for k, field in enumerate(embeddings.fields):
        x, present = (
            embeddings.features[field][rows].astype(np.float64),
            embeddings.present[rows, k],
        )
        if present.sum() > 1:
            x = (x - x[present].mean(0)) / (
                math.sqrt(x.shape[1]) * x[present].std(0).mean() + 1e-12
            )
            # the second column keeps rows that lack the field far from those that have it
            columns += [x * present[:, None], 10.0 * present[:, None]]
    if not columns or len(rows) < 3:
        return np.arange(len(rows))
    x = np.concatenate(columns, 1)
    distance, neighbour = nearest(x, x, np.arange(len(x)))
    same = np.flatnonzero(distance <= near * np.median(distance))
    edges = sparse.coo_matrix((np.ones(len(same)), (same, neighbour[same])), (len(rows), len(rows)))
    return csgraph.connected_components(edges, directed=False)[1].astype(np.int64)
