"""The first place where data meets encoders: cells in, cached blocks of features out.

The cache is by content: a cell that was seen before, in whatever row or run, is not encoded again.
A block is written whole or not at all, so a killed run continues from the last block."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.feature_cache import FeatureCache
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, silent
from gobelin.core.workers import in_order
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell, Field, Schema
from gobelin.data.files import BadCell, untouched
from gobelin.embedding.encoders import FittedEncoder

BLOCK, BYTES = 2048, 32_000_000  # of decoded cells that are encoded at once
AHEAD = 128  # cells that are decoded while the network runs
# nanoseconds since a file was touched, after which its times tell whether it is touched again
SETTLED = 2_000_000_000


@dataclass(frozen=True)
class Embeddings:
    """Features of N rows in F fields.

    features: {field: float32 [N, D_f]}, zero where absent. present: bool [N, F] in the order of
    `fields`. ids: N row names. space: a fingerprint of the encoders; embeddings of two spaces can't
    be joined."""

    fields: tuple[str, ...]
    features: Mapping[str, np.ndarray]
    present: np.ndarray
    ids: tuple[str, ...]
    space: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.present)

    def rows(self, index: Sequence[int] | np.ndarray) -> Embeddings:
        i = np.asarray(index, dtype=np.int64)
        features = {f: v[i] for f, v in self.features.items()}
        return replace(
            self, features=features, present=self.present[i], ids=tuple(self.ids[k] for k in i)
        )

    def join(self, other: Embeddings) -> Embeddings:
        if self.space != other.space or self.fields != other.fields:
            raise GobelinError(
                "embeddings: rows of two different spaces can't be joined. Embed both with one run."
            )
        features = {f: np.concatenate([v, other.features[f]]) for f, v in self.features.items()}
        return replace(
            self,
            features=features,
            present=np.concatenate([self.present, other.present]),
            ids=self.ids + other.ids,
        )

    def only(self, fields: Sequence[str]) -> Embeddings:
        """The same rows as if only these fields were present."""
        return replace(self, present=self.present & np.isin(self.fields, list(fields)))

    def keep(self, fields: Sequence[str]) -> Embeddings:
        """The same rows without the other fields."""
        kept = tuple(f for f in self.fields if f in fields)
        columns = [self.fields.index(f) for f in kept]
        return replace(
            self,
            fields=kept,
            features={f: self.features[f] for f in kept},
            present=self.present[:, columns],
        )

    def own(self, fields: Sequence[str], space: str) -> Embeddings:
        """The fields that a predictor was fitted on, in its order, if these rows come from the
        encoders of its fit."""
        if self.space != space or not set(fields) <= set(self.fields):
            raise GobelinError(
                "predict: these rows come from other encoders than the predictor. Embed them with"
                " its own run."
            )
        columns = [self.fields.index(f) for f in fields]
        features = {f: self.features[f] for f in fields}
        return replace(
            self, fields=tuple(fields), features=features, present=self.present[:, columns]
        )

    def blocks(self, size: int = 4096) -> Iterator[Embeddings]:
        for start in range(0, len(self), size):
            yield self.rows(np.arange(start, min(start + size, len(self))))

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.space, self.present, *[self.features[f] for f in self.fields])


@dataclass(frozen=True)
class Reader:
    """Fitted encoders with the schema that says which field each reads, and the folder of the cache
    (None: no cache)."""

    schema: Schema
    encoders: Mapping[str, FittedEncoder]  # field -> its encoder
    cache: Path | None = None
    workers: int = 1

    @property
    def space(self) -> str:
        return fingerprint({f: e.fingerprint() for f, e in self.encoders.items()})

    def embed(self, dataset: Dataset, progress: Progress = silent) -> Embeddings:
        """Features of every row and field. A cell that can't be opened raises BadCell: `check.scan`
        sets it aside first."""
        features, present = {}, np.zeros((len(dataset), len(self.encoders)), bool)
        for f, (name, encoder) in enumerate(self.encoders.items()):
            which = self.schema.field(name)
            cells = dataset.cells(which)
            present[:, f] = [c is not None for c in cells]
            features[name] = self._field(which, encoder, cells, dataset.root, progress)
        return Embeddings(tuple(self.encoders), features, present, dataset.ids, self.space)

    def embed_cells(self, cells: Mapping[str, Cell]) -> Embeddings:
        """One row from the cells of any fields, as a query gives them. Nothing is cached."""
        features = {f: np.zeros((1, e.width), np.float32) for f, e in self.encoders.items()}
        for name, cell in cells.items():
            features[name] = self._decoded(name, [cell], Path())
        present = np.array([[f in cells for f in self.encoders]])
        return Embeddings(tuple(self.encoders), features, present, ("query",), self.space)

    def embed_column(
        self, name: str, column: str, values: Sequence[Any], root: Path, keep: bool = False
    ) -> Embeddings:
        """N rows that have nothing but one column of one field. keep: in the cache too, for values
        that come again."""
        features = {
            f: np.zeros((len(values), e.width), np.float32) for f, e in self.encoders.items()
        }
        cells = [{column: v} for v in values]
        which, encoder = self.schema.field(name), self.encoders[name]
        features[name] = (
            self._field(which, encoder, cells, root, silent)
            if keep
            else self._decoded(name, cells, root)
        )
        present = np.tile([f == name for f in self.encoders], (len(values), 1))
        ids = tuple(str(k) for k in range(len(values)))
        return Embeddings(tuple(self.encoders), features, present, ids, self.space)

    def _decoded(self, name: str, cells: Sequence[Cell], root: Path) -> np.ndarray:
        encoder = self.encoders[name]
        try:
            return encoder.embed([encoder.decode(cell, root)[0] for cell in cells])
        except BadCell as error:
            which = f" for {error.column!r}" if error.column and error.column != name else ""
            raise GobelinError(f"{name}: {error}. Give another one{which}.") from error

    def _field(
        self,
        which: Field,
        encoder: FittedEncoder,
        cells: Sequence[Cell | None],
        root: Path,
        progress: Progress,
    ) -> np.ndarray:
        out = np.zeros((len(cells), encoder.width), np.float32)
        cache = FeatureCache(
            None if self.cache is None else self.cache / encoder.fingerprint()[:32], encoder.width
        )
        there = {k: c for k, c in enumerate(cells) if c is not None}
        keys = self._keys(encoder, there, root, cache)
        missing: dict[bytes, Cell] = {}
        for k, key in keys.items():
            if key not in cache:
                missing.setdefault(key, there[k])
        done, total = len(there) - len(missing), len(there)
        decoded = in_order(
            lambda cell: encoder.decode(cell, root)[0], missing.values(), self.workers, AHEAD
        )
        for block, batch in _blocks(zip(missing, decoded, strict=True)):
            cache.add(block, encoder.embed(batch))  # meanwhile the next ones are decoded
            done += len(block)
            progress(f"embed {which.name}", done, total)
        if there:
            out[list(there)] = cache.read([keys[k] for k in there])
        return out

    def _keys(
        self, encoder: FittedEncoder, cells: Mapping[int, Cell], root: Path, cache: FeatureCache
    ) -> dict[int, bytes]:
        """What names the contents of each cell; files that nobody touched since they were hashed
        aren't opened."""
        now, base = time.time_ns(), str(root.resolve())
        marks = {k: untouched(cell, base) for k, cell in cells.items()}
        keys = {
            k: cache.hashes[mark[0]]
            for k, mark in marks.items()
            if mark and mark[0] in cache.hashes
        }
        unknown = [k for k in cells if k not in keys]
        workers = (
            self.workers if any(marks[k] for k in unknown) else 1
        )  # what lies in memory is hashed sooner than handed over
        found = in_order(lambda k: encoder.key(cells[k], root), unknown, workers, AHEAD)
        keys |= zip(unknown, found, strict=True)
        settled = {m[0]: keys[k] for k in unknown if (m := marks[k]) and now - m[1] > SETTLED}
        if self.cache is not None:
            cache.remember(settled)
        return keys


