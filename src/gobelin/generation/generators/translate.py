"""Images from images, volumes from volumes: translated from pairs, varied, painted under a mask.

A U-Net learns the velocity that carries noise into images (conditional flow matching, Lipman et al.
2023). Beside the noise it sees the source of the pair and the pixels that are known already (as
Palette, Saharia et al. 2022, does for diffusion). Source, fields and target are hidden at random
while it learns, and rectangles of the image are shown, so that one network answers every subset.
Without pairs it varies a source by starting from the noised source (SDEdit, Meng et al. 2022).

What this cannot show: that a translation is the right one where several are possible. With many
evaluations an image is one of them. With one evaluation it is about their mean, which is blurred
and nearer to the right one on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.generation.counts import steps_by_data
from gobelin.generation.fitting import (
    Fit,
    FittedSampler,
    Learned,
    blocks,
    from_seed,
    noise,
    restored,
)
from gobelin.generation.generators import Condition, Context, Controls, ImageRows, has_target
from gobelin.generation.standardising import filter_velocity, standardise_velocity
from gobelin.networks.condition import ConditionTensors, hide, jitter
from gobelin.networks.convolution import pixels_of, signal_of
from gobelin.networks.dimensions import cropped
from gobelin.networks.flow_path import (
    LOSS_ROWS,
    Solver,
    Velocity,
    VelocityField,
    at_one_time,
    fixed_loss,
    guided,
    path_loss,
    solve,
)
from gobelin.networks.linear_filter import FilteredVelocity
from gobelin.networks.training.training import descend
from gobelin.networks.transformer import canvas, padded
from gobelin.networks.unet import Unet, halvings_for, rectangles, square_for

# Images and sources [N, C, H, W] in -1 .. 1 on the canvas (no sources: None), their conditions.
Batch = tuple[Tensor, Tensor | None, ConditionTensors]

USUAL_STEPS = 1200  # by default, for 1,000 images of 32 x 32 pixels


@settings_class
class Translate:
    """Settings."""

    width: int = setting(default=64, ge=4, le=4096, description="Channels at full size.")
    depth: int = setting(
        default=1, ge=1, le=64, description="Residual blocks of each level, down and up."
    )
    style: int = setting(
        default=128, ge=4, le=8192, description="Length of the vector of time and condition."
    )
    batch: int = setting(default=32, ge=1, le=65536, description="Images in a training step.")
    rate: float = setting(default=2e-3, ge=1e-9, le=1, description="Learning rate of AdamW.")
    warmup: int = setting(
        default=50, ge=0, le=1_000_000_000, description="Steps in which the learning rate rises."
    )
    cooldown: float = setting(
        default=0.4, ge=0, le=1, description="Share of the training with a falling learning rate."
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
    alone: float = setting(
        default=0.1, ge=0, le=1, description="Share of the rows that do not see their source."
    )
    masked: float = setting(
        default=0.25, ge=0, le=1, description="Share of the rows that see a part of their image."
    )
    early: float = setting(
        default=2.0,
        ge=0.1,
        le=10,
        description="Power of the uniform times. Larger values learn the start more often.",
    )
    half_life: float = setting(
        default=300.0, ge=1e-3, le=1e9, description="Half-life of the averaged weights, in steps."
    )
    filter: int = setting(
        default=0, ge=0, le=31, description="Side of a linear filter of the source. 0 = none."
    )
    evaluations: int = setting(
        default=8, ge=1, le=10000, description="Evaluations of the network for an image."
    )
    solver: Solver = setting(default="adams", description="Solver that follows the velocity.")
    exact: bool = setting(
        default=True, description="Whether to sample in float32, so that batches do not matter."
    )

    def __post_init__(self) -> None:
        if self.filter and self.filter % 2 == 0:
            raise ValueError(f"filter = {self.filter} must be odd, so that it has a middle, or 0")

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target", "source", "mask"})
    later: ClassVar[tuple[str, ...]] = ("filter",)  # `core.later`
    media: ClassVar[frozenset[str]] = frozenset({"image", "volume", "mesh"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "minutes of training on a processor, 8 evaluations an image"
    least_steps: ClassVar[int] = 400  # see `generation.counts`

    def steps_for(self, images: int, size: tuple[int, ...]) -> int:
        """The count of training steps by default, from the data alone."""
        return steps_by_data(USUAL_STEPS, self.least_steps, images, size)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> TranslateSampler:
        """Train for `context.steps`, from pairs where `train.condition.source` is given; `valid` is
        only measured: its loss with fixed noises and times."""
        task = _Learning(self, train, context.runtime)
        sampler = TranslateSampler(self, task.shape, task.velocity, context.runtime)
        fit = Fit(sampler, train, valid, context, self.batch)
        return fit.run_velocity(task, _batches(task, train))

    def load(self, folder: Path, runtime: Runtime) -> TranslateSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        return restored(TranslateSampler, folder, runtime, Translate, fresh, PairFacts.restored)


@dataclass(frozen=True)
class PairFacts:
    """What the data decide."""

    learned: Learned
    paired: bool  # whether the rows have sources

    @property
    def size(self) -> tuple[int, ...]:
        """H, W, C, or D, H, W, C."""
        return self.learned.size

    @staticmethod
    def of(rows: ImageRows) -> PairFacts:
        shape = PairFacts(Learned.of("translate", rows), rows.condition.source is not None)
        shape.check(rows.condition.source, rows.condition.mask)
        return shape

    def stored(self) -> dict[str, Any]:
        """The entries of config.json."""
        return asdict(self)

    @staticmethod
    def restored(config: Mapping[str, Any]) -> PairFacts:
        """The inverse of `stored`."""
        return PairFacts(Learned.restored(config), config["paired"])

    def check(self, source: np.ndarray | None, mask: np.ndarray | None) -> None:
        """Sources [N, H, W, C] and masks [N, H, W] must have the size of the images; the same of
        volumes."""
        size = " x ".join(map(str, self.size))
        if source is not None and source.shape[1:] != self.size:
            given = " x ".join(map(str, source.shape[1:]))
            raise GobelinError(
                f"translate: a source of {given}, the images are {size}. Resize the source."
            )
        if mask is not None and source is None:
            raise GobelinError(
                "translate: a mask without a source: there is nothing to keep. Give a source too."
            )
        if mask is not None and mask.shape[1:] != self.sides:
            given = " x ".join(map(str, mask.shape[1:]))
            raise GobelinError(
                f"translate: a mask of {given}, the images are {size}. Resize the mask."
            )

    def parts(self, condition: Condition) -> ConditionTensors:
        """The condition's tensors, if they are of the kind that was learned."""
        return self.learned.parts("translate", condition)

    @property
    def sides(self) -> tuple[int, ...]:
        """H, W, or D, H, W."""
        return self.size[:-1]

    @property
    def halvings(self) -> int:
        return halvings_for(self.sides, square_for(self.sides))

    @property
    def cell(self) -> int:
        """Side in pixels of the coarsest cells; the canvas holds whole ones."""
        return square_for(self.sides) * 2**self.halvings

    def canvas(self) -> tuple[int, ...]:
        """C, H, W on whole cells, or C, D, H, W."""
        return self.size[-1], *canvas(self.sides, self.cell)

    @property
    def no_pixels(self) -> tuple[int, ...]:
        """1, 1, 1: the shape of one number for a whole image, beside the row."""
        return (1,) * len(self.size)

    def signal(self, images: np.ndarray) -> Tensor:
        """uint8 [N, H, W, C] -> float32 on the canvas, -1 .. 1."""
        return padded(signal_of(images), self.cell)

    def beside(self, source: Tensor | None, shown: Tensor, image: Tensor, known: Tensor) -> Tensor:
        """The network's input beside the noise, [N, B, H, W]: the known pixels of the image and,
        learned from pairs, the source. Beside each stands a channel that is 1 where it is given.

        image, source: [N, C, H, W]. known, shown: 1 or 0, [N, 1, H, W] or [N, 1, 1, 1]: where the
        image is known, where the source is shown."""
        flags = torch.ones_like(image[:, :1])
        out = [image * known, flags * known]
        if self.paired:
            out += [torch.zeros_like(image) if source is None else source * shown, flags * shown]
        return torch.cat(out, dim=1)


