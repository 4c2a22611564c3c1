"""The frame that every trained generator shares: fit, notes, history, save, load, fingerprint.

A generator's own file holds its networks, its loss and its sampling. `Learned` holds the facts
that follow from the training data, `Fit` is one training, and `FittedSampler` is its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core import weights
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import Runtime, derived_seed, generator
from gobelin.generation.generators import Condition, Context, Controls, ImageRows
from gobelin.generation.sizes import refuse_size
from gobelin.networks.condition import ConditionEmbedding, ConditionTensors
from gobelin.networks.training.training import Task, TrainingSettings, run
from gobelin.networks.training.watching import (
    GRID_IMAGES,
    LEAST_VALIDATION_ROWS,
    MOST_SCORED_ROWS,
    Watch,
    cells,
    energy,
    looks,
)

FEW_IMAGES = 5000  # training images below which a generator warns of copies
IDENTITY_ROWS = 256  # about this many rows identify a training set for its checkpoint
# A training step costs three passes an image: one forward, two for the gradient.
PASSES_OF_A_STEP = 3

Sample = Callable[[Condition, Sequence[int], Controls], Iterator[np.ndarray]]  # `Sampler.sample`
Built = TypeVar("Built")
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Learned:
    """The facts about a generator that follow from its training rows."""

    size: tuple[int, ...]  # H, W, C of its images; D, H, W, C of volumes
    fields: tuple[str, ...]  # names of the F fields of its conditions
    vector: int  # width D of their vectors
    classes: int  # count of classes; 0 where there are none
    number: bool  # whether the target is a number

    @staticmethod
    def of(name: str, rows: ImageRows) -> Learned:
        """The facts of these training rows; `name` is the generator's. Raises a GobelinError for
        images under 16 or over 256 pixels, and volumes under 16 or over 64 voxels a side."""
        size = tuple(int(n) for n in rows.images.shape[1:])
        refuse_size(name, size[:-1])
        condition = rows.condition
        number = condition.target is not None and condition.target.is_floating_point()
        used = 0 if number or condition.target is None else int(condition.target.max()) + 1
        classes = max(len(rows.classes), used)
        return Learned(size, condition.fields, condition.vectors.shape[2], classes, number)

    @property
    def image_size(self) -> tuple[int, int, int]:
        """H, W, C, of a generator that makes images alone."""
        height, width, channels = self.size
        return height, width, channels

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> Learned:
        """The way back from `dataclasses.asdict` through JSON."""
        return Learned(
            **{**stored, "size": tuple(stored["size"]), "fields": tuple(stored["fields"])}
        )

    def stored(self) -> dict[str, Any]:
        """The entries of config.json."""
        return {"learned": asdict(self)}

    @staticmethod
    def restored(config: Mapping[str, Any]) -> Learned:
        """The inverse of `stored`."""
        return Learned.from_dict(config["learned"])

    def parts(self, name: str, condition: Condition) -> ConditionTensors:
        """The condition's tensors. Raises a GobelinError where they are not of the kind that `name`
        learned: these fields of this width, and a class below `classes` (or a number)."""
        if condition.fields != self.fields or condition.vectors.shape[2] != self.vector:
            raise GobelinError(
                f"{name}: learned from fields {', '.join(self.fields)} of {self.vector} numbers,"
                f" asked with {', '.join(condition.fields)} of {condition.vectors.shape[2]}. Use"
                " vectors of the same run."
            )
        target = condition.target
        if target is not None and target.is_floating_point() != self.number:
            raise GobelinError(
                f"{name}: learned a {'number' if self.number else 'class'}, asked for the other."
                " Fit again."
            )
        if target is not None and not self.number and bool((target >= self.classes).any()):
            raise GobelinError(
                f"{name}: learned {self.classes} classes, asked for class {int(target.max())}. Fit"
                " again."
            )
        return ConditionTensors.of(condition.vectors, condition.present, target, self.number)

    @property
    def conditional(self) -> bool:
        """Whether a condition can hold anything: a field, a class or a number."""
        return bool(self.fields) or self.number or self.classes > 0

    def embedding(self, width: int) -> ConditionEmbedding:
        """A fresh embedding of its conditions, [N] -> [N, width]."""
        return ConditionEmbedding(len(self.fields), self.vector, self.classes, width, self.number)


class Facts(Protocol):
    """The facts that `FittedSampler` holds: `Learned`, or a dataclass around it."""

    @property
    def size(self) -> tuple[int, ...]: ...

    def stored(self) -> dict[str, Any]: ...


SettingsT = TypeVar("SettingsT")
FactsT = TypeVar("FactsT", bound=Facts)
NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class FittedSampler(Generic[SettingsT, FactsT, NetworkT]):
    """A trained sampler without its sampling. A subclass adds `sample` and the class variables."""

    settings: SettingsT
    learned: FactsT
    network: NetworkT  # what sampling needs, in evaluation mode
    runtime: Runtime
    notes: tuple[str, ...] = ()  # what a reader must know
    history: tuple[dict[str, Any], ...] = ()  # losses and scores by step

    name: ClassVar[str]  # of the component
    version: ClassVar[int]  # of the saved folder's format
    accepts: ClassVar[frozenset[str]]  # parts of a condition that it can use

    @property
    def size(self) -> tuple[int, ...]:
        """H, W, C of its images; D, H, W, C of volumes."""
        return self.learned.size

    def fingerprint(self) -> str:
        """A hash of the weights, the settings and the facts."""
        return weights.fingerprint(self.network, asdict(self.settings), asdict(self.learned))  # type: ignore[call-overload]

    def save(self, folder: Path) -> None:
        """config.json and weights.safetensors in `folder`."""
        config = {"settings": asdict(self.settings), **self.learned.stored()}  # type: ignore[call-overload]
        config |= {"notes": self.notes, "history": self.history}
        weights.save(folder, config, self.network, self.version)


FittedT = TypeVar("FittedT", bound=FittedSampler[Any, Any, Any])


def restored(
    kind: type[FittedT],
    folder: Path,
    runtime: Runtime,
    settings: Callable[..., Any],
    fresh: Callable[[Any, Any], nn.Module],
    learned: Callable[[Mapping[str, Any]], Facts] = Learned.restored,
    memory_format: torch.memory_format = torch.preserve_format,
) -> FittedT:
    """The sampler that `FittedSampler.save` left in `folder`.

    settings: its settings class. fresh: its network with fresh weights, from settings and facts.
    learned: the facts from config.json. Raises a GobelinError where the folder is damaged."""
    config = weights.config_of(folder, kind.version)
    chosen, facts = settings(**config["settings"]), learned(config)
    network = weights.loaded(folder, config, lambda: fresh(chosen, facts))
    network.eval().requires_grad_(False)
    network.to(runtime.device, memory_format=memory_format)  # type: ignore[call-overload]
    notes, history = tuple(config["notes"]), tuple(config["history"])
    return kind(chosen, facts, network, runtime, notes, history)


@dataclass(frozen=True)
class Fit(Generic[FittedT]):
    """One training of a generator, from its fresh sampler to the fitted one."""

    sampler: FittedT  # with the network that is trained
    train: ImageRows
    valid: ImageRows
    context: Context
    batch: int  # images a step
    slower: float = 1.0  # time of a mean step over that of one in the first tenth of the training

    def watch(
        self,
        score: Callable[[ImageRows], float],
        sample: Sample,
        scored: float,
        painted: float,
        decides: bool = True,
    ) -> Watch | None:
        """The watch of this training; None with under 16 validation rows, or too few steps for one
        look.

        score: of the present weights on some validation rows, lower is better. sample: with the
        present weights. scored, painted: forward passes through the network to score an image, and
        to generate one. decides: whether the score chooses the weights. A score of likelihood does;
        one of colours in coarse cells doesn't."""
        rows, context = self.valid.first(MOST_SCORED_ROWS), self.context
        price = PASSES_OF_A_STEP * self.batch  # passes of a training step
        steps = (
            looks(
                context.steps,
                len(rows) * scored / price,
                min(len(rows), GRID_IMAGES) * painted / price,
            )
            if len(self.valid) >= LEAST_VALIDATION_ROWS
            else {}
        )

        def held_out() -> float:
            with context.runtime.autocast():
                return score(rows)

        def paint() -> np.ndarray:
            with context.runtime.autocast():
                return first_samples(sample, rows, GRID_IMAGES)

        if not steps:
            return None
        folder = context.folder / "samples"
        return Watch(self.sampler.name, steps, folder, context.patience, held_out, paint, decides)

    def run(
        self,
        task: Task[Batch],
        batches: Callable[[int], Batch],
        settings: TrainingSettings,
        watch: Watch | None,
        last: Callable[[], dict[str, Any]] = dict,
    ) -> FittedT:
        """Train, load the averaged weights, and hand back the sampler with notes and history.

        last: the last line of the history, measured with the averaged weights; {} for none."""
        context, name = self.context, self.sampler.name
        identity = training_identity(self.sampler.settings, self.train, self.valid)
        around = (context.progress, name, watch, context.pilot, self.slower)
        outcome = run(task, batches, settings, context.folder, identity, *around, end=context.end)
        for module, average in outcome.averages.items():
            task.modules[module].load_state_dict(average)
        self.sampler.network.eval().requires_grad_(False)
        line = last()
        notes = (*few_images(name, len(self.train), outcome.best_step * self.batch), *outcome.notes)
        history = (*outcome.history, *([{"step": outcome.best_step, **line}] if line else ()))
        return replace(self.sampler, notes=notes, history=history)

    def run_velocity(self, task: Task[Batch], batches: Callable[[int], Batch]) -> FittedT:
        """The training of a network called `velocity`, watched and reported by its loss with fixed
        noises and times."""
        sampler, context = cast(VelocitySampler, self.sampler), self.context
        settings = sampler.settings
        watch = self.watch(
            lambda rows: float(sampler.row_loss(rows, draws=1).mean()),
            sampler.sample,
            scored=1,
            painted=settings.evaluations,
        )
        training = TrainingSettings(
            context.steps,
            context.runtime.seed,
            averaged=("velocity",),
            half_life=settings.half_life,
            clip=settings.clip,
            warmup=settings.warmup,
            cooldown=settings.cooldown,
        )

        def last() -> dict[str, float | None]:
            return {
                "loss_train": sampler.mean_loss(self.train),
                "loss_valid": sampler.mean_loss(self.valid),
            }

        return self.run(task, batches, training, watch, last)


