"""How well does one image explain another, after it is moved, turned, scaled, blurred or recoloured
to fit?

Every candidate (see `candidates`) is moved onto the image by an affine map (Lucas & Kanade 1981, in
the Gauss-Newton steps of Baker & Matthews 2004, section 2). Contrast and brightness are free, and
the worst fifth of the pixels is left out at each step. The unexplained rest is measured in three
ways: with the colours as they are; with contrast and brightness of each colour free; and the same
on the three quarters of the pixels that fit best, for an image that is partly covered. In each way
the candidate may be blurred or sharpened: the fit is to itself and to two blurred copies of itself,
in closed form.

Volumes are fitted in the same way, by maps of twelve numbers. Shapes below are those of images; a
volume has one more S, and a map of a volume is [3, 4].

What this cannot show: a copy that is bent, redrawn or cropped to less than two thirds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gobelin.core.progress import counted
from gobelin.networks.dimensions import dimensions, pooled, rise
from gobelin.privacy.candidates import candidates, flips, grey, reduced, warped

COARSE_STEPS = 6  # of fitting the map at half the size
FINE_STEPS = 4  # of fitting it at the whole size, first blurred and then sharp
ALIGNED_PIXELS = 0.8  # share of pixels that count while the map is fitted
UNCOVERED_PIXELS = 0.75  # share of pixels that count for an image that is partly covered
BLURS = (0.025, 0.05)  # of the side
NOISE = 3 / 255  # smaller differences are rounding and noise
FIT_RIDGE = 3e-4  # of the least-squares fits
IMAGES_AT_ONCE = 256
VOLUMES_AT_ONCE = 64
MEASURED_CANDIDATES = 3  # candidates that are measured in colours
WAYS = ("as it is", "recoloured", "partly covered")


class BestFit(NamedTuple):
    """How well the best row of a pool explains each image."""

    distance: np.ndarray  # float64 [n], the root mean square difference that is left
    row: np.ndarray  # int64 [n], the row of the pool that leaves least


def fits(
    images: np.ndarray, pool: np.ndarray, groups: np.ndarray | None = None
) -> dict[str, BestFit]:
    """{way of comparing: the fits}. images uint8 [n, H, W, C], pool uint8 [m, H, W, C]; or volumes,
    [n, D, H, W, C] and [m, D, H, W, C].

    groups: int [m], of the pool; the first m images are then the pool itself, and no image explains
    one of its own group.
    """
    x, y = reduced(images), reduced(pool)
    rows, mirrored, maps = candidates(grey(x), grey(y), groups)
    blocks: list[dict[str, tuple[Tensor, Tensor]]] = []
    at_once = IMAGES_AT_ONCE if dimensions(x) == 2 else VOLUMES_AT_ONCE
    for start in counted("align pairs", range(0, len(x), at_once)):
        part = slice(start, start + at_once)
        blocks.append(_explained(x[part], y, rows[part], mirrored[part], maps[part]))
    out = {}
    for way in WAYS:
        left, row = (torch.cat([block[way][k] for block in blocks]) for k in (0, 1))
        out[way] = BestFit(np.sqrt(left.double().numpy() + NOISE**2), row.numpy())
    return out


def _explained(
    x: Tensor, pool: Tensor, rows: Tensor, mirrored: Tensor, maps: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """For each way: the rest that the best candidate leaves of each image [n, C, S, S], [n], and
    the row of that candidate, [n]. rows, mirrored: [n, K]; maps: [n, K, 2, 3]."""
    n, k = rows.shape
    which = mirrored[(..., *[None] * (x.dim() - 1))]
    shown = x[:, None]
    for place, axis in enumerate(flips(x)):
        shown = torch.where(which == place + 1, x.flip(axis)[:, None], shown)
    shown = shown.expand(n, k, *x.shape[1:]).flatten(0, 1)
    flat, given = rows.flatten(), maps.flatten(0, 1)
    soft, soft_pool = blurred(grey(shown), 1.0), blurred(grey(pool), 1.0)
    moved, left = align(
        pooled(soft, 2),
        pooled(soft_pool, 2)[flat],
        given,
        COARSE_STEPS,
    )
    chosen = (
        left.view(n, k).topk(min(MEASURED_CANDIDATES, k), dim=1, largest=False).indices
        + k * torch.arange(n)[:, None]
    )
    pick = chosen.flatten()
    a, b = shown[pick], pool[flat[pick]]
    fine, _ = align(soft[pick], soft_pool[flat[pick]], moved[pick], FINE_STEPS)
    fine, _ = align(grey(a), grey(b), fine, FINE_STEPS)
    # The fitted map can be worse than the first one, so both are measured.
    rests = [measured(a, b, m) for m in (fine, given[pick])]
    out = {}
    for way in WAYS:
        value = torch.stack([rest[way] for rest in rests]).amin(0).view(n, -1)
        best = value.argmin(1, keepdim=True)
        out[way] = (value.gather(1, best)[:, 0], flat[chosen].gather(1, best)[:, 0])
    return out


def align(x: Tensor, y: Tensor, maps: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """For each pair, the map through which y resembles x most, [P, 2, 3], and the rest, [P].

    x, y: [P, 1, S, S]; maps: where to start, [P, 2, 3].
    """
    side, dims = x.shape[-1], dimensions(x)
    ticks = (torch.arange(side) + 0.5) * 2 / side - 1
    axes = torch.meshgrid(*[ticks] * dims, indexing="ij")
    place = torch.stack([*axes[::-1], torch.ones_like(axes[0])]).flatten(1)  # [3, S^2]
    a, slopes = x.flatten(1), torch.cat([y, *_slopes(y)], 1)
    counted = int(ALIGNED_PIXELS * side**dims)
    best, left, now, weight = maps, torch.full((len(x),), torch.inf), maps, torch.ones_like(a)
    for step in range(steps + 1):
        value, *along = warped(slopes, now).flatten(2).unbind(1)
        gain, rest = _gained(a, value, weight)
        error = rest**2
        weight = (error <= error.kthvalue(counted, dim=1, keepdim=True).values).float()
        mean = (error * weight).mean(1)
        left, best = (
            torch.where(mean < left, mean, left),
            torch.where((mean < left)[:, None, None], now, best),
        )
        if step < steps:
            now = _stepped(
                now,
                torch.cat([slope[:, None] * place for slope in along], 1) * gain[:, :, None],
                rest,
                weight,
            )
    return best, left


def _gained(a: Tensor, value: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast [P, 1] and rest [P, S^2] of a, explained by value with contrast and brightness free.
    a, value, weight: [P, S^2]."""
    total = weight.sum(1, keepdim=True)
    x = a - (weight * a).sum(1, keepdim=True) / total
    v = value - (weight * value).sum(1, keepdim=True) / total
    gain = (
        (weight * v * x).sum(1, keepdim=True)
        / ((weight * v * v).sum(1, keepdim=True) + 1e-4 * total)
    ).clamp(0.4, 2.5)
    return gain, x - gain * v


