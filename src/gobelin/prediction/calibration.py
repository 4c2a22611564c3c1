"""Scores into calibrated probabilities, prediction sets and intervals, learned from cross-fitted
training rows.

Everything is learned for each count m of present fields, 0 to F:
- a temperature (Guo et al. 2017) of what the scores add to the mix of classes, or for labels a
  slope and a shift of each label (Platt 1999);
- a conformal bound (Vovk et al. 2005, ch. 4.5, Mondrian by m): the k-th smallest of n
  nonconformities with k = ceil((n + 1) level), and one more for classes: a temperature that was
  fitted to the same rows, and predictors of fewer rows, cost up to 2 points of coverage at 50 rows
  (`benchmarks/coverage.py`).

With `median`, a number is answered by its score and the median of what answers lie above scores:
heads aim at the mean, and the mean absolute error is smallest at the median.

A nonconformity of a class is 1 - p of the true class ('lac', Sadinle et al. 2019: the smallest
sets), or the sum of the probabilities down to the true class ('aps', Romano et al. 2020, sec. 2
without the random part, so sets are larger). Of a number it is |residual|, with `local` divided by
its local scale (Lei et al. 2018, sec. 5.2). A set may be empty: no class is likely enough. All rows
count alike here, whatever `balance` says, so the level holds for rows as common as those of
training. With `by_class` it holds in every class, however common. Of several labels a row, the set
holds on average `level` of a row's labels (conformal risk control, Angelopoulos et al. 2022).

Why by count: four planted classes, 300 complete training rows, and rows that show one field of
three. With one bound, sets covered 46 % (concat), 68 % (voting) and 81 % (attention) where 90 % was
promised; by count 92 %, 90 % and 94 %. Confidence was off by 11, 18 and 4 points with one
temperature, by 3, 3 and 6 by count. All subsets of m fields share a bound, so a field that tells
less than the others is covered less than they are.

What this cannot show: the level where fields are missing in another way than in training, or where
rows are of another kind. With fewer than `ENOUGH_ROWS` training rows that have exactly m fields,
fields of others are hidden at random, as if all were equally likely to be missing. And the bound
comes from predictors that were each fitted on a part of the rows, the answer from one that was
fitted on all: the level holds for the former, for exchangeable rows. `evaluate` measures it for the
latter (Barber et al. 2021 on the jackknife and CV).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from gobelin.core.lazy import special
from gobelin.core.machine import numpy_generator
from gobelin.core.softmax import softmax
from gobelin.data.coarse import coarse, coarse_down, coarse_up
from gobelin.prediction.temperatures import platt, temperature

ENOUGH_ROWS = 100  # with exactly m fields: then no fields of other rows are hidden
LEAST_CALIBRATION_ROWS = (
    10  # for a count of fields; below, it takes the values of the nearest count
)
SPARE_RANKS = 1  # of the bound of classes
KNOTS = 33  # of the curve of local scale
# Values that are not stored where they are the default, as before they were known
LATER = ("mix", "apart", "lean", "cover", "refer", "middle", "positive")
SetKind = Literal["lac", "aps"]  # how prediction sets are formed
# (places int [k], present bool [k, F]) -> scores of these rows when these fields alone are present
ScoresWithFields = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class CalibrationSettings:
    """The choices of `cross_fit.Predict` that calibration uses."""

    kind: str  # of the target: class, ordinal, labels or number
    level: float  # coverage of sets and intervals, in 0 .. 1
    sets: SetKind = "lac"
    by_class: bool = False  # the level holds in every class
    local: bool = False  # a number's interval is wide where residuals are large
    threshold: float = 0.5  # of a label's probability; 0 = the one with its best F1
    median: bool = False  # a number is answered by its median, not by its mean


@dataclass(frozen=True)
class Calibration:
    """The fitted values. Those by count have F + 1 entries, for 0 to F present fields; those that
    the kind of target does not use are empty."""

    kind: str  # of the target
    sets: SetKind = "lac"
    # C numbers, or none: what turns scores into logits in the data's own mix of classes
    mix: tuple[float, ...] = ()
    # whether the temperature is of the scores alone; runs of earlier versions: of scores + mix
    apart: bool = False
    lean: float = 1.0  # share of `mix` that is taken off again before a class is chosen
    temperature: tuple[float, ...] = ()  # by count; classes
    slope: tuple[tuple[float, ...], ...] = ()  # by count, C numbers each; labels
    shift: tuple[tuple[float, ...], ...] = ()  # by count, C numbers each; labels
    # by count, C numbers each; classes. A class with a smaller nonconformity is in the set.
    bound: tuple[tuple[float, ...], ...] = ()
    residual: tuple[float, ...] = ()  # by count; half widths of a number, in units of `scale`
    scale: tuple[tuple[float, float], ...] = ()  # points (value, local scale) of a curve
    threshold: tuple[float, ...] = ()  # C numbers; labels
    # by count; labels. A label with a smaller 1 - p is among those that can't be ruled out.
    cover: tuple[float, ...] = ()
    refer: float = 0.0  # rows with a smaller confidence are referred to a person (`abstention`)
    middle: float = 0.0  # what the median of a number lies above its score
    positive: bool = False  # no training answer of a number is below 0

    def probabilities(self, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """float64 [N, C], of scores [N, C]. counts: int [N], how many fields each row has."""
        if self.kind == "labels":
            return special.expit(
                scores * np.array(self.slope)[counts] + np.array(self.shift)[counts]
            )
        return softmax(self.logits(scores, np.array(self.temperature)[counts][:, None]), axis=1)

    def logits(self, scores: Any, temperature: Any) -> Any:  # noqa: ANN401 - arrays or tensors
        """Scores [N, C] as logits in the data's own mix of classes. temperature: [N, 1] or one."""
        if not self.mix:
            return scores / temperature
        mix = scores.new_tensor(self.mix) if hasattr(scores, "new_tensor") else np.array(self.mix)
        return scores / temperature + mix if self.apart else (scores + mix) / temperature

    def deciding(self, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """As `probabilities`, in the mix of classes in which the class is chosen."""
        mix = tuple((1 - self.lean) * m for m in self.mix) if self.lean != 1 else ()
        return replace(self, mix=mix).probabilities(scores, counts)

    def prediction_sets(self, probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """bool [N, C]: the classes in the prediction set of each row."""
        return nonconformity(probabilities, self.sets) <= np.array(self.bound)[counts] + 1e-12

    def covering(self, probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
        """bool [N, C]: the labels that can't be ruled out; None of a run of an earlier version."""
        if not self.cover:
            return None
        return 1 - probabilities <= np.array(self.cover)[counts][:, None] + 1e-12

    def numbers(self, scores: Any) -> Any:  # noqa: ANN401 - an array or a tensor
        """The answers of scores [N, 1] of a number, of the same shape."""
        return scores + self.middle

    def half_width(self, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """float64 [N]: half the width of the interval about each predicted number."""
        return np.array(self.residual)[counts] * self.local_scale(values)

    def interval(self, values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the intervals, float64 [N] each. Where no training answer is below 0, the
        lower end is 0 at least, or the predicted number."""
        half = self.half_width(values, counts)
        low = values - half
        return np.maximum(low, np.minimum(values, 0.0)) if self.positive else low, values + half

    def local_scale(self, values: np.ndarray) -> np.ndarray:
        """float64 [N]: the mean |residual| near each predicted value; 1 without `local`."""
        if not self.scale:
            return np.ones(len(values))
        knots, sizes = np.array(self.scale).T
        return np.interp(values, knots, sizes)

    def coarse(self, chosen: bool) -> Calibration:
        """The values as a saved run tells them. A bound, a half width and a threshold are those of
        one row or two, and neighbours of the local scale differ by a few rows. They are rounded, so
        that sets and intervals become larger, by an eighth at most: a bound by its distance from 1,
        a threshold and the predicted values of the local scale to a 32nd of their range. chosen:
        whether the thresholds were chosen on rows."""
        knots, sizes = np.array(self.scale or [(0.0, 0.0)], float).T
        knots = coarse(knots, np.ptp(knots) / KNOTS)
        middle = math.copysign(float(coarse_down(np.array(abs(self.middle)))), self.middle)
        narrowest = float(sizes.min()) if self.scale else 1.0
        moved = abs(self.middle - middle) / narrowest
        points = dict(sorted(zip(knots.tolist(), coarse_up(sizes).tolist(), strict=True)))
        return replace(
            self,
            bound=tuple(tuple((1 - coarse_down(1 - np.array(b))).tolist()) for b in self.bound),
            residual=tuple(coarse_up(np.array(self.residual) + moved).tolist()),
            middle=middle,
            cover=tuple((1 - coarse_down(1 - np.array(self.cover))).tolist()),
            refer=float(1 - coarse_down(1 - np.array(self.refer))) if self.refer else 0.0,
            threshold=tuple(coarse(np.array(self.threshold), 1 / 32).tolist())
            if chosen
            else self.threshold,
            scale=tuple(points.items()) if self.scale else (),
        )

    def check(self, classes: int, fields: int) -> None:
        """Raises ValueError unless there are finite values for 0 to F present fields and for C
        classes, wherever there are any."""
        shapes = {
            "temperature": (fields + 1,),
            "residual": (fields + 1,),
            "slope": (fields + 1, classes),
            "shift": (fields + 1, classes),
            "bound": (fields + 1, classes),
            "threshold": (classes,),
            "mix": (classes,),
            "cover": (fields + 1,),
        }
        for name, shape in shapes.items():
            values = np.array(getattr(self, name), float)
            if values.size and (values.shape != shape or np.isnan(values).any()):
                raise ValueError(f"calibration: {name} has values of another shape")
        if not 0 <= self.lean <= 1:
            raise ValueError("calibration: lean is not from 0 to 1")
        if min(self.temperature, default=1.0) <= 0:
            raise ValueError("calibration: a temperature is not above 0")

    def to_dict(self) -> dict[str, Any]:
        """The values, without those of `LATER` that change nothing."""
        values = asdict(self).items()
        return {k: v for k, v in values if k not in LATER or v != getattr(Calibration, k)}

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`, through JSON."""
        return Calibration(**{k: _tuples(v) for k, v in stored.items()})


def _tuples(value: Any) -> Any:  # noqa: ANN401
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def calibrate(
    scores: np.ndarray,
    answers: np.ndarray,
    share: np.ndarray,
    present: np.ndarray,
    scores_with_fields: ScoresWithFields,
    settings: CalibrationSettings,
    seed: int,
    mix: tuple[float, ...] = (),
    window: int = 1,
) -> Calibration:
    """Learn from n rows, each scored by a predictor that was fitted without it.

    scores: [n, C] or [n, 1]. answers: int [n], float [n] or, of labels, int [n, C]. share: [n], how
    much each row counts in the probabilities. present: bool [n, F]. mix: as in `Calibration`.
    window: rows that a local scale is the mean of, at least."""
    counts, fields = present.sum(1), present.shape[1]
    empty = Calibration(settings.kind, settings.sets, mix, bool(mix))
    if settings.kind == "number":
        middle = weighted_median(answers - scores[:, 0], share) if settings.median else 0.0
        positive = len(answers) >= LEAST_CALIBRATION_ROWS and bool((answers >= 0).all())
        empty = replace(empty, middle=middle, positive=positive)
        near = empty.numbers(scores)[:, 0]
        scale = _scale(near, np.abs(near - answers), window) if settings.local else ()
        empty = replace(empty, scale=scale)
    by_count: dict[int, dict[str, Any]] = {}  # {m: {name of a value: value}}
    for m in range(fields + 1):
        exact = np.flatnonzero(counts == m)
        # rows with more fields, of which some are hidden
        more = np.zeros(0, int) if len(exact) >= ENOUGH_ROWS else np.flatnonzero(counts > m)
        if len(exact) + len(more) < min(LEAST_CALIBRATION_ROWS, len(answers)):
            continue
        hidden = scores[:0]
        if len(more):
            hidden = scores_with_fields(more, hide(present[more], m, seed))
        places = np.concatenate([exact, more])
        shown = np.concatenate([scores[exact], hidden])
        by_count[m] = _of_count(shown, answers[places], share[places], settings, empty)
    # of two counts as near, the larger
    nearest = [min(by_count, key=lambda k: (abs(k - m), -k)) for m in range(fields + 1)]
    names = next(iter(by_count.values()))
    values: dict[str, Any] = {n: tuple(by_count[k][n] for k in nearest) for n in names}
    calibration = replace(empty, **values)
    if settings.kind != "labels":
        return calibration
    probabilities = calibration.probabilities(scores, counts)
    return replace(calibration, threshold=thresholds(probabilities, answers, settings.threshold))


def hide(present: np.ndarray, count: int, seed: int) -> np.ndarray:
    """bool [n, F]: `count` of each row's present fields, at random, all subsets equally likely."""
    draw = np.where(present, numpy_generator(seed, "shown", count).random(present.shape), 2.0)
    return present & (draw.argsort(1).argsort(1) < count)


def nonconformity(probabilities: np.ndarray, sets: str) -> np.ndarray:
    """float64 [N, C], in 0 .. 1: how unlikely each class would be. sets: 'lac' or 'aps'."""
    if sets == "lac":
        return 1 - probabilities
    # 'aps': the sum of the probabilities down to the class, the most probable first
    order = np.argsort(-probabilities, axis=1, kind="stable")
    summed = np.minimum(np.take_along_axis(probabilities, order, 1).cumsum(1), 1.0)
    out = np.empty_like(summed)
    np.put_along_axis(out, order, summed, 1)
    return out


def quantile(values: np.ndarray, level: float, most: float, spare: int = 0) -> float:
    """The k-th smallest of n values, k = ceil((n + 1) level) + spare, or the largest. Where even
    ceil((n + 1) level) > n, n rows are too few to promise the level; then `most`."""
    place = int(np.ceil((len(values) + 1) * level - 1e-9))
    if place > len(values):
        return most
    return float(np.sort(values)[min(place + spare, len(values)) - 1])


def false_negative_bound(probabilities: np.ndarray, answers: np.ndarray, level: float) -> float:
    """The smallest bound b with which the labels of 1 - p <= b hold on average `level` of the
    labels of a new row: n / (n + 1) R(b) + 1 / (n + 1) <= 1 - level, with R the mean share of a
    row's labels that are missed (conformal risk control, Angelopoulos et al. 2022, equation 4). 1
    where n rows are too few. probabilities: [n, C]. answers: 0 or 1 [n, C]."""
    row, label = np.nonzero(answers == 1)
    most = (1 - level) * (len(answers) + 1) - 1 + 1e-9  # n R(b) at most
    if most < 0 or not len(row):
        return 1.0
    odd = 1 - probabilities[row, label]
    order = np.argsort(-odd, kind="stable")
    missed = (1 / (answers == 1).sum(1)[row])[order].cumsum()
    allowed = int(np.searchsorted(missed, most, side="right"))  # the oddest ones may be missed
    return float(odd[order[min(allowed, len(order) - 1)]])


def _of_count(
    scores: np.ndarray,
    answers: np.ndarray,
    share: np.ndarray,
    settings: CalibrationSettings,
    empty: Calibration,
) -> dict[str, Any]:
    """The values of one count of fields, by the names of `Calibration`. empty: what is known
    without them."""
    if settings.kind == "number":
        values = empty.numbers(scores)[:, 0]
        residuals = np.abs(values - answers) / empty.local_scale(values)
        return {"residual": quantile(residuals, settings.level, np.inf)}
    if settings.kind == "labels":
        pairs = [platt(scores[:, c], answers[:, c], share) for c in range(scores.shape[1])]
        slope, shift = np.array(pairs).T
        cover = false_negative_bound(special.expit(scores * slope + shift), answers, settings.level)
        return {"slope": tuple(slope.tolist()), "shift": tuple(shift.tolist()), "cover": cover}
    t = temperature(scores, answers, share, empty.mix)
    by_class = nonconformity(softmax(empty.logits(scores, t), axis=1), settings.sets)  # [n, C]
    true_class = by_class[np.arange(len(answers)), answers]  # [n]
    all_classes = quantile(true_class, settings.level, 1.0, SPARE_RANKS)
    bound = tuple(
        quantile(true_class[answers == c], settings.level, 1.0, SPARE_RANKS)
        if settings.by_class
        else all_classes
        for c in range(scores.shape[1])
    )
    return {"temperature": t, "bound": bound}


def thresholds(
    probabilities: np.ndarray, answers: np.ndarray, threshold: float
) -> tuple[float, ...]:
    """C thresholds of labels: the given one, or where it is 0 that of each label with the best F1
    on these rows. probabilities, answers: [n, C]."""
    if threshold > 0:
        return (threshold,) * answers.shape[1]
    return tuple(
        best_threshold(probabilities[:, c], answers[:, c]) for c in range(answers.shape[1])
    )


def best_threshold(probabilities: np.ndarray, label: np.ndarray) -> float:
    """The threshold with the best F1: the middle between the last probability above it and the
    first below it; 1/2 for a label that no row has. probabilities, label: [n]."""
    order = np.argsort(-probabilities, kind="stable")
    p, hits = probabilities[order], label[order].cumsum()
    if not hits[-1]:
        return 0.5
    # F1 = 2 hits / (rows above the threshold + rows with the label), for each count of rows above
    score = 2 * hits / (np.arange(1, len(p) + 1) + hits[-1])
    score[:-1][p[:-1] == p[1:]] = -1.0  # no threshold lies between equals
    k = int(score.argmax())
    return float((p[k] + p[k + 1]) / 2) if k + 1 < len(p) else float(p[k])


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The smallest of values [n] below or at which half of the weights [n] lie."""
    order = np.argsort(values, kind="stable")
    sums = weights[order].cumsum()
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)])


def _scale(
    values: np.ndarray, residuals: np.ndarray, window: int
) -> tuple[tuple[float, float], ...]:
    """The local scale as points (mean predicted value, mean |residual|), near `KNOTS` rows of n.

    The means are those of the tenth of the rows (20 and `window` at least) nearest in predicted
    value, so that no point is a row's or a group's; a residual is never below a tenth of the mean
    of all rows. values, residuals: [n]."""
    order = np.argsort(values, kind="stable")
    near = min(len(values), max(20, window, len(values) // 10))
    sums = np.concatenate([[0.0], residuals[order].cumsum()])
    knots = np.unique(np.linspace(0, len(values) - 1, KNOTS).round().astype(int))
    start = np.clip(knots - near // 2, 0, len(values) - near)
    size = np.maximum((sums[start + near] - sums[start]) / near, 0.1 * residuals.mean() + 1e-12)
    totals = np.concatenate([[0.0], values[order].cumsum()])
    at = (totals[start + near] - totals[start]) / near
    rising = np.concatenate([[True], np.diff(at) > 0])  # of equal values the first
    return tuple((float(v), float(s)) for v, s in zip(at[rising], size[rising], strict=True))


def field_counts(present: np.ndarray) -> np.ndarray:
    """int64 [N]: how many fields each row has. present: bool [N, F]."""
    return np.asarray(present).sum(1).astype(np.int64)