class VelocitySampler(Protocol):
    """A sampler whose network is a velocity: `flow` and `translate`."""

    settings: Any  # with evaluations, half_life, clip, warmup, cooldown
    sample: Sample

    def row_loss(self, rows: ImageRows, draws: int) -> Tensor:
        """float32 [n]: loss of each row, the mean over draws of noise and time."""

    def mean_loss(self, rows: ImageRows) -> float | None:
        """The mean over the first rows; None without rows."""


def from_seed(seed: int, name: str, build: Callable[[], Built]) -> Built:
    """The result of `build()`, its weights drawn from (seed, name). The global random generator is
    left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, name))
        return build()


def batches_of(
    rows: ImageRows,
    parts: ConditionTensors,
    batch: int,
    runtime: Runtime,
    signal: Callable[[np.ndarray], Tensor],
) -> Callable[[int], tuple[Tensor, ConditionTensors]]:
    """The batch of step t: `batch` shuffled rows as the network takes them (`signal`), and their
    conditions (`parts`, of all rows)."""

    def batch_of(step: int) -> tuple[Tensor, ConditionTensors]:
        index = rows.drawn(step, batch, runtime.seed)
        images = signal(rows.images[index.numpy()]).to(runtime.device)
        return images, parts.rows(index).to(runtime.device)

    return batch_of


def blocks(count: int, most: int) -> Iterator[range]:
    """The rows 0 .. count - 1 in order, at most `most` at once."""
    for start in range(0, count, most):
        yield range(start, min(start + most, count))


def noise(seeds: Sequence[int], shape: int | Sequence[int]) -> Tensor:
    """float32 [n, *shape]: row k is a function of seeds[k] alone."""
    return torch.stack([torch.randn(shape, generator=generator(s, "noise")) for s in seeds])


def few_images(name: str, rows: int, shown: int) -> tuple[str, ...]:
    """A warning if the training set is small enough to be memorised. shown: images that
    training looked at, repeats counted."""
    if rows >= FEW_IMAGES:
        return ()
    return (
        f"{name}: only {rows} training images, each seen {shown // rows} times. Generated images"
        " can be copies of them; run audit.",
    )


def first_samples(sample: Sample, rows: ImageRows, count: int) -> np.ndarray:
    """uint8 [n, H, W, C] generated from the conditions of the first rows, `count` at most, with the
    seeds 0, 1, 2 ..."""
    condition = rows.first(count).condition
    return np.concatenate(list(sample(condition, range(len(condition)), Controls())))


def distance_to(sample: Sample, rows: ImageRows) -> float:
    """How far generated images are from the first 256 rows, whose conditions they are generated
    from: the energy distance of cells."""
    return energy(
        cells(rows.images[:MOST_SCORED_ROWS]), cells(first_samples(sample, rows, MOST_SCORED_ROWS))
    )


def training_identity(settings: object, *parts: ImageRows) -> str:
    """Names training (and validation) rows for their checkpoint: settings, counts, and up to 511
    rows of each."""
    tensors: list[object] = []
    for rows in parts:
        some = slice(None, None, max(1, len(rows) // IDENTITY_ROWS))
        condition = rows.condition
        given = (condition.vectors, condition.present, condition.target)
        tensors += [
            len(rows),
            np.asarray(rows.images[some]),
            *(t[some].numpy() for t in given if t is not None),
        ]
        if condition.source is not None:
            tensors.append(np.ascontiguousarray(condition.source[some]))
        if rows.weights is not None:
            tensors.append(rows.weights[some])
        if rows.groups is not None:
            tensors += [rows.group_numbers, rows.least_groups]
    return fingerprint(asdict(settings), *tensors)  # type: ignore[call-overload]
