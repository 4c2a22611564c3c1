"""Which images of a pool may an image have been made from? A few candidates for each image, also
for crops, mirror images, blurred, brighter or partly covered ones.

Two descriptions of the shapes in an image are compared. Neither uses its colours. For crops and
covers: the directions of edges in a grid of cells, each cell at equal contrast (after Dalal &
Triggs 2005). For blur: the lowest frequencies at equal contrast (Ahmed, Natarajan & Rao 1974).
Every row of the pool is compared in every view, in blocks of the pool.

What this cannot show: that a candidate resembles the image at all. `registration` measures that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional

from gobelin.core.progress import counted

COMPARED_SIDE = 32  # pixels, S; images are compared at this size
GRID_CELLS = 6  # along each side
EDGE_DIRECTIONS = 8
WAVE_FREQUENCIES = 8  # along each side
EDGE_CANDIDATES = 4  # by the description of edges
WAVE_CANDIDATES = 2  # by the description of frequencies
POOL_BLOCK = 512  # images of the pool at once
CROPS = ((0.73, 4), (0.83, 3), (0.92, 2))  # side of a crop, and how many of them along each side
WHOLE_IMAGE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # the identity map
Describe = Callable[[Tensor], Tensor]


def reduced(images: np.ndarray) -> Tensor:
    """uint8 [n, H, W, C] -> float32 [n, C, S, S] in 0..1, S = 32."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    return functional.interpolate(
        x, (COMPARED_SIDE, COMPARED_SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def grey(x: Tensor) -> Tensor:
    """[n, C, S, S] -> [n, 1, S, S]."""
    return x.mean(1, keepdim=True)


def views() -> Tensor:
    """float32 [V, 2, 3]: the whole image and crops of it, as maps of `affine_grid`."""
    out = [WHOLE_IMAGE]
    for side, count in CROPS:
        for top in np.linspace(side - 1, 1 - side, count):
            for left in np.linspace(side - 1, 1 - side, count):
                out.append(torch.tensor([[side, 0.0, left], [0.0, side, top]], dtype=torch.float32))
    return torch.stack(out)


def warped(x: Tensor, maps: Tensor) -> Tensor:
    """Images [n, C, S, S], each through its map [n, 2, 3]. Edge pixels are repeated."""
    grid = functional.affine_grid(maps, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def edges(x: Tensor) -> Tensor:
    """[n, 1, S, S] -> [n, 288]: the amount of each direction in each cell, at equal contrast."""
    wide = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    down, right = (
        wide[:, 0, 2:, 1:-1] - wide[:, 0, :-2, 1:-1],
        wide[:, 0, 1:-1, 2:] - wide[:, 0, 1:-1, :-2],
    )
    turn = torch.atan2(down, right) * (EDGE_DIRECTIONS / (2 * torch.pi)) % EDGE_DIRECTIONS
    low, size = turn.floor(), torch.hypot(down, right)
    # Each pixel is shared between the two nearest directions.
    above, low = size * (turn - low), low.long() % EDGE_DIRECTIONS
    bins = torch.zeros(len(x), EDGE_DIRECTIONS, COMPARED_SIDE, COMPARED_SIDE)
    bins.scatter_(1, low[:, None], (size - above)[:, None])
    bins.scatter_add_(1, ((low + 1) % EDGE_DIRECTIONS)[:, None], above[:, None])
    cells = torch.einsum("kh,nbhw,lw->nbkl", _TENTS, bins, _TENTS)
    return (cells / torch.sqrt((cells**2).sum(1, keepdim=True) + 0.02**2)).flatten(1)


def waves(x: Tensor) -> Tensor:
    """[n, 1, S, S] -> [n, 63]: the lowest frequencies without the mean, at equal contrast."""
    low = torch.einsum("kh,nchw,lw->nckl", _COSINES, x, _COSINES).flatten(1)[:, 1:] / COMPARED_SIDE
    return low / (low.norm(dim=1, keepdim=True) + 0.02)


def _tents() -> Tensor:
    """[6, 32]: the weight of each pixel line in each row of cells."""
    centres = (torch.arange(GRID_CELLS) + 0.5) * COMPARED_SIDE / GRID_CELLS
    away = (torch.arange(COMPARED_SIDE) + 0.5 - centres[:, None]).abs()
    weight = (1 - away * GRID_CELLS / COMPARED_SIDE).clamp_min(0)
    return weight / weight.sum(1, keepdim=True)


_TENTS = _tents()
_COSINES = torch.from_numpy(
    dct(np.eye(COMPARED_SIDE), axis=0, norm="ortho")[:WAVE_FREQUENCIES]
).float()


def candidates(
    queries: Tensor, pool: Tensor, groups: np.ndarray | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """For each image, K candidates in the pool: their rows, int64 [n, K]; whether it is their
    mirror image, bool [n, K]; the map through which they resemble it, [n, K, 2, 3].

    queries [n, 1, S, S], pool [m, 1, S, S]: grey, S = 32. groups: int [m], of the pool; the first m
    queries are then the pool itself, and no image is a candidate for its own group.
    """
    all_views = views()
    by_description = [
        _near(queries, pool, groups, edges, all_views, EDGE_CANDIDATES),
        _near(queries, pool, groups, waves, all_views[:1], WAVE_CANDIDATES),
    ]
    rows, mirrored, view = (torch.cat(part, 1) for part in zip(*by_description, strict=True))
    return rows, mirrored, all_views[view]


def _near(
    queries: Tensor,
    pool: Tensor,
    groups: np.ndarray | None,
    describe: Describe,
    maps: Tensor,
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Row, mirrored and number of the view, [n, count] each, nearest first."""
    sides = (queries, queries.flip(3))  # as they are, and mirrored
    described = [torch.cat([describe(b) for b in x.split(POOL_BLOCK)]) for x in sides]
    squares = [(x**2).sum(1, keepdim=True) for x in described]
    # distances, rows of the pool, and 2 * view + mirrored, of the nearest so far
    best = [
        torch.zeros(len(queries), 0),
        *(torch.zeros(len(queries), 0, dtype=torch.int64) for _ in range(2)),
    ]
    for start in counted("find candidates", range(0, len(pool), POOL_BLOCK)):
        block = pool[start : start + POOL_BLOCK]
        near = torch.full((len(queries), len(block)), torch.inf)
        code = torch.zeros(near.shape, dtype=torch.int64)
        for v, view in enumerate(maps):
            features = describe(warped(block, view.expand(len(block), 2, 3)) if v else block)
            for mirror in (0, 1):
                d = torch.addmm(
                    squares[mirror] + (features**2).sum(1), described[mirror], features.T, alpha=-2
                )
                nearer = d < near
                near = torch.where(nearer, d, near)
                code = torch.where(nearer, 2 * v + mirror, code)
        if groups is not None:
            same = groups[:, None] == groups[start : start + POOL_BLOCK]
            near[: len(groups)][torch.from_numpy(same)] = torch.inf
        best[0] = torch.cat([best[0], near], 1)
        best[1] = torch.cat(
            [best[1], torch.arange(start, start + len(block)).expand(len(queries), -1)], 1
        )
        best[2] = torch.cat([best[2], code], 1)
        top = best[0].topk(min(count, best[0].shape[1]), dim=1, largest=False).indices
        best = [part.gather(1, top) for part in best]
    missing = best[0].isinf()  # the pool has no more rows; the nearest one is repeated
    best = [torch.where(missing, part[:, :1], part) for part in best]
    return best[1], best[2] % 2 == 1, best[2] // 2
