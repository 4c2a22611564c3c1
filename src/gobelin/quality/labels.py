"""The other direction of the loop: what a fitted predictor says of the labels that it was fitted
on.

Confident learning (Northcutt, Jiang & Chuang 2021) counts, on scores that never saw their own row,
how often a row that is labelled i looks surely like class j: the joint distribution of given and
true labels. From it come the rows whose label looks wrong, how many there are, and the share of
each true class that got each label (the transition, T). With T a row's scores, which speak of given
labels, become the probability of every true class. That probability labels rows that have no label,
mends labels, and is a row's weight.

What this cannot show: that a label is wrong. A row that the predictor can't read looks as a
mislabelled one does; so classes that are hard to tell apart raise the estimated noise, and the
interval knows the draw of rows but not that. Noise that the predictor learned (all rows of one kind
mislabelled alike) is not seen at all. Rows without a label must be like those with one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from gobelin.core.config import within
from gobelin.core.machine import numpy_generator
from gobelin.core.neighbours import nearest
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.features import Embeddings
from gobelin.evidence import intervals
from gobelin.evidence.intervals import Interval

# of expectation and maximisation, a row: it ends where scores that mix two classes are taken apart
ROUNDS = 100
STEP = 1.25  # between two counts of most confident rows that are tried


@dataclass(frozen=True)
class Curate:
    """precision: share right that labels given to unlabelled rows must reach, at its lower 95 %
    bound. sure: how probable the suggested class of a suspect must be before it replaces the label.
    caption: a row without a caption gets that of its nearest row when it lies nearer than this
    share of rows lie to theirs. alike: rows that look the same share one weight. draws: of the
    bootstrap. shown: suspects in the report."""

    precision: float = 0.95
    sure: float = 0.8
    caption: float = 0.5
    alike: bool = True
    draws: int = 200
    shown: int = 60

    def __post_init__(self) -> None:
        within(
            self,
            {
                "precision": (0.5, 0.999),
                "sure": (0.5, 1),
                "caption": (0, 1),
                "draws": (20, 100_000),
                "shown": (0, 10_000),
            },
        )


def thresholds(scores: np.ndarray, given: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """float64 [C]: t_j, the mean score of class j over the rows that are labelled j (equation 2);
    inf without such a row.

    scores: [N, C], out of sample. given: int64 [N]. counts: how often each row counts, [N]."""
    own = scores[np.arange(len(given)), given]
    classes = scores.shape[1]
    sums, sizes = (
        np.bincount(given, counts * w, minlength=classes) for w in (own, np.ones(len(given)))
    )
    return np.where(sizes > 0, sums / np.maximum(sizes, 1e-300), np.inf)


def joint(scores: np.ndarray, given: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """float64 [C, C], summing to 1: the joint distribution of given (row) and true class (column),
    equations 1 and 3.

    A row counts for the likeliest class among those whose threshold it reaches, and for none where
    it reaches none; the counts of each given class are then scaled to its share of all rows. A
    class without a sure row is taken at its word."""
    classes = scores.shape[1]
    reached = np.where(scores >= thresholds(scores, given, counts), scores, -np.inf)
    sure = np.isfinite(reached.max(1))
    cells = given[sure] * classes + reached[sure].argmax(1)
    counted = np.bincount(cells, counts[sure], minlength=classes**2).reshape(classes, classes)
    sizes, sums = np.bincount(given, counts, minlength=classes), counted.sum(1)
    counted[sums == 0] = np.eye(classes)[sums == 0]
    return counted / counted.sum(1, keepdims=True) * (sizes / sizes.sum())[:, None]


def suspects(scores: np.ndarray, given: np.ndarray, together: np.ndarray) -> np.ndarray:
    """int64 [N]: the class that a mislabelled row seems to be of, -1 for the others (pruning by
    noise rate, section 3.2).

    For each pair of classes i, j the N * joint[i, j] rows labelled i with the largest margin of j
    over i, as far as it is above zero; of several suggestions the one with the largest margin."""
    best, found = np.zeros(len(given)), np.full(len(given), -1, np.int64)
    for i, j in np.argwhere((together > 0) & ~np.eye(len(together), dtype=bool)):
        own = np.flatnonzero(given == i)
        margin = scores[own, j] - scores[own, i]
        for k in np.argsort(-margin, kind="stable")[: round(len(given) * float(together[i, j]))]:
            if margin[k] > best[own[k]]:
                best[own[k]], found[own[k]] = margin[k], j
    return found


def wrong_labels(
    scores: np.ndarray, given: np.ndarray, groups: Sequence[str], draws: int, seed: int
) -> Interval:
    """The share of labels that are wrong, 1 - trace of the joint; bootstrap over groups (Efron
    1979)."""
    unit = np.unique(np.asarray(groups), return_inverse=True)[1]
    rng, units = numpy_generator(seed, "curate", "bootstrap"), int(unit.max()) + 1
    drawn = [
        1
        - np.trace(
            joint(
                scores, given, rng.multinomial(units, np.full(units, 1 / units))[unit].astype(float)
            )
        )
        for _ in range(draws)
    ]
    value = float(1 - np.trace(joint(scores, given, np.ones(len(given)))))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(
        value, min(low, value), max(high, value), 0.95, "bootstrap over groups (Efron 1979)", units
    )


def transition(together: np.ndarray, rows: int) -> np.ndarray:
    """float64 [C, C]: T[k, i], the probability that a row of true class k is labelled i; every
    class has one imaginary row more that is spread over all labels, so that nothing is
    impossible."""
    counts = together.T * rows
    return (counts + 1 / len(counts)) / (counts.sum(1, keepdims=True) + 1)


def unmixed(scores: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """float64 [N, C]: the probabilities q of true classes under which the scores p of labels are
    likeliest: the largest sum_i p_i log sum_k q_k T[k, i], by expectation and maximisation
    (Richardson 1972, Lucy 1974)."""
    q = scores.astype(np.float64)
    for _ in range(ROUNDS):
        q = q * ((scores / np.maximum(q @ mixing, 1e-300)) @ mixing.T)
    return q / q.sum(1, keepdims=True)


def posterior(true: np.ndarray, given: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """float64 [N, C]: P(true class | row, its label) = q_k T[k, given] / sum_l q_l T[l, given]; q
    without a label (-1)."""
    out = np.where((given >= 0)[:, None], true * mixing.T[given], true)
    return out / np.maximum(out.sum(1, keepdims=True), 1e-300)


@dataclass(frozen=True)
class Bar:
    """From which probability on a class that is read is right often enough. confidence: inf where
    nothing is. right: the share of labelled rows above it that are right, wrong labels allowed for.
    agree: with their labels."""

    confidence: float
    right: Interval
    agree: float


def bar(
    true: np.ndarray, given: np.ndarray, mixing: np.ndarray, groups: Sequence[str], precision: float
) -> Bar:
    """The lowest probability whose rows are right at `precision` or more, with 95 % certainty.

    Ever more of the most confident rows are tested and the first failure ends it, so no test needs
    a correction (fixed sequence, Bauer 1991; Angelopoulos et al. 2021). A reading agrees with its
    label with probability d if it is right and o if it is wrong, so right = (agree - o) / (d - o)
    (Natarajan et al. 2013). d is T[k, k], or the agreement of the first rows where that is more:
    they are taken for right (anchors, Patrini et al. 2017), so labels that are all right lower
    nothing.

    What this cannot show: errors of those first rows. They count as wrong labels, and the precision
    is overstated by their share."""
    read, sure, labels = (
        true.argmax(1),
        true.max(1),
        np.bincount(given, minlength=len(mixing)) / len(given),
    )
    order = np.argsort(-sure, kind="stable")
    agree, units, kept, prior = (
        (read == given).astype(float),
        np.asarray(groups),
        mixing.diagonal(),
        true.mean(0),
    )
    wrong = np.clip((labels - prior * kept) / np.maximum(1 - prior, 1e-9), 0, 1)  # o by class
    d, o = kept[read].mean(), wrong[read].mean()
    first = count = min(len(order), _enough(precision, o, max(d - o, 1e-3), len(order) // 4))
    anchor, best = agree[order[:first]].mean(), None
    while True:
        top = order[:count]
        d, o = max(kept[read[top]].mean(), anchor), wrong[read[top]].mean()
        found = intervals.proportion(agree[top], units[top], 0.9)
        value, low, high = (
            min(1.0, max(0.0, (x - o) / max(d - o, 1e-9)))
            for x in (found.value, found.low, found.high)
        )
        right = Interval(
            value,
            low,
            high,
            0.9,
            f"{found.method}; wrong labels allowed for (Natarajan 2013)",
            count,
        )
        if low < precision:
            return best or Bar(math.inf, right, found.value)
        best = Bar(float(sure[top[-1]]), right, found.value)
        if count == len(order):
            return best
        count = min(len(order), math.ceil(count * STEP))


def _enough(precision: float, luck: float, gain: float, most: int) -> int:
    """How many rows show it with 80 % power if half of the errors are made that may be, and `most`
    if that is less; but never fewer than could show it at all."""
    low, high = (
        luck + precision * gain,
        luck + (1 + precision) / 2 * gain,
    )  # of agreement with labels
    spread = 1.645 * math.sqrt(low * max(1 - low, 0)) + 0.842 * math.sqrt(high * max(1 - high, 0))
    return math.ceil(
        max(min((spread / (high - low)) ** 2, most), math.log(0.05) / math.log(precision))
    )


def look_alikes(embeddings: Embeddings, rows: np.ndarray, near: float) -> np.ndarray:
    """int64 [n]: rows that look the same in all their fields have one number, 0 .. G - 1. near: as
    in `check.Check`."""
    parts = []
    for k, field in enumerate(embeddings.fields):
        x, here = embeddings.features[field][rows].astype(np.float64), embeddings.present[rows, k]
        if here.sum() > 1:
            x = (x - x[here].mean(0)) / (math.sqrt(x.shape[1]) * x[here].std(0).mean() + 1e-12)
            parts += [
                x * here[:, None],
                10.0 * here[:, None],
            ]  # an absent field is unlike any present one
    if not parts or len(rows) < 3:
        return np.arange(len(rows))
    x = np.concatenate(parts, 1)
    distance, place = nearest(x, x, np.arange(len(x)))
    same = np.flatnonzero(distance <= near * np.median(distance))
    edges = coo_matrix((np.ones(len(same)), (same, place[same])), (len(rows), len(rows)))
    return connected_components(edges, directed=False)[1].astype(np.int64)


@dataclass(frozen=True)
class Borrowed:
    """A caption for a row that has none. row, donor: numbers in the data set. closeness: the share
    of captioned rows that lie no nearer to the nearest caption of another group. It says how near a
    caption lies, not whether it is true."""

    row: int
    donor: int
    cosine: float
    closeness: float


def borrowed(shared: Shared, field: str, rows: np.ndarray, groups: Sequence[str]) -> list[Borrowed]:
    """For each of these rows without the field, and with some other, the row of another group whose
    value of it lies nearest to the sum of what the row has."""
    own = shared.fields.index(field)
    others = shared.vectors.copy()
    others[:, own] = 0
    asking = replace(shared, vectors=others).pooled()
    able = rows[np.delete(shared.present[rows], own, 1).any(1)]
    has, without = able[shared.has(field)[able]], able[~shared.has(field)[able]]
    pool = rows[shared.has(field)[rows]]
    if not len(has) or not len(without) or len(pool) < 2:
        return []
    unit = np.unique(np.asarray(groups), return_inverse=True)[1]

    def closest(who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The largest cosine to a caption of another group, and its row."""
        cosine, place = np.zeros(len(who)), np.zeros(len(who), np.int64)
        for start in range(0, len(who), 1024):
            some = who[start : start + 1024]
            c = np.where(
                unit[some][:, None] != unit[pool], asking[some] @ shared.of(field)[pool].T, -np.inf
            )
            cosine[start : start + 1024], place[start : start + 1024] = c.max(1), pool[c.argmax(1)]
        return cosine, place

    usual = np.sort(closest(has)[0])
    cosine, donor = closest(without)
    closeness = np.searchsorted(usual, cosine, side="right") / len(usual)
    said = zip(without, donor, cosine, closeness, strict=True)
    return [
        Borrowed(int(r), int(one), float(c), float(share))
        for r, one, c, share in said
        if c > -np.inf
    ]
