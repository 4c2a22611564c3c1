"""Images as sequences with an exact likelihood: a causal transformer over patches, pixel by pixel
inside them.

An image is first reduced to `levels` evenly spaced levels a channel; then every number is predicted
from all before it and from the condition (PixelRNN, van den Oord et al. 2016; MEGABYTE, Yu et al.
2023; NADE inside a patch, Larochelle and Murray 2011). What is learned, sampled and reported is the
likelihood of that quantised image. Eight bits cost at most `networks.sequence.level_bits` more a
dimension: the values inside a level spread uniformly (Theis et al. 2016, section 3.1).

Samples and likelihoods are computed in float64, so that a rounding can't flip a level: an image
depends on its seed, its condition and the weights, not on its batch. Cost of an image: H W C steps,
one after the other: a batch of 64 at 16 x 16 x 3 took 1.4 s on one processor thread, but a single
image of 256 x 256 x 3 (196,608 steps) took 48 s, and a step of training there 5 s. It is made for
images up to about 64 pixels.

What this cannot show: a good likelihood doesn't mean good-looking samples, nor the reverse (Theis
et al. 2016, section 3); likelihoods of other counts of levels or other sizes don't compare; with
few images it memorises them, and `notes` say so."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core import weights
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, derived_seed, generator
from gobelin.generation.generators import (
    Condition,
    Context,
    Controls,
    ImageRows,
    Learned,
    small_set,
    training_identity,
    watching,
)
from gobelin.networks.condition import Parts, hide, jitter
from gobelin.networks.sequence import Patches, PatchSequence, dequantise, quantise
from gobelin.networks.training import TrainingSettings, descend, run, steps_in

FORMAT = 2  # of the saved folder
SCORED, DRAWN = (
    2,
    18,
)  # what an image costs in passes; measured at 16 to 32 pixels: 16 samples take 1 to 3 steps
MOST_PATCHES = 2**14  # of a training step: more need too much memory
MOST_CACHED = 2**25  # numbers in the keys and values of a block of samples, 256 MB
MEASURED_NUMBERS, MEASURED_ROWS = (
    2**17,
    128,
)  # of training and held-out images whose bits are told after a fit
Batch = tuple[Tensor, Parts]  # levels [N, P, K], their conditions


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
        default=0.5,
        ge=0,
        le=100,
        description="Length of the noise added to the unit vectors of a condition.",
    )
    decay: float = setting(default=0.01, ge=0, le=1, description="Weight decay of AdamW.")
    half_life: float = setting(
        default=200.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )
    warmup: int = setting(
        default=50, ge=0, le=1_000_000_000, description="Steps in which the learning rate rises."
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
        "minutes of training on a processor, one evaluation a pixel value: slow beyond 32 pixels"
    )

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width}, heads = {self.heads}: a width that the heads divide was"
                " expected"
            )

    def steps_for(self, rows: ImageRows, runtime: Runtime, minutes: float) -> int:
        """Measured for a few seconds."""
        task = _Reading(self, rows, runtime)
        return steps_in(task, _batches(task, rows), minutes, runtime)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> AutoregressiveSampler:
        """Train for `context.steps`; `valid` is only measured: how many bits images cost that it
        never saw."""
        task, runtime = _Reading(self, train, context.runtime), context.runtime
        settings = TrainingSettings(
            context.steps,
            runtime.seed,
            ("network",),
            self.half_life,
            clip=1.0,
            warmup=self.warmup,
            cooldown=self.cooldown,
        )
        batches, identity = _batches(task, train), training_identity(self, train, valid)

        def sampler() -> AutoregressiveSampler:
            return AutoregressiveSampler(
                self, task.learned, _exact(task.network, runtime), runtime, (), ()
            )

        watch = watching(
            "autoregressive",
            valid,
            context,
            task.batch,
            (SCORED, DRAWN),
            task.bits,
            lambda *asked: sampler().sample(*asked),
        )
        outcome = run(
            task,
            batches,
            settings,
            context.folder,
            identity,
            context.progress,
            "autoregressive",
            watch,
        )
        task.network.load_state_dict(outcome.averages["network"])
        best = sampler()
        bits = {"bits_train": best.mean_bits(train), "bits_valid": best.mean_bits(valid)}
        notes = [
            *small_set("autoregressive", len(train), outcome.best_step * task.batch),
            *outcome.notes,
        ]
        if (
            bits["bits_train"] is not None
            and bits["bits_valid"] is not None
            and bits["bits_valid"] > 1.1 * bits["bits_train"]
        ):
            notes.append(
                f"autoregressive: held-out images cost {bits['bits_valid']:.2f} bits a dimension,"
                f" training images {bits['bits_train']:.2f}: it memorises. Train for fewer minutes"
                " or with more images."
            )
        history = (*outcome.history, {"step": outcome.best_step, **bits})
        return replace(best, notes=tuple(notes), history=history)

    def load(self, folder: Path, runtime: Runtime) -> AutoregressiveSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        config = weights.config_of(folder, FORMAT)
        settings, learned = (
            Autoregressive(**config["settings"]),
            Learned.from_dict(config["learned"]),
        )
        network = fresh(settings, learned)
        weights.fill(folder, config, network)
        notes, history = tuple(config["notes"]), tuple(config["history"])
        return AutoregressiveSampler(
            settings, learned, _exact(network, runtime), runtime, notes, history
        )


def fresh(settings: Autoregressive, learned: Learned) -> PatchSequence:
    """The network with fresh weights."""
    patches = (
        Patches(learned.size, settings.patch) if settings.patch else Patches.fitting(learned.size)
    )
    sizes = (settings.width, settings.depth, settings.heads, settings.hidden)
    return PatchSequence(patches, settings.levels, learned.embedding(settings.width), *sizes)


class _Reading:
    """The training task: one network learns what comes next. batch: images a step."""

    def __init__(self, settings: Autoregressive, rows: ImageRows, runtime: Runtime) -> None:
        self.settings, self.learned, self.runtime = (
            settings,
            Learned.of("autoregressive", rows),
            runtime,
        )
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(runtime.seed, "autoregressive"))
            self.network = fresh(settings, self.learned)
        self.patches = self.network.patches
        self.batch = max(1, min(settings.batch, MOST_PATCHES // self.patches.count))
        some = rows.seen[:: max(1, len(rows.seen) // 1024)]
        self.network.start_from(self.patches.cut(quantise(rows.images[some], settings.levels)))
        if rows.condition.target is not None:
            self.network.embedding.standardise(rows.condition.target[rows.seen])
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
        some, total = rows.first(MEASURED_ROWS), 0.0
        level, parts = (
            self.patches.cut(quantise(some.images, self.settings.levels)),
            self.parts(some),
        )
        for first in range(0, len(some), self.batch):
            block, device = slice(first, first + self.batch), self.runtime.device
            total -= float(
                self.network(level[block].to(device), parts.rows(block).to(device)).double().sum()
            )
        return total / (math.log(2) * some.images.size)

    def parts(self, rows: ImageRows) -> Parts:
        return self.learned.parts("autoregressive", rows.condition)


@dataclass(frozen=True, eq=False)
class AutoregressiveSampler:
    """A fitted Autoregressive, its network in float64. notes: what a reader must know. history:
    bits by step."""

    settings: Autoregressive
    learned: Learned
    network: PatchSequence
    runtime: Runtime
    notes: tuple[str, ...]
    history: tuple[dict[str, Any], ...]

    accepts: ClassVar[frozenset[str]] = Autoregressive.accepts
    size = property(lambda self: self.learned.size)  # H, W, C

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]; n is less than `controls.batch` where the memory asks for
        it. guidance: how far the logits are pulled towards the condition, at twice the cost. steps
        and strength have no meaning here."""
        cached = 2 * self.network.patches.count * self.settings.width * max(1, self.settings.depth)
        most = max(
            1, min(controls.batch, MOST_CACHED // cached // (1 + (controls.guidance != 1.0)))
        )
        for start in range(0, len(condition), most):
            rows = range(start, min(start + most, len(condition)))
            streams = [generator(seeds[k], "noise") for k in rows]
            uniform = torch.stack(
                [
                    torch.rand(math.prod(self.size), generator=g, dtype=torch.float64)
                    for g in streams
                ]
            )
            parts = self._parts(condition.rows(rows))
            level, _ = self.network.draw(uniform.to(parts.present.device), parts, controls.guidance)
            yield dequantise(self.network.patches.join(level), self.settings.levels)

    @torch.no_grad()
    def log_likelihood(self, rows: ImageRows) -> np.ndarray:
        """float64 [N]: log2 p(quantised image | condition) / (H W C), exact; the bits per dimension
        are its negative.

        Each row is read with all the parts of its condition; for log2 p(image), empty the
        conditions first."""
        found = tuple(rows.images.shape[1:])
        if found != self.size:
            raise GobelinError(
                f"autoregressive: learned images of {self.size}, found {found}. Resize them with"
                " size=..."
            )
        out, most = [np.zeros(0)], max(1, MOST_PATCHES // 4 // self.network.patches.count)
        for start in range(0, len(rows), most):
            some = range(start, min(start + most, len(rows)))
            level = self.network.patches.cut(
                quantise(rows.images[start : some.stop], self.settings.levels)
            )
            logs = self.network(
                level.to(self.network.place.device), self._parts(rows.condition.rows(some))
            )
            out.append(logs.sum((1, 2)).cpu().numpy() / (math.log(2) * math.prod(self.size)))
        return np.concatenate(out)

    def mean_bits(self, rows: ImageRows) -> float | None:
        """Bits per dimension of the first rows, as many as take moments."""
        some = rows.first(min(MEASURED_ROWS, max(4, MEASURED_NUMBERS // math.prod(self.size))))
        return -float(self.log_likelihood(some).mean()) if len(some) else None

    def _parts(self, condition: Condition) -> Parts:
        """The condition in float64, where the network is."""
        parts = self.learned.parts("autoregressive", condition).to(self.network.place.device)
        return Parts(
            parts.vectors.double(),
            parts.present,
            parts.target.double() if self.learned.number else parts.target,
        )

    def _as_learned(self) -> PatchSequence:
        """The network in float32."""
        return copy.deepcopy(self.network).cpu().float()

    def fingerprint(self) -> str:
        return weights.fingerprint(self._as_learned(), asdict(self.settings), asdict(self.learned))

    def save(self, folder: Path) -> None:
        config = {"settings": asdict(self.settings), "learned": asdict(self.learned)}
        weights.save(
            folder,
            config | {"notes": self.notes, "history": self.history},
            self._as_learned(),
            FORMAT,
        )


def _exact(network: PatchSequence, runtime: Runtime) -> PatchSequence:
    """A copy in float64, on the processor where the device has no float64."""
    device = "cpu" if runtime.device.startswith("mps") else runtime.device
    return copy.deepcopy(network).cpu().double().to(device).eval().requires_grad_(False)


def _batches(task: _Reading, rows: ImageRows) -> Callable[[int], Batch]:
    """The batch of step t: shuffled rows as levels, and their conditions."""
    parts, device = task.parts(rows), task.runtime.device

    def batch(step: int) -> Batch:
        index = rows.drawn(step, task.batch, task.runtime.seed)
        level = task.patches.cut(quantise(rows.images[index.numpy()], task.settings.levels))
        return level.to(device), parts.rows(index).to(device)

    return batch
