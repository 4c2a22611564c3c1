"""Images from images: translated from pairs, varied by a strength, painted anew under a mask.

A U-Net learns the velocity that carries noise into images (conditional flow matching, Lipman et al.
2023) and sees beside the noise the source of the pair and the pixels that are known already (as
Palette, Saharia et al. 2022, does for diffusion). Source, fields and target are hidden at random
while it learns, and rectangles of the image are shown, so that one network answers every subset.
Without pairs it varies a source by starting from the noised source (SDEdit, Meng et al. 2022).

What this cannot show: that a translation is the right one where several are possible. With many
evaluations an image is one of them, with one evaluation about their mean, which is blurred and
nearer to the right one on average."""

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
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, derived_seed, generator
from gobelin.generation.generators import (
    Condition,
    Context,
    Controls,
    ImageRows,
    Learned,
    has_target,
    small_set,
    training_identity,
    watching,
)
from gobelin.networks.condition import ConditionEmbedding, Parts, hide, jitter
from gobelin.networks.convolution import pixels_of, signal_of
from gobelin.networks.flow_path import (
    Solver,
    Velocity,
    VelocityField,
    at_one_time,
    fixed_loss,
    guided,
    path_loss,
    solve,
)
from gobelin.networks.training import TrainingSettings, descend, run, steps_in
from gobelin.networks.transformer import canvas, padded
from gobelin.networks.unet import Unet, halvings_for, rectangles, square_for

FORMAT, MEASURED, BLOCK = 2, 2048, 64  # of the saved folder; images for m and s; rows at once
Batch = tuple[
    Tensor, Tensor | None, Parts
]  # images and sources [N, C, H, W] in -1 .. 1 on the canvas, their conditions


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
        default=0.4,
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
    evaluations: int = setting(
        default=8,
        ge=1,
        le=10000,
        description="Evaluations of the network for an image where generate names none.",
    )
    solver: Solver = setting(default="adams", description="Solver that follows the velocity.")
    exact: bool = setting(
        default=True,
        description="Whether to sample in float32. Otherwise an image can depend on its batch.",
    )

    accepts: ClassVar[frozenset[str]] = frozenset({"vectors", "target", "source", "mask"})
    licence: ClassVar[str] = "Apache-2.0; loads nothing, learns from your rows"
    cost: ClassVar[str] = "minutes of training on a processor, 8 evaluations an image"

    def steps_for(self, rows: ImageRows, runtime: Runtime, minutes: float) -> int:
        """Measured for a few seconds."""
        task = _Learning(self, rows, runtime)
        return steps_in(task, _batches(task, rows), minutes, runtime)

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> TranslateSampler:
        """Train for `context.steps`, from pairs where `train.condition.source` is given; `valid` is
        only measured: its loss with fixed noises and times."""
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
        sampler = TranslateSampler(self, task.shape, task.velocity, runtime, (), ())
        watch = watching(
            "translate",
            valid,
            context,
            self.batch,
            (1, self.evaluations),
            lambda rows: float(sampler.row_loss(rows, 1).mean()),
            sampler.sample,
        )
        batches, identity = _batches(task, train), training_identity(self, train, valid)
        outcome = run(
            task, batches, settings, context.folder, identity, context.progress, "translate", watch
        )
        task.velocity.eval().requires_grad_(False).load_state_dict(outcome.averages["velocity"])
        last = {
            "step": outcome.best_step,
            "loss_train": sampler.mean_loss(train),
            "loss_valid": sampler.mean_loss(valid),
        }
        notes = (
            *small_set("translate", len(train), outcome.best_step * self.batch),
            *outcome.notes,
        )
        return replace(sampler, notes=notes, history=(*outcome.history, last))

    def load(self, folder: Path, runtime: Runtime) -> TranslateSampler:
        """The sampler that was saved in `folder`, with the settings that it was fitted with."""
        config = weights.config_of(folder, FORMAT)
        settings, shape = (
            Translate(**config["settings"]),
            Shape(Learned.from_dict(config["learned"]), config["paired"]),
        )
        velocity = shape.velocity(settings).eval().requires_grad_(False)
        weights.fill(folder, config, velocity)
        velocity.to(runtime.device)
        return TranslateSampler(
            settings, shape, velocity, runtime, tuple(config["notes"]), tuple(config["history"])
        )


