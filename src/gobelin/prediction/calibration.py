"""Scores into honest probabilities, prediction sets and intervals, all of it learned from
cross-fitted training rows.

For each count m of fields that are there, 0 to F, apart: a temperature (Guo et al. 2017), or of
labels a slope and a shift each (Platt 1999); and a conformal bound (Vovk et al. 2005, ch. 4.5,
Mondrian by m): the k-th smallest of n nonconformities with k = ceil((n + 1) level). A nonconformity
is 1 - p of the true class ('lac', Sadinle et al. 2019: the smallest sets), or the probabilities
down to it added up ('aps', Romano et al. 2020, sec. 2 without the random part, so sets are larger);
or |residual|, over its local scale if asked for (Lei et al. 2018, sec. 5.2). A set may be empty: no
class is likely enough. Rows count as often as they are there, whatever `balance` says, so the level
holds for rows as common as those of training; with `by_class`, in every class, so however common
each is.

Why by count: on four planted classes, with 300 complete training rows and rows shown one field of
three, sets by one bound covered 46 % (concat), 68 % (voting) and 81 % (attention) where 90 % was
promised; by count 92 %, 90 % and 94 %. Confidence was off by 11, 18 and 4 points with one
temperature, by 3, 3 and 6 by count. All subsets of so many fields share a bound, so a field that
tells less than the others is covered less than they are.

What this cannot show: the level where fields are missing in another way than in training, or the
rows are of another kind. With under `ENOUGH` training rows that have exactly m fields, fields of
others are hidden at random, as if any were equally likely to be missing. And a bound comes from
predictors of a part of the rows each, the answer from one of all rows: the level is theirs, for
exchangeable rows; that of the whole is seen in `evaluate` (Barber et al. 2021 on the jackknife and
CV)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

from gobelin.core.machine import numpy_generator

ENOUGH = 100  # rows that have exactly so many fields
LEAST = 10  # rows that a count of fields is calibrated by at all; fewer take the nearest count's
KNOTS = 33  # of the curve of local scale
Shown = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wanted:
    """What is to be learned. kind: of the target. level: of sets and intervals. sets, by_class,
    local, threshold: as in `predict.Predict`."""

    kind: str
    level: float
    sets: Literal["lac", "aps"] = "lac"
    by_class: bool = False
    local: bool = False
    threshold: float = 0.5


@dataclass(frozen=True)
class Calibration:
    """By the count of fields that are there, each of length F + 1. temperature. slope, shift: of
    labels, C numbers each. bound: of sets, C numbers each; 1 lets every class in. residual: half
    widths, of the local scale if there is one. scale: points (value, scale) of a curve. threshold:
    of labels, C numbers."""

    kind: str
    sets: Literal["lac", "aps"] = "lac"
    temperature: tuple[float, ...] = ()
    slope: tuple[tuple[float, ...], ...] = ()
    shift: tuple[tuple[float, ...], ...] = ()
    bound: tuple[tuple[float, ...], ...] = ()
    residual: tuple[float, ...] = ()
    scale: tuple[tuple[float, float], ...] = ()
    threshold: tuple[float, ...] = ()

    def probabilities(self, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """float64 [N, C]. counts: int [N], how many fields each row has."""
        if self.kind == "labels":
            return expit(scores * np.array(self.slope)[counts] + np.array(self.shift)[counts])
        return softmax(scores / np.array(self.temperature)[counts][:, None], axis=1)

    def likely(self, probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """bool [N, C]: the prediction sets."""
        return nonconformity(probabilities, self.sets) <= np.array(self.bound)[counts] + 1e-12

    def half_width(self, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """float64 [N]: of a number's interval."""
        return np.array(self.residual)[counts] * self.local_scale(values)

    def local_scale(self, values: np.ndarray) -> np.ndarray:
        """float64 [N]: how large residuals are near a predicted value; 1 where no local scale was
        asked for."""
        if not self.scale:
            return np.ones(len(values))
        where, size = np.array(self.scale).T
        return np.interp(values, where, size)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(said: dict[str, Any]) -> Calibration:
        """The way back from `to_dict` through JSON."""
        return Calibration(**{k: _tuples(v) for k, v in said.items()})