def fresh(settings: Translate, shape: PairFacts) -> Velocity:
    """The network with fresh weights."""
    channels, square = shape.size[-1], square_for(shape.sides)
    beside = (channels + 1) * (2 if shape.paired else 1)
    levels, sizes = shape.halvings, (settings.width, settings.depth, settings.style)
    unet = Unet(channels, beside, square, levels, *sizes, len(shape.sides))
    embedding = shape.learned.embedding(settings.style)
    if settings.filter and shape.paired and len(shape.sides) == 2:
        return FilteredVelocity(unet, embedding, shape.canvas(), settings.filter)
    return Velocity(unet, embedding, shape.canvas())


class _Learning:
    """The training task: one network, one loss."""

    def __init__(self, settings: Translate, rows: ImageRows, runtime: Runtime) -> None:
        self.settings, self.shape, self.runtime = settings, PairFacts.of(rows), runtime
        self.velocity = from_seed(runtime.seed, "translate", lambda: fresh(settings, self.shape))
        standardise_velocity(self.velocity, rows, self.shape.signal, runtime.seed)
        if isinstance(self.velocity, FilteredVelocity):
            filter_velocity(self.velocity, rows, self.shape.signal, runtime.seed)
        parameters = self.velocity.to(runtime.device).parameters()
        self.modules: Mapping[str, nn.Module] = {"velocity": self.velocity}
        adam = torch.optim.AdamW(
            parameters, settings.rate, (0.9, 0.98), weight_decay=settings.decay, fused=True
        )
        self.optimisers: Mapping[str, torch.optim.Optimizer] = {"velocity": adam}

    def step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        (image, source, parts), s = batch, self.settings
        n, device = len(image), image.device
        start = torch.randn(image.shape, generator=rng).to(device)
        time = (torch.rand(n, generator=rng) ** (1.0 if source is None else s.early)).to(device)
        condition = jitter(hide(parts, rng, s.whole), rng, s.jitter)
        one = self.shape.no_pixels
        shown = (torch.rand(n, *one, generator=rng) >= s.alone).float().to(device)
        known = rectangles(n, image.shape[2:], s.masked, rng).to(device)
        beside = self.shape.beside(source, shown, image, known)
        with self.runtime.autocast():
            embedded = self.velocity.embedding(condition)

            def velocity(signal: Tensor, time: Tensor) -> Tensor:
                # Known pixels have no error: there the velocity is the straight path's own.
                return torch.where(
                    known > 0, image - start, self.velocity(signal, time, embedded, beside)
                )

            loss = path_loss(velocity, image, start, time).mean()
        descend(self.optimisers["velocity"], loss)
        return {"loss": loss.detach()}


