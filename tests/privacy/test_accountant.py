"""The epsilon of many noisy steps. Oracles: the closed form of the Gaussian mechanism, the library
itself on a finer grid, and Opacus's accountant, which has another method (Gopi et al. 2021)."""

from __future__ import annotations

import math
import sys

import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

from gobelin.core.errors import MissingExtra
from gobelin.privacy import gaussian
from gobelin.privacy.accountant import Releases, epsilon_of, noise_for

TRAININGS = [
    Releases(0.01, 1000),
    Releases(0.125, 100),
    Releases(0.2, 300, once=20.0),
    Releases(0.9, 10),
    Releases(0.0043, 1000),
]


def by_library(releases: Releases, noise: float, delta: float) -> float:
    losses = from_gaussian_mechanism(
        noise, sampling_prob=releases.rate, value_discretization_interval=1e-4
    ).self_compose(releases.steps)
    if releases.once:
        once = from_gaussian_mechanism(releases.once, value_discretization_interval=1e-4)
        losses = losses.compose(once)
    return float(losses.get_epsilon_for_delta(delta))


@pytest.mark.parametrize("releases", TRAININGS, ids=str)
def test_noise_and_epsilon_are_each_others_inverse(releases: Releases) -> None:
    """At most epsilon, and no more than 0.001 below it."""
    epsilon, delta = (8.0, 1e-4) if releases.once else (1.0, 1e-5)
    noise = noise_for(releases, epsilon, delta)
    found = by_library(releases, noise, delta)
    assert epsilon - 1e-3 <= found <= epsilon
    assert epsilon_of(releases, noise, delta) == pytest.approx(found, abs=1e-9)


def test_without_sampling_it_is_the_closed_form() -> None:
    """So many steps on all groups are one step with less noise."""
    for steps, noise in ((1, 2.0), (25, 12.0), (400, 31.0)):
        epsilon = epsilon_of(Releases(1.0, steps), noise, 1e-5)
        assert gaussian.noise_for(epsilon, 1e-5) == pytest.approx(noise / steps**0.5, rel=1e-3)
    both = epsilon_of(Releases(1.0, 9, once=4.0), 6.0, 1e-5)  # 9 / 36 + 1 / 16
    assert gaussian.noise_for(both, 1e-5) == pytest.approx((0.25 + 1 / 16) ** -0.5, rel=1e-3)


@pytest.mark.parametrize("releases", [r for r in TRAININGS if not r.once and r.rate < 0.5], ids=str)
def test_another_accountant_agrees(releases: Releases) -> None:
    accountants = pytest.importorskip("opacus.accountants")
    noise = noise_for(releases, 3.0, 1e-5)
    other = accountants.PRVAccountant()
    other.history = [(noise, releases.rate, releases.steps)]
    assert other.get_epsilon(1e-5) == pytest.approx(3.0, abs=0.02)  # it states an error of 0.01


def test_extreme_budgets_have_noise() -> None:
    for epsilon in (0.01, 100.0):
        noise = noise_for(Releases(0.1, 50), epsilon, 1e-6)
        spent = epsilon_of(Releases(0.1, 50), noise, 1e-6, 1e-3 * epsilon)
        assert math.isfinite(noise) and 0.98 * epsilon < spent < 1.001 * epsilon


def test_groups_that_are_hardly_ever_drawn_get_some_noise() -> None:
    """The chance that a group is drawn at all is below delta, so any noise would do."""
    releases = Releases(1e-9, 5)
    noise = noise_for(releases, 1.0, 1e-5)
    assert 0.05 <= noise < 1 and epsilon_of(releases, noise, 1e-5) <= 1.0
    seldom = noise_for(Releases(1e-3, 2), 0.5, 1e-5)
    assert math.isfinite(seldom) and epsilon_of(Releases(1e-3, 2), seldom, 1e-5) <= 0.5 + 1e-6


def test_the_library_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting.pld.privacy_loss_distribution", None)
    with pytest.raises(MissingExtra, match=r"dp-accounting.* pip install 'gobelin\[dp\]'"):
        noise_for(Releases(0.11, 50), 1.0, 1e-6)
