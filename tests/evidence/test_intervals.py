"""Intervals, tests, comparison and verdict against closed forms, scipy, brute force and
hand-computed cases."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gobelin.core.errors import GobelinError
from gobelin.evidence.comparison import Comparison, compare, compare_classes, simultaneous
from gobelin.evidence.findings import Exhibit, Finding
from gobelin.evidence.intervals import (
    balanced_accuracy,
    detectable_effect,
    holm,
    mean,
    median_rank,
    proportion,
    recall_at,
    sign_flip,
    wilson,
)
from gobelin.evidence.variance import ErrorPart
from gobelin.evidence.verdict import ArmComparisons, verdict, verdicts

COUNTS = [(0, 1), (1, 1), (0, 8), (3, 8), (8, 8), (17, 40), (199, 200), (12, 5000)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- Finding and Exhibit


def test_a_finding_goes_through_json_and_back_without_nan() -> None:
    found = Finding(
        name="x",
        scope={"arm": "flow"},
        value=float("nan"),
        low=float("-inf"),
        high=np.float64(2.0),
        n=np.int64(3),
    )  # type: ignore[arg-type]
    line = json.dumps(found.to_dict(), allow_nan=False)
    back = Finding.from_dict(json.loads(line))
    assert (back.value, back.low, back.high, back.n) == (None, None, 2.0, 3)
    assert Finding.from_dict(json.loads(json.dumps(back.to_dict()))) == back


def test_a_row_of_another_version_is_refused() -> None:
    with pytest.raises(GobelinError, match="colour"):
        Finding.from_dict({"name": "x", "colour": "red"})


def test_sentences_are_plain() -> None:
    found = Finding(
        name="balanced_accuracy",
        scope={"arm": "flow"},
        comparator="real",
        value=0.0123,
        low=-0.004,
        high=0.0286,
        unit="points",
        n=80,
        needed_n=900,
    )
    expected = (
        "balanced accuracy (training set flow) against real: +1.2 points; 95 % interval -0.4 points"
        " to +2.9 points; "
    )
    assert found.sentence() == expected + (
        "n = 80, about 900 needed to show the smallest difference that matters."
    )
    assert (
        Finding(name="frechet", note="too few images: 12").sentence()
        == "frechet: too few images: 12."
    )


def test_an_exhibit_knows_its_kinds() -> None:
    shown = Exhibit("made", "sheet", "sheets/made.png", "made images", "CC0")
    assert Exhibit.from_dict(shown.to_dict()) == shown
    with pytest.raises(ValueError, match="pie"):
        Exhibit("made", "pie", "x")


# --- Intervals of single scores


@pytest.mark.parametrize(("k", "n"), COUNTS)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_proportions_agree_with_scipy(k: int, n: int, level: float) -> None:
    test = stats.binomtest(k, n)
    ours, theirs = wilson(k, n, level), test.proportion_ci(level, "wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_proportion_of_rows_is_wilson_and_of_perfect_units_counts_the_units() -> None:
    hits = rng().random(60) < 0.8
    assert proportion(hits).low == pytest.approx(wilson(hits.sum(), 60).low)
    perfect = proportion(np.ones(60), np.arange(60) // 10)
    assert perfect.high == 1.0
    assert perfect.low < wilson(6, 6).low + 1e-9 < wilson(60, 60).low


@pytest.mark.parametrize("interval", [proportion, mean], ids=["proportion", "mean"])
def test_rows_repeated_within_their_unit_add_nothing(
    interval,
) -> None:  # noqa: ANN001 - either of two functions
    hits = (rng(3).random(40) < 0.7).astype(float)
    once, ten = (
        interval(hits, np.arange(40)),
        interval(np.repeat(hits, 10), np.repeat(np.arange(40), 10)),
    )
    assert ten.high - ten.low >= (once.high - once.low) * (1 - 1e-9)
    assert interval(np.repeat(hits, 10)).high - interval(np.repeat(hits, 10)).low < 0.5 * (
        ten.high - ten.low
    )


def test_the_mean_of_rows_is_students_t() -> None:
    x = rng(1).normal(size=23)
    low, high = stats.t.interval(0.95, 22, x.mean(), stats.sem(x))
    assert (mean(x).low, mean(x).high) == pytest.approx((low, high))
    assert math.isnan(mean(x, np.zeros(23)).low)


def test_balanced_accuracy_is_the_mean_of_classes_with_an_honest_bound_when_perfect() -> None:
    classes = np.repeat([0, 1], [90, 10])
    hits = np.concatenate([np.ones(90), np.repeat([1.0, 0.0], 5)])
    found = balanced_accuracy(hits, classes)
    assert found.value == pytest.approx(0.75)
    one, two = wilson(90, 90), wilson(5, 10)
    assert found.low == pytest.approx(0.75 - 0.5 * math.hypot(1 - one.low, 0.5 - two.low))
    perfect = balanced_accuracy(np.ones((3, 100)), classes)
    assert perfect.value == perfect.high == 1.0
    assert 0.8 < perfect.low < 0.95


def test_balanced_accuracy_covers_in_small_classes() -> None:
    sizes, truth = (5, 12, 40), np.array([0.7, 0.95, 0.85])
    classes, r = np.repeat(np.arange(3), sizes), rng(5)
    found = [balanced_accuracy(r.random(57) < truth[classes], classes) for _ in range(800)]
    covered = sum(one.low <= truth.mean() <= one.high for one in found)
    rate = stats.binomtest(covered, 800).proportion_ci(0.999, "exact")
    assert rate.low <= 0.97 and rate.high >= 0.95


def test_recall_and_median_rank() -> None:
    ranks = np.array([1, 1, 2, 3, 5, 8, 13, 21, 34, 55])
    assert recall_at(ranks, 5).value == pytest.approx(0.5)
    found = median_rank(
        ranks
    )  # binomial(10, 1/2): 2nd and 9th order statistics hold the median in 97.9 %
    assert (found.value, found.low, found.high) == (6.5, 1, 34)
    many = rng(2).integers(1, 200, 400)
    units = median_rank(np.repeat(many, 5), np.repeat(np.arange(400), 5))
    alone = median_rank(many)
    assert (units.low, units.high) == pytest.approx((alone.low, alone.high), abs=8)


def test_no_rows_are_refused() -> None:
    with pytest.raises(GobelinError, match="no rows"):
        mean([])


# --- Tests


def holm_by_closure(p: list[float]) -> list[float]:
    """Holm is the closed test of Bonferroni: the largest |S| min p over all sets S that hold the
    hypothesis."""
    sets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), size)]
    return [
        max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(len(p))
    ]


def test_holm_is_the_closure_of_bonferroni() -> None:
    r = rng(4)
    for _ in range(200):
        p = (r.random(r.integers(1, 7)) ** 3).round(2).tolist()
        assert holm(p) == pytest.approx(holm_by_closure(p))


def test_sign_flip_counts_all_signs() -> None:
    assert sign_flip([1.0, 1.0, 1.0, 1.0]) == pytest.approx(2 / 16)
    d = rng(6).normal(0.3, 1, 60)
    assert sign_flip(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)


def test_the_detectable_effect_has_its_power() -> None:
    effect = detectable_effect(0.01)
    assert effect == pytest.approx(0.0280158, abs=1e-6)
    assert stats.norm.sf(1.959964, effect / 0.01) == pytest.approx(0.80, abs=1e-6)


# --- Comparison


def study(
    n: int = 120, g: int = 3, s: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Baseline [1, 1, S, N], arm [1, G, S, N], classes [N]."""
    r = rng(seed)
    latent = r.normal(size=n)
    baseline = latent + 0.6 * r.normal(size=(1, 1, s, n)) + 0.8 > 0
    arm = latent + 0.6 * r.normal(size=(1, g, s, n)) + 0.9 > 0
    return baseline.astype(float), arm.astype(float), np.arange(n) % 3


