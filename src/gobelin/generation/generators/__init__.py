"""The contract of every generator: a condition in, a stream of uint8 images out.

A condition is first of all vectors of the shared space, so that text, sound, a table row or another
image each drive every generator. The other parts (target, prompt strings, source images, mask) are
declared in `Generator.accepts`; a part that a generator can't use is an error and is never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, Runtime, silent
from gobelin.networks.condition import ConditionEmbedding, Parts
from gobelin.networks.training import shuffled
from gobelin.networks.watching import (
    GRID_IMAGES,
    LEAST_VALIDATION_ROWS,
    MOST_SCORED_ROWS,
    PATIENCE,
    Watch,
    cells,
    energy,
    looks,
)

SMALL = 5000  # training images below which a generator warns of copies
Sample = Callable[
    ["Condition", Sequence[int], "Controls"], Iterator[np.ndarray]
]  # as `Sampler.sample`
PARTS = ("vectors", "target", "text", "source", "mask")


@dataclass(frozen=True)
class Condition:
    """What N images are to be made from. An absent part is None; an absent field of a row is
    present = False.

    fields: names of the F fields, in the order of `vectors`. vectors: float32 [N, F, D] in the
    shared space; rows of absent fields are zero. present: bool [N, F]. target: int64 [N] class
    index, -1 = none; or float32 [N], nan = none. text: N prompt strings, None where there is none.
    source: uint8 [N, H, W, C] images to start from. mask: bool [N, H, W], True where pixels are to
    be made anew. fingerprint: of the shared space that the vectors come from."""

    fields: tuple[str, ...]
    vectors: torch.Tensor
    present: torch.Tensor
    target: torch.Tensor | None = None
    text: Sequence[str | None] | None = None
    source: np.ndarray | None = None
    mask: np.ndarray | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        n, f = self.present.shape
        if self.vectors.shape[:2] != (n, f) or len(self.fields) != f:
            raise ValueError(
                f"Condition: vectors {tuple(self.vectors.shape)}, present {(n, f)}, fields"
                f" {len(self.fields)} disagree"
            )
        for name in ("target", "text", "source", "mask"):
            part = getattr(self, name)
            if part is not None and len(part) != n:
                raise ValueError(f"Condition: {name} has {len(part)} rows, vectors have {n}")

    def __len__(self) -> int:
        return len(self.present)

    def used(self) -> set[str]:
        """The parts that hold anything at all."""
        parts = {"vectors"} if bool(self.present.any()) else set()
        if self.target is not None and bool(has_target(self.target).any()):
            parts.add("target")
        if self.text is not None and any(t is not None for t in self.text):
            parts.add("text")
        return parts | {name for name in ("source", "mask") if getattr(self, name) is not None}

    def rows(self, index: Sequence[int] | torch.Tensor) -> Condition:
        """The condition of the rows in `index` (repeats allowed)."""
        i = torch.as_tensor(index, dtype=torch.long)
        chosen = i.tolist()
        return Condition(
            fields=self.fields,
            vectors=self.vectors[i],
            present=self.present[i],
            target=None if self.target is None else self.target[i],
            text=None if self.text is None else [self.text[k] for k in chosen],
            source=None if self.source is None else self.source[chosen],
            mask=None if self.mask is None else self.mask[chosen],
            fingerprint=self.fingerprint,
        )


def has_target(target: torch.Tensor) -> torch.Tensor:
    """bool [N]: whether a row names a class (index >= 0) or a number (not nan)."""
    return ~torch.isnan(target) if target.is_floating_point() else target >= 0


@dataclass(frozen=True)
class Controls:
    """How to sample. guidance: pull towards the condition, 1 = as learned, larger = stronger.
    strength: 0 keeps the source image, 1 ignores it. steps: evaluations of the network, 0 = the
    sampler's own. batch: images at once."""

    guidance: float = 1.0
    strength: float = 1.0
    steps: int = 0
    batch: int = 64


