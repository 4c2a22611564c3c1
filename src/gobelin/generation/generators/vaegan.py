"""Images from a small code, sharpened by a critic; which codes, a condition says (VAE/GAN, Larsen
et al. 2016).

Four networks learn together: an encoder turns an image into a code, a maker turns the code back, a
critic tells made images from real ones (hinge loss, Lim and Ye 2017, both seen through
differentiable augmentation), and a prior learns which codes belong to a condition. Sampling draws a
code from the prior and runs the maker once.

The condition enters through the prior alone: a maker that sees it (projection critic, hidden
fields) answered "class only" and "nothing" with nearly one image each on 1,300 images. What this
can't show: that its images aren't copies. A small training set is memorised in part;
`VaeganSampler.notes` says so and the copying audit measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

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
from gobelin.networks.condition import CodePrior, Parts, hide, jitter, mix_codes
from gobelin.networks.convolution import (
    ConvDecoder,
    ConvEncoder,
    change,
    pixels_of,
    pyramid_distance,
    signal_of,
)
from gobelin.networks.training import TrainingSettings, descend, run, steps_in, steps_in_phases

FORMAT = 2  # of the saved folder
Batch = tuple[
    Tensor, Parts, float
]  # images [N, C, H, W] in -1 .. 1, their conditions, share of the training done


@settings_class
class Vaegan:
    """Settings."""

    width: int = setting(
        default=16,
        ge=1,
        le=1024,
        description="Channels of the generator at full size, doubled at each halving.",
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
        default=0.5,
        ge=0,
        le=100,
        description="Length of the noise added to the unit vectors of a condition.",
    )
    half_life: float = setting(
        default=200.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )
    cooldown: float = setting(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the training in which the learning rate falls to 0.",
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = (
        "minutes of training on a processor, one evaluation an image and 8 of a small prior"
    )

    def steps_for(self, rows: ImageRows, runtime: Runtime, minutes: float) -> int:
        """Measured before and after the critic begins, a few seconds each."""

        def steps_an_hour(done: float) -> int:
            task = _Duel(self, rows, runtime)
            return steps_in(task, _batches(task, rows, lambda step: done), 60.0, runtime)

        return steps_in_phases(self.start, steps_an_hour, minutes)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> VaeganSampler:
        """Train for `context.steps`; `valid` is only measured: how far made images are from it, and
        how well the maker returns images that it never saw."""
        task, runtime = _Duel(self, train, context.runtime), context.runtime
        batches = _batches(task, train, lambda step: step / context.steps)
        averaged = ("encoder", "maker", "prior")
        settings = TrainingSettings(
            context.steps, runtime.seed, averaged, self.half_life, cooldown=self.cooldown
        )
        sampler = VaeganSampler(self, task.learned, task.network, runtime, (), ())
        watch = watching(
            "vaegan",
            valid,
            context,
            self.batch,
            (1, 1),
            lambda rows: distance_to(sampler.sample, rows),
            sampler.sample,
            decides=False,
        )
        identity = training_identity(self, train, valid)
        outcome = run(
            task, batches, settings, context.folder, identity, context.progress, "vaegan", watch
        )
        for name, average in outcome.averages.items():
            task.modules[name].load_state_dict(average)
        last = {
            "step": outcome.best_step,
            "distance_train": task.distance(train),
            "distance_valid": task.distance(valid),
        }
        task.network.eval().requires_grad_(False)
        notes = (*small_set("vaegan", len(train), outcome.best_step * self.batch), *outcome.notes)
        return replace(sampler, notes=notes, history=(*outcome.history, last))

    def load(self, folder: Path, runtime: Runtime) -> VaeganSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        config = weights.config_of(folder, FORMAT)
        settings, learned = Vaegan(**config["settings"]), Learned.from_dict(config["learned"])
        network = networks(settings, learned).eval().requires_grad_(False)
        weights.fill(folder, config, network)
        network.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return VaeganSampler(
            settings, learned, network, runtime, tuple(config["notes"]), tuple(config["history"])
        )


def networks(settings: Vaegan, learned: Learned) -> nn.ModuleDict:
    """The two networks that sampling needs, with fresh weights."""
    prior = CodePrior(
        learned.embedding(settings.prior_width),
        settings.code,
        settings.prior_width,
        settings.prior_depth,
    )
    return nn.ModuleDict(
        {"maker": ConvDecoder(learned.size, settings.code, settings.width), "prior": prior}
    )


class _Duel:
    """The training task: encoder and maker against critic, and the prior beside them."""

    def __init__(self, settings: Vaegan, rows: ImageRows, runtime: Runtime) -> None:
        self.settings, self.learned, self.runtime = settings, Learned.of("vaegan", rows), runtime
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(runtime.seed, "vaegan"))
            self.network = networks(settings, self.learned)
            self.maker, self.prior = (
                cast(ConvDecoder, self.network["maker"]),
                cast(CodePrior, self.network["prior"]),
            )
            reader = ConvEncoder(self.learned.size, settings.code, settings.width)
            self.encoder = nn.Sequential(
                reader, nn.BatchNorm1d(settings.code, affine=False, momentum=0.02)
            )
            self.critic = ConvEncoder(self.learned.size, 1, settings.width, hidden=128)
        if rows.condition.target is not None:
            self.prior.embedding.standardise(rows.condition.target[rows.seen])
        self.modules: Mapping[str, nn.Module] = {
            "encoder": self.encoder,
            "maker": self.maker,
            "critic": self.critic,
            "prior": self.prior,
        }
        for module in self.modules.values():
            module.to(runtime.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
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
            noise = torch.randn(code.shape, generator=rng).to(code.device)
            made = self.maker(mix_codes(code + self.settings.code_noise * noise, mixed, rng))
            distance = pyramid_distance(made[mixed:], real[mixed:])
        critic, fooled = (
            self.judge(real, made, rng) if judged else (torch.zeros(()), torch.zeros(()))
        )
        descend(
            self.optimisers["maker"],
            distance + self.settings.sharpness * fooled.to(distance.device),
        )
        prior = self.learn_prior(code.detach(), parts, rng)
        losses = {"distance": distance, "critic": critic, "fooled": fooled, "prior": prior}
        return {name: loss.detach() for name, loss in losses.items()}

    def judge(self, real: Tensor, made: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One step of the critic, then what it says of the made images (hinge, Lim and Ye 2017,
        equations 6 and 7)."""

        def says(images: Tensor) -> Tensor:
            with self.runtime.autocast():
                return self.critic(images)

        def seen(images: Tensor) -> Tensor:
            return change(
                images, rng, self.settings.shift, self.settings.hole, self.settings.colour
            )

        says_real, says_made = says(torch.cat([seen(real), seen(made.detach())])).chunk(2)
        loss = functional.relu(1 - says_real).mean() + functional.relu(1 + says_made).mean()
        descend(self.optimisers["critic"], loss)
        self.critic.requires_grad_(False)
        fooled = -says(seen(made)).mean()
        self.critic.requires_grad_(True)
        return loss, fooled

    def learn_prior(self, code: Tensor, parts: Parts, rng: torch.Generator) -> Tensor:
        """One step of the prior on every code several times, with other noise and other hidden
        parts."""
        again = torch.arange(len(code), device=code.device).repeat(self.settings.prior_repeats)
        shown = jitter(hide(parts.rows(again), rng), rng, self.settings.jitter)
        with self.runtime.autocast():
            loss = self.prior.loss(code[again], shown, rng)
        descend(self.optimisers["prior"], loss)
        return loss

    @torch.no_grad()
    def distance(self, rows: ImageRows, most: int = 256) -> float | None:
        """Pyramid distance between the first rows' images and what the maker makes of their codes;
        evaluation mode."""
        if not len(rows):
            return None
        self.encoder.eval(), self.maker.eval()
        real = signal_of(rows.images[:most]).to(self.runtime.device)
        return float(pyramid_distance(self.maker(self.encoder(real)), real))


