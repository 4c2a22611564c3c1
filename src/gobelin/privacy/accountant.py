"""The epsilon of a private training: many noisy steps, each on groups that are drawn at random.

A step draws every group with the same probability (Poisson sampling), adds what they contribute,
none more than 1 long, and normal noise. The privacy losses of all steps add up; dp-accounting adds
their whole distributions (Koskela et al. 2020; Doroshenko et al. 2022), rounded so that epsilon is
never too small. This is the door to that library.

What this cannot show: that a training really does what is accounted for. Tests of
`private_gradient` and of the generators show that.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from gobelin.core.errors import MissingExtra
from gobelin.core.lazy import optimize
from gobelin.privacy import gaussian

CLOSE = 5e-5  # of the logarithm of the noise, in the search for it
TINY = 1e-12  # stands for an epsilon of 0 where its logarithm is needed
LEAST = 0.05  # noise that a step always has
COARSE, FINE = 1e-3, 1e-4  # spacings of the grid of privacy losses, at an epsilon of 1 to 10


@dataclass(frozen=True)
class Releases:
    """What a training releases, apart from the noise of its steps."""

    rate: float  # probability of a group to be in a step
    steps: int
    once: float = 0.0  # noise of one more release, of a length of 1; 0 = there is none


def epsilon_of(releases: Releases, noise: float, delta: float, spacing: float = FINE) -> float:
    """The smallest epsilon that holds with this delta, on a grid of this spacing. noise: standard
    deviation of a step, over the most that one group contributes."""
    mechanism = _library()
    step = mechanism(noise, sampling_prob=releases.rate, value_discretization_interval=spacing)
    losses = step.self_compose(releases.steps)
    if releases.once:
        losses = losses.compose(mechanism(releases.once, value_discretization_interval=spacing))
    return float(losses.get_epsilon_for_delta(delta))


@functools.lru_cache(maxsize=64)
def noise_for(releases: Releases, epsilon: float, delta: float) -> float:
    """The smallest noise of the steps with which (epsilon, delta) holds, but for a thousandth of
    epsilon.

    Raises MissingExtra without dp-accounting."""
    spacing = COARSE * (epsilon if epsilon < 1 else max(1.0, epsilon / 10))
    # enough if every group were in every step, with the other release as one step more
    most = gaussian.noise_for(epsilon, delta)
    rest = 1 / most**2 - (1 / releases.once**2 if releases.once else 0.0)
    if rest <= 0:
        raise ValueError("the one release alone spends epsilon")
    high = 1.0001 * math.sqrt(releases.steps / rest)
    low = high / 2
    while low >= LEAST and epsilon_of(releases, low, delta, spacing) <= epsilon:
        low, high = low / 2, low
    if low < LEAST:  # groups are drawn so seldom that delta covers that they are drawn at all
        return max(high, LEAST)

    def excess(log_noise: float) -> float:
        spent = epsilon_of(releases, math.exp(log_noise), delta, spacing)
        return math.log(max(spent, TINY) / epsilon)

    found = optimize.brentq(excess, math.log(low), math.log(high), xtol=CLOSE)
    noise = math.exp(min(found + 2 * CLOSE, math.log(high)))
    return _refined(releases, noise, epsilon, delta, spacing)


def _refined(
    releases: Releases, noise: float, epsilon: float, delta: float, spacing: float
) -> float:
    """A little less noise, found on a finer grid by one step of the secant method; `noise` itself
    where that would be too little."""
    fine, more = spacing * FINE / COARSE, 1.005 * noise
    spent = epsilon_of(releases, noise, delta, fine)
    slope = math.log(more / noise) / (
        epsilon_of(releases, noise, delta, spacing) - epsilon_of(releases, more, delta, spacing)
    )
    less = noise * math.exp(-0.9 * slope * (epsilon - spent))
    return less if epsilon_of(releases, less, delta, fine) <= epsilon else noise


def _library() -> Any:  # noqa: ANN401 - a function of the library
    try:
        from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism
    except ImportError as error:
        raise MissingExtra("dp-accounting, which sums up epsilon over steps,", "dp") from error
    return from_gaussian_mechanism
