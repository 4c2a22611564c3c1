"""Which pictures may another one have been made from? A few candidates a picture, also where it is
a crop, a mirror image, blurred, brighter or partly covered.

Two descriptions of a picture's shapes, neither of which knows its colours: directions of edges in a
grid of cells, each cell of equal contrast (after Dalal & Triggs 2005), for crops and covers; and
the lowest frequencies at equal contrast (Ahmed, Natarajan & Rao 1974), for blur. Every row of the
pool is looked at, in every view; the pool comes in blocks.

What this cannot show: that the candidates are like the picture at all; `registration` measures
that."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional

SIDE, CELLS, BINS, FREQUENCIES = 32, 6, 8, 8
EDGES, WAVES = 4, 2  # candidates by each description
BLOCK = 512
CROPS = ((0.73, 4), (0.83, 3), (0.92, 2))  # side of a crop, and how many of them along each side
WHOLE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
Describe = Callable[[Tensor], Tensor]


def opened(images: np.ndarray) -> Tensor:
    """uint8 [n, H, W, C] -> float32 [n, C, 32, 32] in 0..1."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    return functional.interpolate(
        x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def grey(x: Tensor) -> Tensor:
    """[n, C, S, S] -> [n, 1, S, S]."""
    return x.mean(1, keepdim=True)


def views() -> Tensor:
    """float32 [V, 2, 3]: the whole picture, and crops of it, as maps of `affine_grid`."""
    out = [WHOLE]
    for side, count in CROPS:
        for top in np.linspace(side - 1, 1 - side, count):
            for left in np.linspace(side - 1, 1 - side, count):
                out.append(torch.tensor([[side, 0.0, left], [0.0, side, top]], dtype=torch.float32))
    return torch.stack(out)


def seen(x: Tensor, maps: Tensor) -> Tensor:
    """[n, C, S, S] through a map each, [n, 2, 3]; edges repeated."""
    grid = functional.affine_grid(maps, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def edges(x: Tensor) -> Tensor:
    """[n, 1, S, S] -> [n, 288]: how much of each direction is in each cell, at equal contrast where
    there is any."""
    wide = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    down, right = (
        wide[:, 0, 2:, 1:-1] - wide[:, 0, :-2, 1:-1],
        wide[:, 0, 1:-1, 2:] - wide[:, 0, 1:-1, :-2],
    )
    turn = torch.atan2(down, right) * (BINS / (2 * torch.pi)) % BINS
    low, size = turn.floor(), torch.hypot(down, right)
    above, low = size * (turn - low), low.long() % BINS
    bins = torch.zeros(len(x), BINS, SIDE, SIDE).scatter_(1, low[:, None], (size - above)[:, None])
    bins.scatter_add_(1, ((low + 1) % BINS)[:, None], above[:, None])
    cells = torch.einsum("kh,nbhw,lw->nbkl", _TENTS, bins, _TENTS)
    return (cells / torch.sqrt((cells**2).sum(1, keepdim=True) + 0.02**2)).flatten(1)


def waves(x: Tensor) -> Tensor:
    """[n, 1, S, S] -> [n, 63]: the lowest frequencies but the mean, at equal contrast."""
    low = torch.einsum("kh,nchw,lw->nckl", _COSINES, x, _COSINES).flatten(1)[:, 1:] / SIDE
    return low / (low.norm(dim=1, keepdim=True) + 0.02)


def _tents() -> Tensor:
    """[6, 32]: how much each line belongs to each row of cells."""
    centres = (torch.arange(CELLS) + 0.5) * SIDE / CELLS
    weight = (1 - (torch.arange(SIDE) + 0.5 - centres[:, None]).abs() * CELLS / SIDE).clamp_min(0)
    return weight / weight.sum(1, keepdim=True)


_TENTS = _tents()
_COSINES = torch.from_numpy(dct(np.eye(SIDE), axis=0, norm="ortho")[:FREQUENCIES]).float()


def candidates(
    queries: Tensor, pool: Tensor, own: np.ndarray | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """For each picture the rows of the pool that it may be made from, int64 [n, K], whether it is
    their mirror image, bool [n, K], and the map through which they look like it, [n, K, 2, 3].

    queries, pool: [n or m, 1, 32, 32] grey. own: int [m], groups of the pool, which the first m
    queries are; none is a candidate of its own group."""
    all_views = views()
    found = [
        _near(queries, pool, own, edges, all_views, EDGES),
        _near(queries, pool, own, waves, all_views[:1], WAVES),
    ]
    rows, mirrored, view = (torch.cat(part, 1) for part in zip(*found, strict=True))
    return rows, mirrored, all_views[view]


def _near(
    queries: Tensor,
    pool: Tensor,
    own: np.ndarray | None,
    describe: Describe,
    maps: Tensor,
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, mirrored and the number of the view, [n, count] each, nearest first."""
    asked = [torch.cat([describe(b) for b in x.split(BLOCK)]) for x in (queries, queries.flip(3))]
    squares = [(one**2).sum(1, keepdim=True) for one in asked]
    best = [
        torch.zeros(len(queries), 0),
        *(torch.zeros(len(queries), 0, dtype=torch.int64) for _ in range(2)),
    ]
    for start in range(0, len(pool), BLOCK):
        block = pool[start : start + BLOCK]
        near = torch.full((len(queries), len(block)), torch.inf)
        how = torch.zeros(near.shape, dtype=torch.int64)
        for v, one in enumerate(maps):
            there = describe(seen(block, one.expand(len(block), 2, 3)) if v else block)
            for mirror in (0, 1):
                d = torch.addmm(
                    squares[mirror] + (there**2).sum(1), asked[mirror], there.T, alpha=-2
                )
                nearer = d < near
                near, how = torch.where(nearer, d, near), torch.where(nearer, 2 * v + mirror, how)
        if own is not None:
            near[: len(own)][torch.from_numpy(own[:, None] == own[start : start + BLOCK])] = (
                torch.inf
            )
        best[0] = torch.cat([best[0], near], 1)
        best[1] = torch.cat(
            [best[1], torch.arange(start, start + len(block)).expand(len(queries), -1)], 1
        )
        best[2] = torch.cat([best[2], how], 1)
        top = best[0].topk(min(count, best[0].shape[1]), dim=1, largest=False).indices
        best = [part.gather(1, top) for part in best]
    itself = best[0].isinf()  # where the pool has no more rows to offer
    best = [torch.where(itself, part[:, :1], part) for part in best]
    return best[1], best[2] % 2 == 1, best[2] // 2
