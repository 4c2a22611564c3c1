"""The Vendi score against its definition from all pairs, closed forms, and sets of known
diversity."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.quality.metrics import TooFew, vendi


def slow(x: np.ndarray) -> float:
    """Friedman & Dieng 2023, eq. 2, from the [n, n] similarities."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(x @ x.T / len(x))
    values = values[values > 1e-14]
    return float(np.exp(-(values * np.log(values)).sum()))


def draw(n: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)) * np.linspace(0.2, 2, width)


@pytest.mark.parametrize(("n", "width"), [(200, 12), (30, 60)])
def test_equals_the_definition(n: int, width: int) -> None:
    x = draw(n, width, 0)
    assert vendi.score(vendi.second_moments([x[:7], x[7:]]).total) == pytest.approx(
        slow(x), rel=1e-9
    )


@pytest.mark.parametrize("kinds", [1, 4, 10])
def test_orthogonal_kinds_are_counted(kinds: int) -> None:
    """So many directions, equally often, of any lengths: the score is their number."""
    x = np.eye(10)[np.arange(100 * kinds) % kinds] * np.random.default_rng(0).uniform(
        1, 9, (100 * kinds, 1)
    )
    assert vendi.score(vendi.second_moments(x).total) == pytest.approx(kinds, rel=1e-9)


def test_a_lost_mode_lowers_it_and_the_interval_holds_the_truth() -> None:
    """Ten kinds with a little noise against eight of them."""
    rng = np.random.default_rng(0)
    x, y = (
        np.eye(10)[rng.integers(0, k, 4000)] + 0.01 * rng.normal(size=(4000, 10)) for k in (10, 8)
    )
    found = vendi.ratio(vendi.second_moments(x), vendi.second_moments(y))
    assert (
        found.low < 0.8 * 1.001
        and found.value == pytest.approx(0.8, abs=0.01)
        and found.high < 0.85
    )


def test_its_interval_covers() -> None:
    """100 studies of equal distributions: the ratio is 1."""
    rng = np.random.default_rng(1)
    found = [
        vendi.ratio(
            *(vendi.second_moments(rng.normal(size=(400, 5)) * [3, 2, 1, 1, 1]) for _ in range(2))
        )
        for _ in range(100)
    ]
    assert sum(f.low <= 1 <= f.high for f in found) >= 88


def test_rows_of_zeros_are_finite_and_too_few_are_said() -> None:
    assert vendi.score(vendi.second_moments(np.zeros((60, 4))).total) == pytest.approx(1)
    with pytest.raises(TooFew, match=r"\(n = 49, needs at least 50\)"):
        vendi.ratio(vendi.second_moments(draw(200, 3, 0)), vendi.second_moments(draw(49, 3, 1)))
