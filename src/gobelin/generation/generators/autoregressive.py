"""Images as sequences with an exact likelihood, by a causal transformer over patches.

Inside a patch it goes pixel by pixel. An image is first reduced to `levels` evenly spaced levels a
channel. Then every number is predicted from all before it and from the condition (PixelRNN, van den
Oord et al. 2016; MEGABYTE, Yu et al. 2023; NADE inside a patch, Larochelle and Murray 2011). The
likelihood of that quantised image is learned, sampled and reported. Eight bits cost at most
`networks.sequence.level_bits` more a dimension: the values inside a level spread uniformly (Theis
et al. 2016, section 3.1).

Samples and likelihoods are computed in float64, so that a rounding can't flip a level: an image
depends on its seed, its condition and the weights, not on its batch. An image costs H W C steps,
one after the other: a batch of 64 at 16 x 16 x 3 took 1.4 s on one processor thread, but a single
image of 256 x 256 x 3 (196,608 steps) took 48 s, and a step of training there 5 s. It suits images
up to about 64 pixels.

What this cannot show: a good likelihood doesn't mean good-looking samples, nor the reverse (Theis
et al. 2016, section 3). Likelihoods of other counts of levels or other sizes don't compare. With
few images it memorises them, and `notes` say so.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, generator
from gobelin.generation.counts import steps_by_data
from gobelin.generation.fitting import (
    Fit,
    FittedSampler,
    Learned,
    batches_of,
    blocks,
    from_seed,
    restored,
)
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.generation.standardising import standardise
from gobelin.networks.condition import ConditionTensors, hide, jitter
from gobelin.networks.sequence import Patches, PatchSequence, dequantise, quantise
from gobelin.networks.training.training import TrainingSettings, descend

# Costs of an image in forward passes, measured at 16 to 32 pixels: 16 samples take 1 to 3 steps.
PASSES_TO_SCORE = 2
PASSES_TO_DRAW = 18
MOST_PATCHES = 2**14  # of a training step: more need too much memory
MOST_CACHED = 2**25  # numbers in the keys and values of a block of samples: 256 MB
# Training and held-out images whose bits are reported after a fit: at most so many rows, and so
# many rows as hold this count of numbers.
MEASURED_ROWS = 128
MEASURED_NUMBERS = 2**17
MEMORISED = 1.1  # held-out bits over training bits from which a fit is said to memorise
Batch = tuple[Tensor, ConditionTensors]  # levels [N, P, K], their conditions

USUAL_STEPS = 600  # by default, for 1,000 images of 32 x 32 pixels


@settings_class
class Autoregressive:
    """Settings."""

    levels: int = setting(
        default=32,
        ge=2,
        le=256,
        description="Levels of each channel. Fewer levels round the pixels more.",
    )
    patch: int = setting(
        default=0,
        ge=0,
        le=64,
        description="Side of a patch in pixels. 0 chooses by the image size.",
    )
    width: int = setting(
        default=128, ge=1, le=16384, description="Width of the transformer. A multiple of heads."
    )
    depth: int = setting(default=3, ge=0, le=64, description="Blocks of the transformer.")
    heads: int = setting(default=4, ge=1, le=256, description="Attention heads of a block.")
    hidden: int = setting(
        default=96, ge=1, le=16384, description="Width of the network inside a patch."
    )
    batch: int = setting(
        default=32,
        ge=1,
        le=65536,
        description="Images in a training step. Fewer if they have over 16,384 patches.",
    )
    rate: float = setting(default=3e-3, ge=1e-9, le=1, description="Learning rate of AdamW.")
    dropout: float = setting(
        default=0.1,
        ge=0,
        le=0.99,
        description="Share of the residual numbers that is dropped, at all patches alike.",
    )
    jitter: float = setting(
        default=0.5, ge=0, le=100, description="Length of the noise on a condition's unit vectors."
    )
    decay: float = setting(default=0.01, ge=0, le=1, description="Weight decay of AdamW.")
    half_life: float = setting(
        default=200.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )
    warmup: int = setting(
        default=50, ge=0, le=1_000_000_000, description="Steps in which the learning rate rises."
    )
    cooldown: float = setting(
        default=0.3, ge=0, le=1, description="Share of the training with a falling learning rate."
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = (
        "minutes of training on a processor, one evaluation a pixel value: slow beyond 32 pixels"
    )
    least_steps: ClassVar[int] = 400  # see `generation.counts`

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width}, heads = {self.heads}: a width that the heads divide was"
                " expected"
            )

    def steps_for(self, images: int, size: tuple[int, int, int]) -> int:
        """The count of training steps by default, from the data alone."""
        return steps_by_data(USUAL_STEPS, self.least_steps, images, size)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> AutoregressiveSampler:
        """Train for `context.steps`; `valid` is only measured: the bits that held-out images
        cost."""
        task, runtime = _Reading(self, train, context.runtime), context.runtime

        def sampler() -> AutoregressiveSampler:
            # One for each look: it draws with a float64 copy of the weights of that moment.
            return AutoregressiveSampler(self, task.learned, task.network, runtime)

        fit = Fit(sampler(), train, valid, context, task.batch)
        watch = fit.watch(
            task.bits,
            lambda *drawn: sampler().sample(*drawn),
            scored=PASSES_TO_SCORE,
            painted=PASSES_TO_DRAW,
        )
        settings = TrainingSettings(
            context.steps,
            runtime.seed,
            averaged=("network",),
            half_life=self.half_life,
            clip=1.0,
            warmup=self.warmup,
            cooldown=self.cooldown,
        )

        def last() -> dict[str, float | None]:
            best = sampler()
            return {"bits_train": best.mean_bits(train), "bits_valid": best.mean_bits(valid)}

        fitted = fit.run(task, _batches(task, train), settings, watch, last)
        bits = fitted.history[-1]
        warning = _memorises(bits["bits_train"], bits["bits_valid"])
        return replace(fitted, notes=(*fitted.notes, *warning))

    def load(self, folder: Path, runtime: Runtime) -> AutoregressiveSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        return restored(AutoregressiveSampler, folder, runtime, Autoregressive, fresh)


def _memorises(bits_train: float | None, bits_valid: float | None) -> tuple[str, ...]:
    """The warning of a fit whose held-out images cost more bits than its training images."""
    if bits_train is None or bits_valid is None or bits_valid <= MEMORISED * bits_train:
        return ()
    note = (
        f"autoregressive: held-out images cost {bits_valid:.2f} bits a dimension, training images"
        f" {bits_train:.2f}: it memorises. Train for fewer steps or with more images."
    )
    return (note,)


def fresh(settings: Autoregressive, learned: Learned) -> PatchSequence:
    """The network with fresh weights."""
    size = learned.image_size
    patches = Patches(size, settings.patch) if settings.patch else Patches.fitting(size)
    sizes = (settings.width, settings.depth, settings.heads, settings.hidden)
    return PatchSequence(patches, settings.levels, learned.embedding(settings.width), *sizes)


class _Reading:
    """The training task: one network learns what comes next. batch: images a step."""

    def __init__(self, settings: Autoregressive, rows: ImageRows, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime
        self.learned = Learned.of("autoregressive", rows)
        self.network = from_seed(
            runtime.seed, "autoregressive", lambda: fresh(settings, self.learned)
        )
        self.patches = self.network.patches
        self.batch = max(1, min(settings.batch, MOST_PATCHES // self.patches.count))
        some = rows.used[:: max(1, len(rows.used) // 1024)]
        self.network.start_from(self.level(rows.images[some]))
        standardise(self.network.embedding, rows)
        self.network.to(runtime.device)
        self.modules: Mapping[str, nn.Module] = {"network": self.network}
        adam = torch.optim.AdamW(
            self.network.parameters(), settings.rate, (0.9, 0.98), weight_decay=settings.decay
        )
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"network": adam}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        level, parts = batch
        shown = jitter(hide(parts, rng), rng, self.settings.jitter)
        with self.runtime.autocast():
            bits = self.network.loss(level, shown, self.settings.dropout, rng)
        descend(self.optimisers["network"], bits)
        return {"bits": bits.detach()}

    def bits(self, rows: ImageRows) -> float:
        """Bits a dimension of the first rows, in the precision of the training."""
        some, device, total = rows.first(MEASURED_ROWS), self.runtime.device, 0.0
        level, parts = self.level(some.images), self.parts(some)
        for block in blocks(len(some), self.batch):
            part = slice(block.start, block.stop)
            logs = self.network(level[part].to(device), parts.rows(part).to(device))
            total -= float(logs.double().sum())
        return total / (math.log(2) * some.images.size)

    def level(self, images: np.ndarray) -> Tensor:
        """uint8 [N, H, W, C] -> levels [N, P, K]."""
        return self.patches.cut(quantise(images, self.settings.levels))

    def parts(self, rows: ImageRows) -> ConditionTensors:
        return self.learned.parts("autoregressive", rows.condition)


class AutoregressiveSampler(FittedSampler[Autoregressive, Learned, PatchSequence]):
    """A fitted Autoregressive. history: bits by step."""

    name: ClassVar[str] = "autoregressive"
    version: ClassVar[int] = 2
    accepts: ClassVar[frozenset[str]] = Autoregressive.accepts

    @cached_property
    def exact(self) -> PatchSequence:
        """A copy of the network in float64, on the processor where the device has no float64."""
        device = "cpu" if self.runtime.device.startswith("mps") else self.runtime.device
        network = copy.deepcopy(self.network).cpu().double().to(device)
        return network.eval().requires_grad_(False)

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]; n is less than `controls.batch` where the memory asks for
        it. guidance: how far the logits are pulled towards the condition, at twice the cost. steps
        and strength have no meaning here."""
        patches, depth = self.network.patches, max(1, self.settings.depth)
        cached = 2 * patches.count * self.settings.width * depth  # keys and values of an image
        twice = 1 + (controls.guidance != 1.0)
        most = max(1, min(controls.batch, MOST_CACHED // cached // twice))
        for rows in blocks(len(condition), most):
            uniform = torch.stack([_uniform(seeds[k], math.prod(self.size)) for k in rows])
            parts = self._parts(condition.rows(rows))
            level, _ = self.exact.draw(uniform.to(parts.present.device), parts, controls.guidance)
            yield dequantise(patches.join(level), self.settings.levels)

    @torch.no_grad()
    def log_likelihood(self, rows: ImageRows) -> np.ndarray:
        """float64 [N]: log2 p(quantised image | condition) / (H W C), exact; the bits per dimension
        are its negative.

        Each row is read with all the parts of its condition; for log2 p(image), empty the
        conditions first."""
        size = tuple(rows.images.shape[1:])
        if size != self.size:
            raise GobelinError(
                f"autoregressive: learned images of {self.size}, found {size}. Resize them with"
                " size=..."
            )
        network, bits = self.exact, [np.zeros(0)]
        for block in blocks(len(rows), max(1, MOST_PATCHES // 4 // network.patches.count)):
            images = rows.images[block.start : block.stop]
            level = network.patches.cut(quantise(images, self.settings.levels))
            parts = self._parts(rows.condition.rows(block))
            logs = network(level.to(network.place.device), parts)  # nats of each number, [n, P, K]
            bits.append(logs.sum((1, 2)).cpu().numpy() / (math.log(2) * math.prod(self.size)))
        return np.concatenate(bits)

    def row_loss(self, rows: ImageRows) -> Tensor:
        """float64 [N]: bits per dimension of each row."""
        return torch.from_numpy(-self.log_likelihood(rows))

    def mean_bits(self, rows: ImageRows) -> float | None:
        """Bits per dimension of the first rows, of as many as take moments; None of no rows."""
        some = rows.first(min(MEASURED_ROWS, max(4, MEASURED_NUMBERS // math.prod(self.size))))
        return -float(self.log_likelihood(some).mean()) if len(some) else None

    def _parts(self, condition: Condition) -> ConditionTensors:
        """The condition in float64, on the device of `exact`."""
        parts = self.learned.parts("autoregressive", condition).to(self.exact.place.device)
        target = parts.target.double() if self.learned.number else parts.target
        return ConditionTensors(parts.vectors.double(), parts.present, target)


def _uniform(seed: int, count: int) -> Tensor:
    """float64 [count] in 0 .. 1, a function of the seed alone."""
    return torch.rand(count, generator=generator(seed, "noise"), dtype=torch.float64)


def _batches(task: _Reading, rows: ImageRows) -> Callable[[int], Batch]:
    """The batch of step t: shuffled rows as levels, and their conditions."""
    return batches_of(rows, task.parts(rows), task.batch, task.runtime, task.level)
