"""Training a few added weights of a diffusion network, with the loss that the network was trained
with.

The network gets a (latent) image with noise. It predicts the noise (Ho et al. 2020, equation 14),
the velocity v = a noise - s image (Salimans and Ho 2022, appendix D), or the image itself; the
schedule's `prediction_type` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from gobelin.core.machine import Runtime
from gobelin.networks.training.training import descend

Batch = TypeVar("Batch")


class Schedule(Protocol):
    """How noise is added; diffusers' DDPMScheduler is one."""

    config: Any

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor: ...

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor: ...


def noise_loss(
    predict: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    image: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """float32 [n]: the mean squared error of `predict(noisy [n, C, H, W], time [n])`, at a random
    time for each image [n, C, H, W].

    If a network answers with 2 C channels, the second half is a variance, which isn't trained.
    """
    time = torch.randint(schedule.config.num_train_timesteps, (len(image),), generator=rng).to(
        image.device
    )
    noise = torch.randn(image.shape, generator=rng).to(image.device)
    answer = predict(schedule.add_noise(image, noise, time), time)[:, : image.shape[1]].float()
    kind = schedule.config.prediction_type
    expected = {"epsilon": noise, "sample": image}.get(kind)
    expected = schedule.get_velocity(image, noise, time) if expected is None else expected
    return (answer - expected).square().flatten(1).mean(1)


class AdapterTraining(Generic[Batch]):
    """The training task of `weights`, parameters that are already part of a network.

    loss: of a batch, [n]. rate: learning rate of AdamW.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        loss: Callable[[Batch, torch.Generator], Tensor],
        rate: float,
        runtime: Runtime,
    ) -> None:
        self.loss, self.runtime = loss, runtime
        self.modules: Mapping[str, nn.Module] = {"lora": nn.ParameterList(weights.values())}
        adam = torch.optim.AdamW(list(weights.values()), rate, (0.9, 0.99), weight_decay=0.01)
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"lora": adam}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        with self.runtime.autocast():
            loss = self.loss(batch, rng).mean()
        descend(self.optimisers["lora"], loss)
        return {"loss": loss.detach()}
