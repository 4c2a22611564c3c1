"""Images in one step from noise and a condition: a maker against a critic that compares real and
made (R3GAN, Huang 2024).

The critic learns that a real image is more real than a made one, the maker the reverse
(relativistic loss, Jolicoeur-Martineau 2019), and the critic's slope is kept small at real and at
made images alike (R1 and R2). Both see the condition: the maker as numbers beside its noise, the
critic by a projection (Miyato and Koyama 2018). Fields and target are hidden at random, so that one
network answers every subset of them. Where no row says anything to ask for, the critic sees how
much the images of a batch differ, so that no mode is lost. Small sets: the critic sees through
augmentation, as much as its overfitting asks for (Karras et al. 2020). `recipes/dcgan.toml` turns
all of this off: the plain DCGAN (Radford et al. 2016).

What this can't show: that its images aren't copies; `notes` warns of a small training set and the
copying audit measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core import weights
from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime, derived_seed, generator
from gobelin.generation.generators import (
    Condition,
    Context,
    Controls,
    ImageRows,
    Learned,
    distance_to,
    small_set,
    training_identity,
    watching,
)
from gobelin.networks.condition import Parts, hide, jitter
from gobelin.networks.convolution import ConvEncoder, DcganDecoder, change, pixels_of, signal_of
from gobelin.networks.training import TrainingSettings, descend, run, steps_in

FORMAT, EVERY = 2, 8  # of the saved folder; steps between two looks at the critic's overfitting
Batch = tuple[Tensor, Parts]  # images [N, C, H, W] in -1 .. 1, their conditions


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
        default=0.5,
        ge=0,
        le=100,
        description="Length of the noise added to the unit vectors of a condition.",
    )
    overfit: float = setting(
        default=0.5,
        ge=0,
        le=1,
        description="Overfitting of the critic from which augmentation grows. 1 means never.",
    )
    growth: float = setting(
        default=500_000,
        ge=1,
        le=1e12,
        description="Images in which augmentation can grow from none to all.",
    )
    warmup: int = setting(
        default=100, ge=0, le=1_000_000_000, description="Steps in which the learning rate rises."
    )
    cooldown: float = setting(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the training in which the learning rate falls to 0.",
    )
    half_life: float = setting(
        default=500.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "minutes of training on a processor, one evaluation an image"

    def steps_for(self, rows: ImageRows, runtime: Runtime, minutes: float) -> int:
        """Measured for a few seconds."""
        task = _Duel(self, rows, rows, runtime)
        return steps_in(task, _batches(task, rows), minutes, runtime)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> GanSampler:
        """Train for `context.steps`. `valid` tells the critic's overfitting, with it how much it
        sees changed, and how far made images are from it."""
        task, runtime = _Duel(self, train, valid, context.runtime), context.runtime
        settings = TrainingSettings(
            context.steps,
            runtime.seed,
            ("maker",),
            self.half_life,
            warmup=self.warmup,
            cooldown=self.cooldown,
        )
        sampler = GanSampler(self, task.learned, task.maker, runtime, (), ())
        watch = watching(
            "gan",
            valid,
            context,
            self.batch,
            (1, 1),
            lambda rows: distance_to(sampler.sample, rows),
            sampler.sample,
            decides=False,
        )
        batches, identity = _batches(task, train), training_identity(self, train, valid)
        outcome = run(
            task, batches, settings, context.folder, identity, context.progress, "gan", watch
        )
        task.maker.eval().requires_grad_(False).load_state_dict(outcome.averages["maker"])
        notes = (*small_set("gan", len(train), outcome.best_step * self.batch), *outcome.notes)
        return replace(sampler, notes=notes, history=tuple(outcome.history))

    def load(self, folder: Path, runtime: Runtime) -> GanSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        config = weights.config_of(folder, FORMAT)
        settings, learned = Gan(**config["settings"]), Learned.from_dict(config["learned"])
        maker = ConditionalMaker(settings, learned).eval().requires_grad_(False)
        weights.fill(folder, config, maker)
        maker.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return GanSampler(
            settings, learned, maker, runtime, tuple(config["notes"]), tuple(config["history"])
        )


class ConditionalMaker(nn.Module):
    """Noise [N, K] and a condition -> image [N, C, H, W] in -1 .. 1."""

    def __init__(self, settings: Gan, learned: Learned) -> None:
        super().__init__()
        self.embedding = learned.embedding(settings.code)
        self.maker = DcganDecoder(learned.size, 2 * settings.code, settings.width)

    def forward(self, noise: Tensor, parts: Parts) -> Tensor:
        return self.maker(torch.cat([noise, _unit(self.embedding(parts))], dim=1))


class ConditionalCritic(nn.Module):
    """Image [N, C, H, W], condition -> how real [N]: psi(h) + <e, phi(h)> / sqrt(K) (Miyato and
    Koyama 2018, equation 3)."""

    def __init__(self, settings: Gan, learned: Learned) -> None:
        super().__init__()
        self.embedding = learned.embedding(settings.code)
        deviation = settings.deviation == "always" or (
            settings.deviation == "auto" and not learned.anything
        )
        self.reader = ConvEncoder(
            learned.size,
            1 + settings.code,
            settings.critic_width,
            norm=settings.critic_norm,
            deviation=deviation,
        )

    def forward(self, image: Tensor, parts: Parts, groups: int = 1) -> Tensor:
        """groups: batches that stand one after the other."""
        said = self.reader(image, groups)
        asked = _unit(self.embedding(parts)).float()
        return said[:, 0] + (said[:, 1:] * asked).sum(1) / asked.shape[1] ** 0.5


def _unit(embedded: Tensor) -> Tensor:
    """[N, K] with entries of unit size."""
    return functional.normalize(embedded, dim=1) * embedded.shape[1] ** 0.5


class Amount(nn.Module):
    """How often the critic sees an image changed, 0 .. 1; follows the critic's overfitting."""

    def __init__(self) -> None:
        super().__init__()
        self.share: Tensor
        self.register_buffer("share", torch.zeros(()))

    def follow(self, train: Tensor, valid: Tensor, made: Tensor, limit: float, by: float) -> None:
        """r_v = (E D(train) - E D(valid)) / (E D(train) - E D(made)) (Karras et al. 2020, equation
        1)."""
        lost, whole = float(train.mean() - valid.mean()), float(train.mean() - made.mean())
        self.share.add_(by if whole > 0 and lost / whole > limit else -by).clamp_(0, 1)

    def changed(self, images: Tensor, rng: torch.Generator) -> Tensor:
        if float(self.share) == 0:
            return images
        which = (torch.rand(len(images), 1, 1, 1, generator=rng) < self.share.cpu()).to(
            images.device
        )
        return torch.where(which, change(images, rng, 0.125, 0.5), images)


