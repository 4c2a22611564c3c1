"""Findings of a study: verdicts, comparisons, classes, subsets of fields, cross-checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gobelin.augmentation.arms import BASELINE, ArmSettings, Outcome
from gobelin.augmentation.settings import Augment
from gobelin.augmentation.study import Comparisons
from gobelin.evidence.comparison import Comparison, Metric, compare, compare_classes, simultaneous
from gobelin.evidence.findings import Finding, printed
from gobelin.evidence.intervals import sign_flip
from gobelin.evidence.verdict import ArmComparisons, Verdict

LEAST_COMPARED_ROWS = 20  # of a subset of fields that is compared


def findings(
    compared: Comparisons,
    outcome: Outcome,
    settings: Augment,
    metric: str,
    generators: Mapping[str, str],
) -> list[Finding]:
    """The verdicts first, then every comparison and the score of each arm.

    metric: name of the score. generators: {arm: the generator of its images}.
    """
    out: list[Finding] = []
    for verdict, trial in zip(compared.verdicts, compared.trials, strict=True):
        of_arm = _verdict(verdict, trial, outcome.adds_to[trial.arm], settings, metric)
        out += [replace(of_arm[0], generator=generators.get(trial.arm, "")), *of_arm[1:]]
    listed = {(f.scope.get("arm"), f.comparator) for f in out}
    out += [
        c.finding(name, BASELINE, smallest_effect=settings.smallest_effect, source="augment")
        for name, c in compared.against_real.items()
        if (name, BASELINE) not in listed
    ]
    first = next(iter(compared.against_real.values()))
    for name, choices in outcome.chosen.items():
        against = compared.against_real.get(name)
        chosen = "; ".join(dict.fromkeys(_choice(c) for c in choices))
        out.append(
            Finding(
                name=f"test_{metric}",
                scope={"arm": name},
                value=abs(against.arm_score if against else first.baseline_score),
                unit="" if metric == "rmse" else "share",
                n=first.units,
                note=f"chosen on validation rows: {chosen}",
                source="augment",
                better="lower" if metric == "rmse" else "higher",
            )
        )
    return out


def _verdict(
    verdict: Verdict, trial: ArmComparisons, base: str, settings: Augment, metric: str
) -> list[Finding]:
    """The verdict on one arm, the smallest effect that the study can detect, the comparisons."""
    main, smallest = trial.against_baseline, settings.smallest_effect
    unit = "" if metric == "rmse" else "points"
    rivals = verdict.detectable_against_rivals
    over_rivals = "" if rivals is None else f"; over every baseline method {printed(rivals, unit)}"
    return [
        Finding(
            name="verdict",
            scope={"arm": trial.arm},
            comparator=base,
            value=main.value,
            low=main.low,
            high=main.high,
            level=main.level,
            method="see the comparisons",
            unit=unit,
            better="higher",
            verdict=verdict.word,
            sure=verdict.sure,
            n=main.units,
            needed_n=main.needed_units(smallest),
            note=verdict.sentence,
            source="augment",
        ),
        Finding(
            name="smallest_detectable_effect",
            scope={"arm": trial.arm},
            value=verdict.detectable,
            unit=unit,
            note=f"against {base}: four of five such studies find a true difference of this"
            f" size{over_rivals}",
            n=main.units,
            source="augment",
        ),
        main.finding(trial.arm, base, smallest_effect=smallest, source="augment"),
        *(
            c.finding(trial.arm, rival, smallest_effect=smallest, source="augment")
            for rival, c in trial.against_rivals.items()
        ),
    ]


def _choice(choice: ArmSettings) -> str:
    added = (
        f"{choice.ratio:g} added rows for each real row, each with the weight {choice.mix:g}, "
        if choice.ratio
        else ""
    )
    return f"{added}weight decay {choice.decay:.2g}"


def cross_checks(
    outcome: Outcome, classes: np.ndarray | None, units: Sequence[str]
) -> list[Finding]:
    """For each arm with generated images the p value of a sign-flip permutation test.

    classes: int64 [N], None for a number. units: N names; the signs of whole units are flipped.
    Source: Fisher 1935.
    """
    unit = np.unique(np.asarray(units), return_inverse=True)[1]
    share = np.full(len(units), 1 / len(units))
    if classes is not None:
        _, label, count = np.unique(classes, return_inverse=True, return_counts=True)
        share = 1 / (len(count) * count[label])

    def score(arm: str) -> np.ndarray:
        """float [N], larger is better."""
        hits = outcome.hits[arm]
        return (hits if classes is not None else -(hits**2)).mean((0, 1, 2))

    out = []
    for arm in outcome.generated:
        base = outcome.adds_to[arm]
        gains = np.bincount(unit, share * (score(arm) - score(base)))
        out.append(
            Finding(
                name="sign_flip_p",
                scope={"arm": arm},
                value=sign_flip(gains),
                n=len(gains),
                note=f"against {base}, by permuted signs of test units (Fisher 1935): a"
                " cross-check, no part of the verdict",
                source="augment",
            )
        )
    return out


def by_class(
    outcome: Outcome, classes: np.ndarray, units: Sequence[str], names: Sequence[str]
) -> list[Finding]:
    """Each arm with generated images against the arm that it adds to, in every class.

    classes: int64 [N]. units: N names. names: of the classes. The intervals hold all together; they
    are exploratory and give no verdict.
    """
    out = []
    for arm in outcome.generated:
        base = outcome.adds_to[arm]
        comparisons = compare_classes(
            outcome.hits[base], outcome.hits[arm], classes, np.asarray(units), reuse=outcome.reuse
        )
        note = f"simultaneous over {len(comparisons)} classes"
        out += [
            _exploratory(c, arm, base, {"class": names[k]}, note) for k, c in comparisons.items()
        ]
    return out


def by_subset(
    outcome: Outcome,
    classes: np.ndarray | None,
    units: Sequence[str],
    has: Callable[[Sequence[str]], np.ndarray],
) -> list[Finding]:
    """Each arm with generated images against the arm that it adds to, given some fields alone.

    classes: int64 [N], None for a number. units: N names. has(fields): bool [N], the test rows that
    have all these fields; only these rows count. The intervals hold all together; they are
    exploratory.
    """
    label = np.zeros(len(units), np.int64) if classes is None else classes
    metric: Metric = "rmse" if classes is None else "balanced_accuracy"
    out = []
    for arm in outcome.generated:
        pairs: dict[str, Comparison] = {}
        base = outcome.adds_to[arm]
        for fields, hits in outcome.by_subset.items():
            rows = np.flatnonzero(has(fields))
            unit, of_class = np.asarray(units)[rows], label[rows]
            several = any(len(np.unique(unit[of_class == c])) > 1 for c in np.unique(of_class))
            if len(rows) >= LEAST_COMPARED_ROWS and several:
                pairs[" + ".join(fields)] = compare(
                    hits[base][..., rows],
                    hits[arm][..., rows],
                    of_class,
                    unit,
                    metric,
                    reuse=outcome.reuse,
                )
        note = (
            f"simultaneous over {len(pairs)} subsets; the rows that have these fields, given these"
            " fields alone"
        )
        joint = simultaneous(list(pairs.values())) if pairs else []
        out += [
            _exploratory(c, arm, base, {"fields": fields}, note)
            for fields, c in zip(pairs, joint, strict=True)
        ]
    return out


def _exploratory(
    comparison: Comparison, arm: str, base: str, scope: dict[str, str], note: str
) -> Finding:
    finding = comparison.finding(
        arm, base, scope=scope, source="augment", note=f"exploratory; {note}"
    )
    return replace(finding, needed_n=None)
