"""Images and volumes from noise along a learned straight path, for any part of a condition.

This is conditional flow matching. A transformer on patches learns the velocity that carries noise
into images (Lipman et al. 2023; rectified flow, Liu et al. 2023). Fields and target are hidden at
random while it learns. So one network answers every subset of a condition, the empty one too, and
can be pulled towards it (classifier-free guidance, Ho and Salimans 2022). Towards the end of the
training a part of every batch learns long strides, up to the whole way. The target of a stride is
two of the network's own strides of half the length (shortcut models, Frans et al. 2025). With long
strides one or two evaluations make an image.

What this cannot show: that its images are no copies. A small training set that is used often is
memorised in part; `notes` says so, and the copying audit measures it. Nor how likely an image is:
`row_loss` compares rows with each other and is no likelihood. There is no one-step mode (no
distillation, no mean flow): without long strides one evaluation gives the mean image of the
condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime
from gobelin.generation.counts import steps_by_data
from gobelin.generation.fitting import (
    Fit,
    FittedSampler,
    Learned,
    batches_of,
    blocks,
    from_seed,
    noise,
    restored,
)
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.generation.standardising import standardise_velocity
from gobelin.networks import flow_path
from gobelin.networks.condition import ConditionTensors, hide, jitter
from gobelin.networks.convolution import pixels_of, signal_of
from gobelin.networks.dimensions import cropped
from gobelin.networks.flow_path import (
    LOSS_ROWS,
    Solver,
    Times,
    Velocity,
    VelocityField,
)
from gobelin.networks.training.limit import mean_over_first
from gobelin.networks.training.training import descend
from gobelin.networks.transformer import PatchTransformer, canvas, padded, patch_for

STRIDES = 2  # evaluations up to which learned strides are used: more do better without them
Batch = tuple[
    Tensor, ConditionTensors, float
]  # [N, C, H, W] in -1 .. 1, conditions, share of training done

STRIDING_STEP = 1.2  # time of a step with long strides over that of one without, measured
USUAL_STEPS = 1000  # by default, for 1,000 images of 32 x 32 pixels


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
        default=0.3, ge=0, le=1, description="Share of the training with a falling learning rate."
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
        default=0.5, ge=0, le=100, description="Length of the noise on a condition's unit vectors."
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
        default=True, description="Whether to sample in float32, so that batches do not matter."
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target"})
    media: ClassVar[frozenset[str]] = frozenset({"image", "volume", "mesh"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "minutes of training on a processor, 8 evaluations an image, or 1 or 2"
    least_steps: ClassVar[int] = 100  # see `generation.counts`

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"width = {self.width}, a multiple of heads = {self.heads} was expected"
            )

    def steps_for(self, images: int, size: tuple[int, ...]) -> int:
        """The count of training steps by default, from the data alone."""
        return steps_by_data(USUAL_STEPS, self.least_steps, images, size)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> FlowSampler:
        """Train for `context.steps`; `valid` is only measured: its loss with fixed noises and
        times."""
        task = _Learning(self, train, context.runtime)
        sampler = FlowSampler(self, task.learned, task.velocity, context.runtime)
        slower = mean_over_first(self.begin, STRIDING_STEP)
        fit = Fit(sampler, train, valid, context, self.batch, slower)
        batches = _batches(task, train, lambda step: step / context.steps)
        return fit.run_velocity(task, batches)

    def load(self, folder: Path, runtime: Runtime) -> FlowSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        return restored(FlowSampler, folder, runtime, Flow, fresh)


def fresh(settings: Flow, learned: Learned) -> Velocity:
    """The network with fresh weights."""
    return Canvas.of(settings, learned).velocity(settings, learned)


@dataclass(frozen=True)
class Canvas:
    """Whole patches that hold an image."""

    size: tuple[int, ...]  # C, H, W of the patches together, or C, D, H, W
    patch: int  # side of a patch in pixels or voxels

    @staticmethod
    def of(settings: Flow, learned: Learned) -> Canvas:
        *sides, channels = learned.size
        patch = settings.patch or patch_for(sides)
        return Canvas((channels, *canvas(sides, patch)), patch)

    def signal(self, images: np.ndarray) -> Tensor:
        """uint8 [N, H, W, C] or [N, D, H, W, C] -> float32 on the canvas, -1 .. 1."""
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
        self.settings, self.runtime = settings, runtime
        self.learned = Learned.of("flow", rows)
        self.canvas = Canvas.of(settings, self.learned)
        self.velocity = from_seed(runtime.seed, "flow", lambda: fresh(settings, self.learned))
        standardise_velocity(self.velocity, rows, self.canvas.signal, runtime.seed)
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
        # The straight path u_t = (1 - t) u_0 + t u_1 has the velocity u_1 - u_0 everywhere.
        between, target = flow_path.on_path(image, start, time), image - start
        shown = jitter(hide(parts, rng, self.settings.whole), rng, self.settings.jitter)
        if len(far):  # a long stride learns from two of the network's own strides
            target[far] = self.twice(between[far], time[far], reach[far], shown.rows(far))
        with self.runtime.autocast():
            velocity = self.velocity(between, time, self.velocity.embedding(shown), reach=reach)
        loss = (velocity - target).square().mean()
        descend(self.optimisers["velocity"], loss)
        return {"loss": loss.detach()}

    def far(self, batch: int) -> Tensor:
        """The rows of a batch that learn long strides, spread evenly: the first rows keep their
        whole condition, see `hide`."""
        count = round(self.settings.shortcuts * batch)
        return torch.arange(count) * batch // max(1, count)

    @torch.no_grad()
    def twice(self, signal: Tensor, time: Tensor, reach: Tensor, parts: ConditionTensors) -> Tensor:
        """The network's own mean velocity over two strides of half the reach, [n, C, H, W]."""
        with self.runtime.autocast():
            embedded = self.velocity.embedding(parts)
            return flow_path.halves(
                lambda u, t, d: self.velocity(u, t, embedded, reach=d), signal, time, reach
            )


