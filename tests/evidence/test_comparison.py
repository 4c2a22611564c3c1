"""Comparisons against closed forms, scipy, bootstraps and hand-computed cases."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gobelin.core.errors import GobelinError
from gobelin.evidence.comparison import Comparison, compare, compare_classes, simultaneous
from gobelin.evidence.variance import ErrorPart


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
