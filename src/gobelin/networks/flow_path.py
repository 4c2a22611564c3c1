"""The straight path from noise to image: its velocity, how it is learned, guided and followed.

Between noise u_0 ~ N(0, I) and an image u_1 lies u_t = (1 - t) u_0 + t u_1, and the velocity v(u,
t) = E[u_1 - u_0 | u_t = u] carries the one distribution into the other (Lipman et al. 2023,
equations 20 to 23 with sigma_min = 0; rectified flow, Liu et al. 2023, equation 1). What this can't
show: that a learned v is near the true one; the loss has a floor above 0 which nobody knows, so
losses of one data set can be compared with each other only."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor, nn

from gobelin.core.machine import generator

Field = Callable[[Tensor, float], Tensor]  # u [N, C, H, W] and a time to a velocity [N, C, H, W]
Solver = Literal["euler", "heun", "adams"]
Times = Literal["logit-normal", "uniform"]
SHORTEST = 1 / 8  # of the reaches that a network learns, each from two halves


class Velocity(nn.Module):
    """v(u, t) = m + a(t) (u - t m) + b(t) F(c(t) (u - t m), t, condition), with a network F.

    a, b, c are chosen as in Karras et al. 2022, section 5, here for the straight path: if images
    were N(m, s^2 I) then F = 0 would be exact, and what F has to find has unit variance at every t.
    F starts at 0, so training starts there.

    With a reach d, v is the mean velocity from t to t + d, so that one stride u + d v(u, t, d)
    lands where the whole way would (a shortcut model, Frans et al. 2025); F sees d too. F = 0 is
    then exact for N(m, s^2 I) at every reach."""

    def __init__(
        self, backbone: nn.Module, embedding: nn.Module, size: tuple[int, int, int]
    ) -> None:
        """size: C, H, W."""
        super().__init__()
        self.backbone, self.embedding = backbone, embedding
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("spread", torch.ones(()))

    def standardise(self, signal: Tensor) -> None:
        """Take m [C, H, W] and s from images [N, C, H, W]."""
        self.centre.copy_(signal.mean(0))
        self.spread.copy_((signal - signal.mean(0)).square().mean().sqrt().clamp_min(0.05))

    def forward(
        self,
        signal: Tensor,
        time: Tensor,
        embedded: Tensor,
        *beside: Tensor,
        reach: Tensor | None = None,
    ) -> Tensor:
        """signal [N, C, H, W], time [N], embedded [N, width] = self.embedding(parts) -> [N, C, H,
        W]. beside: what F sees besides, as it is. reach: [N], 0 for the velocity at t; without it F
        knows no reaches."""
        t, d = time[:, None, None, None], 0.0 if reach is None else reach[:, None, None, None]
        moved = signal - t * self.centre
        inside, skip, outside = balance(t, self.spread, d)
        seen = beside if reach is None else (*beside, reach)
        return (
            self.centre
            + skip * moved
            + outside * self.backbone(inside * moved, time, embedded, *seen).float()
        )


def balance(time: Tensor, spread: Tensor, reach: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """c, a, b of `Velocity`: 1 / D(t), (D(t + d) / D(t) - 1) / d and s / D(t), where D(t)^2 = (1 -
    t)^2 + t^2 s^2 is the variance of u_t and d the reach; a is written without the division, and is
    (t s^2 - (1 - t)) / D(t)^2 where d = 0."""
    here, there = ((1 - t).square() + (t * spread).square() for t in (time, time + reach))
    slope = spread.square() * (2 * time + reach) - 2 * (1 - time) + reach
    return here.rsqrt(), slope / (here + (here * there).sqrt()), spread * here.rsqrt()


def times(count: int, how: Times, rng: torch.Generator) -> Tensor:
    """[count] times to learn at; the logistic normal is Esser et al. 2024, equation 19 with m = 0,
    s = 1."""
    return (
        torch.sigmoid(torch.randn(count, generator=rng))
        if how == "logit-normal"
        else torch.rand(count, generator=rng)
    )


def on_path(image: Tensor, start: Tensor, time: Tensor) -> Tensor:
    """u_t of u_1 = image and u_0 = start [N, C, H, W], time [N]."""
    t = time[:, None, None, None]
    return (1 - t) * start + t * image


def path_loss(
    velocity: Callable[[Tensor, Tensor], Tensor], image: Tensor, start: Tensor, time: Tensor
) -> Tensor:
    """Mean over pixels of (v(u_t, t) - (u_1 - u_0))^2, [N] (Lipman et al. 2023, equation 23).

    image u_1 and start u_0 [N, C, H, W], time [N]."""
    error = velocity(on_path(image, start, time), time) - (image - start)
    return error.square().mean((1, 2, 3))


def fixed_loss(
    velocity: Callable[[Tensor, Tensor], Tensor], image: Tensor, rows: range, draws: int
) -> Tensor:
    """`path_loss` of rows k [N], the mean of `draws` noises and times; those of a row are a
    function of k and `draws` alone. The times of a row lie one in each of `draws` equal parts of 0
    .. 1."""
    losses = []
    for draw in range(draws):
        streams = [generator(k, "row loss", draw) for k in rows]
        start = torch.stack([torch.randn(image.shape[1:], generator=stream) for stream in streams])
        time = torch.stack(
            [(draw + torch.rand((), generator=stream)) / draws for stream in streams]
        )
        losses.append(path_loss(velocity, image, start.to(image.device), time.to(image.device)))
    return torch.stack(losses).mean(0)


def halves(
    velocity: Callable[[Tensor, Tensor, Tensor], Tensor],
    signal: Tensor,
    time: Tensor,
    reach: Tensor,
) -> Tensor:
    """The mean velocity over a reach [N], found by two strides of half of it (Frans et al. 2025,
    equation 4). A half shorter than `SHORTEST` is a step of Euler along the velocity at its begin.

    velocity: of u [N, C, H, W], time [N], reach [N]; signal u at `time` [N]."""
    half = reach / 2
    told = torch.where(half < SHORTEST, 0.0, half)
    first = velocity(signal, time, told)
    second = velocity(signal + half[:, None, None, None] * first, time + half, told)
    return (first + second) / 2


def reaches(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """[count] reaches 1, 1/2, 1/4 .. `SHORTEST`, equally often, and for each a time: one of its
    multiples below 1."""
    parts = 2 ** torch.randint(round(-math.log2(SHORTEST)) + 1, (count,), generator=rng)
    return 1 / parts, (torch.rand(count, generator=rng) * parts).floor() / parts


def at_one_time(
    velocity: Callable[[Tensor, Tensor], Tensor],
    precision: Callable[[], AbstractContextManager[object]],
) -> Field:
    """The velocity of [N, C, H, W] and times [N] as one of a single time for all, computed in this
    precision."""

    def field(signal: Tensor, time: float) -> Tensor:
        with precision():
            return velocity(signal, torch.full((len(signal),), time, device=signal.device))

    return field


def guided(asked: Field, free: Field, guidance: float) -> Field:
    """v = v_none + g (v_condition - v_none) (Ho and Salimans 2022, equation 6, g = 1 + w); g = 1
    and 0 run one of the two."""
    if guidance == 1.0:
        return asked
    if guidance == 0.0:
        return free

    def field(signal: Tensor, time: float) -> Tensor:
        nothing = free(signal, time)
        return nothing + guidance * (asked(signal, time) - nothing)

    return field


def solve(field: Field, start: Tensor, evaluations: int, solver: Solver) -> Tensor:
    """u_1 from u_0 [N, C, H, W] along du/dt = field(u, t), with exactly this many evaluations on an
    even grid.

    euler: order 1. heun: order 2, two evaluations a step; an odd last one is a step of Euler.
    adams: order 2 with one evaluation a step, 3/2 v_k - 1/2 v_(k-1) (two-step Adams-Bashforth),
    begun by a step of Euler."""
    count = (evaluations + 1) // 2 if solver == "heun" else evaluations
    signal, size, left, last = start, 1 / count, evaluations, None
    for k in range(count):
        first = field(signal, k * size)
        left -= 1
        if solver == "heun" and left:
            second = field(signal + size * first, (k + 1) * size)
            left -= 1
            signal = signal + size / 2 * (first + second)
        elif solver == "adams" and last is not None:
            signal = signal + size * (1.5 * first - 0.5 * last)
        else:
            signal = signal + size * first
        last = first
    return signal