@dataclass(frozen=True)
class ImageRows:
    """Rows to learn from: images uint8 [N, H, W, C] (an array or a memory map) and what each is to
    be made from. weights: how often training sees each, from 0 up, [N]; None sees all equally
    often."""

    images: np.ndarray
    condition: Condition
    classes: tuple[str, ...] = ()
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> ImageRows:
        """The first rows, `count` at most."""
        weights = None if self.weights is None else self.weights[:count]
        return ImageRows(
            self.images[:count],
            self.condition.rows(range(min(count, len(self)))),
            self.classes,
            weights,
        )

    @property
    def seen(self) -> np.ndarray:
        """int64 [n]: the rows that training sees at all."""
        return np.arange(len(self)) if self.weights is None else np.flatnonzero(self.weights)

    def drawn(self, step: int, batch: int, seed: int) -> torch.Tensor:
        """The rows of training step t, int64 [batch]: shuffled, those with more weight more
        often."""
        if self.weights is not None and not self.weights.any():
            raise GobelinError(
                f"generate: all {len(self)} training rows with an image have the weight 0. Raise"
                " some of them."
            )
        return shuffled(step, len(self), batch, seed, self.weights)


@dataclass(frozen=True)
class Context:
    """What the caller lends to a fit: the machine, a folder for checkpoints and sample grids, the
    budget, someone to tell.

    steps: the budget as a count, decided once and recorded by the caller (`Generator.steps_for`).
    patience: looks without a better held-out score after which training stops, 0 = never; the best
    weights are kept either way (`watch.Watch`)."""

    runtime: Runtime
    folder: Path
    steps: int
    progress: Progress = field(default=silent)
    patience: int = PATIENCE


