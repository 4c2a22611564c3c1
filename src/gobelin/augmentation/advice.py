"""What to try next after a study: one finding for each arm, by fixed rules.

It is a suggestion, no result.
"""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.augmentation.arms import Outcome
from gobelin.augmentation.settings import Augment
from gobelin.augmentation.study import Comparisons
from gobelin.evidence.findings import Finding, printed
from gobelin.evidence.verdict import ALPHA, ArmComparisons, Verdict


def next_steps(
    compared: Comparisons, outcome: Outcome, findings: Sequence[Finding], settings: Augment
) -> list[Finding]:
    """A finding `next` for each generator arm."""
    pairs = zip(compared.verdicts, compared.trials, strict=True)
    return [
        Finding(
            name="next",
            scope={"arm": v.arm},
            note=" ".join(_lines(v, t, outcome, findings, settings)),
            source="augment",
        )
        for v, t in pairs
    ]


def _lines(
    verdict: Verdict,
    trial: ArmComparisons,
    outcome: Outcome,
    findings: Sequence[Finding],
    settings: Augment,
) -> list[str]:
    lines = [_by_word(verdict, trial, settings)]
    top = max(settings.sweep)
    if (
        verdict.word != "harmed"
        and all(c.ratio == top for c in outcome.chosen[verdict.arm])
        and len(settings.sweep) > 1
    ):
        lines.append(
            f"Tuning took the largest ratio ({top:g}): try more images, --ratio"
            f" {top:g},{2 * top:g}."
        )
    harmful = [
        f
        for f in findings
        if f.name == "made_rows_that_help"
        and f.scope.get("arm") == verdict.arm
        and "class" in f.scope
    ]
    harmful = sorted((f for f in harmful if (f.value or 0) < 0.5), key=lambda f: f.value or 0)[:3]
    if harmful:
        classes = ", ".join(
            f"{f.scope['class']} ({printed(f.value or 0, 'share')} help)" for f in harmful
        )
        lines.append(
            f"Look at the generated images of {classes}: most of them make the model worse."
        )
    if lost := sorted({f.scope["class"] for f in findings if f.name == "class_left_out"}):
        lines.append(
            f"Train the generator longer, or give it more real images of {', '.join(lost)}."
        )
    return lines


def _by_word(verdict: Verdict, trial: ArmComparisons, settings: Augment) -> str:
    if verdict.word == "harmed":
        return (
            "Leave these images out. Train the generator longer, or generate fewer images, before"
            " another study on other test rows."
        )
    if verdict.word == "helped" and verdict.claim == "this method":
        return "Use them, and use the generator on other rows like these."
    if verdict.word == "helped":
        return (
            "Use them. A study with --study method would show whether the generator helps on"
            " other training rows."
        )
    if verdict.word == "helped, and so does a rival":
        equal = [
            name
            for name, c in trial.against_rivals.items()
            if c.p_below(settings.smallest_effect) <= ALPHA
        ]
        return f"Take the cheaper method: {', '.join(equal)}."
    if verdict.word == "no effect":
        return "Generated images change nothing here. Try more real rows, or another encoder."
    needed = trial.against_baseline.needed_units(settings.smallest_effect)
    size = printed(
        settings.smallest_effect, "" if trial.against_baseline.metric == "rmse" else "points"
    )
    if needed is None:
        return f"More seeds are needed to see {size}: raise augment.seeds or generator.seeds."
    return (
        f"About {needed} test units are needed to see {size}; there are"
        f" {trial.against_baseline.units}."
    )