def _tuples(value: Any) -> Any:  # noqa: ANN401
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def calibrate(
    scores: np.ndarray,
    answers: np.ndarray,
    share: np.ndarray,
    present: np.ndarray,
    shown: Shown,
    wanted: Wanted,
    seed: int,
) -> Calibration:
    """Learned from n rows, each scored by a predictor that has not seen it.

    scores: [n, C] or [n, 1]. answers: int [n], float [n] or, of labels, int [n, C]. share: [n], how
    much each row counts in the probabilities. present: bool [n, F]. shown(places, present): the
    scores of these rows when these fields alone are there."""
    counts, fields = present.sum(1), present.shape[1]
    scale = (
        _scale(scores[:, 0], np.abs(scores[:, 0] - answers))
        if wanted.local and wanted.kind == "number"
        else ()
    )
    made: dict[int, dict[str, Any]] = {}
    for m in range(fields + 1):
        own = np.flatnonzero(counts == m)
        more = np.zeros(0, int) if len(own) >= ENOUGH else np.flatnonzero(counts > m)
        if len(own) + len(more) < min(LEAST, len(answers)):
            continue
        hidden = shown(more, hide(present[more], m, seed)) if len(more) else scores[:0]
        places = np.concatenate([own, more])
        made[m] = _of_count(
            np.concatenate([scores[own], hidden]), answers[places], share[places], wanted, scale
        )
    nearest = [min(made, key=lambda k: (abs(k - m), -k)) for m in range(fields + 1)]
    parts = {name: tuple(made[k][name] for k in nearest) for name in next(iter(made.values()))}
    found = Calibration(wanted.kind, wanted.sets, scale=scale, **parts)
    if wanted.kind != "labels":
        return found
    threshold = _thresholds(found.probabilities(scores, counts), answers, wanted.threshold)
    return Calibration(wanted.kind, wanted.sets, threshold=threshold, **parts)


def hide(present: np.ndarray, count: int, seed: int) -> np.ndarray:
    """bool [n, F]: of each row's present fields `count` at random, each subset as likely."""
    draw = np.where(present, numpy_generator(seed, "shown", count).random(present.shape), 2.0)
    return present & (draw.argsort(1).argsort(1) < count)


def nonconformity(probabilities: np.ndarray, sets: str) -> np.ndarray:
    """float64 [N, C], in 0 .. 1: how strange each class would be."""
    if sets == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    summed = np.minimum(np.take_along_axis(probabilities, order, 1).cumsum(1), 1.0)
    out = np.empty_like(summed)
    np.put_along_axis(out, order, summed, 1)
    return out


def quantile(values: np.ndarray, level: float, most: float) -> float:
    """The k-th smallest of n values, k = ceil((n + 1) level); `most` where k > n: then n rows can't
    promise the level."""
    place = int(np.ceil((len(values) + 1) * level - 1e-9))
    return most if place > len(values) else float(np.sort(values)[place - 1])


def _of_count(
    scores: np.ndarray,
    answers: np.ndarray,
    share: np.ndarray,
    wanted: Wanted,
    scale: tuple[tuple[float, float], ...],
) -> dict[str, Any]:
    if wanted.kind == "number":
        off = np.abs(scores[:, 0] - answers) / Calibration("number", scale=scale).local_scale(
            scores[:, 0]
        )
        return {"residual": quantile(off, wanted.level, np.inf)}
    if wanted.kind == "labels":
        pairs = [platt(scores[:, c], answers[:, c], share) for c in range(scores.shape[1])]
        return {"slope": tuple(a for a, _ in pairs), "shift": tuple(b for _, b in pairs)}
    heat = temperature(scores, answers, share)
    strange = nonconformity(softmax(scores / heat, axis=1), wanted.sets)[
        np.arange(len(answers)), answers
    ]
    classes = range(scores.shape[1])
    every = quantile(strange, wanted.level, 1.0)
    bound = tuple(
        quantile(strange[answers == c], wanted.level, 1.0) if wanted.by_class else every
        for c in classes
    )
    return {"temperature": heat, "bound": bound}