@dataclass(frozen=True)
class Shape:
    """What the data decide; paired: whether the rows have sources."""

    learned: Learned
    paired: bool

    @property
    def size(self) -> tuple[int, int, int]:
        """H, W, C."""
        return self.learned.size

    @staticmethod
    def of(rows: ImageRows) -> Shape:
        shape = Shape(Learned.of("translate", rows), rows.condition.source is not None)
        shape.check(rows.condition.source, rows.condition.mask)
        return shape

    def check(self, source: np.ndarray | None, mask: np.ndarray | None) -> None:
        """Sources [N, H, W, C] and masks [N, H, W] must have the size of the images."""
        said = " x ".join(map(str, self.size))
        if source is not None and source.shape[1:] != self.size:
            found = " x ".join(map(str, source.shape[1:]))
            raise GobelinError(
                f"translate: a source of {found}, the images are {said}. Resize the source."
            )
        if mask is not None and source is None:
            raise GobelinError(
                "translate: a mask without a source: there is nothing to keep. Give a source too."
            )
        if mask is not None and mask.shape[1:] != self.size[:2]:
            found = " x ".join(map(str, mask.shape[1:]))
            raise GobelinError(
                f"translate: a mask of {found}, the images are {said}. Resize the mask."
            )

    def parts(self, condition: Condition) -> Parts:
        """The condition's tensors, if they are of the kind that was learned."""
        return self.learned.parts("translate", condition)

    @property
    def halvings(self) -> int:
        return halvings_for(*self.size[:2], square_for(*self.size[:2]))

    @property
    def cell(self) -> int:
        """Side in pixels of the coarsest cells; the canvas holds whole ones."""
        return square_for(*self.size[:2]) * 2**self.halvings

    def canvas(self) -> tuple[int, int, int]:
        """C, H, W on whole cells."""
        return self.size[2], *canvas(*self.size[:2], self.cell)

    def signal(self, images: np.ndarray) -> Tensor:
        """uint8 [N, H, W, C] -> float32 on the canvas, -1 .. 1."""
        return padded(signal_of(images), self.cell)

    def velocity(self, settings: Translate) -> Velocity:
        """The network with fresh weights."""
        size, channels = self.canvas(), self.size[2]
        beside = (channels + 1) * (2 if self.paired else 1)
        square = square_for(*self.size[:2])
        unet = Unet(
            channels, beside, square, self.halvings, settings.width, settings.depth, settings.style
        )
        return Velocity(unet, self.learned.embedding(settings.style), size)

    def beside(self, source: Tensor | None, seen: Tensor, image: Tensor, known: Tensor) -> Tensor:
        """What the network sees beside the noise, each part with a channel that says where it is
        there: the known pixels of the image, and, learned from pairs, the source. image and source
        [N, C, H, W]; known, seen [N, 1, H, W] or [N, 1, 1, 1], 1 or 0. -> [N, B, H, W]."""
        flags = torch.ones_like(image[:, :1])
        out = [image * known, flags * known]
        if self.paired:
            out += [torch.zeros_like(image) if source is None else source * seen, flags * seen]
        return torch.cat(out, dim=1)


class _Learning:
    """The training task: one network, one loss."""

    def __init__(self, settings: Translate, rows: ImageRows, runtime: Runtime) -> None:
        self.settings, self.shape, self.runtime = settings, Shape.of(rows), runtime
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(runtime.seed, "translate"))
            self.velocity = self.shape.velocity(settings)
        some = rows.drawn(0, min(MEASURED, len(rows)), derived_seed(runtime.seed, "measure"))
        self.velocity.standardise(self.shape.signal(rows.images[some.numpy()]))
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
        (image, source, parts), s = batch, self.settings
        n, device = len(image), image.device
        start = torch.randn(image.shape, generator=rng).to(device)
        time = (torch.rand(n, generator=rng) ** (1.0 if source is None else s.early)).to(device)
        shown = jitter(hide(parts, rng, s.whole), rng, s.jitter)
        seen = (torch.rand(n, 1, 1, 1, generator=rng) >= s.alone).float().to(device)
        known = rectangles(n, image.shape[2], image.shape[3], s.masked, rng).to(device)
        beside = self.shape.beside(source, seen, image, known)
        with self.runtime.autocast():
            embedded = self.velocity.embedding(shown)

            def velocity(signal: Tensor, time: Tensor) -> Tensor:
                return torch.where(
                    known > 0, image - start, self.velocity(signal, time, embedded, beside)
                )

            loss = path_loss(velocity, image, start, time).mean()
        descend(self.optimisers["velocity"], loss)
        return {"loss": loss.detach()}


