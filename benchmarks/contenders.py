"""Who makes Fashion-MNIST in `generation.py`: each trains within a wall-clock budget, then samples
by class.

`CONTENDERS[name](seed)` has `fit(images, labels, minutes, folder) -> Fitted`. The rivals from
diffusers train to the last second of the budget; Gobelin's own spend a twentieth of it to learn
their pace, turn what is left into a count of steps, and start anew, so that they end inside it."""

from __future__ import annotations

import copy
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fashion import CLASSES, asked
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.generation.generators import Context, Controls, ImageRows
from gobelin.networks.convolution import pixels_of, signal_of
from gobelin.networks.training.limit import Pilot, steps_within

HELD, BATCH, PILOT = (
    5000,
    100,
    0.05,
)  # last training rows, kept as validation rows; images sampled at once; share of a budget
MANY_STEPS = 10**7  # more than fit into any budget
Sample = Callable[
    [np.ndarray], Iterator[np.ndarray]
]  # labels [N] -> blocks of uint8 [n, 28, 28, 1]


@dataclass(frozen=True)
class Fitted:
    """samples: ways to sample, by the suffix of the contender's name. flops: of one training image,
    forward and backward."""

    samples: Mapping[str, Sample]
    steps: int
    images: int
    seconds: float
    flops: float
    parameters: int
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gaussians:
    """Each class's mean and 60 principal components as a Gaussian: no training to speak of."""

    seed: int
    components: int = 60

    def fit(self, images: np.ndarray, labels: np.ndarray, minutes: float, folder: Path) -> Fitted:
        start, flat = time.perf_counter(), images.reshape(len(images), -1).astype(np.float32)
        means, bases = [], []
        for c in range(len(CLASSES)):
            rows = flat[labels == c]
            means.append(rows.mean(0))
            _, spread, axes = np.linalg.svd(rows - means[-1], full_matrices=False)
            bases.append(
                axes[: self.components] * (spread[: self.components, None] / np.sqrt(len(rows) - 1))
            )

        def sample(asked: np.ndarray) -> Iterator[np.ndarray]:
            rng = np.random.default_rng(self.seed)
            for k in range(0, len(asked), BATCH):
                noise = rng.standard_normal(
                    (len(asked[k : k + BATCH]), self.components), np.float32
                )
                made = np.stack(
                    [
                        means[c] + z @ bases[c]
                        for c, z in zip(asked[k : k + BATCH], noise, strict=True)
                    ]
                )
                yield made.round().clip(0, 255).astype(np.uint8).reshape(-1, *images.shape[1:])

        count = len(CLASSES) * flat.shape[1] * (1 + self.components)
        return Fitted({"": sample}, 1, len(images), time.perf_counter() - start, 0.0, count)


