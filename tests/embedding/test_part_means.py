"""Means of parts against a second implementation, and what may not be seen in them."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.embedding.part_means import middle_and_scale, part_means


def test_of_single_groups_they_are_means_of_equal_parts() -> None:
    x = np.random.default_rng(0).normal(size=330)
    expected = np.sort(x).reshape(66, 5).mean(1)
    assert np.allclose(part_means(x, np.arange(330), 66, 5), expected)
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
    cut = np.arange(1, len(means)) * 300 // max(len(means), 1)
    for mean, part in zip(means, np.split(np.argsort(x), cut), strict=True) if means else ():
        of_groups = [x[part][group[part] == g].mean() for g in np.unique(group[part])]
        assert len(of_groups) >= least and mean == pytest.approx(np.mean(of_groups))
    assert not set(means) & set(x)


def test_a_group_with_most_of_the_values_is_no_part_of_its_own() -> None:
    x = np.concatenate([np.full(200, 7.25), np.arange(20.0)])
    group = np.concatenate([np.zeros(200, int), np.arange(1, 21)])
    means = part_means(x, group, 65, 5)
    assert 1 <= len(means) <= 3 and 7.25 not in means


def test_equal_values_stay_what_they_are() -> None:
    """A value that enough groups share is no one's."""
    assert part_means(np.full(30, 0.1), np.arange(30), 65, 5) == [0.1] * 6
    assert middle_and_scale(np.full(30, 0.1), [0.1] * 6) == (0.1, 1.0)


def test_middle_and_scale_of_many_values_are_median_and_quartiles() -> None:
    x = np.random.default_rng(1).normal(10, 3, 20_000)
    middle, scale = middle_and_scale(x, part_means(x, np.arange(20_000), 65, 5))
    assert middle == pytest.approx(10, abs=0.1) and scale == pytest.approx(3, abs=0.1)
