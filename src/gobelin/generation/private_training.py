"""What private generators share: their unit, their promise, and what is released of rows once.

A unit is a group of rows (a patient), or a row where each is a group of its own. Each counts one,
however many rows it has and whatever their weights are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import numpy as np

from gobelin.core.config import setting
from gobelin.core.errors import GobelinError
from gobelin.core.files import atomic_file, load_arrays, save_arrays
from gobelin.generation.fitting import FittedSampler, Learned, NetworkT, SettingsT
from gobelin.generation.generators import ImageRows
from gobelin.privacy.guarantee import Budget, Guarantee
from gobelin.privacy.mean_embedding import MeanEmbedding, factors
from gobelin.privacy.terms import Terms

RELEASED = "released.safetensors"  # what was released once, until the training is done


def budget_setting() -> Any:  # noqa: ANN401 - a field of a settings class
    """The setting `dp` of every private generator."""
    return setting(default_factory=Budget, description="The promise of a training.")


def rate_setting() -> Any:  # noqa: ANN401 - a field of a settings class
    """Their setting `rate`."""
    return setting(default=1e-3, ge=1e-9, le=1, description="Learning rate of Adam.")


def half_life_setting(steps: float) -> Any:  # noqa: ANN401 - a field of a settings class
    """Their setting `half_life`, by default so many steps."""
    return setting(
        default=steps,
        ge=1e-3,
        le=1e9,
        description="Half-life of the averaged weights, in steps.",
    )


def terms_of(rows: ImageRows, budget: Budget) -> Terms:
    """Raises GobelinError for a delta from 1 / groups on, and where no row is used."""
    if not len(rows.used):
        raise rows.no_weight()
    return Terms.of(rows.group_numbers[rows.used], rows.weights, budget)


@dataclass(frozen=True)
class Released:
    """What is known of the data: their schema, noisy counts, and the promise."""

    learned: Learned
    counts: tuple[float, ...]  # of groups in each slot, with noise
    promise: Guarantee

    @property
    def size(self) -> tuple[int, int, int]:
        return self.learned.image_size

    @property
    def slots(self) -> int:
        return len(self.counts)

    def stored(self) -> dict[str, Any]:
        """The entries of config.json."""
        return {**self.learned.stored(), "counts": self.counts, "promise": self.promise.to_dict()}

    @staticmethod
    def restored(config: Mapping[str, Any]) -> Released:
        """The inverse of `stored`."""
        promise = Guarantee.from_dict(config["promise"])
        return Released(Learned.restored(config), tuple(config["counts"]), promise)


class PrivateFitted(FittedSampler[SettingsT, Released, NetworkT], Generic[SettingsT, NetworkT]):
    """A fitted private generator."""

    @property
    def accepts(self) -> frozenset[str]:  # type: ignore[override]
        """The target, where it is a class."""
        learned = self.learned.learned
        return frozenset({"target"} if learned.classes and not learned.number else ())

    @property
    def promise(self) -> Guarantee:
        """Its epsilon, and what it doesn't cover."""
        return self.learned.promise


def slots_of(learned: Learned) -> int:
    """S: classes, or 1 where there are none."""
    return 1 if learned.number else max(learned.classes, 1)


def remarks(rows: ImageRows, learned: Learned) -> Iterator[str]:
    """What of the rows is not used as it stands."""
    weights = rows.weights
    if learned.number:
        yield "the target is a number, which images do not follow. --set schema.NAME=category?"
    if weights is not None and bool((weights > 1).any()):
        yield "weights above 1 count as 1, so that no group counts more than one."


def sums(embedding: MeanEmbedding, learned: Learned, rows: ImageRows) -> np.ndarray:
    """The sums over the rows that training uses. A row without a class counts in no slot, but in
    the rows of its group."""
    used, target = rows.used, rows.condition.target
    slots = np.zeros(len(rows), np.int64)
    if target is not None and embedding.slots > 1:
        slots = target.numpy()
    weights = None if rows.weights is None else rows.weights[used]
    factor = factors(rows.group_numbers[used], weights)
    kept = slots[used] >= 0
    return embedding.sums(rows.images[used[kept]], slots[used[kept]], factor[kept])


def store(path: Path, identity: str, released: np.ndarray) -> None:
    """Keep the released sums, so that a training that was killed spends nothing again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = np.frombuffer(identity.encode(), np.uint8)
    with atomic_file(path) as temporary:
        save_arrays(temporary, {"released": released, "identity": mark})


def stored(path: Path, identity: str) -> np.ndarray | None:
    """What `store` kept of the same rows and settings; None where there is none."""
    try:
        arrays = load_arrays(path) if path.is_file() else {}
    except GobelinError:  # damaged: it is released again, and paid again
        return None
    if not arrays or arrays["identity"].tobytes().decode() != identity:
        return None
    return arrays["released"]
