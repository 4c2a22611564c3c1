"""VAE/GAN: images or volumes from a small code, sharpened by a critic; a condition picks codes.

A VAE/GAN (Larsen et al. 2016). Four networks learn together. An encoder turns an image into a code.
A maker turns the code back. A critic tells generated images from real ones (hinge loss, Lim and Ye
2017; it sees both through differentiable augmentation). A prior learns which codes belong to a
condition.
Sampling draws a code from the prior and runs the maker once.

The condition enters through the prior alone. A maker that sees it (projection critic, hidden
fields) was tried: on 1,300 images it answered "class only" and "nothing" with nearly one image
each.

What this can't show: that its images aren't copies. A small training set is memorised in part;
`VaeganSampler.notes` says so, and the copying audit measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime
from gobelin.generation.counts import steps_by_data
from gobelin.generation.fitting import (
    Fit,
    FittedSampler,
    Learned,
    batches_of,
    blocks,
    distance_to,
    from_seed,
    noise,
    restored,
)
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.generation.standardising import standardise
from gobelin.networks.condition import CodePrior, ConditionTensors, hide, jitter, mix_codes
from gobelin.networks.convolution import (
    ConvDecoder,
    ConvEncoder,
    change,
    pixels_of,
    pyramid_distance,
    signal_of,
)
from gobelin.networks.dimensions import LAST
from gobelin.networks.training.limit import mean_over_first
from gobelin.networks.training.training import TrainingSettings, descend

PRIOR_EVALUATIONS = 8  # of the prior for an image when `Controls.steps` is 0
DISTANCE_ROWS = 256  # rows whose pixel distance is measured after a fit, at most
Batch = tuple[
    Tensor, ConditionTensors, float
]  # [N, C, H, W] in -1 .. 1, conditions, share of training done

JUDGED_STEP = 1.4  # time of a step with the critic over that of one without, measured
USUAL_STEPS = 1400  # by default, for 1,000 images of 32 x 32 pixels


@settings_class
class Vaegan:
    """Settings."""

    width: int = setting(
        default=16,
        ge=1,
        le=1024,
        description="Channels at full size, doubled at each halving. Volumes have half of it.",
    )
    code: int = setting(default=64, ge=1, le=4096, description="Numbers of a code.")
    code_noise: float = setting(
        default=0.3,
        ge=0,
        le=10,
        description="Standard deviation of the noise on codes, which have deviation 1.",
    )
    batch: int = setting(default=32, ge=2, le=65536, description="Images in a training step.")
    rate: float = setting(
        default=1e-3, ge=1e-9, le=1, description="Learning rate of encoder and generator."
    )
    critic_rate: float = setting(
        default=5e-4, ge=1e-9, le=1, description="Learning rate of the critic."
    )
    prior_rate: float = setting(
        default=1e-3, ge=1e-9, le=1, description="Learning rate of the prior."
    )
    start: float = setting(
        default=0.1, ge=0, le=1, description="Share of the training before the critic begins."
    )
    sharpness: float = setting(
        default=0.03, ge=0, le=100, description="Weight of the critic beside the pixel distance."
    )
    mixed: float = setting(
        default=0.25, ge=0, le=1, description="Share of a batch made from the mean of two codes."
    )
    shift: float = setting(
        default=0.125,
        ge=0,
        le=1,
        description="Largest shift of the critic's images, as a share of the side.",
    )
    hole: float = setting(
        default=0.3,
        ge=0,
        le=1,
        description="Side of the square hidden from the critic, as a share of the side.",
    )
    colour: bool = setting(
        default=True, description="Whether the critic's images also change in colour."
    )
    prior_width: int = setting(
        default=384, ge=1, le=65536, description="Width of the prior's layers."
    )
    prior_depth: int = setting(default=3, ge=1, le=64, description="Number of the prior's layers.")
    prior_repeats: int = setting(
        default=12,
        ge=1,
        le=4096,
        description="Noises and hidden subsets of each code in a step of the prior.",
    )
    jitter: float = setting(
        default=0.5, ge=0, le=100, description="Length of the noise on a condition's unit vectors."
    )
    half_life: float = setting(
        default=200.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )
    cooldown: float = setting(
        default=0.3, ge=0, le=1, description="Share of the training with a falling learning rate."
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target"})
    media: ClassVar[frozenset[str]] = frozenset({"image", "volume", "mesh"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = (
        "minutes of training on a processor, one evaluation an image and 8 of a small prior"
    )
    least_steps: ClassVar[int] = 200  # see `generation.counts`

    def steps_for(self, images: int, size: tuple[int, ...]) -> int:
        """The count of training steps by default, from the data alone."""
        return steps_by_data(USUAL_STEPS, self.least_steps, images, size)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> VaeganSampler:
        """Train for `context.steps`; `valid` is only measured: how far generated images are from
        it, and how well the maker returns images that it never saw."""
        task = _Duel(self, train, context.runtime)
        sampler = VaeganSampler(self, task.learned, task.network, context.runtime)
        slower = mean_over_first(self.start, JUDGED_STEP)
        fit = Fit(sampler, train, valid, context, self.batch, slower)
        watch = fit.watch(
            lambda rows: distance_to(sampler.sample, rows),
            sampler.sample,
            scored=1,
            painted=1,
            decides=False,
        )
        settings = TrainingSettings(
            context.steps,
            context.runtime.seed,
            averaged=("encoder", "maker", "prior"),
            half_life=self.half_life,
            cooldown=self.cooldown,
        )

        def last() -> dict[str, float | None]:
            return {
                "distance_train": task.distance(train),
                "distance_valid": task.distance(valid),
            }

        batches = _batches(task, train, lambda step: step / context.steps)
        return fit.run(task, batches, settings, watch, last)

    def load(self, folder: Path, runtime: Runtime) -> VaeganSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        return restored(
            VaeganSampler,
            folder,
            runtime,
            Vaegan,
            networks,
        )


def width_of(settings: Vaegan, learned: Learned) -> int:
    """Channels at full size: half of the setting for volumes, whose full size is what costs."""
    return settings.width if len(learned.size) == 3 else max(1, settings.width // 2)


def in_memory(module: nn.Module, learned: Learned) -> nn.Module:
    """The network with the channels of its convolutions last in memory."""
    return module.to(memory_format=LAST[len(learned.size) - 1])  # type: ignore[call-overload]


def networks(settings: Vaegan, learned: Learned) -> nn.ModuleDict:
    """The two networks that sampling needs, with fresh weights."""
    prior = CodePrior(
        learned.embedding(settings.prior_width),
        settings.code,
        settings.prior_width,
        settings.prior_depth,
    )
    maker = ConvDecoder(learned.size, settings.code, width_of(settings, learned))
    both = nn.ModuleDict({"maker": maker, "prior": prior})
    return cast(nn.ModuleDict, in_memory(both, learned))


class _Duel:
    """The training task: encoder and maker against critic, and the prior beside them."""

    def __init__(self, settings: Vaegan, rows: ImageRows, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime
        self.learned = Learned.of("vaegan", rows)

        def build() -> tuple[nn.ModuleDict, ConvEncoder, ConvEncoder]:
            size, width = self.learned.size, width_of(settings, self.learned)
            return (
                networks(settings, self.learned),
                ConvEncoder(size, settings.code, width),
                ConvEncoder(size, 1, width, hidden=128),
            )

        self.network, reader, self.critic = from_seed(runtime.seed, "vaegan", build)
        self.maker = cast(ConvDecoder, self.network["maker"])
        self.prior = cast(CodePrior, self.network["prior"])
        # The normalisation gives codes mean 0 and variance 1, which the prior's noise has too.
        normalise = nn.BatchNorm1d(settings.code, affine=False, momentum=0.02)
        self.encoder = nn.Sequential(reader, normalise)
        standardise(self.prior.embedding, rows)
        self.modules: Mapping[str, nn.Module] = {
            "encoder": self.encoder,
            "maker": self.maker,
            "critic": self.critic,
            "prior": self.prior,
        }
        for module in self.modules.values():
            in_memory(module.to(runtime.device), self.learned)
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {
            "maker": torch.optim.Adam(
                [*self.encoder.parameters(), *self.maker.parameters()], settings.rate, (0.5, 0.99)
            ),
            "critic": torch.optim.Adam(self.critic.parameters(), settings.critic_rate, (0.0, 0.99)),
            "prior": torch.optim.AdamW(
                self.prior.parameters(), settings.prior_rate, (0.9, 0.99), weight_decay=0.01
            ),
        }

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        real, parts, done = batch
        judged = done >= self.settings.start
        mixed = round(self.settings.mixed * len(real)) if judged else 0
        with self.runtime.autocast():
            code = self.encoder(real)
            noisy = torch.randn(code.shape, generator=rng).to(code.device)
            noisy = code + self.settings.code_noise * noisy
            generated = self.maker(mix_codes(noisy, mixed, rng))
            distance = pyramid_distance(generated[mixed:], real[mixed:])
        critic, fooled = torch.zeros(()), torch.zeros(())
        if judged:
            critic, fooled = self.judge(real, generated, rng)
        loss = distance + self.settings.sharpness * fooled.to(distance.device)
        descend(self.optimisers["maker"], loss)
        prior = self.learn_prior(code.detach(), parts, rng)
        losses = {"distance": distance, "critic": critic, "fooled": fooled, "prior": prior}
        return {name: loss.detach() for name, loss in losses.items()}

    def judge(self, real: Tensor, generated: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One step of the critic, then its verdict on the generated images (hinge, Lim and Ye 2017,
        equations 6 and 7): the critic's loss, the maker's loss."""
        s = self.settings

        def score(images: Tensor) -> Tensor:
            with self.runtime.autocast():
                return self.critic(images)

        def augmented(images: Tensor) -> Tensor:
            return change(images, rng, s.shift, s.hole, s.colour)

        both = torch.cat([augmented(real), augmented(generated.detach())])
        real_score, generated_score = score(both).chunk(2)
        loss = functional.relu(1 - real_score).mean() + functional.relu(1 + generated_score).mean()
        descend(self.optimisers["critic"], loss)
        self.critic.requires_grad_(False)
        fooled = -score(augmented(generated)).mean()
        self.critic.requires_grad_(True)
        return loss, fooled

    def learn_prior(self, code: Tensor, parts: ConditionTensors, rng: torch.Generator) -> Tensor:
        """One step of the prior on every code several times, with other noise and other hidden
        parts."""
        again = torch.arange(len(code), device=code.device).repeat(self.settings.prior_repeats)
        shown = jitter(hide(parts.rows(again), rng), rng, self.settings.jitter)
        with self.runtime.autocast():
            loss = self.prior.loss(code[again], shown, rng)
        descend(self.optimisers["prior"], loss)
        return loss

    @torch.no_grad()
    def distance(self, rows: ImageRows) -> float | None:
        """Pyramid distance between the first rows' images and the maker's images of their codes;
        evaluation mode. None where there are no rows."""
        if not len(rows):
            return None
        self.encoder.eval(), self.maker.eval()
        real = signal_of(rows.images[:DISTANCE_ROWS]).to(self.runtime.device)
        return float(pyramid_distance(self.maker(self.encoder(real)), real))


