"""Means of parts against a second implementation, and what may not be seen in them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats.mstats import winsorize

from gobelin.embedding.part_means import middle_and_scale, part_means


def pulled_in(part: np.ndarray, least: int) -> np.ndarray:
    """The means of groups with the few at the ends as the one before them, by scipy."""
    many = len(part) > 2 * least
    return np.asarray(winsorize(part, limits=(least - 1.0) / len(part)) if many else part)


def steps_of(parts: list[np.ndarray], least: int) -> np.ndarray:
    """The step of each part, written down anew. parts: the means of the groups in each."""
    steps = []
    for part in parts:
        means, ends = np.sort(part), 0.0
        kept = pulled_in(means, least)
        if len(part) > 2 * least:
            ends = max(np.diff(means)[[least - 1, -least]]) * (least - 1)
        size = max(2 * least * kept.std(), 2 * (np.ptp(kept) + ends)) / len(part)
        steps.append(2.0 ** round(np.log2(size)))
    return np.array(steps)


def test_of_single_groups_they_are_means_of_equal_parts() -> None:
    x = np.random.default_rng(0).normal(size=330)
    parts = list(np.sort(x).reshape(66, 5))
    found, step = np.array(part_means(x, np.arange(330), 66, 5)), steps_of(parts, 5)
    rounded = np.round([p.mean() / s for p, s in zip(parts, step, strict=True)]) * step
    assert np.allclose(found, np.maximum.accumulate(rounded), rtol=1e-12, atol=0)
    assert np.corrcoef(found, [p.mean() for p in parts])[0, 1] > 0.99
    assert part_means(x, np.arange(330), 500, 1) == np.sort(x).tolist()


@pytest.mark.parametrize("least", [2, 5, 9])
@pytest.mark.parametrize("groups", [1, 4, 20, 100])
def test_every_mean_is_of_enough_groups(least: int, groups: int) -> None:
    """Values that name their group: the mean of a part tells how many are in it."""
    rng = np.random.default_rng(groups)
    group = rng.integers(0, groups, 300)
    x = rng.normal(size=300)
    means = part_means(x, group, 65, least)
    assert (len(means) > 0) == (groups >= least)
    if not means:
        return
    cut = np.arange(1, len(means)) * 300 // len(means)
    parts = [
        np.array([x[part][group[part] == g].mean() for g in np.unique(group[part])])
        for part in np.split(np.argsort(x), cut)
    ]
    assert min(map(len, parts)) >= least
    off = np.abs(np.array(means) - [pulled_in(part, least).mean() for part in parts])
    highest = np.maximum.accumulate(steps_of(parts, least))
    assert (off <= highest / 2 + 1e-12).all()  # an earlier part may have been rounded up
    assert not set(means) & set(x)


def test_a_group_with_most_of_the_values_is_no_part_of_its_own() -> None:
    x = np.concatenate([np.full(200, 7.25), np.arange(20.0)])
    group = np.concatenate([np.zeros(200, int), np.arange(1, 21)])
    means = part_means(x, group, 65, 5)
    assert 1 <= len(means) <= 3 and 7.25 not in means


def test_equal_values_stay_what_they_are() -> None:
    """A value that enough groups share is no one's."""
    assert part_means(np.full(30, 0.1), np.arange(30), 65, 5) == [0.1] * 6
    assert middle_and_scale(np.full(30, 0.1), np.arange(30), [0.1] * 6, 5) == (0.1, 1.0)


def test_middle_and_scale_of_many_values_are_median_and_quartiles() -> None:
    x, group = np.random.default_rng(1).normal(10, 3, 20_000), np.arange(20_000)
    middle, scale = middle_and_scale(x, group, part_means(x, group, 65, 5), 5)
    assert middle == pytest.approx(10, abs=0.1) and scale == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("alone", [1, 2, 4])
@pytest.mark.parametrize("rows", [30, 66, 400])
def test_a_large_value_of_few_among_equal_ones_is_not_rebuilt(rows: int, alone: int) -> None:
    """The attack: the scale was the root of the sum of squares, the last mean that of a part in
    which all but one are 0. Now a value and one that is 2 % larger look the same, unless a rounding
    lies between them."""
    group, differ = np.arange(rows), 0
    for value in 10 ** np.random.default_rng(0).uniform(-6, 6, 60):
        told = []
        for size in (value, 1.02 * value):
            x = np.where(group < alone, size, 0.0)
            means = part_means(x, group, 65, 5)
            told.append((means, middle_and_scale(x, group, means, 5)))
        differ += told[0] != told[1]
        assert told[0][1] == (0.0, 1.0)
    assert differ <= (0 if alone == 1 else 9)


def test_a_scale_is_told_where_enough_groups_differ() -> None:
    x, group = np.zeros(100), np.arange(100)
    x[:8] = np.arange(1, 9) * 1000.0
    _, scale = middle_and_scale(x, group, part_means(x, group, 20, 5), 5)
    exact = np.sqrt(np.mean(np.minimum(x, 4000.0) ** 2))  # four groups have more
    assert scale == 2.0 ** (round(2 * np.log2(exact)) / 2) != exact


@pytest.mark.parametrize("rows", [1, 40, 400])
@pytest.mark.parametrize("others", [60, 95, 1000, 4000])
def test_a_far_value_of_one_group_is_told_by_no_mean_and_no_scale(others: int, rows: int) -> None:
    """Not even how large it is, however many rows the group has: what is kept stays where the
    other groups are."""
    rng = np.random.default_rng(others)
    group = np.concatenate([np.zeros(rows, int), np.arange(1, others + 1)])
    for far in (1e5, 3.7e6, -5e9, 2e300):
        x = np.concatenate([np.full(rows, far), rng.normal(1000, 100, others)])
        means = part_means(x, group, 65, 5)
        middle, scale = middle_and_scale(x, group, means, 5)
        assert np.abs([*means, middle, scale]).max(initial=0) < 2000, far


def test_two_runs_don_t_differ_by_the_row_that_joined() -> None:
    """The attack: sums of means times sizes, before and after one person. Exact means gave the
    value to all digits."""
    rng, off = np.random.default_rng(3), []
    for _ in range(60):
        x = rng.normal(50, 10, 121)
        sums = []
        for n in (120, 121):
            means = part_means(x[:n], np.arange(n), 65, 5)
            size = np.diff([*(np.arange(len(means)) * n // len(means)), n])
            sums.append(float(size @ means))
        off.append(abs(sums[1] - sums[0] - x[120]) / 10)
    assert np.median(off) > 0.5 and np.mean(np.array(off) < 0.05) < 0.1, off
