"""Nearest rows against distances by differences."""

from __future__ import annotations

import numpy as np

from gobelin.core.neighbours import AT_ONCE, nearest


def test_equals_all_distances_over_several_blocks() -> None:
    """The last block is smaller than the others, so memory of an earlier one must not show."""
    rng = np.random.default_rng(0)
    queries, pool = rng.normal(size=(AT_ONCE + 300, 3)), rng.normal(size=(70, 3))
    distance, place = nearest(queries, pool)
    every = np.linalg.norm(queries[:, None] - pool, axis=2)
    assert np.array_equal(place, every.argmin(1))
    assert np.allclose(distance, every.min(1), atol=1e-7)


def test_no_row_is_a_neighbour_of_its_own_group() -> None:
    rng = np.random.default_rng(1)
    rows, groups = rng.normal(size=(AT_ONCE + 40, 2)), rng.integers(30, size=AT_ONCE + 40)
    distance, place = nearest(rows, rows, groups)
    every = np.linalg.norm(rows[:, None] - rows, axis=2)
    every[groups[:, None] == groups] = np.inf
    assert np.array_equal(place, every.argmin(1))
    assert np.allclose(distance, every.min(1), atol=1e-7)
    assert np.isinf(nearest(rows[:3], rows[:3], np.zeros(3))[0]).all()


def test_the_nearest_of_several_views_counts() -> None:
    views = np.array([[[9.0], [1.2]], [[5.1], [0.0]]])
    distance, place = nearest(views, np.array([[1.0], [5.0]]))
    assert np.array_equal(place, [0, 1]) and np.allclose(distance, [0.2, 0.1])