def width(found: Comparison) -> float:
    return found.half_width(0.95)


def test_one_class_of_rows_by_hand() -> None:
    """Bonett & Price 2012: n + 2 units, one imaginary win and one imaginary loss, t with n - 1 + 2
    degrees."""
    d = np.array([1.0, 1, 1, 0, 0, 0, 0, -1, 0, 0])
    found = compare(np.maximum(-d, 0), np.maximum(d, 0), metric="accuracy")
    squares = (
        (d - 0.2) ** 2
    ).sum() + 2  # every non-zero difference is a whole flip, so is the imaginary one
    assert found.value == pytest.approx(0.2)
    assert found.standard_error == pytest.approx(math.sqrt(squares / (12 * 11)))
    assert width(found) == pytest.approx(stats.t.ppf(0.975, 11) * math.sqrt(squares / (12 * 11)))


def test_large_classes_agree_with_a_bootstrap() -> None:
    r = rng(7)
    d, classes = r.choice([-1.0, 0, 0, 0, 1], 900), np.repeat([0, 1], [600, 300])
    found = compare(np.zeros(900), d, classes)
    weights = np.concatenate(
        [r.multinomial(n, np.full(n, 1 / n), 4000) / n for n in (600, 300)], axis=1
    )
    assert found.standard_error == pytest.approx((weights @ d / 2).std(), rel=0.05)
    assert found.value == pytest.approx((d[:600].mean() + d[600:].mean()) / 2)


