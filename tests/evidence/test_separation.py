"""Areas, placements, exponential scores and exchanges against scikit-learn, scipy, closed forms and
brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from gobelin.evidence.intervals import exact, proportion
from gobelin.evidence.separation import (
    area_under_curve,
    exponential_scores,
    permuted,
    placements,
    unit_means,
)


def scores(seed: int, n: int, m: int, shift: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Two kinds of scores with ties."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(shift, 1, n), 1), np.round(rng.normal(0, 1, m), 1)


@pytest.mark.parametrize(("hits", "n"), [(0, 9), (1, 40), (17, 40), (9, 9), (3, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_exact_interval_is_that_of_scipy(hits: int, n: int, level: float) -> None:
    ours, theirs = exact(hits, n, level), stats.binomtest(hits, n).proportion_ci(level, "exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    of_rows = proportion(np.arange(n) < hits, of=exact, level=level)
    assert (of_rows.low, of_rows.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    with pytest.raises(ValueError, match="successes"):
        exact(n + 1, n)


def test_the_area_is_that_of_scikit_learn() -> None:
    for seed in range(5):
        high, low = scores(seed, 30, 50)
        area = area_under_curve(high, low, np.arange(30), np.arange(30, 80))
        truth = np.arange(80) < 30
        assert area.value == pytest.approx(roc_auc_score(truth, np.concatenate([high, low])))
        assert area.low < area.value < area.high and area.n == 80


def test_the_variance_is_that_of_delong_pair_by_pair() -> None:
    """DeLong et al. 1988, with the kernel of all pairs written out."""
    high, low = scores(3, 40, 60)
    kernel = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    theta = kernel.mean()
    error = np.sqrt(kernel.mean(1).var(ddof=1) / 40 + kernel.mean(0).var(ddof=1) / 60)
    area = area_under_curve(high, low, np.arange(40), np.arange(40, 100))
    half = stats.t.ppf(0.975, 39) * error / (theta * (1 - theta))
    centre = np.log(theta / (1 - theta))
    ends = 1 / (1 + np.exp(-(centre + half * np.array([-1, 1]))))
    assert (area.low, area.high) == pytest.approx(tuple(ends))


def test_rows_of_a_unit_count_once() -> None:
    """Every row three times: the interval of units is that of single rows, and wider than that of
    rows as if independent."""
    high, low = scores(4, 40, 60)
    single = area_under_curve(high, low, np.arange(40), np.arange(60))
    three = [np.repeat(values, 3) for values in (high, low, np.arange(40), np.arange(60))]
    units = area_under_curve(*three)
    assert (units.value, units.low, units.high) == pytest.approx(
        (single.value, single.low, single.high)
    )
    rows = area_under_curve(three[0], three[1], np.arange(120), np.arange(180))
    assert rows.high - rows.low < 0.7 * (units.high - units.low)


def test_the_interval_holds_the_true_area_of_unequal_units() -> None:
    """Planted: units with a shift of their own; the true area is Phi(shift / sd sqrt 2)."""
    truth, held, studies = stats.norm.cdf(0.8 / 2), 0, 300
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        parts = []
        for shift, count in ((0.8, 60), (0.0, 50)):
            sizes = rng.integers(1, 9, count)
            units = np.repeat(np.arange(count), sizes)
            parts.append((rng.normal(shift, 1, count)[units] + rng.normal(0, 1, len(units)), units))
        area = area_under_curve(parts[0][0], parts[1][0], parts[0][1], parts[1][1])
        held += area.low <= truth <= area.high
    assert held >= stats.binom.ppf(0.001, studies, 0.95)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_perfect_score_is_not_taken_for_certain(n: int) -> None:
    """The lower end of an exact interval of n of n: (alpha / 2) ** (1 / n)."""
    area = area_under_curve(np.ones(n), np.zeros(50), np.arange(n), np.arange(50))
    assert (area.value, area.high) == (1.0, 1.0)
    assert area.low == pytest.approx(0.025 ** (1 / n))


def test_placements_count_the_others_below() -> None:
    one, other = scores(6, 20, 30)
    expected = [np.mean(other < v) + 0.5 * np.mean(other == v) for v in one]
    assert placements(one, other) == pytest.approx(expected)


def test_exponential_scores_are_expected_order_statistics() -> None:
    values = np.array([5.0, 1.0, 3.0])  # of three: 1/3, 1/3 + 1/2, 1/3 + 1/2 + 1
    assert exponential_scores(values) == pytest.approx([11 / 6, 1 / 3, 5 / 6])
    tied = exponential_scores(np.array([1.0, 3.0, 3.0]))
    assert tied == pytest.approx([1 / 3, 4 / 3, 4 / 3]) and tied.mean() == pytest.approx(1)


def test_exchanges_are_those_of_all_exchanges_counted() -> None:
    rng = np.random.default_rng(1)
    high, low = rng.normal(0.8, 1, 5), rng.normal(0, 1, 6)
    both = np.concatenate([high, low])
    sums = [both[list(c)].sum() for c in itertools.combinations(range(11), 5)]
    share = np.mean(np.array(sums) >= high.sum() - 1e-12)
    found = permuted(high[None], low[None], 20_000, np.random.default_rng(2))
    assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 20_000))


def test_three_questions_cost_no_false_alarm_more() -> None:
    """No difference, numbers of a heavy tail: at most the binomial bound of 5 %."""
    rng, studies = np.random.default_rng(5), 300
    alarms = 0
    for _ in range(studies):
        values = rng.pareto(1.5, (1, 40))
        asked = np.concatenate([values, values > 2, values > 10]).astype(float)
        alarms += permuted(asked[:, :15], asked[:, 15:], 200, rng) <= 0.05
    assert alarms <= stats.binom.ppf(0.999, studies, 0.05)


def test_units_have_one_number_each() -> None:
    assert unit_means(np.array([1.0, 3.0, 10.0]), np.array([7, 7, 2])) == pytest.approx([10.0, 2.0])
