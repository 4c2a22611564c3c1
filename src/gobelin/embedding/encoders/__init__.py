"""The contract of every encoder: the cells of one field in, vectors [n, D_f] out.

An encoder bids for columns (`bid`), so that a new kind of data is one new file. Its settings are
the fields of a frozen dataclass. `fit` is given training cells only and returns a fitted encoder; a
pretrained one has nothing to fit. What a fitted encoder holds, anybody can read from a saved run:
it keeps no value that fewer than `TrainingCells.least_groups` groups have, and no number that tells
of fewer. The frame of encoders around a model of Hugging Face is `gobelin.embedding.hub_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, overload, runtime_checkable

import numpy as np

from gobelin.core import catalog
from gobelin.core.lazy import torch
from gobelin.core.machine import Runtime
from gobelin.core.workers import in_order
from gobelin.data.coarse import LEAST_GROUPS
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.files import BadCell

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """A column as an encoder is shown it before it bids."""

    name: str  # of the column
    values: tuple[Any, ...]  # present ones, 500 at most
    rows: int  # count of all rows
    root: Path  # where relative paths in cells start


class TrainingCells(Sequence[Cell | None]):
    """The training cells of one field, each with the group of its row.

    groups: N names; without them each row is a group of its own. least_groups: an encoder keeps a
    value that so many groups have, no rarer one; 1 keeps all. root: where relative paths in cells
    start."""

    def __init__(
        self,
        cells: Sequence[Cell | None],
        groups: Sequence[str] | None = None,
        least_groups: int = LEAST_GROUPS,
        root: Path = Path(),
    ) -> None:
        self.cells, self.least_groups, self.root = cells, least_groups, root
        names = range(len(cells)) if groups is None else groups
        self.groups: np.ndarray = np.unique(list(names), return_inverse=True)[1]  # int [N]

    def __len__(self) -> int:
        return len(self.cells)

    @overload
    def __getitem__(self, index: int) -> Cell | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Cell | None]: ...
    def __getitem__(self, index: int | slice) -> Cell | None | Sequence[Cell | None]:
        return self.cells[index]

    def present(self) -> Iterator[tuple[Cell, int]]:
        """Every present cell with the number of its group."""
        for cell, group in zip(self.cells, self.groups.tolist(), strict=True):
            if cell is not None:
                yield cell, group

    def some(self, look: Callable[[Cell], T], most: int, threads: int = 1) -> list[tuple[T, int]]:
        """What `look` finds in at most so many present cells, evenly chosen, each with the number
        of its group. Cells that can't be opened (BadCell) are left out; they are set aside later,
        with their reason."""
        present = list(self.present())
        chosen = present[:: -(-len(present) // most) or 1]

        def attempt(one: tuple[Cell, int]) -> list[tuple[T, int]]:
            try:
                return [(look(one[0]), one[1])]
            except BadCell:
                return []

        return [found for each in in_order(attempt, chosen, threads) for found in each]


def common(values: Iterable[tuple[str, int]], least_groups: int) -> tuple[dict[str, int], int]:
    """{value: count} of the values that so many groups have, and how many others there are. values:
    each with the number of its group."""
    counts: dict[str, int] = {}
    groups: dict[str, set[int]] = {}
    for value, group in values:
        counts[value] = counts.get(value, 0) + 1
        having = groups.setdefault(value, set())
        if len(having) < least_groups:
            having.add(group)
    kept = {v: n for v, n in counts.items() if len(groups[v]) >= least_groups}
    return kept, len(counts) - len(kept)


@runtime_checkable
class Encoder(Protocol):
    """Settings of an encoder."""

    kinds: ClassVar[tuple[str, ...]]  # of columns that it reads
    flag: ClassVar[str]  # of queries on the command line (`text` -> `--text`); '' for none
    joined: ClassVar[bool]  # whether its columns make one field by default (a table)
    default: ClassVar[bool]  # whether it reads its kinds where the user names no encoder

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        """Its claim on a column; None for no claim, and for encoders that the user must name."""
        ...

    def parse(self, text: str, field: Field) -> Cell:
        """A query that came as text (a path, a sentence, 'k=v,...') as a cell of this field."""
        ...

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedEncoder: ...

    def load(self, folder: Path, runtime: Runtime) -> FittedEncoder: ...


@runtime_checkable
class FittedEncoder(Protocol):
    """An encoder that is ready: from cells to vectors."""

    width: int  # D_f

    @property
    def module(self) -> torch.nn.Module | None:
        """The network that `tune` trains; None where there is nothing to train."""
        ...

    def key(self, cell: Cell, root: Path) -> bytes:
        """16 bytes that name the cell's contents, for the cache."""
        ...

    def decode(self, cell: Cell, root: Path) -> tuple[Any, str]:
        """The cell as arrays, and a note of what had to be converted ('' for nothing). Runs in
        workers. Raises BadCell."""
        ...

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, D_f] of decoded cells."""
        ...

    def fingerprint(self) -> str: ...

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class Tunable(FittedEncoder, Protocol):
    """An encoder with a `module`. `embed` is `forward` without gradients while the module is in
    evaluation mode; a training restores that mode at its end. Training changes the module's state
    dict and nothing else."""

    @property
    def module(self) -> torch.nn.Module: ...

    def forward(self, batch: Sequence[Any]) -> torch.Tensor:
        """float32 [n, D_f] of decoded cells, differentiable in the weights of `module`."""
        ...


@runtime_checkable
class ReadsPixels(Tunable, Protocol):
    """An image encoder through which one can follow an answer back to the pixels."""

    def of_pixels(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [n, D_f] of n images, float32 [n, H, W, 3] or [n, 3, H, W] in the units that
        `decode` gives them in. Differentiable in them."""
        ...