class _Duel:
    """The training task: one step of the critic, one of the maker, on the same made images."""

    def __init__(self, settings: Gan, rows: ImageRows, valid: ImageRows, runtime: Runtime) -> None:
        self.settings, self.learned, self.runtime, self.valid = (
            settings,
            Learned.of("gan", rows),
            runtime,
            valid,
        )
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(runtime.seed, "gan"))
            self.maker, self.critic = (
                ConditionalMaker(settings, self.learned),
                ConditionalCritic(settings, self.learned),
            )
        self.amount = Amount()
        if rows.condition.target is not None:
            self.maker.embedding.standardise(rows.condition.target[rows.seen])
            self.critic.embedding.standardise(rows.condition.target[rows.seen])
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
        noise = torch.randn(len(real), self.settings.code, generator=rng).to(real.device)
        with self.runtime.autocast():
            made = self.maker(noise, shown)
        critic, slope, says_real = self.teach_critic(real, made.detach(), shown, rng)
        if (
            self.settings.overfit < 1
            and len(self.valid)
            and float(torch.rand((), generator=rng)) < 1 / EVERY
        ):
            self.look(says_real, made.detach(), shown, rng)
        self.critic.requires_grad_(False)
        says_made = self.says(self.amount.changed(made, rng), shown)
        maker = functional.softplus(
            says_real - says_made if self.relativistic else -says_made
        ).mean()
        descend(self.optimisers["maker"], maker)
        self.critic.requires_grad_(True)
        losses = {"critic": critic, "maker": maker, "slope": slope, "changed": self.amount.share}
        return {name: value.detach() for name, value in losses.items()}

    def teach_critic(
        self, real: Tensor, made: Tensor, parts: Parts, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of the critic: its loss, its mean squared slope, and what it said of the real
        images [N]."""
        s = self.settings
        seen = [self.amount.changed(real, rng), self.amount.changed(made, rng)]
        if s.critic_norm:  # statistics of real and made images apart, as DCGANs are trained
            says_real, says_made = (self.says(one, parts) for one in seen)
            slope = torch.zeros((), device=real.device)
        else:
            images = torch.cat(seen)
            images = torch.cat(
                [
                    images,
                    images + s.reach * torch.randn(images.shape, generator=rng).to(images.device),
                ]
            )
            both = Parts.together([parts] * 4)
            says_real, says_made, *moved = self.says(images, both, groups=4).chunk(4)
            # |grad D|^2 = E (D(x + r e) - D(x))^2 / r^2 for small r, e ~ N(0, 1): R1 + R2 without a
            # second derivative
            at_real, at_made = (
                (a - b).square().mean() for a, b in zip(moved, (says_real, says_made), strict=True)
            )
            slope = (at_real + at_made) / s.reach**2
        if self.relativistic:
            loss = functional.softplus(says_made - says_real).mean()
        else:
            loss = functional.softplus(-says_real).mean() + functional.softplus(says_made).mean()
        descend(self.optimisers["critic"], loss + s.penalty / 2 * slope)
        return loss, slope, says_real.detach()

    @torch.no_grad()
    def look(self, says_real: Tensor, made: Tensor, parts: Parts, rng: torch.Generator) -> None:
        """Does the critic tell training images from validation images? Then it sees them changed
        more often."""
        rows = torch.randint(len(self.valid), (len(made),), generator=rng)
        images = signal_of(self.valid.images[rows.numpy()]).to(made.device)
        whole = self.learned.parts("gan", self.valid.condition).rows(rows).to(made.device)
        valid = self.says(self.amount.changed(images, rng), whole)
        by = len(made) * EVERY / self.settings.growth
        self.amount.follow(
            says_real,
            valid,
            self.says(self.amount.changed(made, rng), parts),
            self.settings.overfit,
            by,
        )

    def says(self, images: Tensor, parts: Parts, groups: int = 1) -> Tensor:
        with self.runtime.autocast():
            return self.critic(images, parts, groups)

    relativistic = property(lambda self: self.settings.loss == "relativistic")


@dataclass(frozen=True, eq=False)
class GanSampler:
    """A fitted Gan. notes: what a reader must know. history: losses by step."""

    settings: Gan
    learned: Learned
    maker: ConditionalMaker
    runtime: Runtime
    notes: tuple[str, ...]
    history: tuple[dict[str, Any], ...]

    accepts: ClassVar[frozenset[str]] = Gan.accepts
    size = property(lambda self: self.learned.size)  # H, W, C

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C], one evaluation each, in float32. guidance and steps change
        nothing here."""
        for start in range(0, len(condition), controls.batch):
            rows = range(start, min(start + controls.batch, len(condition)))
            parts = self.learned.parts("gan", condition.rows(rows)).to(self.runtime.device)
            noise = torch.stack(
                [
                    torch.randn(self.settings.code, generator=generator(seeds[k], "noise"))
                    for k in rows
                ]
            )
            yield pixels_of(self.maker(noise.to(self.runtime.device), parts))

    def fingerprint(self) -> str:
        return weights.fingerprint(self.maker, asdict(self.settings), asdict(self.learned))

    def save(self, folder: Path) -> None:
        config = {"settings": asdict(self.settings), "learned": asdict(self.learned)}
        weights.save(
            folder, config | {"notes": self.notes, "history": self.history}, self.maker, FORMAT
        )


def _batches(task: _Duel, rows: ImageRows) -> Callable[[int], Batch]:
    """The batch of step t: shuffled rows and their conditions."""
    parts, device = task.learned.parts("gan", rows.condition), task.runtime.device

    def batch(step: int) -> Batch:
        index = rows.drawn(step, task.settings.batch, task.runtime.seed)
        return signal_of(rows.images[index.numpy()]).to(device), parts.rows(index).to(device)

    return batch
