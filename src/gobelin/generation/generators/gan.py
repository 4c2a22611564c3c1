"""Images in one step from noise and a condition: a maker network against a critic (R3GAN).

The critic compares real and generated images (Huang et al. 2024). It learns that a real
image is more real than a generated one, the maker the reverse (relativistic loss,
Jolicoeur-Martineau 2019). The critic's slope is kept small at real and at generated images alike
(R1 and R2). Both see the condition: the maker as numbers beside its noise, the critic by a
projection (Miyato and Koyama 2018). Fields and target are hidden at random, so that one network
answers every subset of them. Where the rows have no condition at all, the critic sees how much the
images of a batch differ, so that no mode is lost. On small sets the critic sees augmented images,
the more often the more it overfits (Karras et al. 2020). `recipes/dcgan.toml` turns all of this
off: the plain DCGAN (Radford et al. 2016).

What this can't show: that its images aren't copies. `notes` warns of a small training set, and the
copying audit measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

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
from gobelin.networks.condition import ConditionTensors, hide, jitter
from gobelin.networks.convolution import ConvEncoder, DcganDecoder, change, pixels_of, signal_of
from gobelin.networks.training.training import TrainingSettings, descend

CHECKED_EVERY = 8  # steps between two measurements of the critic's overfitting, on average
Batch = tuple[Tensor, ConditionTensors]  # images [N, C, H, W] in -1 .. 1, their conditions

USUAL_STEPS = 1500  # by default, for 1,000 images of 32 x 32 pixels


@settings_class
class Gan:
    """Settings."""

    width: int = setting(
        default=32,
        ge=1,
        le=1024,
        description="Channels of the generator at full size, doubled at each halving.",
    )
    critic_width: int = setting(
        default=32,
        ge=1,
        le=1024,
        description="Channels of the critic at full size, doubled at each halving.",
    )
    code: int = setting(
        default=64,
        ge=1,
        le=4096,
        description="Numbers of the noise, and of the condition beside it.",
    )
    batch: int = setting(default=64, ge=2, le=65536, description="Images in a training step.")
    rate: float = setting(
        default=1e-3, ge=1e-9, le=1, description="Learning rate of the generator's Adam."
    )
    critic_rate: float = setting(
        default=1e-3, ge=1e-9, le=1, description="Learning rate of the critic's Adam."
    )
    beta1: float = setting(
        default=0.0, ge=0, le=0.9999, description="Decay of Adam's mean of the gradients."
    )
    beta2: float = setting(
        default=0.99,
        ge=0,
        le=0.9999999,
        description="Decay of Adam's mean of the squared gradients.",
    )
    loss: Literal["relativistic", "plain"] = setting(
        default="relativistic", description="Adversarial loss. plain is binary cross-entropy."
    )
    penalty: float = setting(
        default=0.2, ge=0, le=1e6, description="Weight gamma of the gradient penalties R1 and R2."
    )
    reach: float = setting(
        default=0.05,
        ge=1e-6,
        le=10,
        description="Length of the step that measures the gradient penalties.",
    )
    critic_norm: bool = setting(
        default=False, description="Whether the critic has batch normalisation (DCGAN)."
    )
    deviation: Literal["auto", "always", "never"] = setting(
        default="auto",
        description="Whether the critic sees how a batch varies. auto: without conditions.",
    )
    whole: float = setting(
        default=0.6,
        ge=0,
        le=1,
        description="Share of a batch that keeps its whole condition. The rest hides any subset.",
    )
    jitter: float = setting(
        default=0.5, ge=0, le=100, description="Length of the noise on a condition's unit vectors."
    )
    overfit: float = setting(
        default=0.5,
        ge=0,
        le=1,
        description="Overfitting of the critic from which augmentation grows. 1 means never.",
    )
    growth: int = setting(
        default=500_000,
        ge=1,
        le=1e12,
        description="Images in which augmentation can grow from none to all.",
    )
    warmup: int = setting(
        default=100, ge=0, le=1_000_000_000, description="Steps in which the learning rate rises."
    )
    cooldown: float = setting(
        default=0.5, ge=0, le=1, description="Share of the training with a falling learning rate."
    )
    half_life: float = setting(
        default=500.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "minutes of training on a processor, one evaluation an image"
    least_steps: ClassVar[int] = 400  # see `generation.counts`

    def steps_for(self, images: int, size: tuple[int, int, int]) -> int:
        """The count of training steps by default, from the data alone."""
        return steps_by_data(USUAL_STEPS, self.least_steps, images, size)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> GanSampler:
        """Train for `context.steps`. `valid` tells how far the critic overfits, which decides how
        often it sees augmented images, and how far generated images are from it."""
        task = _Duel(self, train, valid, context.runtime)
        sampler = GanSampler(self, task.learned, task.maker, context.runtime)
        fit = Fit(sampler, train, valid, context, self.batch)
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
            averaged=("maker",),
            half_life=self.half_life,
            warmup=self.warmup,
            cooldown=self.cooldown,
        )
        return fit.run(task, _batches(task, train), settings, watch)

    def load(self, folder: Path, runtime: Runtime) -> GanSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        return restored(
            GanSampler,
            folder,
            runtime,
            Gan,
            ConditionalMaker,
            memory_format=torch.channels_last,
        )


class ConditionalMaker(nn.Module):
    """Noise [N, K] and a condition -> image [N, C, H, W] in -1 .. 1."""

    def __init__(self, settings: Gan, learned: Learned) -> None:
        super().__init__()
        self.embedding = learned.embedding(settings.code)
        self.maker = DcganDecoder(learned.size, 2 * settings.code, settings.width)

    def forward(self, noise: Tensor, parts: ConditionTensors) -> Tensor:
        return self.maker(torch.cat([noise, _unit(self.embedding(parts))], dim=1))


class ConditionalCritic(nn.Module):
    """Image [N, C, H, W], condition -> how real [N]: psi(h) + <e, phi(h)> / sqrt(K) (Miyato and
    Koyama 2018, equation 3)."""

    def __init__(self, settings: Gan, learned: Learned) -> None:
        super().__init__()
        self.embedding = learned.embedding(settings.code)
        deviation = settings.deviation == "always" or (
            settings.deviation == "auto" and not learned.conditional
        )
        self.reader = ConvEncoder(
            learned.size,
            1 + settings.code,
            settings.critic_width,
            norm=settings.critic_norm,
            deviation=deviation,
        )

    def forward(self, image: Tensor, parts: ConditionTensors, groups: int = 1) -> Tensor:
        """groups: batches that stand one after the other."""
        read = self.reader(image, groups)  # [N, 1 + K]: psi(h) beside phi(h)
        embedded = _unit(self.embedding(parts)).float()
        return read[:, 0] + (read[:, 1:] * embedded).sum(1) / embedded.shape[1] ** 0.5


def _unit(embedded: Tensor) -> Tensor:
    """[N, K] with entries of unit size."""
    return functional.normalize(embedded, dim=1) * embedded.shape[1] ** 0.5


class Amount(nn.Module):
    """How often the critic sees an image augmented, 0 .. 1. It follows the critic's overfitting."""

    def __init__(self) -> None:
        super().__init__()
        self.share: Tensor
        self.register_buffer("share", torch.zeros(()))

    def follow(
        self, train: Tensor, valid: Tensor, generated: Tensor, limit: float, by: float
    ) -> None:
        """r_v = (E D(train) - E D(valid)) / (E D(train) - E D(generated)) (Karras et al. 2020,
        equation 1). Over `limit` the share grows by `by`, else it falls by it."""
        lost, whole = float(train.mean() - valid.mean()), float(train.mean() - generated.mean())
        self.share.add_(by if whole > 0 and lost / whole > limit else -by).clamp_(0, 1)

    def changed(self, images: Tensor, rng: torch.Generator) -> Tensor:
        if float(self.share) == 0:
            return images
        which = (torch.rand(len(images), 1, 1, 1, generator=rng) < self.share.cpu()).to(
            images.device
        )
        return torch.where(which, change(images, rng, 0.125, 0.5), images)


