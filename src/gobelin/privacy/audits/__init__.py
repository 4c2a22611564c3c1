"""The contract of every audit. Input: training images, exchangeable held-out images and generated
images. Output: findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.privacy.attribute_attacks import AttackedCells


@dataclass(frozen=True)
class References:
    """Generators of the same kind that learn some of the real rows each, for an audit's sake."""

    count: int  # K, at least 1
    # trains them. bool [K, n + m], which training and held-out rows each learns -> float [K, n +
    # m], the losses of all these rows under each
    losses: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class AuditInput:
    """The images of one audit: uint8 [n, H, W, C], all of one size."""

    train: np.ndarray  # training images
    holdout: np.ndarray  # real images that were never trained on
    generated: np.ndarray
    # changed copies of training images, by the kind of change. They are the positive control: an
    # audit that misses them shows nothing.
    planted: Mapping[str, np.ndarray]
    # feature spaces, {name: images -> float32 [n, D]}; the last one is not what images were
    # conditioned on
    spaces: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    train_ids: tuple[str, ...]
    generated_ids: tuple[str, ...]
    # why train and holdout can be exchanged ('random split by group'); '' if they can't
    exchangeable: str
    # groups of the held-out images; images of one group resemble each other. () = each is a group
    groups: tuple[str, ...] = ()
    train_groups: tuple[str, ...] = ()  # of the training images
    # the generator's losses of training and held-out rows, float [n] and [m], lower = better known;
    # None where it knows none
    row_losses: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None
    references: References | None = None  # None: no reference is trained
    # the other cells of training, held-out and generated rows; None where there are none
    cells: Callable[[], AttackedCells] | None = None
    seed: int = 0  # of random choices

    def check(self, name: str) -> None:
        """Raises GobelinError if training and held-out rows are not exchangeable: a difference
        could then come from the rows and not from the generator. Also with fewer than two groups
        of held-out images, and for generated images of another size."""
        if not self.exchangeable:
            raise GobelinError(
                f"audit {name}: training and held-out rows are not exchangeable (the split is by"
                " time or given by a column). Split at random by group, or leave this audit out."
            )
        groups = len(set(self.groups)) if self.groups else len(self.holdout)
        if groups < 2:
            raise GobelinError(
                f"audit {name}: needs held-out images of two groups to compare with, found"
                f" {groups}. Hold out more rows."
            )
        sizes = [images.shape[1:] for images in (self.train, self.holdout, self.generated)]
        if len(set(sizes)) > 1:
            told = ", ".join(" x ".join(map(str, size)) for size in sizes)
            raise GobelinError(
                f"audit {name}: training, held-out and generated images must have one size, found"
                f" {told}. Resize them."
            )


@dataclass(frozen=True)
class Result:
    """The result of one audit."""

    findings: tuple[Finding, ...]
    # for every generated image: {made: its id, nearest: id of the training row, ratio: below 1 is
    # nearer than real images, seen: the way of comparing, flagged: whether it is called a copy}.
    # () where the audit judges no single image
    rows: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "findings": [f.to_dict() for f in self.findings],
            "rows": [dict(row) for row in self.rows],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Result:
        return cls(tuple(Finding.from_dict(f) for f in stored["findings"]), tuple(stored["rows"]))


@runtime_checkable
class Audit(Protocol):
    """A frozen dataclass. Its fields are its settings."""

    def run(self, images: AuditInput) -> Result: ...
