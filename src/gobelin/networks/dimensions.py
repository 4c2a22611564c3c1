"""Layers and operations for signals of two or three dimensions: images [N, C, H, W] and volumes [N,
C, D, H, W].

A network that takes its layers from here is one network for both. For images each of them is the
layer that torch has for images, so images stay as they were, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMALISATIONS: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}  # channels last in memory


def dimensions(x: Tensor) -> int:
    """2 of images [N, C, H, W], 3 of volumes [N, C, D, H, W]."""
    return x.dim() - 2


def convolution(dims: int, *sizes: int, **settings: Any) -> nn.Module:  # noqa: ANN401
    """A convolution of this many dimensions; sizes and settings as torch has them."""
    return CONVOLUTIONS[dims](*sizes, **settings)


def transposed(dims: int, *sizes: int, **settings: Any) -> nn.Module:  # noqa: ANN401
    """A transposed convolution of this many dimensions."""
    return TRANSPOSED[dims](*sizes, **settings)


def normalisation(dims: int, channels: int, **settings: Any) -> nn.Module:  # noqa: ANN401
    """A batch normalisation of this many dimensions."""
    return NORMALISATIONS[dims](channels, **settings)


def channels_last(x: Tensor) -> Tensor:
    """The same signal with its channels last in memory, which convolutions on a CPU prefer."""
    return x.contiguous(memory_format=LAST[dimensions(x)])


def spread_over(values: Tensor, signal: Tensor) -> Tensor:
    """Values [N] or [N, C] as [N, 1, 1 ...] or [N, C, 1, 1 ...], with as many dimensions as the
    signal."""
    return values.reshape(*values.shape, *[1] * (signal.dim() - values.dim()))


def inner_mean(x: Tensor) -> Tensor:
    """[N] of a signal [N, C, ...]: the mean over all but the first dimension."""
    return x.mean(tuple(range(1, x.dim())))


def pooled(x: Tensor, size: int, stride: int | None = None, ceil_mode: bool = False) -> Tensor:
    """Means over cells of `size` pixels or voxels a side."""
    pool = functional.avg_pool2d if dimensions(x) == 2 else functional.avg_pool3d
    return pool(x, size, stride, ceil_mode=ceil_mode)


def pooled_to(x: Tensor, cells: int) -> Tensor:
    """Means over `cells` cells along each side."""
    if dimensions(x) == 2:
        return functional.adaptive_avg_pool2d(x, cells)
    return functional.adaptive_avg_pool3d(x, cells)


def resized(x: Tensor, sides: Sequence[int]) -> Tensor:
    """The signal at these sides, straight lines between its values."""
    mode = "bilinear" if dimensions(x) == 2 else "trilinear"
    return functional.interpolate(x, list(sides), mode=mode)


def cropped(x: Tensor, sides: Sequence[int]) -> Tensor:
    """The first sides[k] values along each spatial dimension."""
    return x[(slice(None), slice(None), *(slice(side) for side in sides))]


def enlarged(x: Tensor, sides: Sequence[int]) -> Tensor:
    """The signal enlarged to these sides; its far edges are repeated."""
    more = [side - now for side, now in zip(sides, x.shape[2:], strict=True)]
    if not any(more):
        return x
    pads = [amount for extra in reversed(more) for amount in (0, extra)]
    return functional.pad(x, pads, mode="replicate")


def unshuffled(x: Tensor, square: int) -> Tensor:
    """[N, C, a s, b s ...] -> [N, C s^dims, a, b ...]: the values of small squares or cubes become
    channels."""
    if dimensions(x) == 2:
        return functional.pixel_unshuffle(x, square)
    for axis in (4, 3, 2):
        x = x.unflatten(axis, (-1, square))
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def shuffled(x: Tensor, square: int, dims: int) -> Tensor:
    """The inverse of `unshuffled`."""
    if dims == 2:
        return functional.pixel_shuffle(x, square)
    x = x.unflatten(1, (-1, square, square, square)).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def rise(wide: Tensor, axis: int) -> Tensor:
    """The value after less the value before along a spatial axis, at all inner places of a signal
    that was enlarged by one on every side."""

    def part(start: int) -> Tensor:
        out = wide
        for k, side in enumerate(wide.shape[2:]):
            out = out.narrow(2 + k, start if k == axis else 1, side - 2)
        return out

    return part(2) - part(0)
