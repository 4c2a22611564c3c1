"""The straight path from noise to image: its velocity, how it is learned, guided and followed.

Between noise u_0 ~ N(0, I) and an image u_1 lies u_t = (1 - t) u_0 + t u_1. The velocity v(u, t) =
E[u_1 - u_0 | u_t = u] transports the distribution of noise to that of images (Lipman et al. 2023,
equations 20 to 23 with sigma_min = 0; rectified flow, Liu et al. 2023, equation 1).

What this cannot show: that a learned v is near the true one. The loss has an unknown minimum above
0, so only losses on the same dataset can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.machine import generator
from gobelin.data.coarse import coarse_mean, coarse_scale, group_means
from gobelin.networks.dimensions import inner_mean, pooled_to, resized, spread_over

# from u [N, C, H, W] and a time, 0 to 1, to a velocity [N, C, H, W]; u may be volumes [N, C, D, H,
# W] everywhere here
VelocityField = Callable[[Tensor, float], Tensor]
Solver = Literal["euler", "heun", "adams"]
Times = Literal["logit-normal", "uniform"]
CELLS = 8  # of the mean image, each way
SHORTEST_REACH = 1 / 8  # that a network learns from two halves
LEAST_SPREAD = 0.05  # of the images about their mean
LOSS_ROWS = 64  # rows whose loss is computed at once; also those of a mean loss


class Velocity(nn.Module):
    """v(u, t) = m + a(t) (u - t m) + b(t) F(c(t) (u - t m), t, condition), with a network F.

    a, b, c are chosen as in Karras et al. 2022, section 5, here for the straight path: if images
    were N(m, s^2 I), F = 0 would be exact, and the target of F has unit variance at every t. F
    starts at 0, so training starts from the best Gaussian.

    With a reach d, v is the mean velocity from t to t + d: one stride u + d v(u, t, d) ends where
    many small steps would (a shortcut model, Frans et al. 2025). F gets d too. F = 0 is exact for
    N(m, s^2 I) at every reach.
    """

    def __init__(self, backbone: nn.Module, embedding: nn.Module, size: tuple[int, ...]) -> None:
        """size: C, H, W, or C, D, H, W of volumes."""
        super().__init__()
        self.backbone, self.embedding = backbone, embedding
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("spread", torch.ones(()))

    def standardise(self, signal: Tensor, group: np.ndarray, least_groups: int) -> None:
        """Take m [C, H, W] and s from images [N, C, H, W]. group: int [N]; every group counts once.

        m is the mean of coarse cells, rounded (`data.coarse`), with straight lines between them. Of
        two exact means the difference would be the image that one of them lacks; rounded pixels
        would still show it to an eye that averages over its neighbours."""
        cells = pooled_to(signal, min(CELLS, *signal.shape[2:]))
        kept = coarse_mean(cells.flatten(1).numpy(), group, least_groups)
        mean = torch.from_numpy(kept).to(signal.dtype).view(cells.shape[1:])
        self.centre.copy_(resized(mean[None], signal.shape[2:])[0])
        squares = inner_mean((signal - self.centre).square())[:, None]  # [N, 1]
        spread = float(group_means(squares.numpy(), group).mean()) ** 0.5
        self.spread.fill_(max(float(coarse_scale(spread)), LEAST_SPREAD))

    def forward(
        self,
        signal: Tensor,
        time: Tensor,
        embedded: Tensor,
        *beside: Tensor,
        reach: Tensor | None = None,
    ) -> Tensor:
        """v [N, C, H, W] of signal u [N, C, H, W], time t [N] and embedded condition [N, width] =
        self.embedding(parts).

        beside: more inputs of F, passed on as they are. reach: d [N], 0 for the velocity at t; None
        for an F that takes no reach.
        """
        t, d = spread_over(time, signal), 0.0 if reach is None else spread_over(reach, signal)
        centre = self.middle(beside)
        moved = signal - t * centre
        inside, skip, outside = balance(t, self.spread, d)
        extra = beside if reach is None else (*beside, reach)
        return (
            centre
            + skip * moved
            + outside * self.backbone(inside * moved, time, embedded, *extra).float()
        )

    def middle(self, beside: tuple[Tensor, ...]) -> Tensor:
        """m: the mean image, [C, H, W], or one for each row, [N, C, H, W]."""
        return self.centre


def balance(time: Tensor, spread: Tensor, reach: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """c, a, b of `Velocity`: 1 / D(t), (D(t + d) / D(t) - 1) / d and s / D(t).

    D(t)^2 = (1 - t)^2 + t^2 s^2 is the variance of u_t, d the reach. a is computed without the
    division by d: (t s^2 - (1 - t)) / D(t)^2 where d = 0.
    """
    variance, variance_after = (
        (1 - t).square() + (t * spread).square() for t in (time, time + reach)
    )
    slope = spread.square() * (2 * time + reach) - 2 * (1 - time) + reach
    return (
        variance.rsqrt(),
        slope / (variance + (variance * variance_after).sqrt()),
        spread * variance.rsqrt(),
    )


def times(count: int, kind: Times, rng: torch.Generator) -> Tensor:
    """[count] times of training, 0 to 1. The logit-normal is Esser et al. 2024, equation 19, with m
    = 0 and s = 1.
    """
    return (
        torch.sigmoid(torch.randn(count, generator=rng))
        if kind == "logit-normal"
        else torch.rand(count, generator=rng)
    )


def on_path(image: Tensor, start: Tensor, time: Tensor) -> Tensor:
    """u_t of u_1 = image and u_0 = start [N, C, H, W], time [N]."""
    t = spread_over(time, image)
    return (1 - t) * start + t * image


def path_loss(
    velocity: Callable[[Tensor, Tensor], Tensor], image: Tensor, start: Tensor, time: Tensor
) -> Tensor:
    """Mean over pixels of (v(u_t, t) - (u_1 - u_0))^2, [N] (Lipman et al. 2023, equation 23).
    velocity: of u [N, C, H, W] and time [N].

    image u_1 and start u_0 [N, C, H, W], time [N].
    """
    error = velocity(on_path(image, start, time), time) - (image - start)
    return inner_mean(error.square())


def fixed_loss(
    velocity: Callable[[Tensor, Tensor], Tensor], image: Tensor, rows: range, draws: int
) -> Tensor:
    """`path_loss` of each row, [N], the mean over `draws` noises and times.

    rows: their numbers k; noises and times of a row depend on k and `draws` only, so losses of two
    weights can be compared. A row has one time in each of `draws` equal parts of 0 .. 1.
    """
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
    """The mean velocity over a reach [N], from two strides of half of it (Frans et al. 2025,
    equation 4). A half shorter than `SHORTEST_REACH` is an Euler step with the velocity at its
    start.

    velocity: of u [N, C, H, W], time [N], reach [N]. signal: u at `time` [N].
    """
    half = reach / 2
    learned_reach = torch.where(half < SHORTEST_REACH, 0.0, half)
    first = velocity(signal, time, learned_reach)
    second = velocity(signal + spread_over(half, signal) * first, time + half, learned_reach)
    return (first + second) / 2


def reaches(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """[count] reaches 1, 1/2, 1/4 .. `SHORTEST_REACH`, equally often, and for each a time: one of
    its multiples below 1.
    """
    parts = 2 ** torch.randint(round(-math.log2(SHORTEST_REACH)) + 1, (count,), generator=rng)
    return 1 / parts, (torch.rand(count, generator=rng) * parts).floor() / parts


def at_one_time(
    velocity: Callable[[Tensor, Tensor], Tensor],
    precision: Callable[[], AbstractContextManager[object]],
) -> VelocityField:
    """A velocity of u and times [N] as a `VelocityField`, which has one time for all rows.

    precision: a context in which it is computed.
    """

    def field(signal: Tensor, time: float) -> Tensor:
        with precision():
            return velocity(signal, torch.full((len(signal),), time, device=signal.device))

    return field


def guided(
    conditional: VelocityField, unconditional: VelocityField, guidance: float
) -> VelocityField:
    """v = v_none + g (v_condition - v_none) (Ho and Salimans 2022, equation 6, g = 1 + w). For g =
    1 and 0 only one of the two is computed.
    """
    if guidance == 1.0:
        return conditional
    if guidance == 0.0:
        return unconditional

    def field(signal: Tensor, time: float) -> Tensor:
        without = unconditional(signal, time)
        return without + guidance * (conditional(signal, time) - without)

    return field


def solve(field: VelocityField, start: Tensor, evaluations: int, solver: Solver) -> Tensor:
    """u_1 from u_0 [N, C, H, W] along du/dt = field(u, t), with exactly this many evaluations on a
    regular grid of times.

    euler: order 1. heun: order 2, two evaluations a step; an odd last one is an Euler step. adams:
    order 2 with one evaluation a step, 3/2 v_k - 1/2 v_(k-1) (two-step Adams-Bashforth), started by
    an Euler step.
    """
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
