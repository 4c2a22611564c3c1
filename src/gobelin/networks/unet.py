"""A convolutional U-Net that sees a signal and whatever lies beside it, steered by a time and a
condition.

Down and up with bridges between equal sizes (Ronneberger et al. 2015), residual blocks whose
normalised values are scaled and shifted by the style (Dhariwal and Nichol 2021, section 3, adaptive
group normalisation), attention on the coarsest cells. Groups are normalised within one image, so an
image doesn't depend on its batch. Large images are cut into small squares first, whose pixels
become channels: 3 x 3 convolutions at full size are what costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.networks.dimensions import (
    LAST,
    channels_last,
    convolution,
    shuffled,
    spread_over,
    unshuffled,
)
from gobelin.networks.transformer import TIME_FREQUENCIES, attention, time_waves

NORM_GROUPS = 8  # groups of channels of a normalisation, if they divide the channels
MOST_WIDTHS = 4  # channels of a level, at most, as a multiple of those at full size
COARSEST_SIDE = 8  # cells of the longer side at the coarsest level, at least
COARSEST_VOLUME_SIDE = 4  # the same of volumes


def square_for(sides: Sequence[int]) -> int:
    """Side of the squares of pixels that become channels: 1 up to 24 pixels, 2 up to 64, else 4.
    Of volumes, the side of cubes: 2 up to 24 voxels, else 4."""
    # at 32 pixels, squares of 2 with twice the width make twice as many steps in the same time
    # (measured)
    longest = max(sides)
    if len(sides) == 3:
        return 2 if longest <= 24 else 4
    return 1 if longest <= 24 else 2 if longest <= 64 else 4


def halvings_for(sides: Sequence[int], square: int) -> int:
    """How often the resolution is halved until the longer side has 8 to 15 cells (4 to 7 of a
    volume); at least once."""
    coarsest = COARSEST_SIDE if len(sides) == 2 else COARSEST_VOLUME_SIDE
    return max(1, int(math.log2(max(sides) / square / coarsest)))


def groups_of(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(NORM_GROUPS, channels), channels)


class Residual(nn.Module):
    """x + conv(silu(styled norm of conv(silu(norm x)))), [N, A, h, w] -> [N, B, h, w].

    The style [N, K] scales and shifts the second normalisation.
    """

    def __init__(self, dims: int, inside: int, outside: int, style: int) -> None:
        super().__init__()
        self.first, self.second = groups_of(inside), groups_of(outside)
        self.read = convolution(dims, inside, outside, 3, padding=1)
        self.steer = nn.Linear(style, 2 * outside)
        self.write = convolution(dims, outside, outside, 3, padding=1)
        self.past = convolution(dims, inside, outside, 1) if inside != outside else nn.Identity()
        for weight in (*self.steer.parameters(), *self.write.parameters()):
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        hidden = self.read(functional.silu(self.first(x)))
        scale, shift = spread_over(self.steer(style), x).chunk(2, dim=1)
        return self.past(x) + self.write(functional.silu(self.second(hidden) * (1 + scale) + shift))


class CellAttention(nn.Module):
    """Attention of every cell to every cell: x + attention(norm x), [N, C, h, w]."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = math.gcd(heads, channels)
        self.norm, self.ask, self.mix = (
            groups_of(channels),
            nn.Linear(channels, 3 * channels),
            nn.Linear(channels, channels),
        )
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.norm(x).flatten(2).transpose(1, 2)
        attended = attention(
            *self.ask(cells).unflatten(2, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        )
        return x + self.mix(attended.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(
            2, x.shape[2:]
        )


class Unet(nn.Module):
    """F(signal, time, condition, beside): [N, C, H, W] -> [N, C, H, W], or of volumes [N, C, D, H,
    W]. Untrained it is 0.

    The sides are multiples of `square` 2^halvings. beside: [N, B, H, W], more input channels.
    """

    def __init__(
        self,
        channels: int,
        beside: int,
        square: int,
        halvings: int,
        width: int,
        depth: int,
        style: int,
        dims: int = 2,
    ) -> None:
        """channels: C. beside: B. square: side of the squares that become channels. halvings: count
        of levels below the first. width: channels at full size, doubled at every halving up to 4
        times. depth: residual blocks a level, on each side of the U. style: length of the condition
        vector. dims: 2 for images, 3 for volumes.
        """
        super().__init__()
        self.square, self.dims = square, dims
        widths = [width * min(2**k, MOST_WIDTHS) for k in range(halvings + 1)]
        self.time, self.steer = nn.Linear(2 * TIME_FREQUENCIES, style), nn.Linear(style, style)
        self.inside = convolution(dims, (channels + beside) * square**dims, width, 3, padding=1)
        self.downs = nn.ModuleList(
            nn.ModuleList(Residual(dims, level_width, level_width, style) for _ in range(depth))
            for level_width in widths[:-1]
        )
        self.falls = nn.ModuleList(
            convolution(dims, a, b, 2, 2) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.bottom = nn.ModuleList(
            Residual(dims, widths[-1], widths[-1], style) for _ in range(2 * depth)
        )
        self.glance = CellAttention(widths[-1])
        self.rises = nn.ModuleList(
            convolution(dims, b, a, 1) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.ups = nn.ModuleList(
            nn.ModuleList(
                Residual(dims, level_width * (2 if k == 0 else 1), level_width, style)
                for k in range(depth)
            )
            for level_width in widths[:-1]
        )
        self.norm = groups_of(width)
        self.out = convolution(dims, width, channels * square**dims, 3, padding=1)
        nn.init.zeros_(cast(Tensor, self.out.weight))
        nn.init.zeros_(cast(Tensor, self.out.bias))
        self.to(memory_format=LAST[dims])  # type: ignore[call-overload]

    def forward(self, signal: Tensor, time: Tensor, embedded: Tensor, beside: Tensor) -> Tensor:
        """signal [N, C, H, W], time [N], embedded [N, style], beside [N, B, H, W]."""
        style = functional.silu(embedded + self.time(time_waves(time)))
        style = functional.silu(self.steer(style))
        x = unshuffled(torch.cat([signal, beside], dim=1), self.square)
        x = self.inside(channels_last(x))
        bridges = []
        for down, fall in zip(self.downs, self.falls, strict=True):
            for block in cast(nn.ModuleList, down):
                x = block(x, style)
            bridges.append(x)
            x = fall(x)
        for k, block in enumerate(self.bottom):
            x = self.glance(block(x, style)) if k == 0 else block(x, style)
        for up, rise, bridge in zip(
            reversed(self.ups), reversed(self.rises), reversed(bridges), strict=True
        ):
            x = torch.cat(
                [functional.interpolate(rise(x), scale_factor=2.0, mode="nearest"), bridge], dim=1
            )
            for block in cast(nn.ModuleList, up):
                x = block(x, style)
        return shuffled(self.out(functional.silu(self.norm(x))), self.square, self.dims)


def rectangles(count: int, sides: Sequence[int], share: float, rng: torch.Generator) -> Tensor:
    """Random masks, float32 [count, 1, *sides]: 1 where a pixel is known, else 0.

    In a share of the images the pixels inside, or those outside, of a random rectangle (a box in a
    volume) are known; in the others none.
    """
    # corners: [count, (row, column), (low, high)]; draws: outside or inside, and whether at all
    dims = len(sides)
    corners = torch.rand(count, dims, 2, generator=rng).sort(dim=2).values
    draws = torch.rand(count, 2, generator=rng)
    inside = torch.ones(count, *sides, dtype=torch.bool)
    for axis, side in enumerate(sides):
        place = ((torch.arange(side) + 0.5) / side).view(-1, *[1] * (dims - 1 - axis))
        low, high = (spread_over(corners[:, axis, k], inside) for k in (0, 1))
        inside &= (place > low) & (place < high)
    outer = spread_over(draws[:, 0] < 0.5, inside)
    known = spread_over(draws[:, 1] < share, inside)
    return ((inside ^ outer) & known).float()[:, None]
