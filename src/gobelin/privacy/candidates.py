"""Which images of a pool may an image have been made from? A few candidates for each image, also
for crops, mirror images, blurred, brighter or partly covered ones.

Two descriptions of the shapes in an image are compared. Neither uses its colours. For crops and
covers: the directions of edges in a grid of cells, each cell at equal contrast (after Dalal &
Triggs 2005). For blur: the lowest frequencies at equal contrast (Ahmed, Natarajan & Rao 1974).
Every row of the pool is compared in every view, in blocks of the pool.

Volumes are compared in the same way, at half the side: edges by the six directions along the axes,
mirrored along each axis, and fewer crops. Shapes below are those of images; a volume has one more
S, and a map of a volume is [3, 4].

What this cannot show: that a candidate resembles the image at all. `registration` measures that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional

from gobelin.core.progress import counted
from gobelin.networks.dimensions import dimensions, resized, rise

COMPARED_SIDE = 32  # pixels, S; images are compared at this size
VOLUME_SIDE = 16  # voxels; volumes are compared at this size
GRID_CELLS = 6  # along each side
EDGE_DIRECTIONS = 8
WAVE_FREQUENCIES = 8  # along each side
EDGE_CANDIDATES = 4  # by the description of edges
WAVE_CANDIDATES = 2  # by the description of frequencies
POOL_BLOCK = 512  # images of the pool at once
CROPS = ((0.73, 4), (0.83, 3), (0.92, 2))  # side of a crop, and how many of them along each side
VOLUME_CROPS = ((0.73, 3), (0.87, 2))
VOLUME_CELLS, VOLUME_FREQUENCIES = 4, 4  # along each side of a volume
Describe = Callable[[Tensor], Tensor]


def reduced(images: np.ndarray) -> Tensor:
    """uint8 [n, H, W, C] -> float32 [n, C, S, S] in 0..1, S = 32. Of volumes [n, D, H, W, C] ->
    [n, C, S, S, S], S = 16."""
    x = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float() / 255
    if dimensions(x) == 3:
        sides = [VOLUME_SIDE] * 3
        smaller = min(x.shape[2:]) >= VOLUME_SIDE
        return functional.interpolate(x, sides, mode="area") if smaller else resized(x, sides)
    return functional.interpolate(
        x, (COMPARED_SIDE, COMPARED_SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def grey(x: Tensor) -> Tensor:
    """[n, C, S, S] -> [n, 1, S, S]."""
    return x.mean(1, keepdim=True)


def whole(dims: int) -> Tensor:
    """[dims, dims + 1]: the identity map."""
    return torch.eye(dims, dims + 1)


def flips(x: Tensor) -> tuple[int, ...]:
    """The axes along which a mirrored copy is looked for: an image is mirrored left to right, a
    volume along any axis."""
    return (3,) if dimensions(x) == 2 else (4, 3, 2)


def views(dims: int = 2) -> Tensor:
    """float32 [V, 2, 3]: the whole image and crops of it, as maps of `affine_grid`; [V, 3, 4] of
    volumes."""
    out = [whole(dims)]
    for side, count in CROPS if dims == 2 else VOLUME_CROPS:
        places = np.linspace(side - 1, 1 - side, count)
        for corner in itertools.product(places, repeat=dims):  # from top to bottom, then across
            view = side * whole(dims)
            view[:, dims] = torch.tensor(corner[::-1], dtype=torch.float32)
            out.append(view)
    return torch.stack(out)


def warped(x: Tensor, maps: Tensor) -> Tensor:
    """Images [n, C, S, S], each through its map [n, 2, 3]. Edge pixels are repeated."""
    grid = functional.affine_grid(maps, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def edges(x: Tensor) -> Tensor:
    """[n, 1, S, S] -> [n, 288]: the amount of each direction in each cell, at equal contrast. Of
    volumes [n, 384]."""
    if dimensions(x) == 3:
        return _volume_edges(x)
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


def _volume_edges(x: Tensor) -> Tensor:
    """[n, 1, S, S, S] -> [n, 384]: how much the volume rises and falls along each axis in each of 4
    x 4 x 4 cells, at equal contrast."""
    wide = functional.pad(x, (1,) * 6, mode="replicate")
    slopes = [rise(wide, axis)[:, 0] for axis in range(3)]
    both = torch.stack([part for s in slopes for part in (s.clamp_min(0), (-s).clamp_min(0))], 1)
    tents = _VOLUME_TENTS
    cells = torch.einsum("kd,lh,mw,nbdhw->nbklm", tents, tents, tents, both)
    return (cells / torch.sqrt((cells**2).sum(1, keepdim=True) + 0.02**2)).flatten(1)


def waves(x: Tensor) -> Tensor:
    """[n, 1, S, S] -> [n, 63]: the lowest frequencies without the mean, at equal contrast. Of
    volumes [n, 63] too."""
    if dimensions(x) == 3:
        low = torch.einsum("kd,lh,mw,ncdhw->ncklm", *[_VOLUME_COSINES] * 3, x).flatten(1)[:, 1:]
        low = low / VOLUME_SIDE**1.5
        return low / (low.norm(dim=1, keepdim=True) + 0.02)
    low = torch.einsum("kh,nchw,lw->nckl", _COSINES, x, _COSINES).flatten(1)[:, 1:] / COMPARED_SIDE
    return low / (low.norm(dim=1, keepdim=True) + 0.02)


def _tents(cells: int, side: int) -> Tensor:
    """[cells, side]: the weight of each pixel line in each row of cells."""
    centres = (torch.arange(cells) + 0.5) * side / cells
    away = (torch.arange(side) + 0.5 - centres[:, None]).abs()
    weight = (1 - away * cells / side).clamp_min(0)
    return weight / weight.sum(1, keepdim=True)


def _cosines(frequencies: int, side: int) -> Tensor:
    """[frequencies, side]: the lowest cosines."""
    return torch.from_numpy(dct(np.eye(side), axis=0, norm="ortho")[:frequencies]).float()


_TENTS, _VOLUME_TENTS = _tents(GRID_CELLS, COMPARED_SIDE), _tents(VOLUME_CELLS, VOLUME_SIDE)
_COSINES = _cosines(WAVE_FREQUENCIES, COMPARED_SIDE)
_VOLUME_COSINES = _cosines(VOLUME_FREQUENCIES, VOLUME_SIDE)


def candidates(
    queries: Tensor, pool: Tensor, groups: np.ndarray | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """For each image, K candidates in the pool: their rows, int64 [n, K]; whether it is their
    mirror image, int64 [n, K], 0 = no, k = along the axis flips()[k - 1]; the map through which
    they resemble it, [n, K, 2, 3].

    queries [n, 1, S, S], pool [m, 1, S, S]: grey, S = 32. groups: int [m], of the pool; the first m
    queries are then the pool itself, and no image is a candidate for its own group.
    """
    all_views = views(dimensions(queries))
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
    # as they are, and mirrored
    sides = (queries, *(queries.flip(axis) for axis in flips(queries)))
    described = [torch.cat([describe(b) for b in x.split(POOL_BLOCK)]) for x in sides]
    squares = [(x**2).sum(1, keepdim=True) for x in described]
    # distances, rows of the pool, and sides * view + mirrored, of the nearest so far
    best = [
        torch.zeros(len(queries), 0),
        *(torch.zeros(len(queries), 0, dtype=torch.int64) for _ in range(2)),
    ]
    for start in counted("find candidates", range(0, len(pool), POOL_BLOCK)):
        block = pool[start : start + POOL_BLOCK]
        near = torch.full((len(queries), len(block)), torch.inf)
        code = torch.zeros(near.shape, dtype=torch.int64)
        for v, view in enumerate(maps):
            features = describe(warped(block, view.expand(len(block), *view.shape)) if v else block)
            for mirror in range(len(sides)):
                d = torch.addmm(
                    squares[mirror] + (features**2).sum(1), described[mirror], features.T, alpha=-2
                )
                nearer = d < near
                near = torch.where(nearer, d, near)
                code = torch.where(nearer, len(sides) * v + mirror, code)
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
    return best[1], best[2] % len(sides), best[2] // len(sides)
