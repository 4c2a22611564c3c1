"""The contract of every generator: a condition in, a stream of uint8 images out.

A condition is first of all vectors of the shared space, so that text, sound, a table row or another
image each drive every generator. The other parts (target, prompt strings, source images, mask) are
declared in `Generator.accepts`; a part that a generator can't use is an error and is never ignored.
The frame that trained generators share is `gobelin.generation.fitting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.lazy import torch
from gobelin.core.machine import Progress, Runtime, silent
from gobelin.data.coarse import LEAST_GROUPS
from gobelin.networks.training.limit import Guard, Pilot
from gobelin.networks.training.watching import PATIENCE
from gobelin.privacy.guarantee import Guarantee, kept_private

CONDITION_PARTS = ("vectors", "target", "text", "source", "mask")


@dataclass(frozen=True)
class Condition:
    """What N images are generated from. An absent part is None; an absent field of a row is
    present = False. Raises a ValueError where the parts disagree in N or F."""

    fields: tuple[str, ...]  # names of the F fields, in the order of `vectors`
    vectors: torch.Tensor  # float32 [N, F, D] in the shared space; 0 where a field is absent
    present: torch.Tensor  # bool [N, F]
    target: torch.Tensor | None = None  # int64 [N] class, -1 = none; or float32 [N], nan = none
    text: Sequence[str | None] | None = None  # N prompts, None where there is none
    # uint8 [N, H, W, C]: images to start from; volumes [N, D, H, W, C] for volumes
    source: np.ndarray | None = None
    mask: np.ndarray | None = None  # bool [N, H, W]: True where pixels are painted anew
    fingerprint: str = ""  # of the shared space that the vectors come from

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
        """The parts that hold anything, of CONDITION_PARTS."""
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
    """How to sample."""

    guidance: float = 1.0  # pull towards the condition: 1 = as learned, larger = stronger
    strength: float = 1.0  # 0 keeps the source image, 1 ignores it
    steps: int = 0  # evaluations of the network; 0 = the sampler's own count
    batch: int = 64  # images at once


@dataclass(frozen=True)
class ImageRows:
    """N rows to learn from."""

    # uint8 [N, H, W, C], or volumes [N, D, H, W, C]; an array or a memory map
    images: np.ndarray
    condition: Condition  # what each image is generated from
    classes: tuple[str, ...] = ()  # names of the classes
    weights: np.ndarray | None = None  # [N] from 0 up: how often training uses each; None = equally
    groups: np.ndarray | None = None  # int [N]: the group of each; None = each is one of its own
    least_groups: int = LEAST_GROUPS  # what is learned and saved tells of so many at least

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> ImageRows:
        """The first rows, `count` at most."""
        return replace(
            self,
            images=self.images[:count],
            condition=self.condition.rows(range(min(count, len(self)))),
            weights=None if self.weights is None else self.weights[:count],
            groups=None if self.groups is None else self.groups[:count],
        )

    @property
    def group_numbers(self) -> np.ndarray:
        """int [N]: the group of each row."""
        return np.arange(len(self)) if self.groups is None else self.groups

    @property
    def used(self) -> np.ndarray:
        """int64 [n]: the rows that training uses at all."""
        return np.arange(len(self)) if self.weights is None else np.flatnonzero(self.weights)

    def no_weight(self) -> GobelinError:
        """The error where all weights are 0."""
        return GobelinError(
            f"generate: all {len(self)} training rows with an image have the weight 0. Raise"
            " some of them."
        )

    def drawn(self, step: int, batch: int, seed: int) -> torch.Tensor:
        """int64 [batch]: the rows of training step t, shuffled; a row of more weight comes more
        often. Raises a GobelinError where all weights are 0."""
        if self.weights is not None and not self.weights.any():
            raise self.no_weight()
        from gobelin.networks.training.training import shuffled  # it loads torch

        return shuffled(step, len(self), batch, seed, self.weights)


@dataclass(frozen=True)
class Context:
    """What the caller lends to a fit."""

    runtime: Runtime
    folder: Path  # for checkpoints and grids of samples
    steps: int  # of the training, decided once and recorded by the caller
    progress: Progress = field(default=silent)
    # Held-out scores without a better one after which training stops; 0 = never. The best weights
    # are taken either way (`networks.training.watching`).
    patience: int = PATIENCE
    pilot: Pilot | Guard | None = None  # ends the training where a limit of time says so
    end: int = 0  # the step after which a limit of time ended the training; 0 = none
    # told what a training promises, before it takes anything private from the rows
    spend: Callable[[Guarantee], None] = kept_private


@runtime_checkable
class Sampler(Protocol):
    """A fitted generator.

    A private one has `promise` too, a `Guarantee`. Its noise comes from the operating system, so
    two trainings from one seed differ and each spends its epsilon."""

    accepts: frozenset[str]
    size: tuple[int, ...]  # H, W, C of its images; D, H, W, C of volumes

    def sample(
        self, condition: Condition, seeds: Sequence[int], controls: Controls
    ) -> Iterator[np.ndarray]:
        """Blocks of uint8 [n, H, W, C] or [n, D, H, W, C], in order. The noise of image k is a
        function of seeds[k] alone."""
        ...

    def fingerprint(self) -> str:
        """A hash of settings and weights."""
        ...

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class KnowsLoss(Protocol):
    """A sampler that also says how well it knows a row. The membership audit uses it."""

    def row_loss(self, rows: ImageRows) -> torch.Tensor:
        """float [N]: lower = better known, given the row's whole condition. Random choices are
        fixed by the row's number."""
        ...


@runtime_checkable
class Generator(Protocol):
    """Settings of a generator: a frozen dataclass whose fields are its settings. Those of a private
    one hold `dp`, a `Budget`."""

    accepts: ClassVar[frozenset[str]]  # the parts of a condition that it can use
    # It may declare `media`, a frozenset of the kinds of media that it makes (`data.media`).
    # A generator without it makes images.
    licence: ClassVar[str]  # of the weights and code that it loads, and of the data it learns from
    cost: ClassVar[str]  # of training and sampling, in a few words

    # Steps with which its images begin to follow the data; with fewer a run says so. 1 where
    # nothing is trained.
    least_steps: ClassVar[int]

    def steps_for(self, images: int, size: tuple[int, ...]) -> int:
        """The count of training steps by default: a function of the data, never of the machine.

        images: count of training images. size: their H, W, C, or D, H, W, C. 1 where nothing is
        trained.
        """
        ...

    def fit(self, train: ImageRows, valid: ImageRows, context: Context) -> Sampler:
        """Train for `context.steps`; `valid` is only measured."""
        ...

    def load(self, folder: Path, runtime: Runtime) -> Sampler:
        """The sampler that `Sampler.save` left in `folder`, with the settings of its fit. Raises a
        GobelinError where the folder is damaged or of another format."""
        ...


def check_condition(
    name: str, sampler: Sampler, condition: Condition, seeds: Sequence[int], space: str
) -> None:
    """Refuse a condition that the sampler can't use: a part that it doesn't accept, vectors of
    another space than `space`, another count of seeds. Raises a GobelinError."""
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