def _stepped(maps: Tensor, slopes: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
    """One damped Gauss-Newton step of the six numbers of each map (twelve of a volume), within
    their bounds.

    maps [P, 2, 3], slopes [P, 6, S^2], rest and weight [P, S^2].
    """
    count, dims = slopes.shape[1], maps.shape[1]
    weighted = slopes * weight[:, None]
    curve = weighted @ slopes.transpose(1, 2)
    damping = curve.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * 1e-3 + 1e-4
    move = torch.linalg.solve(curve + damping * torch.eye(count), weighted @ rest[:, :, None])
    new = maps + move.view(maps.shape).clamp(-0.3, 0.3)
    # by row: the diagonal scales, the last column moves, the rest turns and shears
    low, high = torch.full((dims, dims + 1), -0.3), torch.full((dims, dims + 1), 0.3)
    low.fill_diagonal_(0.5), high.fill_diagonal_(1.3)
    low[:, dims], high[:, dims] = -0.7, 0.7
    return torch.minimum(torch.maximum(new, low), high)


def _slopes(x: Tensor) -> list[Tensor]:
    """d/dx and d/dy of images [n, 1, S, S], whose side goes from -1 to 1; d/dz too of volumes."""
    dims = dimensions(x)
    wide = functional.pad(x, (1, 1) * dims, mode="replicate") * (x.shape[-1] / 4)
    return [rise(wide, axis) for axis in range(dims - 1, -1, -1)]


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Images [n, C, S, S], blurred by a Gaussian of `sigma` pixels. Edge pixels are repeated."""
    reach = int(3 * sigma + 0.5)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    channels, dims = x.shape[1], dimensions(x)
    wide = functional.pad(x, (reach, reach) * dims, mode="replicate")
    convolved = functional.conv2d if dims == 2 else functional.conv3d
    for axis in range(dims - 1, -1, -1):
        shape = [channels, 1, *[1] * dims]
        shape[2 + axis] = len(line)
        weight = (line / line.sum()).view(shape[1:]).expand(shape)
        wide = convolved(wide, weight, groups=channels)
    return wide


def measured(x: Tensor, y: Tensor, maps: Tensor) -> dict[str, Tensor]:
    """For each way, the mean square of x that y, warped by its map, leaves unexplained, [P].

    x, y: [P, C, S, S]; maps: [P, 2, 3].
    """
    # y, and the directions from y to its blurred copies
    side = y.shape[-1]
    levels = torch.stack([y, *(blurred(y, sigma * side) - y for sigma in BLURS)], 1)
    shape = levels.shape
    levels = warped(levels.flatten(1, 2), maps).view(shape[0], shape[1], shape[2], -1)
    levels = levels.transpose(1, 2)  # [P, C, 3, S^2]
    x = x.flatten(2)
    plain = _least(
        (x - levels[:, :, 0]).flatten(1)[:, None],
        levels[:, :, 1:].transpose(1, 2).flatten(2)[:, None],
    )
    bright = torch.cat([levels, torch.ones_like(levels[:, :, :1])], 2)
    free = (_least(x, bright) ** 2).mean(1)
    covered, counted = free, int(UNCOVERED_PIXELS * x.shape[2])
    for _ in range(2):
        weight = (covered <= covered.kthvalue(counted, dim=1, keepdim=True).values).float()
        covered = (_least(x, bright, weight[:, None]) ** 2).mean(1)
    lowest = covered.topk(counted, dim=1, largest=False).values
    return dict(zip(WAYS, ((plain**2).mean((1, 2)), free.mean(1), lowest.mean(1)), strict=True))


def _least(x: Tensor, by: Tensor, weight: Tensor | None = None) -> Tensor:
    """The rest of x [P, C, N] after a ridged least-squares fit on `by` [P, C, k, N]. weight [P, 1,
    N]."""
    weighted = by if weight is None else by * weight[:, :, None]
    curve = weighted @ by.transpose(2, 3) + FIT_RIDGE * by.shape[3] * torch.eye(by.shape[2])
    factors = torch.linalg.solve(curve, weighted @ x[..., None])
    return x - (by * factors).sum(2)
