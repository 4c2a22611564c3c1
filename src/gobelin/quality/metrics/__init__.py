"""The contract of every metric: features of real and generated images in, findings out.

Metrics compute in bounded memory unless their docstring says otherwise. The pure functions of each
metric take `Rows`: an array [N, D], a re-iterable of blocks [n, D], or a `FeatureSet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval

ROWS_AT_ONCE = 4096  # rows of a block that a metric multiplies at once


class TooFew(GobelinError):
    """There are fewer images than a metric needs. It becomes a finding without a number."""

    def __init__(self, metric: str, n: int, needed: int) -> None:
        super().__init__(
            f"metric {metric}: too few images to say (n = {n}, needs at least {needed}). Give more"
            " images."
        )
        self.n, self.needed = n, needed


@dataclass(frozen=True)
class FeatureSet:
    """Features of a set of images.

    blocks: float [n, D] each, any n. They are iterated several times: give a list or an object
    with __iter__, never a generator. net: name of the feature net. resize: how the images were
    brought to its size ('bilinear 28 -> 32'). labels: the class of each row [N], over all blocks,
    or None.
    """

    blocks: Iterable[np.ndarray]
    net: str
    resize: str
    labels: np.ndarray | None = None

    def only(self, label: Any) -> FeatureSet:  # noqa: ANN401 - a label is of any type
        """The rows of one class. Nothing is copied before it is iterated."""
        if self.labels is None:
            raise GobelinError(
                f"metrics: class {label!r} was requested, but there are no labels. Give a label to"
                " each row."
            )
        return replace(self, blocks=_Masked(self.blocks, self.labels == label), labels=None)


Rows: TypeAlias = np.ndarray | FeatureSet | Iterable[np.ndarray]


@dataclass(frozen=True)
class FeatureComparison:
    """Features of generated images against features of real ones.

    floor: other real images that the generator never saw. Their score against `real` is the best
    that generated images can be expected to reach. conditioned_on: name of the encoder whose
    vectors drove the generator, '' for none. scope: the scope of every finding.
    """

    real: FeatureSet
    generated: FeatureSet
    floor: FeatureSet | None = None
    conditioned_on: str = ""
    scope: Mapping[str, str] = field(default_factory=dict)

    def check(self, metric: str) -> None:
        """Raises GobelinError for a feature net that flatters the generator, and for features that
        can't be compared.
        """
        net = self.real.net
        if not net.strip():
            raise GobelinError(
                f"metric {metric}: the feature net has no name. Say which net the features are"
                " from."
            )
        if net.strip().casefold() == self.conditioned_on.strip().casefold():
            raise GobelinError(
                f"metric {metric}: the feature net {net!r} is the encoder that the generator was"
                " conditioned on, and its own space flatters it. Take another feature net."
            )
        for name, other in (("generated", self.generated), ("floor", self.floor)):
            if other and (other.net, other.resize) != (net, self.real.resize):
                raise GobelinError(
                    f"metric {metric}: real features are from {net!r} ({self.real.resize}), {name}"
                    f" ones from {other.net!r} ({other.resize}). Compute both in the same way."
                )

    def classes(self) -> list[FeatureComparison]:
        """One comparison a class that both real and generated rows have, in the order of names.

        The name goes into the scope. A floor without rows of a class is left out there.
        """
        if self.real.labels is None or self.generated.labels is None:
            raise GobelinError(
                "metrics: a comparison by class was requested, but real or generated rows have no"
                " labels. Give a label to each row."
            )
        shared = set(np.asarray(self.real.labels).tolist()) & set(
            np.asarray(self.generated.labels).tolist()
        )
        return [self._of_class(label) for label in sorted(shared, key=str)]

    def _of_class(self, label: Any) -> FeatureComparison:  # noqa: ANN401
        floor = self.floor
        floor = (
            floor.only(label)
            if floor and floor.labels is not None and (floor.labels == label).any()
            else None
        )
        return replace(
            self,
            real=self.real.only(label),
            generated=self.generated.only(label),
            floor=floor,
            scope={**self.scope, "class": str(label)},
        )

    def finding(
        self,
        name: str,
        interval: Interval,
        floor: float | None,
        better: str,
        note: str,
        unit: str = "",
        n: int | None = None,
    ) -> Finding:
        """A finding whose note names the feature net. n: count of generated images, where the
        interval counts other units.
        """
        interval = replace(interval, n=interval.n if n is None else n)
        return interval.finding(
            name,
            scope=self.scope,
            unit=unit,
            better=better,
            floor=floor,
            note=f"{note}; {self._feature_net}",
            source="metrics",
        )

    def no_number(self, name: str, reason: TooFew, better: str, unit: str = "") -> Finding:
        """A finding without a number; its verdict gives the reason."""
        return Finding(
            name=name,
            scope=dict(self.scope),
            unit=unit,
            better=better,
            verdict="too few images to say",
            n=reason.n,
            needed_n=reason.needed,
            note=self._feature_net,
            source="metrics",
        )

    @property
    def _feature_net(self) -> str:
        return f"feature net {self.real.net}, resize {self.real.resize}"


@runtime_checkable
class Metric(Protocol):
    """A frozen dataclass; its fields are its settings.

    The names of its findings do not depend on the rows.
    """

    def measure(self, comparison: FeatureComparison) -> tuple[Finding, ...]: ...


def chunks(rows: Rows, size: int) -> Iterator[np.ndarray]:
    """The rows [N, D] in blocks of `size`, the last one smaller.

    The blocks that the rows came in do not matter, so no result depends on them.
    """
    pending: list[np.ndarray] = []
    count, width = 0, None
    for block in _blocks(rows):
        _check(block, width)
        width = block.shape[1]
        pending.append(block)
        count += len(block)
        while count >= size:
            joined = pending[0] if len(pending) == 1 else np.concatenate(pending)
            yield joined[:size]
            pending, count = [joined[size:]], count - size
    if count:
        yield pending[0] if len(pending) == 1 else np.concatenate(pending)


def matrix(rows: Rows) -> np.ndarray:
    """All rows in one array [N, D]; [0, 0] where there are none."""
    if isinstance(rows, np.ndarray):
        _check(rows, None)
        return rows
    blocks = list(chunks(rows, 4096))
    return np.concatenate(blocks) if blocks else np.zeros((0, 0))


def same_width(real: int, generated: int) -> None:
    """Raises GobelinError where the two counts of columns differ."""
    if real != generated:
        raise GobelinError(
            f"metrics: real features have {real} columns, generated ones {generated}. Compute both"
            " with the same net."
        )


def _blocks(rows: Rows) -> Iterable[np.ndarray]:
    blocks = rows.blocks if isinstance(rows, FeatureSet) else rows
    if isinstance(blocks, np.ndarray):
        return [blocks]
    if isinstance(blocks, Iterator):
        raise GobelinError(
            "metrics: the blocks can be iterated only once. Give a list, or an object that starts"
            " again each time."
        )
    return blocks


def _check(block: np.ndarray, width: int | None) -> None:
    """Raises GobelinError for a block that is not [n, width], or holds nan or infinity."""
    if block.ndim != 2 or (width is not None and block.shape[1] != width):
        expected = "[n, D]" if width is None else f"[n, {width}]"
        raise GobelinError(
            f"metrics: a block of features has the shape {block.shape}, {expected} was expected."
            " Flatten it."
        )
    if not np.isfinite(block).all():
        bad = int((~np.isfinite(block)).any(1).sum())
        raise GobelinError(
            f"metrics: {bad} rows have features that are no finite numbers. Look at their images."
        )


@dataclass(frozen=True)
class _Masked:
    """The rows of blocks for which a mask, bool [N], is True."""

    blocks: Iterable[np.ndarray]
    mask: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        start = 0
        for block in _blocks(self.blocks):
            stop = start + len(block)
            if stop <= len(self.mask):
                yield block[self.mask[start:stop]]
            start = stop
        if start != len(self.mask):
            raise GobelinError(
                f"metrics: {len(self.mask)} labels for {start} rows of features. Give one a row."
            )
