"""The words of a verdict. Oracles: comparisons with known bounds, and drawn studies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gobelin.evidence.comparison import Comparison
from gobelin.evidence.intervals import (
    holm,
)
from gobelin.evidence.variance import ErrorPart
from gobelin.evidence.verdict import ArmComparisons, verdict, verdicts


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def known(value: float, error: float = 0.004, resamples: int = 5) -> Comparison:
    """A comparison with this value and standard error, many degrees: bounds at value +- 1.96
    error."""
    return Comparison(
        "balanced_accuracy",
        value,
        0.8 + value,
        0.8,
        (ErrorPart("test units", error**2, 1e9),),
        (resamples, 3, 5),
        9,
        9,
    )


TABLE = [
    # against baseline, against rivals, word
    (-0.02, [], "harmed"),
    (-0.02, [0.02], "harmed"),
    (-0.009, [0.0], "harmed"),  # though within the smallest effect of 2 points: the order decides
    (0.02, [], "helped"),
    (0.02, [0.02], "helped"),
    (0.02, [0.02, 0.03], "helped"),
    (0.009, [0.009], "helped"),
    (0.03, [0.02, 0.0], "helped, and so does a rival"),
    (0.03, [-0.02], "helped, and so does a rival"),
    (0.001, [0.02], "no effect"),
    (0.0, [], "no effect"),
    (0.0139, [], "helped"),
]


@pytest.mark.parametrize(("against", "rivals", "word"), TABLE)
def test_the_words_come_in_their_order(against: float, rivals: list[float], word: str) -> None:
    found = verdict(
        known(against), {f"r{k}": known(x) for k, x in enumerate(rivals)}, smallest_effect=0.02
    )
    assert found.word == word


def test_undecided_and_no_evidence() -> None:
    wide = known(0.03, 0.012)
    assert (
        verdict(wide, {"classic": known(0.01, 0.012)}, smallest_effect=0.01).word
        == "helped, rivals undecided"
    )
    assert verdict(known(0.01, 0.012), smallest_effect=0.01).word == "no evidence"
    assert "3.4 points" in verdict(known(0.01, 0.012), smallest_effect=0.01).sentence


@pytest.mark.parametrize("value", np.linspace(-0.03, 0.03, 13))
def test_a_single_arms_word_is_that_of_its_bounds(value: float) -> None:
    against = known(float(value))
    word = verdict(against, smallest_effect=0.01).word
    assert (word == "harmed") == (against.high < 0)
    assert (word == "helped") == (against.low > 0)
    assert (word == "no effect") == (
        against.low <= 0 <= against.high and against.low > -0.01 and against.high < 0.01
    )


def test_holm_over_arms_takes_back_what_one_arm_alone_would_have() -> None:
    close = ArmComparisons("a", known(2.1 * 0.004))
    assert verdicts([close])[0].word == "helped"
    assert verdicts([close, ArmComparisons("b", known(0.0))])[0].word == "no evidence"
    both = verdicts([close, ArmComparisons("b", known(0.05))])
    assert [one.word for one in both] == ["helped", "helped"]
    assert "Of 2 such training sets" in both[0].sentence


@pytest.mark.parametrize("arms", [1, 2, 4])
def test_four_of_five_studies_find_the_effect_they_could_have_seen(arms: int) -> None:
    """Drawn anew 20,000 times with a truth of that size, beside arms that do nothing: found in at
    least 80 %, and hardly more (an arm that does nothing seldom takes a place in Holm's order)."""
    r, error = rng(arms), 0.004
    truth = known(0.0, error).detectable(arms=arms)
    assert truth == pytest.approx(
        verdicts([ArmComparisons(str(k), known(0.0, error)) for k in range(arms)])[0].detectable
    )
    p = stats.norm.cdf(-r.normal([truth, *[0.0] * (arms - 1)], error, (20_000, arms)) / error)
    found = np.mean([holm(one)[0] <= 0.025 for one in p])
    assert 0.79 < found < 0.83


def test_no_study_could_have_seen_more_than_there_can_be() -> None:
    """Two shares differ by 100 points at most."""
    assert "could have seen 28.0 points (80 % power)." in verdict(known(0.0, 0.1)).sentence
    assert "This study is too small to see any difference." in verdict(known(0.0, 0.4)).sentence


def test_sentences_say_what_was_not_shown() -> None:
    images = verdict(
        known(0.03, resamples=1), {"classic": known(0.0)}, {"classic": known(0.0)}, arm="flow"
    ).sentence
    assert (
        images.startswith("flow (this set of images)")
        and "not drawn anew" in images
        and "classic" in images
    )
    assert "No such baseline method is by itself shown" in images
    method = verdict(known(0.03), {"classic": known(0.02)}, arm="flow").sentence
    assert method.startswith("flow (this method)") and "drawn anew" not in method
    assert "no baseline method was run" in verdict(known(0.03)).sentence