def test_model_parts_by_hand() -> None:
    """Two generators that differ by the same on every row: all of it is theirs, no interaction, t
    with one degree."""
    arm = np.stack([np.full((1, 8), 0.5), np.full((1, 8), 0.7)])[None]
    found = compare(np.full(8, 0.5), arm, metric="accuracy")
    units, generators = found.parts
    assert (generators.variance, generators.degrees, generators.interaction) == pytest.approx(
        (0.01, 1, 0)
    )
    h_squared = (1 + 8 * 0.01) / 9
    assert units.variance == pytest.approx(2 * h_squared / (10 * 9))
    expected = stats.t.ppf(0.975, 9) ** 2 * units.variance + stats.t.ppf(0.975, 1) ** 2 * 0.01
    assert width(found) == pytest.approx(math.sqrt(expected))


def test_disagreement_of_models_on_rows_is_not_counted_twice() -> None:
    r = rng(8)
    arm = (r.random((1, 200, 1, 300)) < 0.5).astype(
        float
    )  # pure interaction: generators flip their own coins
    units, generators = compare(np.full(300, 0.5), arm, metric="accuracy").parts
    assert generators.variance == pytest.approx(generators.interaction, rel=0.35)
    assert units.variance == pytest.approx(0.25 / 200 / 300, rel=0.5)


def test_order_of_rows_and_names_of_units_change_nothing() -> None:
    baseline, arm, classes = study()
    units = rng(1).integers(0, 30, 120)
    order = rng(2).permutation(120)
    one = compare(baseline, arm, classes, units)
    two = compare(baseline[..., order], arm[..., order], 5 - classes[order], units[order] * 7 + 3)
    assert two.value == pytest.approx(one.value)
    assert (two.low, two.high) == pytest.approx((one.low, one.high))


def test_rows_repeated_within_their_unit_do_not_narrow_a_comparison() -> None:
    baseline, arm, classes = study()
    one = compare(baseline, arm, classes, np.arange(120))
    many = compare(
        *(np.repeat(x, 5, axis=-1) for x in (baseline, arm)),
        np.repeat(classes, 5),
        np.repeat(np.arange(120), 5),
    )
    assert width(many) == pytest.approx(width(one))
    loose = compare(*(np.repeat(x, 5, axis=-1) for x in (baseline, arm)), np.repeat(classes, 5))
    assert loose.parts[0].variance < 0.3 * one.parts[0].variance