@dataclass(frozen=True)
class Diffusers:
    """A class-conditional UNet2DModel of diffusers in the budget. The defaults are the reference
    recipe: noise prediction of DDPM in float32, AdamW, 500 steps of warm-up, DDIM. samplers:
    {suffix: (scheduler, evaluations)}."""

    seed: int
    channels: tuple[int, ...] = (32, 64, 64)
    layers: int = 1
    rate: float = 1e-4
    batch: int = 64
    warmup: int = 500
    bfloat16: bool = False
    prediction: str = "epsilon"
    schedule: str = "linear"
    half_life: float = 0.0
    cooldown: float = 0.0
    samplers: Mapping[str, tuple[str, int]] = field(
        default_factory=lambda: {"DDIM 20": ("ddim", 20), "DDIM 50": ("ddim", 50)}
    )

    def fit(self, images: np.ndarray, labels: np.ndarray, minutes: float, folder: Path) -> Fitted:
        from diffusers import DDPMScheduler, UNet2DModel

        torch.manual_seed(self.seed)
        levels = len(self.channels)
        network = UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            block_out_channels=self.channels,
            layers_per_block=self.layers,
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            num_class_embeds=len(CLASSES),
            norm_num_groups=min(32, self.channels[0]),
        )
        if self.bfloat16:
            network = network.to(memory_format=torch.channels_last)
        noising = DDPMScheduler(1000, beta_schedule=self.schedule, prediction_type=self.prediction)
        average = copy.deepcopy(network).requires_grad_(False)
        adam = torch.optim.AdamW(network.parameters(), self.rate, (0.95, 0.999), weight_decay=1e-6)
        answers = torch.from_numpy(labels)

        def loss_of(rows: torch.Tensor) -> torch.Tensor:
            real = signal_of(images[rows.numpy()])
            real = real if self.bfloat16 else real.contiguous()
            noise, times = torch.randn_like(real), torch.randint(0, 1000, (len(real),))
            wanted = {"epsilon": noise, "sample": real}.get(self.prediction)
            wanted = noising.get_velocity(real, noise, times) if wanted is None else wanted
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                said = network(noising.add_noise(real, noise, times), times, answers[rows]).sample
            return functional.mse_loss(said.float(), wanted)

        with FlopCounterMode(display=False) as counter:
            loss_of(torch.arange(self.batch)).backward()
        step, start, budget = 0, time.perf_counter(), minutes * 60
        while (spent := time.perf_counter() - start) < budget:
            cooled = min(1.0, (1 - spent / budget) / self.cooldown) if self.cooldown else 1.0
            adam.param_groups[0]["lr"] = self.rate * min(1.0, (step + 1) / self.warmup) * cooled
            loss = loss_of(torch.randint(len(images), (self.batch,)))
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
            step += 1
            rest = 1 - 0.5 ** (1 / min(self.half_life, 0.05 * step)) if self.half_life else 1.0
            for a, w in zip(average.parameters(), network.parameters(), strict=True):
                a.lerp_(w.detach(), rest)
        spent = time.perf_counter() - start
        ways = {
            f" {name}": self._sampler(average.eval(), noising, *how)
            for name, how in self.samplers.items()
        }
        count = sum(p.numel() for p in network.parameters())
        return Fitted(
            ways, step, step * self.batch, spent, counter.get_total_flops() / self.batch, count
        )

    def _sampler(self, network: nn.Module, noising: Any, name: str, evaluations: int) -> Sample:
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        kind = {"ddim": DDIMScheduler, "dpm": DPMSolverMultistepScheduler}[name]
        own = {"use_karras_sigmas": False, "timestep_spacing": "linspace"} if name == "dpm" else {}

        @torch.no_grad()
        def sample(asked: np.ndarray) -> Iterator[np.ndarray]:
            rng = torch.Generator().manual_seed(self.seed)
            for k in range(0, len(asked), BATCH):
                classes = torch.from_numpy(asked[k : k + BATCH])
                solver = kind.from_config(noising.config, **own)
                solver.set_timesteps(evaluations)
                image = torch.randn(len(classes), 1, 28, 28, generator=rng)
                for time_ in solver.timesteps:
                    with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                        said = network(image, time_.expand(len(classes)), classes).sample.float()
                    image = solver.step(said, time_, image).prev_sample
                yield pixels_of(image.clamp(-1, 1))

        return sample


