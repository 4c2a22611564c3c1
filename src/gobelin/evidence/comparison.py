"""Arm against baseline on the same test rows: one paired interval that covers the luck of test
units, of seeds and of training rows.

theta is the metric's difference, averaged over resamples of the training rows [R], generator seeds
[G] and seeds of initialisation [S]. Its error has independent parts:

- Vu, test units: the infinitesimal jackknife (Efron 1982, ch. 6) of the difference averaged over
  all models.
- V_k, models. k are the resamples if R > 1, else the generator seeds and the seeds of
  initialisation. V_k is the variance over k of the difference averaged over the rest, divided by
  the number of k.
- I_k, the share of V_k that is only interaction of units with k. Vu contains it already, so it is
  subtracted once (V_12 in the two-way clustering of Cameron, Gelbach & Miller 2011).

    half width^2 = t_u^2 Vu + sum_k max(0, t_k^2 V_k - t_u^2 I_k)

t_k has one degree of freedom less than there are k. Every part has its own t quantile: for
independent normal parts the interval never covers less than its level (Banerjee 1960). It is longer
than needed if models hardly differ and there are only 2-3 of them. It is as short as any with 5
generator seeds and 10 seeds of initialisation. In the same studies one pooled t with
Satterthwaite's (1946) degrees covers 85-94 % where 95 % is promised, and the percentile of the
crossed ("pigeonhole", Owen 2007) bootstrap down to 67 %: 2-5 items are too few to resample. `python
tests/evidence/test_verdict.py` makes the table. `gobelin.evidence.variance` computes the parts.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gobelin.core.lazy import special
from gobelin.evidence.findings import Finding
from gobelin.evidence.variance import (
    ErrorPart,
    Floats,
    Metric,
    UnitClassCells,
    model_part,
    shares,
    unit_part,
    whole_flip,
)

PAIRED_METHOD = "paired, own t for units and models (Banerjee 1960; Bonett & Price 2012)"
RESAMPLES_OF_A_METHOD = 5  # resamples of the training rows that a claim about a method needs
LEAST_DRAWN_CLASSES = 30  # classes of one test unit each that can be the units themselves
MODEL_AXES = ("training resamples", "generator seeds", "seeds of initialisation")


@dataclass(frozen=True)
class Comparison:
    """Arm minus baseline. Positive: the arm is better, for every metric."""

    metric: str
    value: float
    arm_score: float
    baseline_score: float
    parts: tuple[ErrorPart, ...]  # first the test units, then the models
    counts: tuple[int, int, int]  # R, G, S
    rows: int  # test rows that count
    units: int  # independent units among them
    level: float = 0.95
    left_out: tuple[int, ...] = ()  # classes with fewer than two test units: no interval
    # every class has one test unit: the interval covers the luck of which classes there are
    drawn_classes: bool = False

    @property
    def low(self) -> float:
        return max(
            self.value - self.half_width(self.level), -math.inf if self.metric == "rmse" else -1.0
        )

    @property
    def high(self) -> float:
        return min(
            self.value + self.half_width(self.level), math.inf if self.metric == "rmse" else 1.0
        )

    @property
    def standard_error(self) -> float:
        units, *models = self.parts
        return math.sqrt(
            units.variance + sum(max(0.0, part.variance - part.interaction) for part in models)
        )

    @property
    def claim(self) -> str:
        """What the comparison is about: 'this method' if the training rows were resampled at least
        five times, else 'this set of images'."""
        return "this method" if self.counts[0] >= RESAMPLES_OF_A_METHOD else "this set of images"

    def half_width(self, level: float) -> float:
        """Half of the two-sided interval at `level` (Banerjee 1960; formula in the module)."""
        return self._joined(
            [float(special.stdtrit(part.degrees, 0.5 + level / 2)) for part in self.parts]
        )

    def _joined(self, factors: list[float]) -> float:
        """sqrt(f_u^2 Vu + sum_k max(0, f_k^2 V_k - f_u^2 I_k)) for a factor f per part."""
        f_u, *f = factors
        units, *models = self.parts
        extra = (
            f_k**2 * part.variance - f_u**2 * part.interaction
            for f_k, part in zip(f, models, strict=True)
        )
        return math.sqrt(f_u**2 * units.variance + sum(max(0.0, part) for part in extra))

    def p_above(self, margin: float = 0.0) -> float:
        """One-sided p value of 'the true difference is at most `margin`': the level at which the
        bound lies at `margin`, found by bisection."""
        distance = self.value - margin
        low, high = 0.0, 1.0
        for _ in range(52):
            middle = (low + high) / 2
            low, high = (low, middle) if self.half_width(middle) > abs(distance) else (middle, high)
        tail = (1 - low) / 2
        return tail if distance > 0 else 1 - tail

    def p_below(self, margin: float = 0.0) -> float:
        """One-sided p value of 'the true difference is at least `margin`'."""
        return 1 - self.p_above(margin)

    def detectable(self, power: float = 0.80, arms: int = 1) -> float:
        """The smallest true difference whose lower bound is above 0 with probability `power`. The
        arm is taken as the first of `arms` in Holm's order.

        The factor of a part is the shift at which a noncentral t exceeds its critical value with
        that probability, divided by c4, the bias of an estimated standard deviation. With many
        degrees of freedom it tends to z_{1-alpha/2} + z_power (2.80).
        """
        factors = []
        for part in self.parts:
            critical = special.stdtrit(part.degrees, 1 - (1 - self.level) / (2 * arms))
            c4 = special.poch(part.degrees / 2, 0.5) * math.sqrt(2 / part.degrees)
            factors.append(float(special.nctdtrinc(part.degrees, 1 - power, critical) / c4))
        return self._joined(factors)

    def needed_units(self, effect: float, power: float = 0.80) -> int | None:
        """Test units needed to detect `effect`. None if no number of units is enough, so that more
        seeds are needed."""
        low, high = -5.0, 5.0
        if self._with_units(10**high).detectable(power) > effect:
            return None
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (
                (middle, high)
                if self._with_units(10**middle).detectable(power) > effect
                else (low, middle)
            )
        return max(2, math.ceil(self.units * 10**high))

    def at_level(self, level: float) -> Comparison:
        return replace(self, level=level)

    def finding(
        self,
        arm: str,
        comparator: str,
        *,
        smallest_effect: float = 0.01,
        verdict: str = "",
        scope: dict[str, str] | None = None,
        note: str = "",
        source: str = "",
    ) -> Finding:
        """The comparison as a finding. Its needed_n is the number of test units that would show the
        smallest effect."""
        design = ", ".join(
            f"{count} {name}" for count, name in zip(self.counts, MODEL_AXES, strict=True)
        )
        sense = "positive: the arm's error is smaller" if self.metric == "rmse" else ""
        missing = (
            f"left out, fewer than two test units: classes {list(self.left_out)}"
            if self.left_out
            else ""
        )
        drawn = (
            "each class has one test unit, so the classes count as the units"
            if self.drawn_classes
            else ""
        )
        return Finding(
            name=self.metric,
            scope={"arm": arm, **(scope or {})},
            comparator=comparator,
            value=self.value,
            low=self.low,
            high=self.high,
            level=self.level,
            method=PAIRED_METHOD,
            unit="" if self.metric == "rmse" else "points",
            better="higher",
            verdict=verdict,
            n=self.units,
            needed_n=self.needed_units(smallest_effect),
            note="; ".join(
                text
                for text in (f"claim: {self.claim}", design, sense, missing, drawn, note)
                if text
            ),
            source=source,
        )

    def _with_units(self, factor: float) -> Comparison:
        """The same study with `factor` times as many test units: their variance shrinks, the rest
        stays."""
        units, *models = self.parts
        parts = [replace(units, variance=units.variance / factor)]
        for part in models:
            shared = part.interaction / factor
            parts.append(
                replace(
                    part,
                    variance=max(0.0, part.variance - part.interaction) + shared,
                    interaction=shared,
                )
            )
        return replace(self, parts=tuple(parts))


def compare(
    baseline: ArrayLike,
    arm: ArrayLike,
    classes: ArrayLike | None = None,
    units: ArrayLike | None = None,
    metric: Metric = "balanced_accuracy",
    level: float = 0.95,
    reuse: float = 0.0,
) -> Comparison:
    """The paired interval of arm minus baseline on one fixed set of test rows.

    baseline, arm: a score per row, [N] or [R, G, S, N]. A side without generator seeds or without
        seeds of initialisation has 1 there. For balanced_accuracy and accuracy the score is 1 or 0,
        or a probability, of being right. For rmse it is the error (prediction - truth).
    classes: [N], needed for balanced_accuracy.
    units: [N]; rows of one unit (patient, speaker) are dependent.
    reuse: 0 if each of the R resamples is a new sample of the world. Otherwise all were drawn from
        one set of training rows, and the luck of that set is in all of them. Its variance is
        `reuse` times the variance between resamples: 1 for bootstraps and halves, f / (1 - f) for a
        share f of the rows. V_k becomes 1 + R reuse times as large (Nadeau & Bengio 2003).

    Where no class has two test units and there are `LEAST_DRAWN_CLASSES` classes, the classes are
    taken as drawn from a larger number of classes: a class is a unit, and its score the mean of its
    rows.

    Raises ValueError for scores that do not match, GobelinError if no class has two test units and
    the classes are fewer.

    What this cannot show. With R = 1: how the method would do on other training rows. With G = 1 or
    S = 1: how another seed would do; that part is absent, not zero. Units unlike the test units.
    With fewer than about five units in a class the interval is wide, and it assumes that these
    units are alike.
    """
    a, b = _models(arm), _models(baseline)
    shape = _joint_shape(a, b)
    if metric == "balanced_accuracy" and classes is None:
        raise ValueError("balanced_accuracy needs the classes of the rows")
    labels = np.asarray(classes) if metric == "balanced_accuracy" else np.zeros(shape[-1], np.int64)
    unit = np.arange(shape[-1]) if units is None else np.asarray(units)
    drawn_classes = metric == "balanced_accuracy" and one_unit_a_class(labels, unit)
    if drawn_classes:
        a, b, unit, labels = _class_means(a, b, unit, labels)
    cells = UnitClassCells.of(labels, unit)
    theta_a, share_a = shares(a, cells, metric)
    theta_b, share_b = shares(b, cells, metric)
    theta = np.broadcast_to(theta_a - theta_b, shape[:3])
    parts = [
        unit_part(
            share_a.mean((0, 1, 2)) - share_b.mean((0, 1, 2)), cells, whole_flip(b, cells, metric)
        )
    ]
    for axis in [0] if shape[0] > 1 else [1, 2]:
        if shape[axis] > 1:
            rest = tuple(other for other in range(3) if other != axis)
            share = share_a.mean(rest) - share_b.mean(rest)
            part = model_part(MODEL_AXES[axis], theta.mean(rest), share, cells)
            more = 1 + shape[0] * reuse if axis == 0 else 1.0
            parts.append(
                replace(part, variance=more * part.variance, interaction=more * part.interaction)
            )
    sign = -1.0 if metric == "rmse" else 1.0
    return Comparison(
        metric=metric,
        value=float(theta.mean()),
        arm_score=sign * float(theta_a.mean()),
        baseline_score=sign * float(theta_b.mean()),
        parts=tuple(parts),
        counts=shape[:3],
        rows=len(cells.row),
        units=cells.units,
        level=level,
        left_out=cells.left_out,
        drawn_classes=drawn_classes,
    )


def one_unit_a_class(labels: NDArray[np.int64], units: NDArray[Any]) -> bool:
    """Whether no class has two test units, and the classes suffice to be the units themselves.

    labels: [N]. units: [N]."""
    pairs = {(int(c), u) for c, u in zip(labels, units.tolist(), strict=True)}
    counts = Counter(c for c, _ in pairs)
    return len(counts) >= LEAST_DRAWN_CLASSES and max(counts.values()) == 1


def _class_means(
    a: Floats, b: Floats, units: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[Any], NDArray[np.int64]]:
    """Scores [R, G, S, N] as means of the C classes [R, G, S, C], the unit of each, and one label
    for all: their mean is the balanced accuracy."""
    names, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    share = np.zeros((len(labels), len(names)))
    share[np.arange(len(labels)), inverse] = 1 / sizes[inverse]
    return a @ share, b @ share, units[first], np.zeros(len(names), np.int64)


def compare_classes(
    baseline: ArrayLike,
    arm: ArrayLike,
    classes: ArrayLike,
    units: ArrayLike | None = None,
    level: float = 0.95,
    reuse: float = 0.0,
) -> dict[int, Comparison]:
    """{class: a comparison of accuracy}, with intervals that are simultaneous at `level`.

    Exploratory: no verdict comes from these. Classes with one unit are left out.

    What this cannot show: that a class whose interval excludes 0 is the one that matters. It was
    picked after the results were known.
    """
    a, b, labels = _models(arm), _models(baseline), np.asarray(classes)
    groups = np.arange(len(labels)) if units is None else np.asarray(units)
    rows = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    by_class = {
        label: compare(b[..., k], a[..., k], units=groups[k], metric="accuracy", reuse=reuse)
        for label, k in rows.items()
        if len(np.unique(groups[k])) > 1
    }
    return dict(zip(by_class, simultaneous(list(by_class.values()), level), strict=True))


def simultaneous(comparisons: list[Comparison], level: float = 0.95) -> list[Comparison]:
    """The same comparisons with intervals that hold together with probability `level` (Bonferroni;
    Dunn 1961)."""
    if not comparisons:
        return []
    single = 1 - (1 - level) / len(comparisons)
    return [comparison.at_level(single) for comparison in comparisons]


def _models(scores: ArrayLike) -> Floats:
    """Scores as [R, G, S, N] in double precision."""
    array = np.asarray(scores, dtype=np.float64)
    array = array[None, None, None] if array.ndim == 1 else array
    if array.ndim != 4 or not np.isfinite(array).all():
        raise ValueError(
            f"compare: scores must be finite and [N] or [R, G, S, N], found shape {array.shape}"
        )
    return array


def _joint_shape(a: Floats, b: Floats) -> tuple[int, int, int, int]:
    """[R, G, S, N] of both. Resamples and rows must be the same. G and S may be 1 on one side."""
    same = a.shape[0] == b.shape[0] and a.shape[3] == b.shape[3]
    if not same or any(
        1 not in (x, y) and x != y for x, y in zip(a.shape[1:3], b.shape[1:3], strict=True)
    ):
        raise ValueError(
            f"compare: arm {a.shape} and baseline {b.shape} are not the same resamples, seeds and"
            " rows"
        )
    shape = np.broadcast_shapes(a.shape, b.shape)
    return shape[0], shape[1], shape[2], shape[3]
