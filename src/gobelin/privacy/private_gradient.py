"""One step of differentially private descent: bounded gradients of groups, summed, with noise.

DP-SGD (Abadi et al. 2016), with a group of rows as the unit. Every group is drawn with the same
probability, from the operating system's source. Its gradient is the mean over several draws of its
rows, of noise and of time (augmentation multiplicity, De et al. 2022), cut to a length C. The sum
gets normal noise of the standard deviation C times `noise`, and is divided by `batch`.

`batch` is a number that is fixed beforehand. Dividing by the count of rows times the probability
would tell the count, and with few rows it would tell everything.

What this cannot show: that weights are useful. With few groups they are mostly noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import torch
from gobelin.privacy import secure_noise

TOGETHER = 16  # groups whose gradients are computed at once: more is slower (measured)

Tensors = Mapping[str, "torch.Tensor"]
# the loss of one group's K draws, from named weights and named tensors of K rows
Loss = Callable[[Tensors, Tensors], "torch.Tensor"]


def drawn(groups: int, rate: float) -> np.ndarray:
    """int64 [n]: each of the groups with this probability, whatever the others do."""
    return np.flatnonzero(secure_noise.uniform(groups) <= rate)


def secret() -> torch.Generator:
    """Random numbers that do not follow from the run's seed. Which numbers a group gets depends on
    the other groups that were drawn; who knew them all could tell."""
    seed = int(secure_noise.uniform(1)[0] * 2**53)
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class NoisyMean:
    """The mean gradient of the groups of a step, as it may be released."""

    length: float  # C: most that one group contributes to the sum
    noise: float  # standard deviation of the noise, over C
    batch: int  # count of groups that the sum is divided by; it does not follow from the rows

    def clipped(self, gradients: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        """float64 [P]: the sum of gradients [U, P] of U groups, none more than C long.

        factors: [U] from 0 to 1, for groups that count less. Entries that are not finite count as
        0."""
        finite = gradients.double().nan_to_num(0.0, 0.0, 0.0)
        lengths = finite.norm(dim=1)
        scale = (self.length / lengths.clamp_min(1e-300)).clamp_max(1.0)
        return (scale * factors.double().clamp(0.0, 1.0)) @ finite

    def released(self, total: torch.Tensor) -> torch.Tensor:
        """float64 [P]: the sum [P] with noise, divided by `batch`."""
        noise = torch.from_numpy(secure_noise.normal(len(total), self.length * self.noise))
        return (total + noise.to(total.device)) / self.batch


class GroupGradients:
    """The bounded sum of the gradients of groups, computed a few groups at a time."""

    def __init__(self, loss: Loss) -> None:
        self.each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))

    def total(
        self, weights: Tensors, inputs: Tensors, factors: torch.Tensor, mean: NoisyMean
    ) -> torch.Tensor:
        """float64 [P]: the sum over U groups of their bounded gradients, in the order of `weights`.

        inputs: tensors [U, K, ...]. factors: [U]."""
        total = torch.zeros(sum(w.numel() for w in weights.values()), dtype=torch.float64)
        total = total.to(factors.device)
        for start in range(0, len(factors), TOGETHER):
            some = slice(start, start + TOGETHER)
            gradients = self.each(dict(weights), {k: x[some] for k, x in inputs.items()})
            flat = torch.cat([gradients[name].flatten(1) for name in weights], dim=1)
            total += mean.clipped(flat, factors[some])
        return total


def spread_over(flat: torch.Tensor, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Hand a gradient [P] to these parameters, in their order."""
    parts = flat.split([p.numel() for p in parameters.values()])
    for parameter, part in zip(parameters.values(), parts, strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype)
