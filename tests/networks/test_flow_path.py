"""The straight path. Oracles: the closed-form velocity and map of a Gaussian, and the least squares
of planted data."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gobelin.core.machine import generator
from gobelin.networks.flow_path import (
    SHORTEST_REACH,
    Solver,
    Velocity,
    VelocityField,
    balance,
    guided,
    halves,
    path_loss,
    reaches,
    solve,
    times,
)

MEAN, DEVIATION = 0.4, 0.25


def closed(signal: Tensor, time: float) -> Tensor:
    """E[u_1 - u_0 | u_t] for u_1 ~ N(mean, deviation^2): the regression of one Gaussian on
    another."""
    variance = (1 - time) ** 2 + time**2 * DEVIATION**2
    return MEAN + (time * DEVIATION**2 - (1 - time)) / variance * (signal - time * MEAN)


def noise(n: int) -> Tensor:
    return torch.randn(n, 1, 4, 4, generator=generator(0, "noise"), dtype=torch.float64)


@pytest.mark.parametrize("solver", ["euler", "heun", "adams"])
def test_noise_is_carried_to_the_gaussian(solver: Solver) -> None:
    """The exact map is u_1 = mean + deviation u_0: each image, and so mean and deviation within the
    sampling error."""
    start = noise(2000)
    made = solve(closed, start, 400, solver)
    assert torch.allclose(made, MEAN + DEVIATION * start, atol=0.02)
    assert float(made.mean()) == pytest.approx(MEAN, abs=4 * DEVIATION / 32000**0.5 + 0.005)
    assert float(made.std()) == pytest.approx(DEVIATION, abs=0.01)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("adams", 2)])
def test_order_of_convergence(solver: Solver, order: int) -> None:
    """Twice the steps: the error falls by 2 to the power of the order."""
    start = noise(20)
    exact = MEAN + DEVIATION * start
    errors = [
        float((solve(closed, start, n, solver) - exact).abs().max()) for n in (64, 128, 256, 512)
    ]
    falls = [a / b for a, b in pairwise(errors)]
    assert falls[-1] == pytest.approx(2**order, rel=0.15)


@pytest.mark.parametrize("solver", ["euler", "heun", "adams"])
@pytest.mark.parametrize("evaluations", [1, 2, 5, 8])
def test_evaluations_are_counted_and_lie_within_the_path(solver: Solver, evaluations: int) -> None:
    asked: list[float] = []

    def field(signal: Tensor, time: float) -> Tensor:
        asked.append(time)
        return torch.ones_like(signal)

    made = solve(field, torch.zeros(1, 1, 2, 2), evaluations, solver)
    assert len(asked) == evaluations and min(asked) == 0 and max(asked) <= 1 + 1e-9
    assert torch.allclose(made, torch.ones(1, 1, 2, 2))  # a constant velocity 1 for the time 1


def test_guidance_one_is_asked_and_zero_is_free() -> None:
    """Exactly: the very bits; 2 is the free one and twice the difference."""
    start = torch.randn(3, 1, 2, 2, generator=generator(0, "u"))

    def asked(signal: Tensor, time: float) -> Tensor:
        return signal.sin() + time

    def free(signal: Tensor, time: float) -> Tensor:
        return signal.cos()

    assert torch.equal(guided(asked, free, 1.0)(start, 0.3), asked(start, 0.3))
    assert torch.equal(guided(asked, free, 0.0)(start, 0.3), free(start, 0.3))
    assert torch.allclose(
        guided(asked, free, 2.0)(start, 0.3), 2 * asked(start, 0.3) - free(start, 0.3)
    )


class Nothing(nn.Module):
    """F = 0, or any constant."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, signal: Tensor, time: Tensor, embedded: Tensor, *beside: Tensor) -> Tensor:
        return self.value * torch.ones_like(signal)


def test_untrained_it_is_the_gaussian_of_the_images() -> None:
    """`Velocity` with F = 0 is the closed form, and no scaled network does better on Gaussian
    images."""
    images = MEAN + DEVIATION * torch.randn(4000, 1, 4, 4, generator=generator(1, "images"))
    velocity = Velocity(Nothing(), nn.Identity(), (1, 4, 4))
    velocity.standardise(images, np.arange(len(images)), 5)
    signal = torch.randn(5, 1, 4, 4, generator=generator(2, "u"))
    for time in (0.0, 0.3, 0.9, 1.0):
        found = velocity(signal, torch.full((5,), time), torch.zeros(5, 1))
        assert torch.allclose(found, closed(signal, time), atol=0.06)
    start, time = (
        torch.randn(images.shape, generator=generator(3, "u")),
        torch.rand(4000, generator=generator(4, "t")),
    )
    losses = []
    for value in (-0.2, 0.0, 0.2):
        velocity.backbone = Nothing(value)
        with torch.no_grad():
            losses.append(
                float(
                    path_loss(
                        lambda u, t: velocity(u, t, torch.zeros(len(u), 1)), images, start, time
                    ).mean()
                )
            )
    assert losses[1] == min(losses)
    # The least possible: the variance of u_1 - u_0 given u_t is s^2 / d^2.
    floor = float((DEVIATION**2 / ((1 - time) ** 2 + time**2 * DEVIATION**2)).mean())
    assert losses[1] == pytest.approx(floor, rel=0.02)