class _Duel:
    """The training task: one step of the critic, one of the maker, on the same generated images."""

    def __init__(self, settings: Gan, rows: ImageRows, valid: ImageRows, runtime: Runtime) -> None:
        self.settings, self.runtime, self.valid = settings, runtime, valid
        self.learned = Learned.of("gan", rows)
        self.maker, self.critic = from_seed(
            runtime.seed,
            "gan",
            lambda: (
                ConditionalMaker(settings, self.learned),
                ConditionalCritic(settings, self.learned),
            ),
        )
        self.amount = Amount()
        for network in (self.maker, self.critic):
            standardise(network.embedding, rows)
        self.modules: Mapping[str, nn.Module] = {
            "maker": self.maker,
            "critic": self.critic,
            "amount": self.amount,
        }
        for module in self.modules.values():
            module.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        betas = (settings.beta1, settings.beta2)
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {
            "maker": torch.optim.Adam(self.maker.parameters(), settings.rate, betas, fused=True),
            "critic": torch.optim.Adam(
                self.critic.parameters(), settings.critic_rate, betas, fused=True
            ),
        }

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        real, parts = batch
        shown = jitter(hide(parts, rng, self.settings.whole), rng, self.settings.jitter)
        start = torch.randn(len(real), self.settings.code, generator=rng).to(real.device)
        with self.runtime.autocast():
            generated = self.maker(start, shown)
        critic, slope, real_score = self.teach_critic(real, generated.detach(), shown, rng)
        if (
            self.settings.overfit < 1
            and len(self.valid)
            and float(torch.rand((), generator=rng)) < 1 / CHECKED_EVERY
        ):
            self.measure_overfit(real_score, generated.detach(), shown, rng)
        self.critic.requires_grad_(False)
        score = self.score(self.amount.changed(generated, rng), shown)
        maker = functional.softplus(real_score - score if self.relativistic else -score).mean()
        descend(self.optimisers["maker"], maker)
        self.critic.requires_grad_(True)
        losses = {"critic": critic, "maker": maker, "slope": slope, "changed": self.amount.share}
        return {name: value.detach() for name, value in losses.items()}

    def teach_critic(
        self, real: Tensor, generated: Tensor, parts: ConditionTensors, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of the critic: its loss, its mean squared slope, and its scores of the real
        images [N]."""
        s = self.settings
        shown = [self.amount.changed(real, rng), self.amount.changed(generated, rng)]
        if s.critic_norm:  # statistics of real and generated images apart, as DCGANs are trained
            real_score, generated_score = (self.score(images, parts) for images in shown)
            slope = torch.zeros((), device=real.device)
        else:
            images = torch.cat(shown)
            step = torch.randn(images.shape, generator=rng).to(images.device)
            images = torch.cat([images, images + s.reach * step])
            four = ConditionTensors.together([parts] * 4)
            real_score, generated_score, *moved = self.score(images, four, groups=4).chunk(4)
            # |grad D|^2 = E (D(x + r e) - D(x))^2 / r^2 for small r, e ~ N(0, 1): R1 + R2 without a
            # second derivative
            at_real, at_generated = (
                (a - b).square().mean()
                for a, b in zip(moved, (real_score, generated_score), strict=True)
            )
            slope = (at_real + at_generated) / s.reach**2
        if self.relativistic:
            loss = functional.softplus(generated_score - real_score).mean()
        else:
            loss = functional.softplus(-real_score).mean()
            loss = loss + functional.softplus(generated_score).mean()
        descend(self.optimisers["critic"], loss + s.penalty / 2 * slope)
        return loss, slope, real_score.detach()

    @torch.no_grad()
    def measure_overfit(
        self, real_score: Tensor, generated: Tensor, parts: ConditionTensors, rng: torch.Generator
    ) -> None:
        """Compare the critic's scores of training and of validation images. Where they differ
        much, the critic sees images augmented more often from now on."""
        rows = torch.randint(len(self.valid), (len(generated),), generator=rng)
        images = signal_of(self.valid.images[rows.numpy()]).to(generated.device)
        whole = self.learned.parts("gan", self.valid.condition).rows(rows).to(generated.device)
        valid_score = self.score(self.amount.changed(images, rng), whole)
        generated_score = self.score(self.amount.changed(generated, rng), parts)
        by = len(generated) * CHECKED_EVERY / self.settings.growth
        self.amount.follow(real_score, valid_score, generated_score, self.settings.overfit, by)

    def score(self, images: Tensor, parts: ConditionTensors, groups: int = 1) -> Tensor:
        """How real the critic finds the images, [N]."""
        with self.runtime.autocast():
            return self.critic(images, parts, groups)

    relativistic = property(lambda self: self.settings.loss == "relativistic")


class GanSampler(FittedSampler[Gan, Learned, ConditionalMaker]):
    """A fitted Gan. history: losses by step."""

    name: ClassVar[str] = "gan"
    version: ClassVar[int] = 2
    accepts: ClassVar[frozenset[str]] = Gan.accepts

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C], one evaluation each, in float32. guidance and steps change
        nothing here."""
        for rows in blocks(len(condition), controls.batch):
            parts = self.learned.parts("gan", condition.rows(rows)).to(self.runtime.device)
            start = noise([seeds[k] for k in rows], (self.settings.code,))
            yield pixels_of(self.network(start.to(self.runtime.device), parts))


def _batches(task: _Duel, rows: ImageRows) -> Callable[[int], Batch]:
    """The batch of step t."""
    parts = task.learned.parts("gan", rows.condition)
    return batches_of(rows, parts, task.settings.batch, task.runtime, signal_of)
