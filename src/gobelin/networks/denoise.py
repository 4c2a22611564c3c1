"""Training a few added weights of a network that predicts noise, by the loss that it was made with.

The network sees a (latent) image with noise and answers with the noise (Ho et al. 2020, equation
14), the velocity v = a noise - s image (Salimans and Ho 2022, appendix D) or the image itself, as
the schedule's `prediction_type` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from gobelin.core.machine import Runtime
from gobelin.networks.training import descend

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
    """float32 [n]: the mean square of what `predict(noisy [n, C, H, W], time [n])` is wrong by, at
    a random time an image.

    A network that answers with 2 C channels also says a variance, which isn't trained."""
    time = torch.randint(schedule.config.num_train_timesteps, (len(image),), generator=rng).to(
        image.device
    )
    noise = torch.randn(image.shape, generator=rng).to(image.device)
    answer = predict(schedule.add_noise(image, noise, time), time)[:, : image.shape[1]].float()
    kind = schedule.config.prediction_type
    wanted = {"epsilon": noise, "sample": image}.get(kind)
    wanted = schedule.get_velocity(image, noise, time) if wanted is None else wanted
    return (answer - wanted).square().flatten(1).mean(1)


class Adapting(Generic[Batch]):
    """The training task: `weights`, parameters that already lie inside a network, by a loss [n] of
    a batch."""

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