class FlowSampler(FittedSampler[Flow, Learned, Velocity]):
    """A fitted Flow. history: losses by step, and last those of the averaged weights."""

    name: ClassVar[str] = "flow"
    version: ClassVar[int] = 3
    accepts: ClassVar[frozenset[str]] = Flow.accepts
    canvas = property(lambda self: Canvas.of(self.settings, self.learned))

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C]. steps: evaluations of the velocity, 0 = the setting's."""
        device = self.runtime.device
        evaluations = controls.steps or self.settings.evaluations
        far = self.settings.shortcuts > 0 and evaluations <= STRIDES
        reach = 1 / evaluations if far else 0.0
        solver: Solver = "euler" if far else self.settings.solver
        for rows in blocks(len(condition), controls.batch):
            parts = self.learned.parts("flow", condition.rows(rows)).to(device)
            start = noise([seeds[k] for k in rows], self.canvas.size).to(device)
            field = self.field(parts, controls.guidance, reach)
            image = flow_path.solve(field, start, evaluations, solver)
            yield pixels_of(cropped(image, self.size[:-1]))

    def velocity(
        self, parts: ConditionTensors, reach: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The mean velocity over this reach of u [n, C, H, W] and time [n], given these
        conditions."""
        embedded = self.network.embedding(parts)
        return lambda signal, time: self.network(
            signal, time, embedded, reach=torch.full_like(time, reach)
        )

    def field(self, parts: ConditionTensors, guidance: float, reach: float = 0.0) -> VelocityField:
        """The same at one time for all, pulled towards these conditions."""

        def given(parts: ConditionTensors) -> VelocityField:
            return flow_path.at_one_time(
                self.velocity(parts, reach),
                nullcontext if self.settings.exact else self.runtime.autocast,
            )

        return flow_path.guided(given(parts), given(parts.nothing()), guidance)

    @torch.no_grad()
    def row_loss(self, rows: ImageRows, draws: int = 4) -> Tensor:
        """float32 [N]: each row's flow-matching loss given its whole condition, the mean of `draws`
        noises and times that are fixed by the row's number: two networks, or two sets of rows, are
        compared on the same ones."""
        parts, device = self.learned.parts("flow", rows.condition), self.runtime.device
        losses = [torch.zeros(0)]
        for block in blocks(len(rows), LOSS_ROWS):
            some = slice(block.start, block.stop)
            velocity = self.velocity(parts.rows(some).to(device))
            image = self.canvas.signal(rows.images[some]).to(device)
            losses.append(flow_path.fixed_loss(velocity, image, block, draws).cpu())
        return torch.cat(losses)

    def mean_loss(self, rows: ImageRows) -> float | None:
        """Of the first 64 rows; None where there are none."""
        return float(self.row_loss(rows.first(LOSS_ROWS)).mean()) if len(rows) else None


def _batches(
    task: _Learning, rows: ImageRows, done: Callable[[int], float]
) -> Callable[[int], Batch]:
    """The batch of step t. done: the share of the training before step t."""
    parts = task.learned.parts("flow", rows.condition)
    pairs = batches_of(rows, parts, task.settings.batch, task.runtime, task.canvas.signal)
    return lambda step: (*pairs(step), done(step))
