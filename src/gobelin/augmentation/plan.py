"""What a study will do, settled before it begins: which rows images are made from, what effect the
test rows can show.

What this cannot show: the effect that a study will find. The size expected here rests on a guess,
how often two arms answer a test row differently; the verdict prints the size that its own
differences allow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.data.fields import Target
from gobelin.evidence.intervals import detectable_effect

ALL = "*"  # of per_class: every class that is not named
LEAST_UNITS = 30  # test units; with fewer no verdict is given
DISAGREE = 0.1  # share of test units that two arms are guessed to answer differently


def plan(
    target: Target,
    rows: np.ndarray,
    ratio: float,
    seed: int,
    per_class: Mapping[str, int] | None = None,
) -> np.ndarray:
    """int64 [M]: the parent rows of the made images, M about `ratio` times the labelled rows; any
    first part of them is the plan of a smaller ratio.

    The scarcest classes are filled up to one level, as water fills a vessel, so image k of a class
    stands at the height of the class's rows plus k; within a class parents are taken in turn.
    per_class: {class, or * for all others: images}, told by the user; then ratio says nothing."""
    rows = rows[target.present[rows]]
    wanted, rng = round(ratio * len(rows)), numpy_generator(seed, "plan")
    if not target.exclusive:
        return rng.choice(rows, wanted)
    label, counts = target.values[rows], target.counts(rows)
    there = np.flatnonzero(counts)
    if per_class:
        many = {c: per_class.get(target.classes[c], per_class.get(ALL, 0)) for c in there}
        heights = {
            c: np.arange(many[c]) / max(many[c], 1) for c in there
        }  # all classes grow together
    else:
        many = dict(zip(there, poured(counts[there], wanted), strict=True))
        heights = {c: counts[c] + np.arange(many[c]) for c in there}
    parents = [np.resize(_turns(rows[label == c], many[c], rng), many[c]) for c in there]
    order = np.argsort(np.concatenate([heights[c] for c in there]), kind="stable")
    return np.concatenate(parents).astype(np.int64)[order]


def _turns(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([rng.permutation(rows) for _ in range(max(1, -(-count // len(rows))))])


def poured(counts: np.ndarray, wanted: int) -> list[int]:
    """How much each of the vessels, filled to `counts` [C], gets of `wanted` more, so that the
    lowest ones end level."""
    levels = np.sort(counts)
    top = 0.0
    for k in range(1, len(levels) + 1):
        top = (wanted + levels[:k].sum()) / k
        if k == len(levels) or top <= levels[k]:
            break
    return [max(0, round(top - c)) for c in counts]


@dataclass(frozen=True)
class Power:
    """Of a test set. units: those that it has. detectable: the smallest true effect that is seen
    with 80 % power if two arms answer DISAGREE of the units differently; None for a number. needed:
    units to see `effect`."""

    units: int
    detectable: float | None
    effect: float
    needed: int | None

    @property
    def enough(self) -> bool:
        return self.units >= LEAST_UNITS


def power(target: Target, rows: np.ndarray, groups: Sequence[str], effect: float) -> Power:
    """What the test rows `rows` can show. A unit is a group; se^2 = sum_c d / U_c / C^2, of the
    mean over classes of paired differences that are 1 or -1 in a share d of the units; the
    detectable effect is 2.8 of it (Lehr 1992)."""
    units = len({groups[r] for r in rows})
    if not target.exclusive:
        return Power(units, None, effect, None)
    pairs = {(int(target.values[r]), groups[r]) for r in rows}
    each = np.bincount([c for c, _ in pairs], minlength=1)
    each = each[each > 0]
    if not len(each):
        return Power(units, None, effect, None)
    seen = detectable_effect(math.sqrt(float((DISAGREE / each).sum())) / len(each))
    needed = math.ceil(units * (seen / effect) ** 2) if effect > 0 else None
    return Power(units, seen, effect, needed)


def affordable(seconds: float, fixed: float, per_seed: float, most: int, least: int = 2) -> int:
    """Seeds of training that fit into `seconds` beside what is `fixed`: between `least` and
    `most`."""
    return max(least, min(most, int((seconds - fixed) // max(per_seed, 1e-9))))