class Forward:
    """`embed` of encoders that can be tuned: `forward` without gradients."""

    def forward(self, batch: Sequence[Any]) -> torch.Tensor:
        raise NotImplementedError

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, D_f] of decoded cells."""
        with torch.inference_mode():
            return self.forward(batch).cpu().numpy()


def share_bid(kind: str, share: float, what: str) -> Bid | None:
    """A claim on a column of which more than half of the cells look like files of this kind. what:
    those files, in words."""
    return Bid(kind, share, f"{share:.0%} of its cells look like {what}") if share > 0.5 else None


@cache
def declared(name: str, attribute: str) -> Any:  # noqa: ANN401
    """A class attribute of an encoder. A wide table asks for them once a column."""
    return catalog.declared("encoders", name, attribute)


def reading(kind: str) -> list[str]:
    """The names of the installed encoders that read columns of this kind."""
    return [n for n in catalog.names("encoders") if kind in declared(n, "kinds")]


@dataclass(frozen=True)
class Classes:
    """K classes that a network can name: features @ weight + bias are its logits."""

    weight: np.ndarray  # float32 [D_f, K]
    bias: np.ndarray  # float32 [K]
    texts: tuple[str, ...]  # K names


@runtime_checkable
class LeavesOut(FittedEncoder, Protocol):
    """An encoder that keeps values of its cells, the rare ones not."""

    def rare(self) -> Mapping[str, tuple[int, int, str]]:
        """{column: (how many were too rare to keep, of how many, of what)}, of the columns that
        have any. The name '' stands for a field that is read as one text."""
        ...


@runtime_checkable
class NamesUnseen(FittedEncoder, Protocol):
    """An encoder that knows which values it kept."""

    def unseen(self, cells: Iterable[Cell | None]) -> Mapping[str, Sequence[str]]:
        """{column: values of these cells that it did not keep}, of the columns that have any."""
        ...


@runtime_checkable
class NamesFar(FittedEncoder, Protocol):
    """An encoder that knows the range of the numbers and dates that it learned from."""

    def far(self, cells: Iterable[Cell | None]) -> Mapping[str, Far]:
        """{column: its far cells}, of the columns of which a tenth of the cells or more lie outside
        of the training values by more than half of their range."""
        ...


@runtime_checkable
class EncodesColumns(FittedEncoder, Protocol):
    """An encoder in whose features each column of a cell has places of its own, whatever the other
    columns hold."""

    def places(self) -> Mapping[str, slice]:
        """{column: its places in a row's features}."""
        ...


@dataclass(frozen=True)
class Far:
    """Cells of a column that lie far outside of the training values."""

    values: Sequence[str]
    low: str  # about the smallest training value, as it is told
    high: str  # about the largest
    advice: str  # what to do where they should not lie there


@runtime_checkable
class NamesClasses(FittedEncoder, Protocol):
    """An encoder whose network was trained to name classes: a bridge from its features to words
    (`align`)."""

    def classes(self) -> Classes | None:
        """None where the names are not installed."""
        ...
