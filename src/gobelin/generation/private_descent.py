"""The noisy descent of a private generator: a training task whose gradients are those of groups.

Each step draws groups, bounds their gradients, adds noise (`gobelin.privacy.private_gradient`) and
makes a step of Adam. Nothing else of the rows is used: no loss is told, no row is scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.generation.fitting import Learned
from gobelin.generation.generators import ImageRows
from gobelin.networks import flow_path
from gobelin.networks.class_velocity import ClassVelocity
from gobelin.privacy.private_gradient import (
    GroupGradients,
    NoisyMean,
    Tensors,
    drawn,
    secret,
    spread_over,
)
from gobelin.privacy.units import Units


class DescentSettings(Protocol):
    """What a noisy descent needs of a generator's settings."""

    @property
    def batch(self) -> int: ...  # groups that a sum is divided by

    @property
    def draws(self) -> int: ...  # rows, noises and times of a group in a step

    @property
    def length(self) -> float: ...  # of a group's gradient, at most

    @property
    def mirror(self) -> bool: ...  # whether images are mirrored at random

    @property
    def whole(self) -> float: ...  # share of rows that show their class

    @property
    def rate(self) -> float: ...  # of Adam


def slots_in(rows: ImageRows, learned: Learned) -> Tensor:
    """int64 [N]: the class of each row, -1 for none."""
    target = rows.condition.target
    return torch.full((len(rows),), -1) if target is None or learned.number else target


class NoisyDescent:
    """The training task: a noisy mean gradient of groups, and a step of Adam."""

    def __init__(
        self,
        settings: DescentSettings,
        network: ClassVelocity,
        rows: ImageRows,
        slots: Tensor,
        rate: float,
        noise: float,
        runtime: Runtime,
    ) -> None:
        """slots: class of each row, int64 [N]. rate: probability of a group to be in a step. noise:
        its standard deviation, over the length of a group's gradient."""
        self.settings, self.rows, self.slots, self.rate = settings, rows, slots, rate
        self.device, self.network = runtime.device, network.to(runtime.device)
        weights = None if rows.weights is None else rows.weights[rows.used]
        self.units = Units.of(rows.used, rows.group_numbers[rows.used], weights)
        self.mean = NoisyMean(settings.length, noise, settings.batch)
        self.gradients = GroupGradients(self.loss)
        self.modules: Mapping[str, nn.Module] = {"network": self.network}
        adam = torch.optim.Adam(self.parameters.values(), settings.rate, (0.9, 0.99), fused=True)
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"network": adam}

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.network.named_parameters() if p.numel()}

    def loss(self, weights: Tensors, inputs: Tensors) -> Tensor:
        """The mean over a group's K draws, with these weights."""

        def velocity(signal: Tensor, time: Tensor) -> Tensor:
            given = (signal, time, inputs["slot"])
            return functional_call(self.network, weights, given)  # type: ignore[arg-type]

        image, start, time = inputs["image"], inputs["start"], inputs["time"]
        return flow_path.path_loss(velocity, image, start, time).mean()

    def step(self, batch: None, rng: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """One noisy step. It returns no loss: that would tell of rows. `rng` is not used, as it
        follows from the seed."""
        spread_over(self.mean.released(self.total()), self.parameters)
        self.optimisers["network"].step()
        if not all(bool(p.isfinite().all()) for p in self.parameters.values()):
            raise GobelinError(  # going back would make a step again, which nobody paid
                "private_flow: weights are not finite. Lower --set generator.settings.rate; the"
                " next training spends epsilon again."
            )
        return {}

    def total(self) -> Tensor:
        """float64 [P]: the bounded sum over the groups of a step, without noise."""
        chosen = drawn(len(self.units), self.rate)
        weights = {name: p.detach() for name, p in self.parameters.items()}
        factors = torch.from_numpy(self.units.factors[chosen]).to(self.device)
        inputs = self.inputs(chosen) if len(chosen) else {}
        return self.gradients.total(weights, inputs, factors, self.mean)

    def inputs(self, units: np.ndarray) -> dict[str, Tensor]:
        """Tensors [U, K, ...] of these groups: images, noises, times spread over 0 .. 1, classes of
        which some are hidden."""
        draws, rng = self.settings.draws, secret()
        index = self.units.drawn(units, draws)
        image = self.network.signal(self.rows.images[index.ravel()])
        if self.settings.mirror:
            turned = torch.rand(len(image), generator=rng) < 0.5
            image = torch.where(turned[:, None, None, None], image.flip(3), image)
        shape = (len(units), draws)
        image = image.view(*shape, *image.shape[1:])
        slots = self.slots[torch.from_numpy(index)]
        slots = torch.where(torch.rand(shape, generator=rng) < self.settings.whole, slots, -1)
        time = (torch.arange(draws) + torch.rand(shape, generator=rng)) / draws
        start = torch.randn(image.shape, generator=rng)
        every = {"image": image, "start": start, "time": time, "slot": slots}
        return {name: tensor.to(self.device) for name, tensor in every.items()}
