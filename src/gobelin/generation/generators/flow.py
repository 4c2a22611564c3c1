"""Images from noise along a learned straight path, for any part of a condition (conditional flow
matching).

A transformer on patches learns the velocity that carries noise into images (Lipman et al. 2023;
rectified flow, Liu et al. 2023). Fields and target are hidden at random while it learns, so that
one network answers every subset of a condition, the empty one too, and can be pulled towards it
(classifier-free guidance, Ho and Salimans 2022). Towards the end of the training a part of every
batch learns to take long strides at once, up to the whole way, each from two of its own strides of
half the length (shortcut models, Frans et al. 2025): with them one or two evaluations make an
image.

What this cannot show: that its images are no copies (a small training set, seen often, is memorised
in part: `notes` says so, the copying audit measures it), nor how likely an image is: `row_loss`
compares rows with each other and is no likelihood. There is no one-step mode (no distillation, no
mean flow): one evaluation gives the mean image of the condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core import weights
from gobelin.core.config import setting, settings_class
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
from gobelin.networks import flow_path
from gobelin.networks.condition import ConditionEmbedding, Parts, hide, jitter
from gobelin.networks.convolution import pixels_of, signal_of
from gobelin.networks.flow_path import Solver, Times, Velocity, VelocityField
from gobelin.networks.training import TrainingSettings, descend, run, steps_in, steps_in_phases
from gobelin.networks.transformer import PatchTransformer, canvas, padded, patch_for

FORMAT, MEASURED, BLOCK = 3, 2048, 64  # of the saved folder; images for m and s; rows at once
STRIDES = 2  # more evaluations do better along the velocity (docs/log.md)
Batch = tuple[
    Tensor, Parts, float
]  # images [N, C, H, W] in -1 .. 1 on whole patches, their conditions, share of training done


@settings_class
class Flow:
    """Settings."""

    width: int = setting(
        default=192, ge=4, le=8192, description="Width of the transformer. A multiple of heads."
    )
    depth: int = setting(default=4, ge=1, le=128, description="Blocks of the transformer.")
    heads: int = setting(default=3, ge=1, le=128, description="Attention heads of a block.")
    patch: int = setting(
        default=0,
        ge=0,
        le=256,
        description="Side of a patch in pixels. 0 chooses by the image size.",
    )
    batch: int = setting(default=64, ge=1, le=65536, description="Images in a training step.")
    rate: float = setting(default=1e-3, ge=1e-9, le=1, description="Learning rate of AdamW.")
    warmup: int = setting(
        default=50, ge=0, le=1_000_000_000, description="Steps in which the learning rate rises."
    )
    cooldown: float = setting(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the training in which the learning rate falls to 0.",
    )
    decay: float = setting(default=0.01, ge=0, le=10, description="Weight decay of AdamW.")
    clip: float = setting(default=1.0, ge=0, le=1e9, description="Largest norm of the gradient.")
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
    times: Times = setting(
        default="uniform",
        description="Times that are learned. logit-normal seldom learns the coarse start.",
    )
    half_life: float = setting(
        default=500.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )
    shortcuts: float = setting(
        default=0.25,
        ge=0,
        le=1,
        description="Share of a batch that learns long strides. 0 learns none.",
    )
    begin: float = setting(
        default=0.7,
        ge=0,
        le=1,
        description="Share of the training after which long strides are learned.",
    )
    evaluations: int = setting(
        default=8,
        ge=1,
        le=10000,
        description="Evaluations of the network for an image. One or two are long strides.",
    )
    solver: Solver = setting(default="adams", description="Solver that follows the velocity.")
    exact: bool = setting(
        default=True,
        description="Whether to sample in float32. Otherwise an image can depend on its batch.",
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "minutes of training on a processor, 8 evaluations an image, or 1 or 2"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width}, a multiple of heads = {self.heads} was expected"
            )

    def steps_for(self, rows: ImageRows, runtime: Runtime, minutes: float) -> int:
        """Measured before and after long strides are learned, a few seconds each."""

        def steps_an_hour(done: float) -> int:
            task = _Learning(self, rows, runtime)
            return steps_in(task, _batches(task, rows, lambda step: done), 60.0, runtime)

        return steps_in_phases(self.begin, steps_an_hour, minutes)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> FlowSampler:
        """Train for `context.steps`; `valid` is only measured: its loss with fixed noises and
        times."""
        task, runtime, kept = (
            _Learning(self, train, context.runtime),
            context.runtime,
            ("velocity",),
        )
        settings = TrainingSettings(
            context.steps,
            runtime.seed,
            kept,
            self.half_life,
            0.05,
            self.clip,
            self.warmup,
            self.cooldown,
        )
        sampler = FlowSampler(self, task.learned, task.velocity, runtime, (), ())
        watch = watching(
            "flow",
            valid,
            context,
            self.batch,
            (1, self.evaluations),
            lambda rows: float(sampler.row_loss(rows, 1).mean()),
            sampler.sample,
        )
        batches = _batches(task, train, lambda step: step / context.steps)
        identity = training_identity(self, train, valid)
        outcome = run(
            task, batches, settings, context.folder, identity, context.progress, "flow", watch
        )
        task.velocity.eval().requires_grad_(False).load_state_dict(outcome.averages["velocity"])
        last = {
            "step": outcome.best_step,
            "loss_train": sampler.mean_loss(train),
            "loss_valid": sampler.mean_loss(valid),
        }
        notes = (*small_set("flow", len(train), outcome.best_step * self.batch), *outcome.notes)
        return replace(sampler, notes=notes, history=(*outcome.history, last))

    def load(self, folder: Path, runtime: Runtime) -> FlowSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        config = weights.config_of(folder, FORMAT)
        settings, learned = Flow(**config["settings"]), Learned.from_dict(config["learned"])
        velocity = (
            Canvas.of(settings, learned).velocity(settings, learned).eval().requires_grad_(False)
        )
        weights.fill(folder, config, velocity)
        velocity.to(runtime.device)
        return FlowSampler(
            settings, learned, velocity, runtime, tuple(config["notes"]), tuple(config["history"])
        )


@dataclass(frozen=True)
class Canvas:
    """Whole patches that hold an image. size: C, H, W of them. patch: side in pixels."""

    size: tuple[int, int, int]
    patch: int

    @staticmethod
    def of(settings: Flow, learned: Learned) -> Canvas:
        patch = settings.patch or patch_for(*learned.size[:2])
        return Canvas((learned.size[2], *canvas(*learned.size[:2], patch)), patch)

    def signal(self, images: np.ndarray) -> Tensor:
        """uint8 [N, H, W, C] -> float32 on the canvas, -1 .. 1."""
        return padded(signal_of(images), self.patch)

    def velocity(self, settings: Flow, learned: Learned) -> Velocity:
        """The network with fresh weights."""
        embedding = learned.embedding(settings.width)
        transformer = PatchTransformer(
            self.size, self.patch, settings.width, settings.depth, settings.heads
        )
        return Velocity(transformer, embedding, self.size)


class _Learning:
    """The training task: one network, one loss."""

    def __init__(self, settings: Flow, rows: ImageRows, runtime: Runtime) -> None:
        self.settings, self.learned, self.runtime = settings, Learned.of("flow", rows), runtime
        self.canvas = Canvas.of(settings, self.learned)
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(runtime.seed, "flow"))
            self.velocity = self.canvas.velocity(settings, self.learned)
        some = rows.drawn(0, min(MEASURED, len(rows)), derived_seed(runtime.seed, "measure"))
        self.velocity.standardise(self.canvas.signal(rows.images[some.numpy()]))
        if rows.condition.target is not None:
            cast(ConditionEmbedding, self.velocity.embedding).standardise(
                rows.condition.target[rows.seen]
            )
        parameters = self.velocity.to(runtime.device).parameters()
        self.modules: Mapping[str, nn.Module] = {"velocity": self.velocity}
        adam = torch.optim.AdamW(
            parameters, settings.rate, (0.9, 0.98), weight_decay=settings.decay, fused=True
        )
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"velocity": adam}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        image, parts, done = batch
        far = self.far(len(image) if done >= self.settings.begin else 0)
        start = torch.randn(image.shape, generator=rng).to(image.device)
        time, reach = flow_path.times(len(image), self.settings.times, rng), torch.zeros(len(image))
        reach[far], time[far] = flow_path.reaches(len(far), rng)
        time, reach = time.to(image.device), reach.to(image.device)
        between, wanted = flow_path.on_path(image, start, time), image - start
        shown = jitter(hide(parts, rng, self.settings.whole), rng, self.settings.jitter)
        if len(far):
            wanted[far] = self.twice(between[far], time[far], reach[far], shown.rows(far))
        with self.runtime.autocast():
            said = self.velocity(between, time, self.velocity.embedding(shown), reach=reach)
        loss = (said - wanted).square().mean()
        descend(self.optimisers["velocity"], loss)
        return {"loss": loss.detach()}

    def far(self, batch: int) -> Tensor:
        """The rows of a batch that learn long strides, spread evenly: the first rows keep their
        whole condition, see `hide`."""
        count = round(self.settings.shortcuts * batch)
        return torch.arange(count) * batch // max(1, count)

    @torch.no_grad()
    def twice(self, signal: Tensor, time: Tensor, reach: Tensor, parts: Parts) -> Tensor:
        """What the network itself says in two strides of half the reach."""
        with self.runtime.autocast():
            embedded = self.velocity.embedding(parts)
            return flow_path.halves(
                lambda u, t, d: self.velocity(u, t, embedded, reach=d), signal, time, reach
            )


@dataclass(frozen=True, eq=False)
class FlowSampler:
    """A fitted Flow. notes: what a reader must know. history: losses by step, and last those of the
    averaged weights."""

    settings: Flow
    learned: Learned
    velocity: Velocity
    runtime: Runtime
    notes: tuple[str, ...]
    history: tuple[dict[str, Any], ...]

    accepts: ClassVar[frozenset[str]] = Flow.accepts
    size = property(lambda self: self.learned.size)  # H, W, C
    canvas = property(lambda self: Canvas.of(self.settings, self.learned))

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]. steps: evaluations of the velocity, 0 = the setting's."""
        (height, width, _), size = self.size, self.canvas.size
        evaluations = controls.steps or self.settings.evaluations
        far = self.settings.shortcuts > 0 and evaluations <= STRIDES
        reach = 1 / evaluations if far else 0.0
        solver: Solver = "euler" if far else self.settings.solver
        for first in range(0, len(condition), controls.batch):
            rows = range(first, min(first + controls.batch, len(condition)))
            parts = self.learned.parts("flow", condition.rows(rows)).to(self.runtime.device)
            noise = torch.stack(
                [torch.randn(size, generator=generator(seeds[k], "noise")) for k in rows]
            )
            field = self.field(parts, controls.guidance, reach)
            image = flow_path.solve(field, noise.to(self.runtime.device), evaluations, solver)
            yield pixels_of(image[:, :, :height, :width])

    def network(self, parts: Parts, reach: float = 0.0) -> Callable[[Tensor, Tensor], Tensor]:
        """The mean velocity over this reach of u [n, C, H, W] and time [n], given these
        conditions."""
        embedded = self.velocity.embedding(parts)
        return lambda signal, time: self.velocity(
            signal, time, embedded, reach=torch.full_like(time, reach)
        )

    def field(self, parts: Parts, guidance: float, reach: float = 0.0) -> VelocityField:
        """The same at one time for all, pulled towards these conditions."""

        def given(parts: Parts) -> VelocityField:
            return flow_path.at_one_time(
                self.network(parts, reach),
                nullcontext if self.settings.exact else self.runtime.autocast,
            )

        return flow_path.guided(given(parts), given(parts.nothing()), guidance)

    @torch.no_grad()
    def row_loss(self, rows: ImageRows, draws: int = 4) -> Tensor:
        """float32 [N]: each row's flow-matching loss given its whole condition, the mean of `draws`
        noises and times that are fixed by the row's number: two networks, or two sets of rows, are
        compared on the same ones."""
        parts, device, out = (
            self.learned.parts("flow", rows.condition),
            self.runtime.device,
            [torch.zeros(0)],
        )
        for first in range(0, len(rows), BLOCK):
            some = slice(first, min(first + BLOCK, len(rows)))
            velocity = self.network(parts.rows(some).to(device))
            image = self.canvas.signal(rows.images[some]).to(device)
            out.append(
                flow_path.fixed_loss(velocity, image, range(some.start, some.stop), draws).cpu()
            )
        return torch.cat(out)

    def mean_loss(self, rows: ImageRows) -> float | None:
        """Of the first rows."""
        return float(self.row_loss(rows.first(BLOCK)).mean()) if len(rows) else None

    def fingerprint(self) -> str:
        return weights.fingerprint(self.velocity, asdict(self.settings), asdict(self.learned))

    def save(self, folder: Path) -> None:
        config = {"settings": asdict(self.settings), "learned": asdict(self.learned)}
        weights.save(
            folder, config | {"notes": self.notes, "history": self.history}, self.velocity, FORMAT
        )


def _batches(
    task: _Learning, rows: ImageRows, done: Callable[[int], float]
) -> Callable[[int], Batch]:
    """The batch of step t: shuffled rows, their conditions, and how much of the training is
    done."""
    parts, device = task.learned.parts("flow", rows.condition), task.runtime.device

    def batch(step: int) -> Batch:
        index = rows.drawn(step, task.settings.batch, task.runtime.seed)
        return (
            task.canvas.signal(rows.images[index.numpy()]).to(device),
            parts.rows(index).to(device),
            done(step),
        )

    return batch