@dataclass(frozen=True, eq=False)
class TranslateSampler:
    """A fitted Translate. notes: what a reader must know. history: losses by step, and last those
    of the averaged weights."""

    settings: Translate
    shape: Shape
    velocity: Velocity
    runtime: Runtime
    notes: tuple[str, ...]
    history: tuple[dict[str, Any], ...]

    accepts: ClassVar[frozenset[str]] = Translate.accepts
    size = property(lambda self: self.shape.size)  # H, W, C

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C].

        strength s: starts at time 1 - s from the source noised that far; 0 returns the source, 1
        starts from noise alone (learned from pairs, the network sees the source all the same).
        mask: pixels outside stay the source's, exactly. guidance pulls towards fields and target;
        what a source or a mask asks for is never exaggerated. steps: evaluations of the velocity, 0
        = the setting's."""
        if not 0 <= controls.strength <= 1:
            raise GobelinError(
                f"translate: strength = {controls.strength}, from 0 (the source) to 1 was expected."
            )
        self.shape.check(condition.source, condition.mask)
        for first in range(0, len(condition), controls.batch):
            rows = range(first, min(first + controls.batch, len(condition)))
            some = condition.rows(rows)
            if some.source is not None and controls.strength == 0:
                yield some.source
                continue
            made = self._block(some, [seeds[k] for k in rows], controls)
            if some.source is not None and some.mask is not None:
                made = np.where(some.mask[..., None], made, some.source)
            yield made

    def _block(self, condition: Condition, seeds: Sequence[int], controls: Controls) -> np.ndarray:
        """uint8 [n, H, W, C]. Known pixels move straight from their noise to what they are: that is
        RePaint's (Lugmayr et al. 2022) replacement of the known part at every step."""
        (height, width, _), device = self.shape.size, self.runtime.device
        noise = torch.stack(
            [torch.randn(self.shape.canvas(), generator=generator(s, "noise")) for s in seeds]
        ).to(device)
        source = (
            None if condition.source is None else self.shape.signal(condition.source).to(device)
        )
        image = torch.zeros_like(noise) if source is None else source
        known = torch.zeros(len(noise), 1, 1, 1, device=device)
        if condition.mask is not None:
            known = padded(torch.from_numpy(~condition.mask[:, None]).float(), self.shape.cell).to(
                device
            )
        beside = self.shape.beside(
            source, torch.full_like(noise[:, :1], source is not None), image, known
        )
        velocity = self.field(self.shape.parts(condition).to(device), beside, controls.guidance)
        left = 1.0 if source is None else controls.strength  # of the way from noise to image

        def field(signal: Tensor, share: float) -> Tensor:
            return left * torch.where(
                known > 0, image - noise, velocity(signal, 1 - left + left * share)
            )

        start = left * noise + (1 - left) * image
        made = solve(
            field, start, controls.steps or self.settings.evaluations, self.settings.solver
        )
        return pixels_of(made[:, :, :height, :width])

    def network(self, parts: Parts, beside: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity of u [n, C, H, W] and time [n], given these conditions and this beside [n,
        B, H, W]."""
        embedded = self.velocity.embedding(parts)
        return lambda signal, time: self.velocity(signal, time, embedded, beside)

    def field(self, parts: Parts, beside: Tensor, guidance: float) -> VelocityField:
        """The velocity of u and one time for all, pulled towards these conditions; where there is
        none, nothing to pull to."""

        def given(parts: Parts) -> VelocityField:
            return at_one_time(
                self.network(parts, beside),
                nullcontext if self.settings.exact else self.runtime.autocast,
            )

        asks = bool(parts.present.any()) or bool(has_target(parts.target).any())
        return guided(given(parts), given(parts.nothing()), guidance if asks else 1.0)

    @torch.no_grad()
    def row_loss(self, rows: ImageRows, draws: int = 4) -> Tensor:
        """float32 [N]: each row's flow-matching loss given its source and whole condition, the mean
        of `draws` noises and times that are fixed by the row's number: two sets of rows are
        compared on the same ones."""
        parts, device, out = self.shape.parts(rows.condition), self.runtime.device, [torch.zeros(0)]
        for first in range(0, len(rows), BLOCK):
            some = slice(first, min(first + BLOCK, len(rows)))
            image, none = (
                self.shape.signal(rows.images[some]).to(device),
                torch.zeros(1, 1, 1, 1, device=device),
            )
            given = rows.condition.source
            source = None if given is None else self.shape.signal(given[some]).to(device)
            beside = self.shape.beside(source, none + (source is not None), image, none)
            velocity = self.network(parts.rows(some).to(device), beside)
            out.append(fixed_loss(velocity, image, range(some.start, some.stop), draws).cpu())
        return torch.cat(out)

    def mean_loss(self, rows: ImageRows) -> float | None:
        """Of the first rows."""
        return float(self.row_loss(rows.first(BLOCK)).mean()) if len(rows) else None

    def fingerprint(self) -> str:
        return weights.fingerprint(self.velocity, asdict(self.settings), asdict(self.shape))

    def save(self, folder: Path) -> None:
        config = {
            "settings": asdict(self.settings),
            **asdict(self.shape),
            "notes": self.notes,
            "history": self.history,
        }
        weights.save(folder, config, self.velocity, FORMAT)


def _batches(task: _Learning, rows: ImageRows) -> Callable[[int], Batch]:
    """The batch of step t: shuffled rows, their sources and their conditions."""
    parts, device, given = (
        task.shape.parts(rows.condition),
        task.runtime.device,
        rows.condition.source,
    )

    def batch(step: int) -> Batch:
        index = rows.drawn(step, task.settings.batch, task.runtime.seed)
        source = None if given is None else task.shape.signal(given[index.numpy()]).to(device)
        return (
            task.shape.signal(rows.images[index.numpy()]).to(device),
            source,
            parts.rows(index).to(device),
        )

    return batch
