"""The formula of the Gaussian mechanism. Oracles: dp-accounting, and the probabilities themselves,
integrated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

from gobelin.core.errors import GobelinError
from gobelin.privacy import gaussian

BUDGETS = [(epsilon, delta) for epsilon in (0.1, 1.0, 3.0, 10.0) for delta in (1e-6, 1e-5, 1e-3)]


@pytest.mark.parametrize(("epsilon", "delta"), BUDGETS)
def test_epsilon_is_that_of_the_accountant(epsilon: float, delta: float) -> None:
    noise = gaussian.noise_for(epsilon, delta)
    accountant = from_gaussian_mechanism(noise, value_discretization_interval=1e-3)
    assert accountant.get_epsilon_for_delta(delta) == pytest.approx(epsilon, abs=1e-3)
    assert gaussian.delta_of(epsilon, noise) == pytest.approx(delta, rel=1e-6)


def test_delta_is_the_integral() -> None:
    """Of what the density with the group exceeds exp(epsilon) times that without it."""
    x = np.linspace(-40, 40, 800_001)
    for epsilon, noise in ((0.5, 1.0), (1.0, 3.0), (4.0, 0.7)):
        with_group, without = (
            np.exp(-(((x - m) / noise) ** 2) / 2) / (noise * math.sqrt(2 * math.pi)) for m in (1, 0)
        )
        over = np.maximum(with_group - math.exp(epsilon) * without, 0)
        exact = float(over.sum() * (x[1] - x[0]))
        assert gaussian.delta_of(epsilon, noise) == pytest.approx(exact, rel=1e-4)


def test_extreme_budgets_have_finite_noise() -> None:
    for epsilon in (0.01, 100.0):
        noise = gaussian.noise_for(epsilon, 1e-9)
        assert math.isfinite(noise) and gaussian.delta_of(epsilon, noise) <= 1e-9
        assert gaussian.delta_of(epsilon, 0.999 * noise) > 1e-9


def test_delta_from_one_over_the_groups_on_is_refused() -> None:
    assert gaussian.delta_for(0.0, 3, "x") == 1e-5 and gaussian.delta_for(0.0, 60_000, "x") < 2e-6
    assert gaussian.delta_for(0.009, 100, "x") == 0.009
    for delta in (0.01, 0.5):
        with pytest.raises(GobelinError, match=r"x.delta: below 1 / 100 was expected .* Lower it"):
            gaussian.delta_for(delta, 100, "x")


def test_several_releases_sum() -> None:
    assert gaussian.total([(1.0, 1e-5), (2.0, 1e-5)]) == (3.0, 2e-5)
    assert gaussian.total([]) == (0.0, 0.0)
