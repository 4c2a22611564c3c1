"""Groups of rows as units. Oracles: planted groups and weights, counts of draws."""

from __future__ import annotations

import numpy as np

from gobelin.privacy.units import Units


def test_draws_stay_within_a_group_and_follow_the_weights() -> None:
    groups, rows = np.array([7, 3, 7, 3, 9, 7]), np.array([10, 11, 12, 13, 14, 15])
    units = Units.of(rows, groups, np.array([0.2, 1.0, 0.6, 1.0, 5.0, 0.2]))
    assert len(units) == 3 and np.allclose(units.factors, [1.0, 1 / 3, 1.0])  # of 3, 7 and 9
    some = units.drawn(np.array([1, 2, 0]), 3000)
    assert some.shape == (3, 3000)
    assert set(some[0]) == {10, 12, 15} and set(some[1]) == {14} and set(some[2]) == {11, 13}
    assert np.allclose([(some[0] == k).mean() for k in (10, 12, 15)], [0.2, 0.6, 0.2], atol=0.04)
    assert abs((some[2] == 11).mean() - 0.5) < 0.04


def test_many_groups_of_many_sizes_never_mix() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 300, 5000)
    units = Units.of(np.arange(5000), groups, rng.random(5000))
    every = np.arange(len(units))
    assert (groups[units.drawn(every, 50)] == np.unique(groups)[every][:, None]).all()
    assert units.factors.max() <= 1 and len(units.drawn(every[:0], 4)) == 0