def temperature(scores: np.ndarray, label: np.ndarray, share: np.ndarray) -> float:
    """The one with the smallest weighted log loss against targets that keep one imaginary row of
    every other class (Platt 1999, sec. 2.2): so perfectly separated rows don't make it certain of
    everything."""
    n, c = scores.shape
    share = share if share.sum() > 0 else np.ones(n)

    def loss(log_heat: float) -> float:
        logs = log_softmax(scores / float(np.exp(log_heat)), axis=1)
        own = logs[np.arange(n), label]
        return float(-((((n + 1) * own + logs.sum(1) - own) / (n + c)) * share).sum() / share.sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def platt(scores: np.ndarray, label: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """Slope > 0 and shift of P(label) = expit(slope score + shift), the targets (n+ + 1) / (n+ + 2)
    and 1 / (n- + 2) (Platt 1999, sec. 2.2)."""
    positive, negative = int(label.sum()), int(len(label) - label.sum())
    goal = np.where(label == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    weight = share / share.sum()
    spread = float(scores.std()) or 1.0
    x = (scores - scores.mean()) / spread

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        slope = np.exp(at[0])
        z = slope * x + at[1]
        value = -(weight * (goal * log_expit(z) + (1 - goal) * log_expit(-z))).sum()
        off = weight * (expit(z) - goal)
        return float(value), np.array([slope * (off * x).sum(), off.sum()])

    log_slope, shift = minimize(
        loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-6, 6), (-12, 12)]
    ).x
    slope = float(np.exp(log_slope)) / spread
    return slope, float(shift - slope * scores.mean())


def _thresholds(
    probabilities: np.ndarray, answers: np.ndarray, threshold: float
) -> tuple[float, ...]:
    """The one asked for, or (0) for each label the one with the best F1 of these rows."""
    if threshold > 0:
        return (threshold,) * answers.shape[1]
    return tuple(
        best_threshold(probabilities[:, c], answers[:, c]) for c in range(answers.shape[1])
    )


def best_threshold(probabilities: np.ndarray, label: np.ndarray) -> float:
    """Between the last probability that is let in and the first that isn't; 1/2 for a label that no
    row has."""
    order = np.argsort(-probabilities, kind="stable")
    p, hits = probabilities[order], label[order].cumsum()
    if not hits[-1]:
        return 0.5
    score = 2 * hits / (np.arange(1, len(p) + 1) + hits[-1])
    score[:-1][p[:-1] == p[1:]] = -1.0  # no threshold lies between equals
    k = int(score.argmax())
    return float((p[k] + p[k + 1]) / 2) if k + 1 < len(p) else float(p[k])


def _scale(values: np.ndarray, off: np.ndarray) -> tuple[tuple[float, float], ...]:
    """The mean |residual| of the tenth of the rows (20 at least) nearest in predicted value, at
    `KNOTS` of them; never under a tenth of that of all."""
    order = np.argsort(values, kind="stable")
    near = min(len(values), max(20, len(values) // 10))
    sums = np.concatenate([[0.0], off[order].cumsum()])
    knots = np.unique(np.linspace(0, len(values) - 1, KNOTS).round().astype(int))
    start = np.clip(knots - near // 2, 0, len(values) - near)
    size = np.maximum((sums[start + near] - sums[start]) / near, 0.1 * off.mean() + 1e-12)
    place = values[order][knots]
    kept = np.concatenate([[True], np.diff(place) > 0])
    return tuple((float(v), float(s)) for v, s in zip(place[kept], size[kept], strict=True))


def counts_of(present: np.ndarray) -> np.ndarray:
    """int [N]: how many fields each row has."""
    return np.asarray(present).sum(1).astype(np.int64)