class TranslateSampler(FittedSampler[Translate, PairFacts, Velocity]):
    """A fitted Translate. history: losses by step, and last those of the averaged weights."""

    name: ClassVar[str] = "translate"
    version: ClassVar[int] = 2
    accepts: ClassVar[frozenset[str]] = Translate.accepts

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C].
        strength s: starts at time 1 - s from the source noised that far; 0 returns the source, 1
        starts from noise alone (learned from pairs, the network sees the source all the same).
        mask: pixels outside stay the source's, exactly. guidance pulls towards fields and target;
        what a source or a mask asks for is never exaggerated. steps: 0 = the setting's."""
        if not 0 <= controls.strength <= 1:
            raise GobelinError(
                f"translate: strength = {controls.strength}, from 0 (the source) to 1 was expected."
            )
        self.learned.check(condition.source, condition.mask)
        for rows in blocks(len(condition), controls.batch):
            some = condition.rows(rows)
            if some.source is not None and controls.strength == 0:
                yield some.source
                continue
            images = self._block(some, [seeds[k] for k in rows], controls)
            if some.source is not None and some.mask is not None:
                images = np.where(some.mask[..., None], images, some.source)
            yield images

    def _block(self, condition: Condition, seeds: Sequence[int], controls: Controls) -> np.ndarray:
        """uint8 [n, H, W, C]. Known pixels move straight from their noise to their value: that is
        RePaint's (Lugmayr et al. 2022) replacement of the known part at every step."""
        shape, device = self.learned, self.runtime.device
        start = noise(seeds, shape.canvas()).to(device)
        source = None if condition.source is None else shape.signal(condition.source).to(device)
        image = torch.zeros_like(start) if source is None else source
        known = torch.zeros(len(start), *shape.no_pixels, device=device)
        if condition.mask is not None:
            outside = torch.from_numpy(~condition.mask[:, None]).float().to(device)
            known = padded(outside, shape.cell)
        shown = torch.full_like(start[:, :1], source is not None)
        beside = shape.beside(source, shown, image, known)
        velocity = self.field(shape.parts(condition).to(device), beside, controls.guidance)
        left = 1.0 if source is None else controls.strength  # of the way from noise to image

        def field(signal: Tensor, share: float) -> Tensor:
            moved = velocity(signal, 1 - left + left * share)
            return left * torch.where(known > 0, image - start, moved)

        evaluations = controls.steps or self.settings.evaluations
        begin = left * start + (1 - left) * image
        out = solve(field, begin, evaluations, self.settings.solver)
        return pixels_of(cropped(out, shape.sides))

    def velocity(
        self, parts: ConditionTensors, beside: Tensor
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity of u [n, C, H, W] and time [n]. beside: [n, B, H, W]."""
        embedded = self.network.embedding(parts)
        return lambda signal, time: self.network(signal, time, embedded, beside)

    def field(self, parts: ConditionTensors, beside: Tensor, guidance: float) -> VelocityField:
        """The velocity at one time for all, pulled towards these conditions where there are any."""

        def given(parts: ConditionTensors) -> VelocityField:
            return at_one_time(
                self.velocity(parts, beside),
                nullcontext if self.settings.exact else self.runtime.autocast,
            )

        given_any = bool(parts.present.any()) or bool(has_target(parts.target).any())
        return guided(given(parts), given(parts.nothing()), guidance if given_any else 1.0)

    @torch.no_grad()
    def row_loss(self, rows: ImageRows, draws: int = 4) -> Tensor:
        """float32 [N]: each row's flow-matching loss given its source and whole condition, the mean
        of `draws` noises and times that are fixed by the row's number: two sets of rows are
        compared on the same ones."""
        shape, device, losses = self.learned, self.runtime.device, [torch.zeros(0)]
        parts, given = shape.parts(rows.condition), rows.condition.source
        nothing = torch.zeros(1, *shape.no_pixels, device=device)  # no pixel is known
        for block in blocks(len(rows), LOSS_ROWS):
            some = slice(block.start, block.stop)
            image = shape.signal(rows.images[some]).to(device)
            source = None if given is None else shape.signal(given[some]).to(device)
            beside = shape.beside(source, nothing + (source is not None), image, nothing)
            velocity = self.velocity(parts.rows(some).to(device), beside)
            losses.append(fixed_loss(velocity, image, block, draws).cpu())
        return torch.cat(losses)

    def mean_loss(self, rows: ImageRows) -> float | None:
        """Of the first 64 rows; None where there are none."""
        return float(self.row_loss(rows.first(LOSS_ROWS)).mean()) if len(rows) else None


def _batches(task: _Learning, rows: ImageRows) -> Callable[[int], Batch]:
    """The batch of step t: shuffled rows, their sources and their conditions."""
    shape, device = task.shape, task.runtime.device
    parts, given = shape.parts(rows.condition), rows.condition.source

    def batch(step: int) -> Batch:
        index = rows.drawn(step, task.settings.batch, task.runtime.seed)
        source = None if given is None else shape.signal(given[index.numpy()]).to(device)
        image = shape.signal(rows.images[index.numpy()]).to(device)
        return image, source, parts.rows(index).to(device)

    return batch
