"""A linear filter from a source image to an image, and a velocity that starts from it.

Where an image follows from the pixels near by in its source, as brightness does from a map of
labels, the best linear filter is found in closed form (ridge regression, Hoerl & Kennard 1970), and
a network learns what it lacks.

What this cannot show: that a filter is of use. Where the source tells nothing about near pixels it
is the mean image, and the network starts from there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.data.coarse import coarse_scale, group_means
from gobelin.networks.flow_path import LEAST_SPREAD, Velocity

PENALTY = 1.0  # of the ridge regression, in pixels of signals of -1 .. 1
ROWS_AT_ONCE = 16


class LinearFilter(nn.Module):
    """[N, C, H, W] -> [N, C, H, W]: each value a linear function of side x side pixels of the
    source about it; pixels beyond the border repeat it. It is not trained by steps."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", torch.zeros(channels, channels, side, side))
        self.register_buffer("bias", torch.zeros(channels))

    def forward(self, source: Tensor) -> Tensor:
        return functional.conv2d(self._padded(source), self.weight, self.bias)

    def learn(self, source: Tensor, image: Tensor) -> None:
        """The filter with the least squared error on these pairs [N, C, H, W]. Equal channels are
        no problem: the penalty shares the weight among them."""
        channels = image.shape[1]
        width = channels * self.side**2 + 1
        gram, moment = torch.zeros(width, width).double(), torch.zeros(width, channels).double()
        for some in _blocks(len(image)):
            windows = functional.unfold(self._padded(source[some]), self.side)  # [n, width - 1, HW]
            x = functional.pad(windows.transpose(1, 2).reshape(-1, width - 1), (0, 1), value=1.0)
            y = image[some].flatten(2).transpose(1, 2).reshape(-1, channels)
            gram += (x.T @ x).double()
            moment += (x.T @ y).double()
        penalty = PENALTY * torch.eye(width).double()
        penalty[-1, -1] = 0.0  # the constant is free
        found = torch.linalg.solve(gram + penalty, moment).T.float()  # [C, width]
        self.weight.copy_(found[:, :-1].reshape(self.weight.shape))
        self.bias.copy_(found[:, -1])

    def _padded(self, source: Tensor) -> Tensor:
        return functional.pad(source, (self.side // 2,) * 4, mode="replicate")


class FilteredVelocity(Velocity):
    """A `Velocity` whose m is the filtered source, where the source is shown; elsewhere the mean
    image. So with one evaluation an untrained network answers the filtered source.

    beside: as `Shape.beside` of the generator `translate` orders it: C channels and a flag of known
    pixels, C channels and a flag of the source.
    """

    def __init__(
        self, backbone: nn.Module, embedding: nn.Module, size: tuple[int, ...], side: int
    ) -> None:
        super().__init__(backbone, embedding, size)
        self.filter = LinearFilter(size[0], side)

    def learn(self, source: Tensor, image: Tensor, group: np.ndarray) -> None:
        """Take the filter from pairs [N, C, H, W], and s from what it leaves. group: int [N]; every
        group counts once in s."""
        self.filter.learn(source, image)
        left = torch.cat([image[b] - self.filter(source[b]) for b in _blocks(len(image))])
        squares = left.square().mean((1, 2, 3))[:, None].numpy()
        spread = float(group_means(squares, group).mean()) ** 0.5
        self.spread.fill_(max(float(coarse_scale(spread)), LEAST_SPREAD))

    def middle(self, beside: tuple[Tensor, ...]) -> Tensor:
        channels = len(self.centre)
        source, shown = beside[0][:, channels + 1 : -1], beside[0][:, -1:]
        return torch.where(shown > 0, self.filter(source), self.centre)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(k, k + ROWS_AT_ONCE) for k in range(0, count, ROWS_AT_ONCE))
