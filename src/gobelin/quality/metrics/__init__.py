"""The contract of every metric: features of real and of made images in, findings out, in bounded
memory.

The pure functions of each metric take `Rows`: an array [N, D], a re-iterable of blocks [n, D], or a
`FeatureSet`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval


class TooFew(GobelinError):
    """Fewer images than a metric needs. It is an answer, and becomes a finding without a number."""

    def __init__(self, what: str, n: int, needed: int) -> None:
        super().__init__(
            f"metric {what}: too few images to say (n = {n}, needs at least {needed}). Give more"
            " images."
        )
        self.n, self.needed = n, needed


@dataclass(frozen=True)
class FeatureSet:
    """What a feature net saw in a set of images.

    blocks: float [n, D] each, any n; iterated several times, so a list or an object with __iter__,
    never a generator. net: the name of the feature net. resize: how the images were brought to its
    size ('bilinear 28 -> 32'). labels: the class of each row [N], over all blocks, or None."""

    blocks: Iterable[np.ndarray]
    net: str
    resize: str
    labels: np.ndarray | None = None

    def only(self, label: Any) -> FeatureSet:  # noqa: ANN401 - whatever labels are made of
        """The rows of one class; nothing is copied before it is iterated."""
        if self.labels is None:
            raise GobelinError(
                f"metrics: no labels were given, class {label!r} was asked for. Give a label to"
                " each row."
            )
        return replace(self, blocks=_Chosen(self.blocks, self.labels == label), labels=None)


Rows: TypeAlias = np.ndarray | FeatureSet | Iterable[np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """Made images against real ones.

    floor: other real images, unseen by the generator; the score of real against these is the best
    that can be hoped for. conditioned_on: the name of the encoder whose vectors drove the
    generator, '' for none. scope: of what the findings are."""

    real: FeatureSet
    made: FeatureSet
    floor: FeatureSet | None = None
    conditioned_on: str = ""
    scope: Mapping[str, str] = field(default_factory=dict)

    def check(self, name: str) -> None:
        """Refuse a feature net that flatters the generator, and features that can't be compared."""
        net = self.real.net
        if not net.strip():
            raise GobelinError(
                f"metric {name}: the feature net has no name. Say which net the features are from."
            )
        if net.strip().casefold() == self.conditioned_on.strip().casefold():
            raise GobelinError(
                f"metric {name}: the feature net {net!r} is the encoder that the generator was"
                " conditioned on, and its own space flatters it. Take another feature net."
            )
        for word, other in (("made", self.made), ("floor", self.floor)):
            if other and (other.net, other.resize) != (net, self.real.resize):
                raise GobelinError(
                    f"metric {name}: real features are from {net!r} ({self.real.resize}), {word}"
                    f" ones from {other.net!r} ({other.resize}). Compute both in the same way."
                )

    def classes(self) -> list[Comparison]:
        """One comparison a class of the real rows that made rows have too, its name in the scope,
        in the order of names.

        A floor without rows of a class is left out there."""
        sets = (self.real, self.made)
        if any(s.labels is None for s in sets):
            raise GobelinError(
                "metrics: by class, but real or made rows have no labels. Give a label to each row."
            )
        shared = set(np.asarray(self.real.labels).tolist()) & set(
            np.asarray(self.made.labels).tolist()
        )
        return [self._of_class(label) for label in sorted(shared, key=str)]

    def _of_class(self, label: Any) -> Comparison:  # noqa: ANN401
        floor = self.floor
        floor = (
            floor.only(label)
            if floor and floor.labels is not None and (floor.labels == label).any()
            else None
        )
        scope = {**self.scope, "class": str(label)}
        return replace(
            self, real=self.real.only(label), made=self.made.only(label), floor=floor, scope=scope
        )

    def number(
        self,
        name: str,
        found: Interval,
        floor: float | None,
        better: str,
        note: str,
        unit: str = "",
        n: int | None = None,
    ) -> Finding:
        """A finding with its circumstances in the note. n: made images, where the interval's units
        are other ones."""
        made = replace(found, n=found.n if n is None else n)
        note = f"{note}; feature net {self.real.net}, resize {self.real.resize}"
        return made.finding(
            name,
            scope=self.scope,
            unit=unit,
            better=better,
            floor=floor,
            note=note,
            source="metrics",
        )

    def silence(self, name: str, why: TooFew, better: str, unit: str = "") -> Finding:
        """A finding without a number, that says why."""
        verdict = f"too few images to say (n = {why.n}, needs at least {why.needed})"
        return Finding(
            name=name,
            scope=dict(self.scope),
            unit=unit,
            better=better,
            verdict=verdict,
            n=why.n,
            needed_n=why.needed,
            note=f"feature net {self.real.net}, resize {self.real.resize}",
            source="metrics",
        )


@runtime_checkable
class Metric(Protocol):
    """A frozen dataclass; its fields are its settings. The same names of findings come whatever the
    rows are."""

    def measure(self, comparison: Comparison) -> tuple[Finding, ...]: ...


def chunks(rows: Rows, size: int) -> Iterator[np.ndarray]:
    """The rows [N, D] in blocks of `size` (the last one smaller), however they were cut before, so
    no result depends on it."""
    held: list[np.ndarray] = []
    count, width = 0, None
    for block in _blocks(rows):
        _check(block, width)
        width = block.shape[1]
        held.append(block)
        count += len(block)
        while count >= size:
            joined = held[0] if len(held) == 1 else np.concatenate(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        yield held[0] if len(held) == 1 else np.concatenate(held)


def matrix(rows: Rows) -> np.ndarray:
    """All rows at once, [N, D]; [0, 0] where there are none."""
    if isinstance(rows, np.ndarray):
        _check(rows, None)
        return rows
    found = list(chunks(rows, 4096))
    return np.concatenate(found) if found else np.zeros((0, 0))


def same_width(real: int, made: int) -> None:
    if real != made:
        raise GobelinError(
            f"metrics: real features have {real} columns, made ones {made}. Compute both with the"
            " same net."
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
class _Chosen:
    """Those rows of blocks that a mask [N] keeps."""

    blocks: Iterable[np.ndarray]
    kept: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        start = 0
        for block in _blocks(self.blocks):
            stop = start + len(block)
            if stop <= len(self.kept):
                yield block[self.kept[start:stop]]
            start = stop
        if start != len(self.kept):
            raise GobelinError(
                f"metrics: {len(self.kept)} labels for {start} rows of features. Give one a row."
            )
