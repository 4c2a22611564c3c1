"""Findings of a study: verdicts, comparisons, classes, subsets of fields, cross-checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gobelin.augmentation.arms import BASELINE, Choice, Outcome, base_of
from gobelin.augmentation.settings import Augment
from gobelin.augmentation.study import Comparisons
from gobelin.evidence.comparison import Comparison, Metric, compare, compare_classes, simultaneous
from gobelin.evidence.findings import Finding, printed
from gobelin.evidence.intervals import sign_flip
from gobelin.evidence.verdict import Verdict

LEAST_ROWS = 20  # of a subset of fields that is compared


def findings(
    found: Comparisons, outcome: Outcome, how: Augment, metric: str, generators: Mapping[str, str]
) -> list[Finding]:
    """The verdicts first, then every comparison and what each arm scored. generators: {arm: the
    generator of its images}."""
    out = []
    for one, trial in zip(found.verdicts, found.trials, strict=True):
        base = base_of(trial.arm, outcome.hits)
        main = trial.against_baseline
        out.append(
            Finding(
                name="verdict",
                scope={"arm": trial.arm},
                comparator=base,
                value=main.value,
                low=main.low,
                high=main.high,
                level=main.level,
                method="see the comparisons",
                unit="" if metric == "rmse" else "points",
                better="higher",
                chance=None,
                floor=None,
                verdict=one.word,
                sure=one.sure,
                generator=generators[trial.arm],
                n=main.units,
                needed_n=main.needed_units(how.smallest_effect),
                note=one.sentence,
                source="augment",
            )
        )
        out.append(
            Finding(
                name="smallest_detectable_effect",
                scope={"arm": trial.arm},
                value=one.detectable,
                unit="" if metric == "rmse" else "points",
                note=(
                    f"against {base}: four of five such studies find a true difference of this"
                    f" size{_beside(one, metric)}"
                ),
                n=main.units,
                source="augment",
            )
        )
        out.append(
            main.finding(trial.arm, base, smallest_effect=how.smallest_effect, source="augment")
        )
        out += [
            c.finding(trial.arm, rival, smallest_effect=how.smallest_effect, source="augment")
            for rival, c in trial.against_rivals.items()
        ]
    told = {(f.scope.get("arm"), f.comparator) for f in out}
    out += [
        c.finding(name, BASELINE, smallest_effect=how.smallest_effect, source="augment")
        for name, c in found.against_real.items()
        if (name, BASELINE) not in told
    ]
    for name, choices in outcome.chosen.items():
        note = "chosen on validation rows: " + "; ".join(dict.fromkeys(_said(c) for c in choices))
        against = found.against_real.get(name)
        first = next(iter(found.against_real.values()))
        value = abs(against.arm_score if against else first.baseline_score)
        unit = "" if metric == "rmse" else "share"
        out.append(
            Finding(
                name=f"test_{metric}",
                scope={"arm": name},
                value=value,
                unit=unit,
                n=first.units,
                note=note,
                source="augment",
                better="lower" if metric == "rmse" else "higher",
            )
        )
    return out


def _beside(one: Verdict, metric: str) -> str:
    """What the study could have seen over the rival that is hardest to tell from the arm."""
    seen = one.detectable_against_rivals
    return (
        ""
        if seen is None
        else f"; over every rival {printed(seen, '' if metric == 'rmse' else 'points')}"
    )


def cross_checks(
    outcome: Outcome, arms: Sequence[str], classes: np.ndarray | None, units: Sequence[str]
) -> list[Finding]:
    """For each generator arm the p value of a permutation of signs over test units. classes: of
    balanced accuracy, or None."""
    own = np.unique(np.asarray(units), return_inverse=True)[1]
    share = np.full(len(units), 1 / len(units))
    if classes is not None:
        _, label, count = np.unique(classes, return_inverse=True, return_counts=True)
        share = 1 / (len(count) * count[label])
    out = []
    for arm in arms:
        base = base_of(arm, outcome.hits)
        mine, other = (
            outcome.hits[n] if classes is not None else -(outcome.hits[n] ** 2) for n in (arm, base)
        )
        gained = np.bincount(own, share * (mine.mean((0, 1, 2)) - other.mean((0, 1, 2))))
        note = (
            f"against {base}, by permuted signs of test units (Fisher 1935): a cross-check alone,"
            " it decides nothing"
        )
        out.append(
            Finding(
                name="sign_flip_p",
                scope={"arm": arm},
                value=sign_flip(gained),
                n=len(gained),
                note=note,
                source="augment",
            )
        )
    return out


def _said(one: Choice) -> str:
    added = (
        f"added rows {one.ratio:g} times the real ones, each with the weight {one.mix:g}, "
        if one.ratio
        else ""
    )
    return f"{added}weight decay {one.decay:.2g}"


def by_class(
    outcome: Outcome,
    arms: Sequence[str],
    classes: np.ndarray,
    units: Sequence[str],
    names: Sequence[str],
) -> list[Finding]:
    """Each generator arm against what it adds to in every class: simultaneous intervals,
    exploratory, no verdict."""
    out = []
    for arm in arms:
        base = base_of(arm, outcome.hits)
        found = compare_classes(
            outcome.hits[base], outcome.hits[arm], classes, np.asarray(units), reuse=outcome.reuse
        )
        note = f"simultaneous over {len(found)} classes"
        out += [_exploratory(c, arm, base, {"class": names[k]}, note) for k, c in found.items()]
    return out


def by_subset(
    outcome: Outcome,
    arms: Sequence[str],
    classes: np.ndarray | None,
    units: Sequence[str],
    has: Callable[[Sequence[str]], np.ndarray],
) -> list[Finding]:
    """Each generator arm against what it adds to, shown these fields alone: simultaneous,
    exploratory.

    classes: [N], None for a number. has(fields): bool [N], the test rows that have them all; only
    these count."""
    label = np.zeros(len(units), np.int64) if classes is None else classes
    metric: Metric = "rmse" if classes is None else "balanced_accuracy"
    out = []
    for arm in arms:
        pairs: dict[str, Comparison] = {}
        base = base_of(arm, outcome.hits)
        for fields, hits in outcome.by_subset.items():
            rows = np.flatnonzero(has(fields))
            pair = [np.asarray(units)[rows], label[rows]]
            if (
                len(rows) >= LEAST_ROWS
                and max(len(np.unique(pair[0][pair[1] == c])) for c in np.unique(pair[1])) > 1
            ):
                without, mine = hits[base][..., rows], hits[arm][..., rows]
                pairs[" + ".join(fields)] = compare(
                    without, mine, pair[1], pair[0], metric, reuse=outcome.reuse
                )
        note = (
            f"simultaneous over {len(pairs)} subsets; the rows that have these fields, shown them"
            " alone"
        )
        joint = simultaneous(list(pairs.values())) if pairs else []
        out += [
            _exploratory(c, arm, base, {"fields": f}, note)
            for f, c in zip(pairs, joint, strict=True)
        ]
    return out


def _exploratory(one: Comparison, arm: str, base: str, scope: dict[str, str], note: str) -> Finding:
    found = one.finding(arm, base, scope=scope, source="augment", note=f"exploratory; {note}")
    return replace(found, needed_n=None)
