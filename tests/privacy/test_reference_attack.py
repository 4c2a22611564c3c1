"""RMIA and LiRA against closed forms on planted normal losses, and against scipy row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special, stats

from gobelin.evidence.separation import area_under_curve
from gobelin.privacy.reference_attack import halves, likelihood_ratio, relative_likelihood

ROWS, SHIFT, NOISE, DIFFICULTY = 20_000, 0.8, 0.5, 3.0


def planted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Losses under a generator, under references, which rows each reference learned, and which the
    generator did. The loss of a row is its difficulty, less SHIFT where it was learned, and noise.
    """
    rng = np.random.default_rng(seed)
    member = np.arange(ROWS) % 2 == 0
    learned = halves(np.arange(ROWS), count, rng)
    hard = rng.normal(0, DIFFICULTY, ROWS)
    noise = rng.normal(0, NOISE, (count + 1, ROWS))
    losses = hard - SHIFT * np.vstack([member, learned]) + noise
    return losses[0], losses[1:], learned, member


def area(scores: np.ndarray, member: np.ndarray) -> float:
    known = ~np.isnan(scores)
    inside, outside = scores[known & member], scores[known & ~member]
    return float(stats.mannwhitneyu(inside, outside).statistic / (len(inside) * len(outside)))


def expected(spread: float) -> float:
    """AUC of two normal distributions with one standard deviation, SHIFT apart."""
    return float(special.ndtr(SHIFT / (spread * np.sqrt(2))))


def close(found: float, closed: float) -> bool:
    """Within five standard errors of an area of one half, which are the largest: two groups of
    ROWS / 4 (Mann & Whitney 1947)."""
    return abs(found - closed) < 5 * np.sqrt(1 / (6 * ROWS / 4))


def test_areas_are_those_of_the_closed_forms() -> None:
    loss, references, learned, member = planted(2, 0)
    assert close(area(-loss, member), expected(np.hypot(DIFFICULTY, NOISE)))
    one = relative_likelihood(loss, references[:1], learned[:1])
    assert np.isnan(one[learned[0]]).all() and not np.isnan(one[~learned[0]]).any()
    assert close(area(one, member), expected(NOISE * np.sqrt(2)))
    pair = relative_likelihood(loss, references, learned)  # one reference without each row
    assert not np.isnan(pair).any() and close(area(pair, member), expected(NOISE * np.sqrt(2)))
    rng, hard = np.random.default_rng(1), loss + SHIFT * member  # the difficulty, noisy
    many = hard + rng.normal(0, NOISE, (24, ROWS))
    again = hard - SHIFT * member + rng.normal(0, NOISE, ROWS)
    offline = likelihood_ratio(again, many, np.zeros((24, ROWS), bool))
    assert close(area(offline, member), expected(NOISE * np.sqrt(1 + 1 / 24)))


def test_lira_online_needs_the_references_that_learned_a_row() -> None:
    """With equal shifts both ways find as much, less the noise of the means: 16 references lose a
    little. Where only some rows are memorised, the online attack finds more."""
    loss, references, learned, member = planted(64, 2)
    best = expected(NOISE)
    assert best - 0.02 < area(likelihood_ratio(loss, references, learned), member) < best + 0.01
    rng = np.random.default_rng(3)
    shift = np.where(rng.random(ROWS) < 0.1, 4.0, 0.0)  # a tenth of the rows is memorised
    uneven = rng.normal(0, NOISE, (65, ROWS)) - shift * np.vstack([member, learned])
    online = likelihood_ratio(uneven[0], uneven[1:], learned)
    outside = np.where(learned, uneven[1:] + shift, uneven[1:])
    offline = likelihood_ratio(uneven[0], outside, np.zeros_like(learned))
    assert area(online, member) > area(offline, member) + 0.005


@pytest.mark.parametrize("count", [16, 64])
def test_lira_is_the_ratio_of_two_normal_densities(count: int) -> None:
    """Row by row with scipy; with 16 references all rows share two standard deviations."""
    rng = np.random.default_rng(count)
    learned = halves(np.arange(40), count, rng)
    references, loss = rng.normal(0, 2, (count, 40)), rng.normal(0, 2, 40)

    def each(of: Callable[..., np.ndarray]) -> list[list[float]]:
        return [[of(references[side[:, k], k]) for k in range(40)] for side in (learned, ~learned)]

    means = np.array(each(np.mean))
    spreads = np.array(each(lambda x: np.std(x, ddof=1)))
    if count < 64:
        spreads = np.sqrt((spreads**2).mean(1, keepdims=True)) * np.ones((1, 40))
    inside, outside = stats.norm.logpdf(loss, means, spreads)
    assert likelihood_ratio(loss, references, learned) == pytest.approx(inside - outside)


def test_rmia_is_the_share_of_pairs() -> None:
    """By the definition, pair by pair."""
    rng = np.random.default_rng(0)
    learned = halves(np.arange(30), 3, rng)
    references, loss = rng.normal(0, 1, (3, 30)), rng.normal(0, 1, 30)
    ratios = {
        k: np.exp(-loss[k]) / np.mean(np.exp(-references[~learned[:, k], k]))
        for k in range(30)
        if not learned[:, k].all()
    }
    found = relative_likelihood(loss, references, learned)
    for k, ratio in ratios.items():
        assert found[k] == pytest.approx(np.mean([ratio >= other for other in ratios.values()]))
    assert np.isnan(found).sum() == 30 - len(ratios)


def test_nobody_is_found_where_nothing_leaks() -> None:
    """References that learned a row know it better; the generator knows nobody better."""
    rng = np.random.default_rng(5)
    member, groups = np.arange(2000) < 1000, np.arange(2000)
    learned = halves(groups, 16, rng)
    losses = rng.normal(0, 1, (17, 2000)) - 2.0 * np.vstack([np.zeros(2000), learned])
    for attack in (relative_likelihood, likelihood_ratio):
        scores = attack(losses[0], losses[1:], learned)
        found = area_under_curve(scores[member], scores[~member], groups[member], groups[~member])
        assert abs(found.value - 0.5) < 5 * np.sqrt(1 / (6 * 1000)), attack.__name__


def test_a_group_is_learned_as_a_whole_and_by_half_of_the_references() -> None:
    groups = np.repeat(np.arange(30), np.arange(30) % 4 + 1)
    learned = halves(groups, 16, np.random.default_rng(0))
    for name in range(30):
        rows = learned[:, groups == name]
        assert (rows == rows[:, :1]).all() and rows[:, 0].sum() == 8
    assert len(np.unique(learned[::2], axis=0)) == 8
    single = halves(groups, 1, np.random.default_rng(0))
    assert len(np.unique(groups[single[0]])) == 15
