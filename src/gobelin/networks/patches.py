"""A small convolutional network that is useful before it is trained: its filters are learned from
common patches of the images or volumes.

Coates, Lee & Ng 2011: patches of equal contrast, whitened, and a dictionary of them by k-means (the
gain-shape kind of Coates & Ng 2012, section 3). Each filter has two answers above a threshold:
where it fits, and where its negative fits. A second layer starts as 0, so it changes nothing until
it is trained. Of shapes larger than a patch it sees only the positions of their patches.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core.machine import generator
from gobelin.data.coarse import coarse_mean
from gobelin.networks.dimensions import convolution, pooled, pooled_to

LEARNED_PATCHES = 40_000  # random patches that the filters are learned from
KMEANS_ROUNDS = 12
CONTRAST = 0.01  # added to a patch's variance, of signals in -1 .. 1: a flat patch stays flat
WHITE = 0.1  # added to the variances in whitening, which divides by them
DOMINANCE = 0.9  # share of a filter's squared answers above which few groups make it
THRESHOLD = 0.5  # a filter's answer counts by how far it is above this
HIDDEN_CHANNELS = 32  # of the second layer
COARSE_SIDE = 4  # cells a side of the pooled image, which stands beside the answers


class PatchNetwork(nn.Module):
    """[N, C, H, W], or [N, C, D, H, W] with dims = 3, in -1 .. 1 -> [N, width]: mean answers of the
    filters in each of grid x grid (x grid) cells, and the signal itself, pooled to 4 cells a side.
    """

    def __init__(
        self, channels: int, filters: int, patch: int, grid: int, dims: Literal[2, 3] = 2
    ) -> None:
        super().__init__()
        self.patch, self.grid, self.dims = patch, grid, dims
        self.width = 2 * filters * grid**dims + channels * COARSE_SIDE**dims
        self.see = convolution(dims, channels, filters, patch, bias=False)
        self.level = nn.Parameter(torch.zeros(filters, *[1] * dims))
        self.deepen = convolution(dims, 2 * filters, HIDDEN_CHANNELS, 3, padding=1, bias=False)
        self.widen = convolution(dims, HIDDEN_CHANNELS, 2 * filters, 3, padding=1)
        for weight in self.widen.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        filtered = self.see(x)
        # each filter sums to 0, so a patch's mean is gone; its contrast is divided out here
        mean = pooled(x.mean(1, keepdim=True), self.patch, 1)
        square = pooled((x**2).mean(1, keepdim=True), self.patch, 1)
        filtered = filtered / (square - mean**2).clamp_min(0).add(CONTRAST).sqrt() - self.level
        answers = torch.cat(
            [functional.relu(filtered - THRESHOLD), functional.relu(-filtered - THRESHOLD)], dim=1
        )
        answers = pooled(answers, 2, ceil_mode=True)
        answers = answers + self.widen(functional.relu(self.deepen(answers)))
        parts = [pooled_to(map, side) for map, side in ((answers, self.grid), (x, COARSE_SIDE))]
        return torch.cat([part.flatten(1) for part in parts], dim=1).float()

    @torch.no_grad()
    def learn(self, signals: Tensor, seed: int, groups: Tensor, least_groups: int) -> None:
        """Set the filters from signals [n, C, ...] in -1 .. 1; from noise where n is 0. A function
        of the signals and the seed. A filter that fewer than `least_groups` groups make would be
        their patch, and stays noise. groups: int64 [n].
        """
        rng = generator(seed, "patches")
        side, (n, channels, *sides) = self.patch, signals.shape
        k = len(self.level)
        see, deepen = (module.get_parameter("weight") for module in (self.see, self.deepen))
        nn.init.normal_(deepen, std=deepen[0].numel() ** -0.5, generator=rng)
        if not n:
            signals, n = torch.randn(1, channels, *sides, generator=rng), 1
            groups, least_groups = torch.zeros(1, dtype=torch.int64), 1
        image = torch.randint(n, (LEARNED_PATCHES,), generator=rng)
        starts = [torch.randint(s - side + 1, (LEARNED_PATCHES,), generator=rng) for s in sides]
        patches = signals  # [n, C, H - side + 1, W - side + 1, side, side]
        for axis in range(2, 2 + self.dims):
            patches = patches.unfold(axis, side, 1)
        places: Any = (image, slice(None), *starts)
        x = patches[places].flatten(1).double()  # [P, C side^2]
        x = x - x.mean(1, keepdim=True)
        x = x / (x.var(1, correction=0, keepdim=True) + CONTRAST).sqrt()
        mean = x.mean(0)
        # what is kept of it: every group counts once, and it is rounded
        kept = coarse_mean(x.numpy(), groups[image].numpy(), least_groups)
        values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        white = vectors @ torch.diag((values.clamp_min(0) + WHITE) ** -0.5) @ vectors.T
        x = (x - mean) @ white
        centres = functional.normalize(
            torch.randn(k, x.shape[1], generator=rng, dtype=torch.float64), dim=1
        )
        noise = centres
        for _ in range(KMEANS_ROUNDS):
            likeness = x @ centres.T
            best = likeness.abs().argmax(1)
            gain = torch.gather(likeness, 1, best[:, None])
            centres = functional.normalize(
                centres + torch.zeros_like(centres).index_add(0, best, gain * x), dim=1
            )
        of_group = torch.zeros(k, int(groups.max()) + 1, dtype=torch.float64)
        of_group.index_put_((best, groups[image]), gain[:, 0] ** 2, accumulate=True)
        few = of_group.sort(1, descending=True).values[:, : least_groups - 1].sum(1)
        centres = torch.where((few > DOMINANCE * of_group.sum(1))[:, None], noise, centres)
        filters = centres @ white  # [K, C side^2] for patches of equal contrast
        filters = filters - filters.mean(1, keepdim=True)
        see.copy_(filters.view(k, channels, *[side] * self.dims))
        self.level.copy_((filters @ torch.from_numpy(kept)).view_as(self.level))
