"""How well does one picture explain another one, once it is moved, turned, scaled, blurred or
recoloured to fit?

Every candidate of `retrieval` is moved onto the picture by an affine map (Lucas & Kanade 1981, in
the Gauss-Newton steps of Baker & Matthews 2004, section 2), with contrast and brightness left free
and the worst fifth of the pixels left out at each step. What is left unexplained is then measured
in three ways: with the colours as they are; with contrast and brightness of each colour free; and
the same on the three quarters of the pixels that fit best, for a picture that is partly covered.
The candidate may be blurred or sharpened in each: the fit is to itself and to two blurred selves,
in closed form.

What this cannot show: a copy that is bent, redrawn or cropped to less than two thirds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gobelin.privacy.candidates import SIDE, candidates, grey, opened, seen

COARSE, FINE = (
    6,
    4,
)  # steps of fitting the map: at half the size; at the whole, blurred and then sharp
ALIGNED, UNCOVERED = 0.8, 0.75  # shares of pixels that count there and in the last measure
BLURS = (0.025, 0.05)  # of the side
FLOOR = 3 / 255  # differences below it are rounding and noise
RIDGE = 3e-4
BLOCK, CHOSEN = 256, 3  # pictures at once; candidates that are measured in colours
WAYS = ("as it is", "recoloured", "partly covered")


class Fit(NamedTuple):
    """distance: float64 [n], root mean square difference that is left; row: int64 [n], of the pool,
    that leaves least."""

    distance: np.ndarray
    row: np.ndarray


def fits(images: np.ndarray, pool: np.ndarray, own: np.ndarray | None = None) -> dict[str, Fit]:
    """For each way of looking, how well the best row of the pool explains each image. uint8 [n or
    m, H, W, C].

    own: int [m], groups of the pool, which the first m images are; none explains its own group."""
    x, y = opened(images), opened(pool)
    rows, mirrored, maps = candidates(grey(x), grey(y), own)
    found: list[dict[str, tuple[Tensor, Tensor]]] = []
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        found.append(_explained(x[part], y, rows[part], mirrored[part], maps[part]))
    out = {}
    for way in WAYS:
        left, row = (torch.cat([one[way][k] for one in found]) for k in (0, 1))
        out[way] = Fit(np.sqrt(left.double().numpy() + FLOOR**2), row.numpy())
    return out


def _explained(
    x: Tensor, pool: Tensor, rows: Tensor, mirrored: Tensor, maps: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """For each way, what is left of [n, C, S, S] by the best of its candidates, [n], and which row
    that is, [n]."""
    n, k = rows.shape
    shown = torch.where(mirrored[:, :, None, None, None], x.flip(3)[:, None], x[:, None]).flatten(
        0, 1
    )
    flat, given = rows.flatten(), maps.flatten(0, 1)
    soft, soft_pool = blurred(grey(shown), 1.0), blurred(grey(pool), 1.0)
    moved, left = align(
        functional.avg_pool2d(soft, 2), functional.avg_pool2d(soft_pool, 2)[flat], given, COARSE
    )
    chosen = (
        left.view(n, k).topk(min(CHOSEN, k), dim=1, largest=False).indices
        + k * torch.arange(n)[:, None]
    )
    pick = chosen.flatten()
    a, b = shown[pick], pool[flat[pick]]
    fine, _ = align(soft[pick], soft_pool[flat[pick]], moved[pick], FINE)
    fine, _ = align(grey(a), grey(b), fine, FINE)
    found = [measured(a, b, m) for m in (fine, given[pick])]
    out = {}
    for way in WAYS:
        value = torch.stack([one[way] for one in found]).amin(0).view(n, -1)
        best = value.argmin(1, keepdim=True)
        out[way] = (value.gather(1, best)[:, 0], flat[chosen].gather(1, best)[:, 0])
    return out


def align(x: Tensor, y: Tensor, maps: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The map of each pair through which y looks most like x, [P, 2, 3], and what is left, [P]. x,
    y: [P, 1, S, S]."""
    side = x.shape[-1]
    ticks = (torch.arange(side) + 0.5) * 2 / side - 1
    place = torch.stack(
        [*torch.meshgrid(ticks, ticks, indexing="xy"), torch.ones(side, side)]
    ).flatten(1)  # [3, S^2]
    a, slopes, kept = x.flatten(1), torch.cat([y, *_slopes(y)], 1), int(ALIGNED * side**2)
    best, left, now, weight = maps, torch.full((len(x),), torch.inf), maps, torch.ones_like(a)
    for step in range(steps + 1):
        value, right, down = seen(slopes, now).flatten(2).unbind(1)
        gain, rest = _gained(a, value, weight)
        error = rest**2
        weight = (error <= error.kthvalue(kept, dim=1, keepdim=True).values).float()
        mean = (error * weight).mean(1)
        left, best = (
            torch.where(mean < left, mean, left),
            torch.where((mean < left)[:, None, None], now, best),
        )
        if step < steps:
            now = _stepped(
                now,
                torch.cat([right[:, None] * place, down[:, None] * place], 1) * gain[:, :, None],
                rest,
                weight,
            )
    return best, left