@dataclass(frozen=True, eq=False)
class VaeganSampler:
    """A fitted Vaegan. notes: what a reader must know. history: losses and distances by step."""

    settings: Vaegan
    learned: Learned
    network: nn.ModuleDict
    runtime: Runtime
    notes: tuple[str, ...]
    history: tuple[dict[str, Any], ...]

    accepts: ClassVar[frozenset[str]] = Vaegan.accepts
    size = property(lambda self: self.learned.size)  # H, W, C

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]. guidance: how far the prior's flow is pulled towards the
        condition. steps: evaluations of the prior, 0 = 8. Computed in float32."""
        steps = max(1, (controls.steps or 8) // 2)  # Heun evaluates twice a step
        prior = cast(CodePrior, self.network["prior"])
        for start in range(0, len(condition), controls.batch):
            rows = range(start, min(start + controls.batch, len(condition)))
            parts = self.learned.parts("vaegan", condition.rows(rows)).to(self.runtime.device)
            noise = torch.stack(
                [
                    torch.randn(self.settings.code, generator=generator(seeds[k], "noise"))
                    for k in rows
                ]
            )
            code = prior.draw(noise.to(self.runtime.device), parts, controls.guidance, steps)
            yield pixels_of(self.network["maker"](code))

    def fingerprint(self) -> str:
        return weights.fingerprint(self.network, asdict(self.settings), asdict(self.learned))

    def save(self, folder: Path) -> None:
        config = {"settings": asdict(self.settings), "learned": asdict(self.learned)}
        weights.save(
            folder, config | {"notes": self.notes, "history": self.history}, self.network, FORMAT
        )


def _batches(task: _Duel, rows: ImageRows, done: Callable[[int], float]) -> Callable[[int], Batch]:
    """The batch of step t: shuffled rows, their conditions, and how much of the training is
    done."""
    parts, device = task.learned.parts("vaegan", rows.condition), task.runtime.device

    def batch(step: int) -> Batch:
        index = rows.drawn(step, task.settings.batch, task.runtime.seed)
        return (
            signal_of(rows.images[index.numpy()]).to(device),
            parts.rows(index).to(device),
            done(step),
        )

    return batch
