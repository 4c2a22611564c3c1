"""Intervals and tests against closed forms, scipy, brute force and hand-computed cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from gobelin.core.errors import GobelinError
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

COUNTS = [(0, 1), (1, 1), (0, 8), (3, 8), (8, 8), (17, 40), (199, 200), (12, 5000)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