def _gained(a: Tensor, value: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast [P, 1] and what is left [P, S^2] of a, explained by value, its contrast and
    brightness free."""
    total = weight.sum(1, keepdim=True)
    x = a - (weight * a).sum(1, keepdim=True) / total
    v = value - (weight * value).sum(1, keepdim=True) / total
    gain = (
        (weight * v * x).sum(1, keepdim=True)
        / ((weight * v * v).sum(1, keepdim=True) + 1e-4 * total)
    ).clamp(0.4, 2.5)
    return gain, x - gain * v


def _stepped(maps: Tensor, slopes: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
    """One damped Gauss-Newton step of the six numbers of each map, kept within its bounds. slopes
    [P, 6, S^2]."""
    weighted = slopes * weight[:, None]
    curve = weighted @ slopes.transpose(1, 2)
    damping = curve.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * 1e-3 + 1e-4
    move = torch.linalg.solve(curve + damping * torch.eye(6), weighted @ rest[:, :, None]).view(
        -1, 2, 3
    )
    new = maps + move.clamp(-0.3, 0.3)
    low, high = (
        torch.tensor([[0.5, -0.3, -0.7], [-0.3, 0.5, -0.7]]),
        torch.tensor([[1.3, 0.3, 0.7], [0.3, 1.3, 0.7]]),
    )
    return torch.minimum(torch.maximum(new, low), high)


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    """d/dx and d/dy of [n, 1, S, S], with the side from -1 to 1."""
    wide = functional.pad(x, (1, 1, 1, 1), mode="replicate") * (x.shape[-1] / 4)
    return (
        wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2],
        wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1],
    )


def blurred(x: Tensor, sigma: float) -> Tensor:
    """[n, C, S, S] by a Gaussian of this many pixels, edges repeated."""
    reach = int(3 * sigma + 0.5)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    line = (line / line.sum()).expand(x.shape[1], 1, 1, -1)
    wide = functional.pad(x, (reach,) * 4, mode="replicate")
    return functional.conv2d(
        functional.conv2d(wide, line, groups=x.shape[1]), line.transpose(2, 3), groups=x.shape[1]
    )


def measured(x: Tensor, y: Tensor, maps: Tensor) -> dict[str, Tensor]:
    """For each way, the mean square of [P, C, S, S] that y, seen through its map, leaves
    unexplained, [P]."""
    levels = torch.stack(
        [y, *(blurred(y, sigma * SIDE) - y for sigma in BLURS)], 1
    )  # itself, and towards its blurred selves
    shape = levels.shape
    levels = (
        seen(levels.flatten(1, 2), maps).view(shape[0], shape[1], shape[2], -1).transpose(1, 2)
    )  # [P, C, 3, S^2]
    x = x.flatten(2)
    plain = _least(
        (x - levels[:, :, 0]).flatten(1)[:, None],
        levels[:, :, 1:].transpose(1, 2).flatten(2)[:, None],
    )
    bright = torch.cat([levels, torch.ones_like(levels[:, :, :1])], 2)
    free = (_least(x, bright) ** 2).mean(1)
    covered, kept = free, int(UNCOVERED * SIDE**2)
    for _ in range(2):
        weight = (covered <= covered.kthvalue(kept, dim=1, keepdim=True).values).float()
        covered = (_least(x, bright, weight[:, None]) ** 2).mean(1)
    lowest = covered.topk(kept, dim=1, largest=False).values
    return dict(zip(WAYS, ((plain**2).mean((1, 2)), free.mean(1), lowest.mean(1)), strict=True))


def _least(x: Tensor, by: Tensor, weight: Tensor | None = None) -> Tensor:
    """What is left of x [P, C, N] by least squares on by [P, C, k, N], a little ridged; weight [P,
    1, N]."""
    weighted = by if weight is None else by * weight[:, :, None]
    curve = weighted @ by.transpose(2, 3) + RIDGE * by.shape[3] * torch.eye(by.shape[2])
    found = torch.linalg.solve(curve, weighted @ x[..., None])
    return x - (by * found).sum(2)