def test_swapping_the_sides_mirrors_the_interval() -> None:
    baseline, arm, classes = study(g=1)
    one, two = compare(baseline, arm, classes), compare(arm, baseline, classes)
    assert (two.low, two.high) == pytest.approx((-one.high, -one.low))
    assert two.p_below() == pytest.approx(one.p_above())


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("sizes", [(5, 5), (50, 50), (5, 200)])
def test_identical_arms_have_width(score: float, sizes: tuple[int, int]) -> None:
    hits = np.full((1, 1, 3, sum(sizes)), score)
    found = compare(hits, hits, np.repeat([0, 1], sizes))
    assert found.value == 0 and found.low < -0.3 / max(sizes) and found.high > 0.3 / max(sizes)
    assert found.p_above() == pytest.approx(0.5)


def test_p_values_invert_the_interval() -> None:
    found = compare(*study())
    assert found.p_above(found.low) == pytest.approx(0.025)
    assert found.p_below(found.high) == pytest.approx(0.025)
    assert found.p_above(found.value) == pytest.approx(0.5)
    assert found.p_above(-0.5) < 0.002 < 0.998 < found.p_above(0.5)


def test_rmse_positive_is_better_and_its_error_is_the_delta_methods() -> None:
    r = rng(9)
    baseline = r.normal(size=4000)
    arm = 0.8 * baseline + 0.2 * r.normal(size=4000)
    found = compare(baseline, arm, metric="rmse")
    roots = np.sqrt((baseline**2).mean()), np.sqrt((arm**2).mean())
    assert (found.baseline_score, found.arm_score) == pytest.approx(roots)
    assert found.value == pytest.approx(roots[0] - roots[1])
    weights = r.multinomial(4000, np.full(4000, 1 / 4000), 800) / 4000
    drawn = np.sqrt(weights @ baseline**2) - np.sqrt(weights @ arm**2)
    assert found.standard_error == pytest.approx(drawn.std(), rel=0.1)
    assert width(compare(baseline, baseline, metric="rmse")) > 0


def test_a_class_of_one_unit_is_left_out_and_named() -> None:
    baseline, arm, classes = study()
    classes[:4] = 9
    found = compare(baseline, arm, classes, np.where(np.arange(120) < 4, 0, np.arange(120)))
    assert found.left_out == (9,) and found.rows == 116
    rest = compare(baseline[..., 4:], arm[..., 4:], classes[4:])
    assert (found.low, found.high) == pytest.approx((rest.low, rest.high))
    with pytest.raises(GobelinError, match="two test units"):
        compare(baseline, arm, classes, np.zeros(120))


def test_classes_of_one_unit_each_are_the_units() -> None:
    rng = np.random.default_rng(3)
    baseline, arm = rng.random((2, 1, 1, 3, 40)) < [[[[[0.4]]]], [[[[0.7]]]]]
    found = compare(baseline, arm, np.arange(40))
    plain = compare(baseline, arm, metric="accuracy")
    assert found.drawn_classes and not plain.drawn_classes and found.units == 40
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)
    assert "the classes count as the units" in found.finding("arm", "real").note
    # several rows of the one unit of a class: their mean is the score of the class
    classes = np.repeat(np.arange(40), np.where(np.arange(40) < 5, 3, 1))
    repeated = compare(baseline[..., classes], arm[..., classes], classes, units=classes)
    assert (repeated.value, repeated.low, repeated.high) == pytest.approx(
        (found.value, found.low, found.high)
    )
    with pytest.raises(GobelinError, match="two test units"):
        compare(baseline[..., :20], arm[..., :20], np.arange(20))