def gaussian() -> Velocity:
    velocity = Velocity(Nothing(), nn.Identity(), (1, 4, 4)).double()
    velocity.centre.fill_(MEAN)
    velocity.spread.fill_(DEVIATION)
    return velocity


@pytest.mark.parametrize("evaluations", [1, 2, 3, 8])
def test_untrained_strides_land_on_the_gaussian(evaluations: int) -> None:
    """Exactly on mean + deviation u_0, where one step of Euler along the velocity gives the mean
    alone."""
    velocity, start = gaussian(), noise(50)

    def field(reach: float) -> VelocityField:
        return lambda u, t: velocity(
            u, torch.full((len(u),), t), u, reach=torch.full((len(u),), reach)
        )

    with torch.no_grad():
        made = solve(field(1 / evaluations), start, evaluations, "euler")
        assert torch.allclose(made, MEAN + DEVIATION * start, atol=1e-6)
        assert torch.allclose(
            solve(field(0.0), start, 1, "euler"), torch.full_like(start, MEAN), atol=1e-6
        )


def test_learned_reaches_are_even_and_end_within_the_path() -> None:
    reach, time = reaches(40_000, generator(0, "reaches"))
    for d in (1, 1 / 2, 1 / 4, 1 / 8):
        met = time[reach == d]
        assert len(met) == pytest.approx(10_000, rel=0.05)
        starts, count = met.unique(return_counts=True)
        assert starts.tolist() == [k * d for k in range(int(1 / d))]
        assert float(count.max() / count.min()) < 1.25


def test_two_halves_are_the_whole() -> None:
    """For a Gaussian its own closed form: halves of a longer reach agree with the whole one; those
    of the shortest are two steps of Euler, written out here."""
    velocity, signal = gaussian(), noise(4)
    reach, time = (
        torch.tensor([1.0, 0.5, 0.25, 0.125]).double(),
        torch.tensor([0.0, 0.5, 0.25, 0.5]).double(),
    )
    with torch.no_grad():
        whole = velocity(signal, time, signal, reach=reach)
        found = halves(lambda u, t, d: velocity(u, t, signal, reach=d), signal, time, reach)
    assert torch.allclose(found[:3], whole[:3], atol=1e-6)
    first = closed(signal[3], 0.5)
    assert torch.allclose(
        found[3],
        (first + closed(signal[3] + SHORTEST_REACH / 2 * first, 0.5 + SHORTEST_REACH / 2)) / 2,
        atol=1e-6,
    )
    assert not torch.allclose(found[3], whole[3], atol=1e-3)


def test_balanced_the_network_meets_unit_variance() -> None:
    """What goes in and what it must find, on Gaussian images of any spread, at every time."""
    n, spread = 100_000, torch.tensor(0.3)
    image = 0.3 * torch.randn(n, generator=generator(0, "image"))
    start = torch.randn(n, generator=generator(0, "start"))
    for time in (0.0, 0.2, 0.5, 0.8, 1.0):
        t = torch.tensor(time)
        inside, skip, outside = balance(t, spread, torch.zeros(()))
        between = (1 - t) * start + t * image
        assert float((inside * between).std()) == pytest.approx(1, abs=0.02)
        assert float((((image - start) - skip * between) / outside).std()) == pytest.approx(
            1, abs=0.02
        )


def test_minimiser_on_planted_data_is_their_velocity() -> None:
    """Images are 0.5 or -0.5: E[u_1 | u_t] is a tanh, so v is known, and a table fitted with the
    loss finds it."""
    n, time = 200_000, 0.5
    sign = torch.where(torch.rand(n, generator=generator(0, "sign")) < 0.5, -1.0, 1.0)
    image = (0.5 * sign)[:, None, None, None]
    start = torch.randn(image.shape, generator=generator(0, "start"))
    between = ((1 - time) * start + time * image).flatten()
    bins = torch.bucketize(between, torch.linspace(-1, 1, 41)[1:-1])
    table = nn.Parameter(torch.zeros(40))
    optimiser = torch.optim.Adam([table], 0.2)
    for _ in range(100):
        optimiser.zero_grad()
        path_loss(
            lambda u, t: table[bins][:, None, None, None], image, start, torch.full((n,), time)
        ).mean().backward()
        optimiser.step()
    centres = torch.linspace(-0.975, 0.975, 40)
    expected = 0.5 * torch.tanh(
        centres * time * 0.5 / (1 - time) ** 2
    )  # E[u_1 | u_t] of two points in Gaussian noise
    true = (expected - centres) / (1 - time)
    assert torch.allclose(table.detach()[10:30], true[10:30], atol=0.06)


def test_times() -> None:
    normal, even = (times(100_000, how, generator(0, how)) for how in ("logit-normal", "uniform"))
    assert float(torch.logit(normal).mean()) == pytest.approx(0, abs=0.02)
    assert float(torch.logit(normal).std()) == pytest.approx(1, abs=0.02)
    assert float(even.std()) == pytest.approx(12**-0.5, abs=0.005)
