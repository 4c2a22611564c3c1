"""The effect that test rows can show, against a simulation; seeds that fit a budget, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.augmentation.plan import DISAGREE, affordable, power
from gobelin.data.fields import Target


def classes(counts: list[int]) -> Target:
    values = np.repeat(np.arange(len(counts)), counts)
    return Target(
        "y", "class", values, tuple(map(str, range(len(counts)))), np.ones(len(counts), bool)
    )


@pytest.mark.parametrize("counts", [[200, 200], [400, 60, 40]])
def test_an_effect_of_the_size_told_is_seen_about_four_times_in_five(counts: list[int]) -> None:
    """Simulated: in every class a share d of paired differences, + more often than -, a z interval
    over the classes' means."""
    target = classes(counts)
    found = power(target, np.arange(sum(counts)), [str(k) for k in range(sum(counts))], 0.01)
    rng, seen = np.random.default_rng(0), 0
    for _ in range(2000):
        means, variance = [], 0.0
        for n in counts:
            up = (DISAGREE + found.detectable) / 2
            x = rng.choice([1, -1, 0], n, p=[up, DISAGREE - up, 1 - DISAGREE])
            means.append(x.mean())
            variance += x.var(ddof=1) / n / len(counts) ** 2
        seen += np.mean(means) > 1.96 * np.sqrt(variance)
    assert 0.76 < seen / 2000 < 0.86
    assert found.needed == pytest.approx(sum(counts) * (found.detectable / 0.01) ** 2, abs=1)


def test_rows_of_one_group_are_one_unit() -> None:
    target = classes([40, 40])
    alone = power(target, np.arange(80), [str(k) for k in range(80)], 0.01)
    pairs = power(target, np.arange(80), [str(k // 2) for k in range(80)], 0.01)
    assert alone.units == 80 and pairs.units == 40 and alone.enough and pairs.enough
    assert pairs.detectable == pytest.approx(alone.detectable * np.sqrt(2))
    assert not power(target, np.arange(12), [str(k) for k in range(80)], 0.01).enough


def test_seeds_that_fit() -> None:
    assert (
        affordable(100, 40, 10, 8) == 6
        and affordable(100, 40, 1, 8) == 8
        and affordable(10, 40, 1, 8) == 2
    )
