"""The contract of every encoder: the cells of one field in, vectors [n, D_f] out.

An encoder bids for columns (`bid`), so that a new kind of data is one new file. Its settings are
the fields of a frozen dataclass; `fit` sees training cells only and returns a fitted encoder; a
pretrained one has nothing to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field


@dataclass(frozen=True)
class Sample:
    """What an encoder sees of a column before it bids: its name, up to 500 present values, and the
    count of all rows."""

    name: str
    values: tuple[Any, ...]
    rows: int
    root: Path


@runtime_checkable
class Encoder(Protocol):
    """Settings of an encoder.

    kinds: the column kinds that it reads. flag: the query flag that it gives to the command line
    (`text` -> `--text`); '' for none. joined: True when all its columns make one field by default
    (a table), False for one field a column. default: whether it is taken for its kinds when none is
    named."""

    kinds: ClassVar[tuple[str, ...]]
    flag: ClassVar[str]
    joined: ClassVar[bool]
    default: ClassVar[bool]

    @staticmethod
    def bid(sample: Sample) -> Bid | None: ...

    def parse(self, text: str, field: Field) -> Cell:
        """A query that came as text (a path, a sentence, 'k=v,...') as a cell of this field."""
        ...

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedEncoder: ...

    def load(self, folder: Path, runtime: Runtime) -> FittedEncoder: ...


@runtime_checkable
class FitsFiles(Encoder, Protocol):
    """An encoder that learns from what stands in the files that cells name: it is told where their
    relative paths start."""

    def fit_files(
        self,
        cells: Sequence[Cell | None],
        field: Field,
        kinds: dict[str, str],
        runtime: Runtime,
        root: Path,
    ) -> FittedEncoder: ...


@runtime_checkable
class FittedEncoder(Protocol):
    """width: D_f. `decode` runs in workers and may raise BadCell; `embed` turns decoded cells into
    float32 [n, D_f]. module: the network that `tune` trains; None where there is nothing to
    train."""

    width: int

    @property
    def module(self) -> nn.Module | None: ...

    def key(self, cell: Cell, root: Path) -> bytes:
        """16 bytes that name the cell's contents, for the cache."""
        ...

    def decode(self, cell: Cell, root: Path) -> tuple[Any, str]:
        """The cell as arrays, and what had to be converted ('' for nothing)."""
        ...

    def embed(self, batch: Sequence[Any]) -> np.ndarray: ...

    def fingerprint(self) -> str: ...

    def save(self, folder: Path) -> None: ...


@runtime_checkable
class Tunable(FittedEncoder, Protocol):
    """An encoder with a `module`. `embed` is `forward` without gradients while the module is in
    evaluation mode, which whoever trains it restores. All that training changes lies in the
    module's state dict."""

    @property
    def module(self) -> nn.Module: ...

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, D_f] of decoded cells, differentiable in the weights of `module`."""
        ...


class Forward:
    """What encoders share that can be tuned: `embed` is `forward` without gradients."""

    def forward(self, batch: Sequence[Any]) -> Tensor:
        raise NotImplementedError

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, D_f] of decoded cells."""
        with torch.inference_mode():
            return self.forward(batch).cpu().numpy()


@dataclass(frozen=True)
class Classes:
    """What a network can name: features @ weight + bias are its logits. weight: float32 [D_f, K],
    bias [K], texts: K names."""

    weight: np.ndarray
    bias: np.ndarray
    texts: tuple[str, ...]


@runtime_checkable
class NamesClasses(FittedEncoder, Protocol):
    """An encoder whose network was trained to name classes: a bridge from what it sees to words
    (`align`)."""

    def classes(self) -> Classes | None:
        """None where the names are not installed."""
        ...