def test_the_interval_over_drawn_classes_covers_the_gain_over_all_classes() -> None:
    """Planted truth: 3,000 classes, each easier with the arm by another amount. A study sees 60 of
    them with one test unit each."""
    rng = np.random.default_rng(5)
    easy = rng.beta(1, 3, 3000)
    gain = np.clip(rng.normal(0.08, 0.1, 3000), -easy, 1 - easy)
    covered = []
    for _ in range(400):
        drawn = rng.choice(3000, 60, replace=False)
        luck = rng.random((4, 60))  # the same test rows, four seeds
        baseline = (luck < easy[drawn])[None, None]
        arm = (luck < (easy + gain)[drawn])[None, None]
        found = compare(baseline, arm, np.arange(60))
        covered.append(found.low <= gain.mean() <= found.high)
    assert 0.93 <= np.mean(covered) <= 1.0


def test_mismatched_studies_are_refused() -> None:
    baseline, arm, classes = study()
    with pytest.raises(ValueError, match="same resamples"):
        compare(baseline, np.repeat(arm, 2, axis=0), classes)
    with pytest.raises(ValueError, match="same resamples"):
        compare(baseline[..., :1, :], np.concatenate([arm, arm], 2)[..., :100], classes)
    with pytest.raises(ValueError, match="finite"):
        compare(baseline * np.nan, arm, classes)


def test_the_claim_needs_five_resamples() -> None:
    r = rng(10)
    hits = (r.random((5, 2, 1, 60)) < 0.7).astype(float)
    found = compare(hits[:, :1], hits, np.arange(60) % 2)
    assert found.claim == "this method" and [part.name for part in found.parts] == [
        "test units",
        "training resamples",
    ]
    assert compare(hits[:4, :1], hits[:4], np.arange(60) % 2).claim == "this set of images"


def test_needed_units_make_the_effect_detectable() -> None:
    found = replace(compare(*study(g=1, s=1)), units=120)
    need = found.needed_units(0.01)
    assert need is not None and need > 120
    assert need == pytest.approx(120 * (found.detectable() / 0.01) ** 2, rel=0.01)
    stuck = replace(found, parts=(found.parts[0], ErrorPart("generator seeds", 1e-3, 2)))
    assert stuck.needed_units(0.01) is None


def test_classes_hold_together() -> None:
    baseline, arm, classes = study()
    found = compare_classes(baseline, arm, classes)
    assert set(found) == {0, 1, 2} and all(
        one.level == pytest.approx(1 - 0.05 / 3) for one in found.values()
    )
    alone = compare(baseline[..., classes == 1], arm[..., classes == 1], metric="accuracy")
    assert found[1].value == pytest.approx(alone.value) and found[1].low < alone.low
    assert simultaneous([alone])[0].low == alone.low


def test_a_comparison_becomes_a_finding() -> None:
    found = compare(*study()).finding("flow", "real", source="augment")
    assert (
        found.low is not None
        and found.high is not None
        and found.low < (found.value or 0) < found.high
    )
    assert "this set of images" in found.note and "3 generator seeds" in found.note
    json.dumps(found.to_dict(), allow_nan=False)


# --- Verdict


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


def test_resamples_of_one_set_of_rows_hold_what_that_set_is() -> None:
    """Nadeau & Bengio 2003: the variance between R resamples counts 1 / R + reuse times, here with
    R = 5: six times as much."""
    r = rng(11)
    hits = (r.random((5, 2, 1, 60)) < 0.7 + 0.1 * r.random((5, 1, 1, 1))).astype(float)
    anew, same = (compare(hits[:, :1], hits, np.arange(60) % 2, reuse=k) for k in (0.0, 1.0))
    assert same.parts[0] == anew.parts[0] and same.value == anew.value
    assert np.isclose(same.parts[1].variance, 6 * anew.parts[1].variance)
    between = (hits.mean(2) - hits[:, 0, :1].mean(1)[:, None]).mean(1)
    theta = np.stack([between[:, np.arange(60) % 2 == c].mean(1) for c in (0, 1)]).mean(0)
    assert np.isclose(same.parts[1].variance, theta.var(ddof=1) * (1 / 5 + 1))
