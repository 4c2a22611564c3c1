"""The verdict on an arm, from its intervals: harmed, helped, ... , no evidence.

The words are tried in this order. Each test is one-sided at 2.5 % (a bound of a 95 % interval).

- harmed: the upper bound against the baseline is below 0.
- helped: the lower bounds against the baseline and against every rival are above 0. This is an
  intersection-union test; its p value is the largest of theirs (Berger 1982).
- helped, and so does a rival: above the baseline, and a rival is at most the smallest effect worse
  than the arm.
- helped, rivals undecided: above the baseline otherwise.
- no effect: the interval lies within the smallest effect either way (Schuirmann 1987).
- no evidence: everything else.

Several generator arms: the p values of each kind (below the baseline, above it, above it and all
rivals) are adjusted over the arms (Holm 1979). So the chance of any false 'harmed', and of any
false 'helped...', stays at 2.5 % each. Equivalence and non-inferiority are not adjusted: they only
make a claim smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gobelin.evidence.comparison import Comparison
from gobelin.evidence.intervals import holm

Word = Literal[
    "harmed",
    "helped",
    "helped, and so does a rival",
    "helped, rivals undecided",
    "no effect",
    "no evidence",
]
ALPHA = 0.025  # one-sided


@dataclass(frozen=True)
class ArmComparisons:
    """The comparisons of one arm."""

    arm: str
    against_baseline: Comparison
    # {rival: the arm against it}
    against_rivals: Mapping[str, Comparison] = field(default_factory=dict)
    # {rival: the rival against the baseline}
    rivals_against_baseline: Mapping[str, Comparison] = field(default_factory=dict)

    @property
    def p_harmed(self) -> float:
        return self.against_baseline.p_below()

    @property
    def p_above(self) -> float:
        return self.against_baseline.p_above()

    @property
    def p_helped(self) -> float:
        """Intersection-union: above the baseline and above every rival (Berger 1982)."""
        return max([self.p_above, *(rival.p_above() for rival in self.against_rivals.values())])


@dataclass(frozen=True)
class Verdict:
    """The verdict on one arm, and why."""

    arm: str
    word: Word
    sure: bool  # False for 'no evidence': the study could not tell
    sentence: str
    claim: str  # 'this set of images' or 'this method'
    # one-sided p values, adjusted over the arms (Holm 1979)
    p_harmed: float
    p_above: float
    p_helped: float
    smallest_effect: float  # the smallest effect that matters, in the metric's unit
    detectable: float  # the smallest effect that this study could have seen (80 % power)
    # the same over the rival that is hardest to tell from the arm; None without a rival
    detectable_against_rivals: float | None = None


def verdict(
    against_baseline: Comparison,
    against_rivals: Mapping[str, Comparison] | None = None,
    rivals_against_baseline: Mapping[str, Comparison] | None = None,
    smallest_effect: float = 0.01,
    arm: str = "the arm",
) -> Verdict:
    """The verdict on a single arm; see `verdicts`."""
    trial = ArmComparisons(
        arm, against_baseline, against_rivals or {}, rivals_against_baseline or {}
    )
    return verdicts([trial], smallest_effect)[0]


def verdicts(trials: Sequence[ArmComparisons], smallest_effect: float = 0.01) -> list[Verdict]:
    """One verdict for each generator arm, adjusted over the arms (Holm 1979).

    smallest_effect: the smallest effect that matters, in the metric's unit, fixed beforehand.

    What this cannot show: a rival that was not run; an effect below the detectable one; whether the
    generator would help again on other training rows, if the claim is 'this set of images';
    anything if the test rows were used before.
    """
    harmed = holm([trial.p_harmed for trial in trials])
    above = holm([trial.p_above for trial in trials])
    helped = holm([trial.p_helped for trial in trials])
    return [
        _verdict_on(trial, ps, smallest_effect, len(trials))
        for trial, ps in zip(trials, zip(harmed, above, helped, strict=True), strict=True)
    ]


def _verdict_on(
    trial: ArmComparisons, ps: tuple[float, float, float], smallest_effect: float, arms: int
) -> Verdict:
    equal = [
        name
        for name, comparison in trial.against_rivals.items()
        if comparison.p_below(smallest_effect) <= ALPHA
    ]
    word = _word(trial.against_baseline, ps, bool(equal), smallest_effect)
    detectable = [rival.detectable(arms=arms) for rival in trial.against_rivals.values()]
    return Verdict(
        arm=trial.arm,
        word=word,
        sure=word != "no evidence",
        sentence=_sentence(trial, word, equal, smallest_effect, arms),
        claim=trial.against_baseline.claim,
        p_harmed=ps[0],
        p_above=ps[1],
        p_helped=ps[2],
        smallest_effect=smallest_effect,
        detectable=trial.against_baseline.detectable(arms=arms),
        detectable_against_rivals=max(detectable) if detectable else None,
    )


def _word(
    against: Comparison,
    ps: tuple[float, float, float],
    a_rival_equals: bool,
    smallest_effect: float,
) -> Word:
    """The word, in the order of the module's docstring. ps: adjusted p values of harmed, above the
    baseline, helped."""
    p_harmed, p_above, p_helped = ps
    if p_harmed <= ALPHA:
        return "harmed"
    if p_helped <= ALPHA:
        return "helped"
    if p_above <= ALPHA:
        return "helped, and so does a rival" if a_rival_equals else "helped, rivals undecided"
    if against.p_below(smallest_effect) <= ALPHA and against.p_above(-smallest_effect) <= ALPHA:
        return "no effect"
    return "no evidence"


def _sentence(
    trial: ArmComparisons, word: Word, equal: Sequence[str], smallest_effect: float, arms: int
) -> str:
    against = trial.against_baseline
    small = _size(against, smallest_effect, False)
    change = (
        f"{_size(against, against.value)} ({_size(against, against.low)} to"
        f" {_size(against, against.high)})"
    )
    better = f"made the model better than the baseline, {change}"
    text = {
        "harmed": f"made the model worse than the baseline, {change}",
        "helped": (
            f"{better}, and better than every baseline method"
            f" ({_listed(list(trial.against_rivals))})"
            if trial.against_rivals
            else f"{better}; no baseline method was run, so a cheaper way may do the same"
        ),
        "helped, and so does a rival": (
            f"{better}; {_listed(equal)}, cheaper, is at most {small} behind it"
        ),
        "helped, rivals undecided": (
            f"{better}; whether a baseline method does the same is undecided"
        ),
        "no effect": f"changed nothing that matters, {change} lies within {small} either way",
        "no evidence": f"is not shown to help or to harm, {change}",
    }[word]
    return f"{trial.arm} ({against.claim}) {text}. {' '.join(_riders(trial, word, equal, arms))}"


def _riders(trial: ArmComparisons, word: Word, equal: Sequence[str], arms: int) -> list[str]:
    """Sentences on the limits of the verdict."""
    against = trial.against_baseline
    least = against.detectable(arms=arms)
    seen = f"could have seen {_size(against, least, False)} (80 % power)"
    if against.metric != "rmse" and least >= 1:  # no share differs by as much
        seen = "is too small to see any difference"
    riders = [f"This study {seen}."]
    shown = [name for name in equal if name in trial.rivals_against_baseline]
    shown = [name for name in shown if trial.rivals_against_baseline[name].p_above() <= ALPHA]
    if word == "helped, and so does a rival" and trial.rivals_against_baseline:
        riders.append(
            f"Better than the baseline by itself: {_listed(shown)}."
            if shown
            else "No such baseline method is by itself shown to be better than the baseline."
        )
    if against.claim != "this method":
        drawn = (
            "were not drawn anew"
            if against.counts[0] == 1
            else f"were drawn anew only {against.counts[0]} times"
        )
        riders.append(
            f"The training rows {drawn}, so nothing is said about the method on other data."
        )
        if against.counts[1] == 1:
            riders.append("One generator run: another run may make other images.")
    if arms > 1:
        riders.append(
            f"Of {arms} such training sets each needs stronger evidence (Holm's rule); the interval"
            " is for this one alone."
        )
    return riders


def _size(against: Comparison, value: float, signed: bool = True) -> str:
    sign = "+" if signed else ""
    return f"{value:{sign}.3g}" if against.metric == "rmse" else f"{100 * value:{sign}.1f} points"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