@dataclass(frozen=True)
class Ours:
    """A component of Gobelin with its defaults but for some settings, or with the settings of a
    recipe. ways: {suffix: evaluations an image}, 0 = the component's own."""

    seed: int
    name: str
    recipe: str = ""
    guidance: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    ways: Mapping[str, int] = field(default_factory=lambda: {"": 0})

    def fit(self, images: np.ndarray, labels: np.ndarray, minutes: float, folder: Path) -> Fitted:
        settings = self.settings
        if self.recipe:
            path = Path(__file__).parent.parent / "recipes" / f"{self.recipe}.toml"
            settings = tomllib.loads(path.read_text(encoding="utf-8"))["generator"]["settings"]
        component = catalog.build("generators", self.name, settings)
        runtime = Runtime(self.seed).resolved()
        train, valid = (
            rows_of(images[:-HELD], labels[:-HELD]),
            rows_of(images[-HELD:], labels[-HELD:]),
        )
        flops = self._flops(component, train, valid, runtime, folder)
        start = time.perf_counter()
        pilot = self._steps_within(
            component, train, valid, runtime, folder / "rate", PILOT * minutes
        )
        begun = time.perf_counter()
        component.fit(train, valid, Context(runtime, folder / "pilot", pilot))
        now = time.perf_counter()
        steps = max(1, int((0.95 * minutes * 60 - (now - start)) * pilot / (now - begun)))
        sampler = component.fit(train, valid, Context(runtime, folder / "fit", steps))
        spent = time.perf_counter() - start

        def sample(evaluations: int, asked: np.ndarray) -> Iterator[np.ndarray]:
            controls = Controls(self.guidance, steps=evaluations, batch=BATCH)
            yield from sampler.sample(rows_of(None, asked).condition, range(len(asked)), controls)

        sampler.save(folder / "saved")
        count = _numbers(folder / "saved" / "weights.safetensors")
        notes = {"precision": runtime.precision, "settings": dict(settings)}
        samples = {
            suffix: partial(sample, evaluations) for suffix, evaluations in self.ways.items()
        }
        return Fitted(samples, steps, steps * component.batch, spent, flops, count, notes)

    @staticmethod
    def _steps_within(
        component: Any,
        train: ImageRows,
        valid: ImageRows,
        runtime: Runtime,
        folder: Path,
        minutes: float,
    ) -> int:
        """The count of steps that fit into `minutes`; a tenth of them is trained."""

        def fit(pilot: Pilot) -> object:
            return component.fit(train, valid, Context(runtime, folder, MANY_STEPS, pilot=pilot))

        return steps_within(minutes, MANY_STEPS, fit)

    @staticmethod
    def _flops(
        component: Any, train: ImageRows, valid: ImageRows, runtime: Runtime, folder: Path
    ) -> float:
        """Of one training image: that of 6 steps less that of 2, so that what a fit does once
        doesn't count."""
        counted = []
        for steps in (2, 6):
            with FlopCounterMode(display=False) as counter:
                component.fit(train, valid, Context(runtime, folder / f"flops-{steps}", steps))
            counted.append(counter.get_total_flops())
        return (counted[1] - counted[0]) / 4 / component.batch


def rows_of(images: np.ndarray | None, labels: np.ndarray) -> ImageRows:
    """Rows that know nothing but their class."""
    n = len(labels)
    return ImageRows(
        np.zeros((n, 28, 28, 1), np.uint8) if images is None else images, asked(labels), CLASSES
    )


def _numbers(path: Path) -> int:
    from safetensors.numpy import load_file

    return sum(v.size for v in load_file(path).values())


CONTENDERS: dict[str, Callable[[int], Any]] = {
    "diffusers plain": lambda seed: Diffusers(seed),
    # what else was tried stands in docs/log.md
    "diffusers tuned": lambda seed: Diffusers(
        seed,
        channels=(16, 32, 64),
        rate=2e-3,
        batch=32,
        warmup=100,
        bfloat16=True,
        prediction="sample",
        schedule="squaredcos_cap_v2",
        half_life=500.0,
        cooldown=0.3,
        samplers={"DPM-Solver 15": ("dpm", 15)},
    ),
    "class Gaussians": lambda seed: Gaussians(seed),
    "DCGAN": lambda seed: Ours(seed, "gan", "dcgan"),
    "gobelin gan": lambda seed: Ours(seed, "gan"),
    "gobelin flow": lambda seed: Ours(
        seed, "flow", settings={"exact": False}, ways={" 1": 1, " 2": 2, " 4": 4, " 8": 8}
    ),
    "gobelin autoregressive": lambda seed: Ours(seed, "autoregressive"),
}
