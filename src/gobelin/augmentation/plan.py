"""The plan of a study, made before it begins: the parent row of each image, and the effect that the
test rows can show.

What this cannot show: the effect that a study will find. The detectable effect rests on a guess:
how often two arms answer a test row differently. The verdict prints the effect that its own
differences allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.data.fields import Target
from gobelin.evidence.intervals import detectable_effect

ALL = "*"  # in per_class: every class that is not named
LEAST_UNITS = 30  # independent test units; with fewer there is no verdict
DISAGREE = 0.1  # guessed share of test units that two arms answer differently


def plan(
    target: Target,
    rows: np.ndarray,
    ratio: float,
    seed: int,
    per_class: Mapping[str, int] | None = None,
) -> np.ndarray:
    """int64 [M]: the parent row of each image, M about `ratio` times the labelled rows.

    rows: int64 [n], the training rows to choose from. per_class: {class, or * for all others:
    number of images}; it replaces `ratio`. The first k parents are the plan of a study with k
    images. The scarcest classes come first, until all classes have equally many rows and images.
    Within a class parents are taken in turn.
    """
    rows = rows[target.present[rows]]
    count, rng = round(ratio * len(rows)), numpy_generator(seed, "plan")
    if not target.exclusive:
        return rng.choice(rows, count)
    label, counts = target.values[rows], target.counts(rows)
    classes = np.flatnonzero(counts)
    if per_class:
        images = {c: per_class.get(target.classes[c], per_class.get(ALL, 0)) for c in classes}
        # in equal steps, so that all classes grow together
        heights = {c: np.arange(images[c]) / max(images[c], 1) for c in classes}
    else:
        images = dict(zip(classes, levelled(counts[classes], count), strict=True))
        # image k of a class is its (rows + k)-th example: the scarcest class comes first
        heights = {c: counts[c] + np.arange(images[c]) for c in classes}
    parents = [np.resize(_turns(rows[label == c], images[c], rng), images[c]) for c in classes]
    order = np.argsort(np.concatenate([heights[c] for c in classes]), kind="stable")
    return np.concatenate(parents).astype(np.int64)[order]


def _turns(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [k], k >= count: every row once in a random order, again and again."""
    return np.concatenate([rng.permutation(rows) for _ in range(max(1, -(-count // len(rows))))])


def levelled(counts: np.ndarray, more: int) -> list[int]:
    """How many of `more` rows each class gets, so that the scarcest classes end at one level.

    counts: int [C], the rows of each class.
    """
    levels = np.sort(counts)
    top = 0.0
    for k in range(1, len(levels) + 1):
        top = (more + levels[:k].sum()) / k
        if k == len(levels) or top <= levels[k]:
            break
    return [max(0, round(top - c)) for c in counts]


@dataclass(frozen=True)
class Power:
    """The effects that test rows can show, if two arms answer DISAGREE of the units differently."""

    units: int  # independent test units
    detectable: float | None  # smallest true effect found with 80 % power; None for a number
    effect: float  # the smallest effect that matters
    needed: int | None  # units that find `effect` with 80 % power; None where unknown

    @property
    def enough(self) -> bool:
        """Whether the units suffice for a verdict."""
        return self.units >= LEAST_UNITS


def power(target: Target, rows: np.ndarray, groups: Sequence[str], effect: float) -> Power:
    """The power of the test rows `rows`, int64 [n]. A unit is a group.

    The paired differences of two arms are 1 or -1 in a share d = DISAGREE of the units, else 0.
    Their mean over C classes has se^2 = sum_c d / U_c / C^2, with U_c units of class c. The
    detectable effect is 2.8 se (Lehr 1992).
    """
    units = len({groups[r] for r in rows})
    if not target.exclusive:
        return Power(units, None, effect, None)
    pairs = {(int(target.values[r]), groups[r]) for r in rows}
    of_class = np.bincount([c for c, _ in pairs], minlength=1)  # [C]
    of_class = of_class[of_class > 0]
    if not len(of_class):
        return Power(units, None, effect, None)
    standard_error = math.sqrt(float((DISAGREE / of_class).sum())) / len(of_class)
    detectable = detectable_effect(standard_error)
    needed = math.ceil(units * (detectable / effect) ** 2) if effect > 0 else None
    return Power(units, detectable, effect, needed)


def affordable(seconds: float, fixed: float, per_seed: float, most: int, least: int = 2) -> int:
    """How many training seeds fit into `seconds`, from `least` to `most`.

    fixed: seconds of all other work. per_seed: seconds of one seed.
    """
    return max(least, min(most, int((seconds - fixed) // max(per_seed, 1e-9))))
