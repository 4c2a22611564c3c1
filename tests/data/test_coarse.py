"""Rounded means and scales against arithmetic, and against subtracting one from another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gobelin.data.coarse import coarse, coarse_scale, coarseness, middle_of, spread_of
from gobelin.networks.flow_path import Velocity


def test_values_are_multiples_of_a_power_of_two_and_near() -> None:
    rng = np.random.default_rng(0)
    values, step = rng.normal(0, 100, 500), 10 ** rng.uniform(-4, 3, 500)
    power = 2.0 ** np.round(np.log2(step))
    found = coarse(values, step)
    assert (np.abs(found - values) <= power / 2).all() and (found % power == 0).all()
    assert (coarse(values, 0.0) == values).all()


def test_a_scale_is_a_power_of_the_root_of_two() -> None:
    scales = 10 ** np.random.default_rng(1).uniform(-9, 9, 500)
    found = coarse_scale(scales)
    assert np.allclose(2 * np.log2(found), np.round(2 * np.log2(found)), atol=1e-9)
    assert (np.abs(np.log2(found / scales)) <= 0.25 + 1e-9).all()
    assert coarse_scale(0.0) == 0.0 and len(np.unique(found)) > 60


@pytest.mark.parametrize(("groups", "least", "step"), [(100, 5, 0.1), (7, 5, 0.5), (9, 1, 0.0)])
def test_the_step_shrinks_with_the_groups(groups: int, least: int, step: float) -> None:
    assert coarseness(groups, least) == pytest.approx(step)


def test_one_group_that_joins_is_not_told_by_the_mean_or_the_scale() -> None:
    """The attack on exact values finds it to all digits."""
    rng, rounded, exact, of_scale = np.random.default_rng(2), [], [], []
    for _ in range(100):
        x, new = rng.normal(40, 9, 150), rng.normal(40, 9)
        after, groups = np.append(x, new), np.arange(151)
        for told, least in ((rounded, 5), (exact, 1)):
            means = [middle_of(v, groups[: len(v)], least) for v in (x, after)]
            told.append(abs(151 * means[1] - 150 * means[0] - new) / 9)
        squares = [len(v) * spread_of(v, groups[: len(v)], 40.0, 5) ** 2 for v in (x, after)]
        of_scale.append(abs(squares[1] - squares[0] - (new - 40) ** 2) / 81)
    assert max(exact) < 1e-9 and np.median(rounded) > 0.5 and np.median(of_scale) > 0.5


def test_every_group_counts_once_and_one_patient_does_not_decide() -> None:
    x, group = np.array([*[9.0] * 60, 1.0, 2.0, 3.0]), np.array([*[0] * 60, 1, 2, 3])
    assert middle_of(x, group, 1) == pytest.approx(15 / 4)
    assert spread_of(x, group, 9.0, 5) == 0.0  # three groups have another value


def test_the_mean_of_images_does_not_tell_the_one_that_joined() -> None:
    """What a flow keeps of its training images. The attack: the difference of two means, averaged
    over neighbours. The difference of exact means is the image."""
    rng = torch.Generator().manual_seed(0)
    images = functional.interpolate(torch.rand(301, 3, 8, 8, generator=rng), (32, 32))
    kept = []
    for n in (300, 301):
        velocity = Velocity(torch.nn.Identity(), torch.nn.Identity(), (3, 32, 32))
        velocity.standardise(images[:n], np.arange(n), 5)
        kept.append(velocity.centre * n)
        assert (velocity.centre - images[:n].mean(0)).abs().max() < 0.15
        assert 0.7 < float(velocity.spread) / float(images.std()) < 1.42
    exact = images.sum(0) - images[:300].sum(0)

    def likeness(told: torch.Tensor) -> float:
        both = [functional.adaptive_avg_pool2d(x, 8).flatten() for x in (told, images[300])]
        return abs(float(torch.corrcoef(torch.stack(both))[0, 1]))

    assert likeness(exact) > 0.999 and likeness(kept[1] - kept[0]) < 0.4


def test_a_mean_that_is_rounded_to_zero_has_no_sign() -> None:
    found = coarse(np.array([-0.1, 0.1, -0.0]), 1.0)
    assert found.tolist() == [0, 0, 0] and not np.signbit(found).any()