class VaeganSampler(FittedSampler[Vaegan, Learned, nn.ModuleDict]):
    """A fitted Vaegan. history: losses and distances by step."""

    name: ClassVar[str] = "vaegan"
    version: ClassVar[int] = 2
    accepts: ClassVar[frozenset[str]] = Vaegan.accepts

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]. guidance: how far the prior's flow is pulled towards the
        condition. steps: evaluations of the prior, 0 = 8. Computed in float32."""
        steps = max(1, (controls.steps or PRIOR_EVALUATIONS) // 2)  # Heun evaluates twice a step
        prior = cast(CodePrior, self.network["prior"])
        for rows in blocks(len(condition), controls.batch):
            parts = self.learned.parts("vaegan", condition.rows(rows)).to(self.runtime.device)
            start = noise([seeds[k] for k in rows], (self.settings.code,))
            code = prior.draw(start.to(self.runtime.device), parts, controls.guidance, steps)
            yield pixels_of(self.network["maker"](code))


def _batches(task: _Duel, rows: ImageRows, done: Callable[[int], float]) -> Callable[[int], Batch]:
    """The batch of step t. done: the share of the training before step t."""
    parts = task.learned.parts("vaegan", rows.condition)
    pairs = batches_of(rows, parts, task.settings.batch, task.runtime, signal_of)
    return lambda step: (*pairs(step), done(step))