@runtime_checkable
class Sampler(Protocol):
    """A fitted generator."""

    accepts: frozenset[str]
    size: tuple[int, int, int]  # H, W, C of what it makes

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C], in order. The noise of image k is a function of seeds[k]
        alone."""
        ...

    def fingerprint(self) -> str:
        """A hash of settings and weights."""
        ...

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class Generator(Protocol):
    """Settings of a generator: a frozen dataclass whose fields are its settings.

    accepts: the parts of a condition that it can use. licence: of the weights and code that it
    loads, and of what it learns from. cost: what training and sampling take, in a few words."""

    accepts: ClassVar[frozenset[str]]
    licence: ClassVar[str]
    cost: ClassVar[str]

    def steps_for(self, rows: ImageRows, runtime: Runtime, minutes: float) -> int:
        """The count of training steps that `minutes` buy here: a short measurement, made once
        before the work."""
        ...

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> Sampler: ...

    def load(self, folder: Path, runtime: Runtime) -> Sampler: ...


def check_condition(
    name: str, sampler: Sampler, condition: Condition, seeds: Sequence[int], space: str
) -> None:
    """The one place where a condition is held against the sampler that is to use it."""
    extra = condition.used() - set(sampler.accepts)
    if extra:
        raise GobelinError(
            f"generate: {name} can't use {', '.join(sorted(extra))}; it accepts"
            f" {', '.join(sorted(sampler.accepts))}. Leave it out or choose another generator."
        )
    if "vectors" in condition.used() and condition.fingerprint != space:
        raise GobelinError(
            "generate: the condition comes from the space"
            f" {condition.fingerprint[:12] or 'unnamed'}, {name} was trained in {space[:12]}. Use"
            " vectors of the same run."
        )
    if len(seeds) != len(condition):
        raise GobelinError(
            f"generate: {len(seeds)} seeds for {len(condition)} conditions. Give one seed an image."
        )


@dataclass(frozen=True)
class Learned:
    """What the data decide of a generator: size H, W, C of its images; fields F, width D, classes,
    kind of its conditions."""

    size: tuple[int, int, int]
    fields: tuple[str, ...]
    vector: int
    classes: int
    number: bool

    @staticmethod
    def of(name: str, rows: ImageRows) -> Learned:
        """Read off the training rows of the generator `name`."""
        height, width, channels = (int(n) for n in rows.images.shape[1:])
        if not 16 <= max(height, width) <= 256:
            raise GobelinError(
                f"{name}: images of 16 to 256 pixels, found {height} x {width}. Resize them with"
                " size=..."
            )
        condition = rows.condition
        number = condition.target is not None and condition.target.is_floating_point()
        used = 0 if number or condition.target is None else int(condition.target.max()) + 1
        classes = max(len(rows.classes), used)
        return Learned(
            (height, width, channels), condition.fields, condition.vectors.shape[2], classes, number
        )

    @staticmethod
    def from_dict(said: Mapping[str, Any]) -> Learned:
        """The way back from `dataclasses.asdict` through JSON."""
        return Learned(**{**said, "size": tuple(said["size"]), "fields": tuple(said["fields"])})

    def parts(self, name: str, condition: Condition) -> Parts:
        """The condition's tensors, if they are of the kind that `name` learned: these fields of
        this width, and a class below `classes` (or a number)."""
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
        return Parts.of(condition.vectors, condition.present, target, self.number)

    @property
    def anything(self) -> bool:
        """Whether a row can say anything to ask for."""
        return bool(self.fields) or self.number or self.classes > 0

    def embedding(self, width: int) -> ConditionEmbedding:
        """A fresh embedding of its conditions, [N] -> [N, width]."""
        return ConditionEmbedding(len(self.fields), self.vector, self.classes, width, self.number)


def small_set(name: str, rows: int, seen: int) -> tuple[str, ...]:
    """The warning of a training set that is small enough to be memorised; seen: images that
    training looked at."""
    if rows >= SMALL:
        return ()
    times = seen // rows
    return (
        (
            f"{name}: only {rows} training images, each seen {times} times. Made images can be"
            " copies of them; run audit."
        ),
    )


def tries(sample: Sample, rows: ImageRows, count: int) -> np.ndarray:
    """uint8 [n, H, W, C] made from the conditions of the first rows, `count` at most, from the
    seeds 0, 1, 2 ..."""
    some = rows.first(count).condition
    return np.concatenate(list(sample(some, range(len(some)), Controls())))


def distance_to(sample: Sample, rows: ImageRows) -> float:
    """How far made images are from the first 256 rows, whose conditions they are made from: the
    energy distance of cells."""
    return energy(
        cells(rows.images[:MOST_SCORED_ROWS]), cells(tries(sample, rows, MOST_SCORED_ROWS))
    )


def watching(
    name: str,
    valid: ImageRows,
    context: Context,
    batch: int,
    passes: tuple[float, float],
    score: Callable[[ImageRows], float],
    sample: Sample,
    decides: bool = True,
) -> Watch | None:
    """The watch of a training; None where there are under 16 validation rows, or too few steps for
    one look.

    passes: through the network that an image costs when it is scored and when it is painted,
    without a way back; batch: images a step, of which each costs about three. score: of the weights
    of now on some validation rows. sample: with those weights. decides: whether the score chooses
    the weights: one of likelihood does, one of colours in coarse cells doesn't."""
    rows = valid.first(MOST_SCORED_ROWS)
    scored, painted = (
        n * cost / (3 * batch)
        for n, cost in zip((len(rows), min(len(rows), GRID_IMAGES)), passes, strict=True)
    )
    steps = looks(context.steps, scored, painted) if len(valid) >= LEAST_VALIDATION_ROWS else {}

    def told() -> float:
        with context.runtime.autocast():
            return score(rows)

    def paint() -> np.ndarray:
        with context.runtime.autocast():
            return tries(sample, rows, GRID_IMAGES)

    return (
        Watch(name, steps, context.folder / "samples", context.patience, told, paint, decides)
        if steps
        else None
    )


def training_identity(settings: object, *parts: ImageRows) -> str:
    """Names training (and validation) rows for their checkpoint: settings, counts, and up to 511
    rows of each."""
    tensors: list[object] = []
    for rows in parts:
        some, condition = slice(None, None, max(1, len(rows) // 256)), rows.condition
        there = (condition.vectors, condition.present, condition.target)
        tensors += [
            len(rows),
            np.asarray(rows.images[some]),
            *(t[some].numpy() for t in there if t is not None),
        ]
        tensors += (
            [] if condition.source is None else [np.ascontiguousarray(condition.source[some])]
        )
        tensors += [] if rows.weights is None else [rows.weights[some]]
    return fingerprint(asdict(settings), *tensors)  # type: ignore[call-overload]
