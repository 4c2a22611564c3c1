"""What to try next after a study: one line an arm, by rules over its findings. It is a suggestion
and claims nothing."""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.augmentation.arms import Outcome
from gobelin.augmentation.settings import Augment
from gobelin.augmentation.study import Comparisons
from gobelin.evidence.findings import Finding, printed
from gobelin.evidence.verdict import ALPHA, Trial, Verdict


def next_steps(
    compared: Comparisons, outcome: Outcome, found: Sequence[Finding], how: Augment
) -> list[Finding]:
    """A finding `next` for each generator arm."""
    pairs = zip(compared.verdicts, compared.trials, strict=True)
    return [
        Finding(
            name="next",
            scope={"arm": v.arm},
            note=" ".join(_lines(v, t, outcome, found, how)),
            source="augment",
        )
        for v, t in pairs
    ]


def _lines(
    one: Verdict, trial: Trial, outcome: Outcome, found: Sequence[Finding], how: Augment
) -> list[str]:
    lines = [_by_word(one, trial, how)]
    top = max(how.sweep)
    if (
        one.word != "harmed"
        and all(c.ratio == top for c in outcome.chosen[one.arm])
        and len(how.sweep) > 1
    ):
        lines.append(
            f"Tuning took the largest ratio ({top:g}): try more images, --ratio"
            f" {top:g},{2 * top:g}."
        )
    hurt = [
        f
        for f in found
        if f.name == "made_rows_that_help" and f.scope.get("arm") == one.arm and "class" in f.scope
    ]
    hurt = sorted((f for f in hurt if (f.value or 0) < 0.5), key=lambda f: f.value or 0)[:3]
    if hurt:
        named = ", ".join(
            f"{f.scope['class']} ({printed(f.value or 0, 'share')} help)" for f in hurt
        )
        lines.append(f"Look at the made images of {named}: most of them pull the wrong way.")
    if lost := sorted({f.scope["class"] for f in found if f.name == "class_left_out"}):
        lines.append(
            f"Train the generator longer, or give it more real images of {', '.join(lost)}."
        )
    return lines


def _by_word(one: Verdict, trial: Trial, how: Augment) -> str:
    if one.word == "harmed":
        return (
            "Leave these images out; train the generator longer, or make fewer, before another"
            " study on other test rows."
        )
    if one.word == "helped" and one.claim == "this method":
        return "Use them, and the generator on other rows like these."
    if one.word == "helped":
        return (
            "Use them; a study with --study method would say whether the generator helps on other"
            " training rows."
        )
    if one.word == "helped, and so does a rival":
        equal = [
            n for n, c in trial.against_rivals.items() if c.p_below(how.smallest_effect) <= ALPHA
        ]
        return f"Take the cheaper way: {', '.join(equal)}."
    if one.word == "no effect":
        return "Spend the effort elsewhere: more real rows, or another encoder."
    needed = trial.against_baseline.needed_units(how.smallest_effect)
    size = printed(how.smallest_effect, "" if trial.against_baseline.metric == "rmse" else "points")
    if needed is None:
        return f"More seeds are needed to see {size}: raise augment.seeds or generator.seeds."
    return (
        f"About {needed} test units are needed to see {size}; there are"
        f" {trial.against_baseline.units}."
    )
