"""A velocity from noise to images whose path is centred on a mean image of each class, and its
first lessons: changed copies of these mean images.

Both serve trainings in which little may be taken from rows. Untrained, the network makes the mean
image of a class with normal noise, so it has less to learn. And copies of mean images, shifted,
scaled and shaded, teach it what smooth images are without a look at any row (central images as a
warm-up: DP-FETA, 2025; here with changes, so that one mean image a class suffices).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.networks import flow_path
from gobelin.networks.condition import ConditionEmbedding
from gobelin.networks.convolution import signal_of
from gobelin.networks.flow_path import Velocity
from gobelin.networks.training.training import TrainingSettings, descend, run
from gobelin.networks.transformer import PatchTransformer, canvas, padded

MOST_PATCHES = 64  # of an image
SPREAD = 0.5  # standard deviation of images around the mean image of their class
SHIFT, SCALE = 0.08, 0.1  # deviations of a copy's place (a side is 1) and size
SHADES = {2: 0.25, 4: 0.25, 8: 0.2}  # {cells a side of a random field: its deviation}
LESSON_ROWS = 64  # images in a step


class ClassVelocity(nn.Module):
    """v(u, t | class c) = m_c + V(u - t m_c, t | c), with a mean image m_c of each class. Untrained
    it makes m_c with normal noise."""

    def __init__(
        self, size: tuple[int, int, int], slots: int, patch: int, width: int, depth: int, heads: int
    ) -> None:
        """size: H, W, C. slots: S classes. patch: its least side. width, depth, heads: of the
        transformer."""
        super().__init__()
        tall, wide, channels = size
        while -(-tall // patch) * -(-wide // patch) > MOST_PATCHES:
            patch *= 2
        self.patch, self.canvas = patch, (channels, *canvas((tall, wide), patch))
        transformer = PatchTransformer(self.canvas, patch, width, depth, heads)
        self.velocity = Velocity(transformer, ConditionEmbedding(0, 0, slots, width), self.canvas)
        self.velocity.spread.fill_(SPREAD)
        self.centres: Tensor
        self.register_buffer("centres", torch.zeros(slots + 1, *self.canvas))  # the last: of all

    def forward(self, signal: Tensor, time: Tensor, slots: Tensor) -> Tensor:
        """v [N, C, H, W] of signal u [N, C, H, W], time t [N], classes int64 [N], -1 for any."""
        centre = self.centres[torch.where(slots >= 0, slots, len(self.centres) - 1)]
        moved = signal - time[:, None, None, None] * centre
        embedded = cast(ConditionEmbedding, self.velocity.embedding).of_target(slots)
        return centre + self.velocity(moved, time, embedded, reach=torch.zeros_like(time))

    def signal(self, images: np.ndarray) -> Tensor:
        """uint8 [N, H, W, C] -> float32 on whole patches, -1 .. 1."""
        return padded(signal_of(images), self.patch)

    @torch.no_grad()
    def centre_on(self, cells: np.ndarray, counts: np.ndarray) -> None:
        """Take coarse mean images [S, C k k] in -1 .. 1, and the counts [S] that weigh them in the
        mean over all."""
        channels, *sides = self.canvas
        side = math.isqrt(cells.shape[1] // channels)
        coarse = torch.from_numpy(cells).float().view(-1, channels, side, side)
        means = functional.interpolate(coarse, tuple(sides), mode="bilinear")
        share = torch.from_numpy(counts / counts.sum()).float() if counts.sum() else None
        every = means.mean(0) if share is None else torch.tensordot(share, means, 1)
        self.centres.copy_(torch.cat([means, every[None]]))

    def changed(self, slots: Tensor, rng: torch.Generator) -> Tensor:
        """[N, C, H, W]: mean images of classes [N], shifted, scaled and shaded at random."""
        n, device = len(slots), self.centres.device
        means = self.centres[slots]
        frame = torch.eye(2, 3).repeat(n, 1, 1)
        frame[:, [0, 1], [0, 1]] += SCALE * torch.randn(n, 1, generator=rng)
        frame[:, :, 2] = 2 * SHIFT * torch.randn(n, 2, generator=rng)
        grid = functional.affine_grid(frame, list(means.shape), align_corners=False).to(device)
        images = functional.grid_sample(
            means, grid, padding_mode="border", align_corners=False, mode="bilinear"
        )
        for side, deviation in SHADES.items():
            field = torch.randn(n, self.canvas[0], side, side, generator=rng) * deviation
            images += functional.interpolate(field.to(device), means.shape[2:], mode="bilinear")
        return images.clamp(-1, 1)


class Lessons:
    """The training task of the first lessons."""

    def __init__(self, network: ClassVelocity, rate: float, whole: float) -> None:
        """whole: share of images that show their class."""
        self.network, self.whole = network, whole
        self.modules: Mapping[str, nn.Module] = {"network": network}
        adam = torch.optim.Adam(network.parameters(), rate, (0.9, 0.99), fused=True)
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"network": adam}

    def step(self, batch: None, rng: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        device, classes = self.network.centres.device, len(self.network.centres) - 1
        slots = torch.randint(classes, (LESSON_ROWS,), generator=rng)
        image = self.network.changed(slots.to(device), rng)
        slots = torch.where(torch.rand(LESSON_ROWS, generator=rng) < self.whole, slots, -1)
        start = torch.randn(image.shape, generator=rng).to(device)
        time, shown = torch.rand(LESSON_ROWS, generator=rng).to(device), slots.to(device)
        loss = flow_path.path_loss(
            lambda u, t: self.network(u, t, shown), image, start, time
        ).mean()
        descend(self.optimisers["network"], loss)
        return {"loss": loss.detach()}


def learn_means(network: ClassVelocity, steps: int, rate: float, whole: float, seed: int) -> None:
    """The first lessons: train the network in place on changed mean images. No row is needed."""
    if steps:
        settings = TrainingSettings(steps, seed, clip=1.0, warmup=min(20, steps), cooldown=0.3)
        run(Lessons(network, rate, whole), lambda step: None, settings)
