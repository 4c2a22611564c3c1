"""Scores, limits and bounds of an attack against scipy, brute force and planted truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from gobelin.privacy.membership_attack import Attack, RealRows, joined


def attack(n: int, m: int, shift: float, seed: int = 0) -> Attack:
    """n training rows whose scores are higher by `shift` spreads, m held-out rows."""
    rng = np.random.default_rng(seed)
    member = np.arange(n + m) < n
    return Attack(rng.normal(0, 1, n + m) + shift * member, member, np.arange(n + m))


def test_a_score_is_the_ratio_of_two_distances() -> None:
    rng = np.random.default_rng(0)
    rows, made = rng.normal(0, 1, (30, 4)), rng.normal(0, 1, (12, 4))
    groups = np.repeat(np.arange(10), 3)
    found = RealRows.of({"space": rows}, groups).scores({"space": made})["space"]
    between = np.where(groups[:, None] == groups, np.inf, cdist(rows, rows))
    expected = np.log(between.min(1) / cdist(rows, made).min(1))
    assert found == pytest.approx(expected, abs=1e-9)


def test_scores_ignore_the_unit_of_a_space() -> None:
    rng = np.random.default_rng(0)
    rows, made, groups = rng.normal(0, 1, (30, 4)), rng.normal(0, 1, (12, 4)), np.arange(30)
    found = [
        RealRows.of({"space": unit * rows}, groups).scores({"space": unit * made})["space"]
        for unit in (1.0, 900.0)
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert joined({"a": found[0], "b": 3 * found[0]}) == pytest.approx(2 * found[0])


@pytest.mark.parametrize("m", [99, 100, 450, 1000])
def test_new_held_out_rows_exceed_the_limit_at_the_stated_rate(m: int) -> None:
    """The mean of 1 - F(limit) over many sets is rank / (m + 1), at most the rate."""
    rates = [
        1 - stats.norm.cdf(limit)
        for seed in range(400)
        if (limit := attack(1, m, 0, seed).limit(0.01)) is not None
    ]
    if m < 100:
        assert not rates
        return
    rank = m // 100
    assert np.mean(rates) == pytest.approx(rank / (m + 1), abs=0.0015) and rank / (m + 1) <= 0.01


def test_the_share_found_has_the_exact_interval() -> None:
    one = attack(300, 200, 2.0)
    limit = np.sort(one.scores[300:])[-2]  # two of 200 are 1 %
    hits = int((one.scores[:300] > limit).sum())
    bounds = stats.binomtest(hits, 300).proportion_ci(0.95, "exact")
    found = one.found(0.01)
    assert found is not None and found.value == pytest.approx(hits / 300)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), abs=1e-6)
    assert one.found(0.001) is None  # 1,000 held-out rows would be needed


def test_a_few_outstanding_rows_are_seen() -> None:
    """A twentieth of the training rows stands out; the area alone would not show it."""
    one = attack(300, 300, 0.0)
    scores = one.scores.copy()
    scores[:15] = 5 + np.arange(15)
    leaky = Attack(scores, one.member, one.groups)
    rng = np.random.default_rng(0)
    assert leaky.area().low < 0.5 < one.area().high
    assert leaky.p_value(2000, rng) < 0.01 < one.p_value(2000, rng)


def test_a_number_of_groups_finds_the_difference_four_times_of_five() -> None:
    needed = attack(100_000, 100_000, 0.5).groups_needed()
    assert needed is not None
    n, studies, found = int(needed), 400, 0
    for seed in range(studies):
        a = attack(n, n, 0.5, seed + 1)
        found += stats.mannwhitneyu(a.scores[:n], a.scores[n:], alternative="greater").pvalue < 0.05
    assert found / studies == pytest.approx(0.8, abs=0.07)
    assert attack(50, 50, -3.0).groups_needed() is None


def test_the_bound_of_epsilon_is_the_closed_form_of_perfect_guesses() -> None:
    """All of r guesses right: q ** r = 0.05 / 3, and epsilon = log(q / (1 - q))."""
    bound, pairs = attack(80, 60, 50.0).epsilon(np.random.default_rng(0))
    q = (0.05 / 3) ** (1 / 60)
    assert (bound, pairs) == (pytest.approx(math.log(q / (1 - q))), 60)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_the_bound_stays_under_the_epsilon_of_randomised_response(epsilon: float) -> None:
    """Planted: of each pair the right one is told with probability e^eps / (1 + e^eps), which is
    epsilon-private and no better. The bound may exceed epsilon in 5 % of runs."""
    keep, above, largest, runs = 1 / (1 + math.exp(-epsilon)), 0, 0.0, 200
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        n = 150
        right = rng.random(n) < keep
        size = rng.random(n) + 1
        scores = np.concatenate([np.where(right, size, -size), np.zeros(n)])
        one = Attack(scores, np.arange(2 * n) < n, np.arange(2 * n))
        bound = one.epsilon(rng)[0]
        above, largest = above + (bound > epsilon), max(largest, bound)
    assert above <= stats.binom.ppf(0.999, runs, 0.05)
    assert epsilon == 0 or largest > 0.5 * epsilon


def test_groups_are_paired_once() -> None:
    one = attack(40, 30, 50.0)
    groups = np.concatenate([np.repeat(np.arange(20), 2), np.repeat(np.arange(20, 30), 3)])
    assert Attack(one.scores, one.member, groups).epsilon(np.random.default_rng(0))[1] == 10