def _blocks(decoded: Iterable[tuple[bytes, Any]]) -> Iterator[tuple[list[bytes], list[Any]]]:
    """Keys and decoded cells in blocks of at most BLOCK cells and about BYTES: many short texts go
    together, so that those of one length do, and few large images."""
    keys: list[bytes] = []
    batch: list[Any] = []
    held = 0
    for key, cell in decoded:
        keys.append(key)
        batch.append(cell)
        held += _bytes(cell)
        if len(keys) == BLOCK or held > BYTES:
            yield keys, batch
            keys, batch, held = [], [], 0
    if keys:
        yield keys, batch


def _bytes(decoded: object) -> int:
    """How much memory a decoded cell takes, about."""
    if isinstance(decoded, np.ndarray):
        return decoded.nbytes
    return (
        sum(map(_bytes, decoded))
        if isinstance(decoded, list | tuple)
        else len(decoded)
        if isinstance(decoded, str)
        else 8
    )


def unreadable(
    reader: Reader, dataset: Dataset, progress: Progress = silent
) -> tuple[list[tuple[str, str, str]], dict[str, int]]:
    """Every cell that can't be opened as (row id, column, reason), and how many cells were
    converted, by 'field: how'."""
    bad: list[tuple[str, str, str]] = []
    converted: dict[str, int] = {}
    for name, encoder in reader.encoders.items():
        cells = dataset.cells(reader.schema.field(name))

        def attempt(
            cell: Cell | None, encoder: FittedEncoder = encoder
        ) -> tuple[list[tuple[str, str]], str]:
            return _attempt(encoder, cell, dataset.root)

        for k, (reasons, how) in enumerate(in_order(attempt, cells, reader.workers)):
            bad += [(dataset.ids[k], column, reason) for column, reason in reasons]
            if how:
                converted[f"{name}: {how}"] = converted.get(f"{name}: {how}", 0) + 1
            if k % 200 == 199 or k + 1 == len(cells):
                progress(f"check {name}", k + 1, len(cells))
    return bad, converted


def _attempt(
    encoder: FittedEncoder, cell: Cell | None, root: Path
) -> tuple[list[tuple[str, str]], str]:
    """Decode a cell without the columns that can't be: those with their reasons, and what had to be
    converted."""
    reasons: list[tuple[str, str]] = []
    while cell:
        try:
            return reasons, encoder.decode(cell, root)[1]
        except BadCell as error:
            blamed = [error.column] if error.column else list(cell)
            reasons += [(column, str(error)) for column in blamed]
            cell = {c: v for c, v in cell.items() if c not in blamed}
    return reasons, ""
