"""A small convolutional network that is of use before it is trained: its filters start as the
patches that are common.

Coates, Lee & Ng 2011: patches of equal contrast, whitened, and a dictionary of them by k-means (the
gain-shape kind of Coates & Ng 2012, section 3). A filter answers twice, where it fits and where its
negative fits, above a threshold. A second layer starts as 0 and so changes nothing until it is
trained. It sees no shape larger than a patch but by where patches lie."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core.machine import generator

PATCHES, ROUNDS = 40_000, 12  # that filters are learned from; of k-means
CONTRAST = 0.01  # added to a patch's variance, of signals in -1 .. 1: a flat patch stays flat
WHITE = 0.1  # added to the variances that are divided by
THRESHOLD, HIDDEN, COARSE = (
    0.5,
    32,
    4,
)  # answers below it are none; channels of the second layer; cells a side of the plain signal


class PatchNetwork(nn.Module):
    """[N, C, H, W] in -1 .. 1 -> [N, width]: mean answers in each of grid x grid cells, and the
    signal itself, coarsely."""

    def __init__(self, channels: int, filters: int, patch: int, grid: int) -> None:
        super().__init__()
        self.patch, self.grid = patch, grid
        self.width = 2 * filters * grid**2 + channels * COARSE**2
        self.see = nn.Conv2d(channels, filters, patch, bias=False)
        self.level = nn.Parameter(torch.zeros(filters, 1, 1))
        self.deepen = nn.Conv2d(2 * filters, HIDDEN, 3, padding=1, bias=False)
        self.widen = nn.Conv2d(HIDDEN, 2 * filters, 3, padding=1)
        for weight in self.widen.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.see(x)
        # the filters sum to 0, so only the contrast of each patch is still to be divided by
        mean = functional.avg_pool2d(x.mean(1, keepdim=True), self.patch, 1)
        square = functional.avg_pool2d((x**2).mean(1, keepdim=True), self.patch, 1)
        seen = seen / (square - mean**2).clamp_min(0).add(CONTRAST).sqrt() - self.level
        answers = torch.cat(
            [functional.relu(seen - THRESHOLD), functional.relu(-seen - THRESHOLD)], dim=1
        )
        answers = functional.avg_pool2d(answers, 2, ceil_mode=True)
        answers = answers + self.widen(functional.relu(self.deepen(answers)))
        parts = [
            functional.adaptive_avg_pool2d(one, side)
            for one, side in ((answers, self.grid), (x, COARSE))
        ]
        return torch.cat([part.flatten(1) for part in parts], dim=1).float()

    @torch.no_grad()
    def learn(self, signals: Tensor, seed: int) -> None:
        """Set the filters from [n, C, H, W]; from noise where there is no signal. A function of the
        signals and the seed."""
        rng = generator(seed, "patches")
        side, (n, channels, height, width) = self.patch, signals.shape
        k = self.see.out_channels
        nn.init.normal_(
            self.deepen.weight, std=self.deepen.weight[0].numel() ** -0.5, generator=rng
        )
        if not n:
            signals, n = torch.randn(1, channels, height, width, generator=rng), 1
        image = torch.randint(n, (PATCHES,), generator=rng)
        top = torch.randint(height - side + 1, (PATCHES,), generator=rng)
        left = torch.randint(width - side + 1, (PATCHES,), generator=rng)
        x = (
            signals.unfold(2, side, 1).unfold(3, side, 1)[image, :, top, left].flatten(1).double()
        )  # [P, C side^2]
        x = x - x.mean(1, keepdim=True)
        x = x / (x.var(1, correction=0, keepdim=True) + CONTRAST).sqrt()
        mean = x.mean(0)
        values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        white = vectors @ torch.diag((values.clamp_min(0) + WHITE) ** -0.5) @ vectors.T
        x = (x - mean) @ white
        centres = functional.normalize(
            torch.randn(k, x.shape[1], generator=rng, dtype=torch.float64), dim=1
        )
        for _ in range(ROUNDS):
            likeness = x @ centres.T
            best = likeness.abs().argmax(1)
            gain = torch.gather(likeness, 1, best[:, None])
            centres = functional.normalize(
                centres + torch.zeros_like(centres).index_add(0, best, gain * x), dim=1
            )
        filters = centres @ white  # [K, C side^2] for patches of equal contrast
        filters = filters - filters.mean(1, keepdim=True)
        self.see.weight.copy_(filters.view(k, channels, side, side))
        self.level.copy_((filters @ mean)[:, None, None])
