"""Low-rank changes of a network's weights (LoRA, Hu et al. 2022, equation 3): W + B A, where B
starts as 0 and W stays.

A convolution's weight [out, in, h, w] counts as a matrix [out, in h w]. Depthwise convolutions stay
as they are: their matrices have hardly more columns than a rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gobelin.core.machine import generator


class LowRank(nn.Module):
    """B A added to one weight."""

    def __init__(self, weight: Tensor, rank: int, rng: torch.Generator) -> None:
        super().__init__()
        outside, inside = weight.shape[0], weight[0].numel()
        rank = min(rank, outside, inside)
        down = torch.randn(rank, inside, generator=rng) / inside**0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(torch.zeros(outside, rank).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view(weight.shape)


def adapt(network: nn.Module, rank: int, seed: int) -> nn.ModuleList:
    """Freeze the network and add a low-rank change to each of its linear maps and convolutions.
    Returns the changes, whose parameters can be trained. seed: of A.
    """
    network.requires_grad_(False)
    changes = nn.ModuleList()
    for part in _parts(network):
        change = LowRank(part.weight, rank, generator(seed, "low rank", len(changes)))
        parametrize.register_parametrization(part, "weight", change)
        changes.append(change)
    return changes


def merge(network: nn.Module) -> None:
    """Write the changes into the weights. The network then has the same parameters as before
    `adapt`.
    """
    for part in _parts(network):
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)


def _parts(network: nn.Module) -> list[nn.Linear | nn.Conv1d | nn.Conv2d]:
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d)]
    return [m for m in layers if isinstance(m, nn.Linear) or m.groups == 1]
