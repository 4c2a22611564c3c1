"""Cells of a dataset in, features of encoders out, through a cache on disk.

The cache is by content: a cell that was encoded before, in any row or run, is not encoded again.
A block is written whole or not at all, so a killed run continues from the last block.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.feature_cache import FeatureCache
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, silent
from gobelin.core.workers import in_order
from gobelin.data.budget import MEGABYTE, limits
from gobelin.data.coarse import LEAST_GROUPS
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell, Schema
from gobelin.data.files import BadCell, untouched
from gobelin.data.image.images import Opening
from gobelin.data.media import AnyOpening
from gobelin.data.media import kinds as media
from gobelin.data.texts import joined
from gobelin.data.volume.volumes import VolumeOpening
from gobelin.embedding.encoders import FittedEncoder
from gobelin.embedding.late_encoders import EncoderFacts, LoadedLate
from gobelin.embedding.lexicon import Lexicon

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
MOST_CELLS_AT_ONCE = 2048  # decoded cells that are encoded at once
MOST_BYTES_AT_ONCE = 32_000_000  # memory of those, about
OF_COLUMNS = ("number", "category", "date", "table")  # kinds of fields that tables make
WITHOUT_FILES = ("text", *OF_COLUMNS)  # no cell names a file
Rows = Mapping[int, Cell]  # {row: its cell}
CELLS_AHEAD = 128  # cells that are decoded while the network runs
# Nanoseconds. A file that changed less long ago could change again with the same time stamp, so its
# hash is not remembered by that stamp.
SETTLED_AFTER = 2_000_000_000


@dataclass(frozen=True)
class Embeddings:
    """Features of N rows in F fields.

    features: {field: float32 [N, D_f]}, zero where absent. present: bool [N, F] in the order of
    `fields`. ids: N row names. space: a fingerprint of the encoders; embeddings of two spaces can't
    be joined. groups: N group names, or none where each row is a group of its own. least_groups:
    what is learned from these rows and saved tells of so many groups at least. words: {field:
    float32 [N, W]}, the words of texts beside their vectors, zero where absent; of fields that have
    them. tables: fields whose features are columns, each of which tells something by itself. Only
    predictors read words and tables."""

    fields: tuple[str, ...]
    features: Mapping[str, np.ndarray]
    present: np.ndarray
    ids: tuple[str, ...]
    space: str = field(default="", compare=False)
    groups: tuple[str, ...] = field(default=(), compare=False)
    least_groups: int = field(default=LEAST_GROUPS, compare=False)
    words: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)
    tables: frozenset[str] = field(default=frozenset(), compare=False)

    def __len__(self) -> int:
        return len(self.present)

    def rows(self, index: Sequence[int] | np.ndarray) -> Embeddings:
        """The rows with these numbers, int [n], in their order."""
        i = np.asarray(index, dtype=np.int64)
        return replace(
            self,
            features={f: v[i] for f, v in self.features.items()},
            present=self.present[i],
            ids=tuple(self.ids[k] for k in i),
            groups=tuple(self.groups[k] for k in i) if self.groups else (),
            words={f: v[i] for f, v in self.words.items()},
        )

    def join(self, other: Embeddings) -> Embeddings:
        """These rows, then the other ones. Raises GobelinError where spaces or fields differ."""
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
            groups=(self.groups or self.ids) + (other.groups or other.ids),
            words={f: np.concatenate([v, other._words_like(f, v)]) for f, v in self.words.items()},
        )

    def _words_like(self, field: str, like: np.ndarray) -> np.ndarray:
        """float32 [N, W]: the words of a field; zero where these rows have none."""
        return self.words.get(field, np.zeros((len(self), like.shape[1]), np.float32))

    @cached_property
    def group_numbers(self) -> np.ndarray:
        """int [N]: the number of each row's group."""
        return np.unique(self.groups or range(len(self)), return_inverse=True)[1]

    def enough(self, chosen: np.ndarray) -> bool:
        """Whether these rows, bool [N], are of enough groups to be learned from."""
        return len(np.unique(self.group_numbers[chosen])) >= self.least_groups

    def only(self, fields: Sequence[str]) -> Embeddings:
        """The same rows, with all other fields marked absent; their columns stay."""
        return replace(self, present=self.present & np.isin(self.fields, list(fields)))

    def keep(self, fields: Sequence[str]) -> Embeddings:
        """The same rows without all other fields; the order of fields stays."""
        return self._with_fields(tuple(f for f in self.fields if f in fields))

    def checked(self, fields: Sequence[str], space: str) -> Embeddings:
        """The fields that a predictor was fitted on, in its order. Raises GobelinError where these
        rows come from other encoders than those of its fit, or lack a field."""
        if self.space != space or not set(fields) <= set(self.fields):
            raise GobelinError(
                "predict: these rows come from other encoders than the predictor. Embed them with"
                " its own run."
            )
        return self._with_fields(tuple(fields))

    def _with_fields(self, fields: tuple[str, ...]) -> Embeddings:
        columns = [self.fields.index(f) for f in fields]
        features = {f: self.features[f] for f in fields}
        words = {f: v for f, v in self.words.items() if f in fields}
        present = self.present[:, columns]
        return replace(self, fields=fields, features=features, present=present, words=words)

    def blocks(self, size: int = 4096) -> Iterator[Embeddings]:
        """The rows, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.rows(np.arange(start, min(start + size, len(self))))

    @property
    def fingerprint(self) -> str:
        words = [x for f in sorted(self.words) for x in (f, self.words[f])]
        features = [self.features[f] for f in self.fields]
        return fingerprint(self.space, self.present, *features, *words)


@dataclass(frozen=True)
class Embedder:
    """Fitted encoders of some fields.

    schema: says which columns each field joins. encoders: {field: its encoder}; an encoder on disk
    is loaded when it is asked for (`LoadedLate`). cache: folder of cached features, None for no
    cache. workers: threads that decode cells. lexicons: {field of texts: its words}."""

    schema: Schema
    encoders: Mapping[str, FittedEncoder]
    cache: Path | None = None
    workers: int = 1
    lexicons: Mapping[str, Lexicon] = field(default_factory=dict)

    @property
    def space(self) -> str:
        """Fingerprint of the encoders; features of two spaces can't be mixed."""
        return fingerprint({f: self._facts(f).fingerprint for f in self.encoders})

    @property
    def tables(self) -> frozenset[str]:
        """As of `Embeddings`."""
        return frozenset(f for f in self.encoders if self.schema.field(f).kind in OF_COLUMNS)

    def _facts(self, field: str) -> EncoderFacts:
        """Width and fingerprint of an encoder, which is not loaded for them."""
        if isinstance(self.encoders, LoadedLate) and (known := self.encoders.facts(field)):
            return known
        encoder = self.encoders[field]
        return EncoderFacts(encoder.width, encoder.fingerprint())

    def openings(self, columns: Sequence[str]) -> dict[str, AnyOpening]:
        """{column: how its encoder opens images or volumes}, for those of the columns that hold
        some."""
        out: dict[str, AnyOpening] = {}
        for name in self.encoders:
            field = self.schema.field(name)
            if field.kind not in media() or not set(field.columns) & set(columns):
                continue  # no other encoder is loaded for this
            encoder = self.encoders[name]
            settings = getattr(encoder, "settings", None)
            opening = getattr(encoder, "opening", getattr(settings, "opening", None))
            if isinstance(opening, Opening | VolumeOpening):
                out |= dict.fromkeys(field.columns, opening)
        return out

    def embed(self, dataset: Dataset, progress: Progress = silent) -> Embeddings:
        """Features of every row and field. Raises BadCell for a cell that can't be opened; `scan`
        in `quality.data` sets those aside first."""
        features, present = {}, np.zeros((len(dataset), len(self.encoders)), bool)
        fields, words = tuple(self.encoders), dict[str, np.ndarray]()
        for k, name in enumerate(fields):
            cells = dataset.cells(self.schema.field(name))
            present[:, k] = [c is not None for c in cells]
            features[name] = self._cached(name, cells, dataset.root, progress)
            if name in self.lexicons:
                words[name] = self._words(name, cells)
        return Embeddings(
            fields, features, present, dataset.ids, self.space, words=words, tables=self.tables
        )

    def _words(self, name: str, cells: Sequence[Cell | None]) -> np.ndarray:
        """float32 [n, W] of n cells, zero where a cell is None."""
        lexicon = self.lexicons[name]
        present = [k for k, cell in enumerate(cells) if cell is not None]
        out = np.zeros((len(cells), lexicon.width), np.float32)
        if present:
            out[present] = lexicon.embed([joined(cells[k] or {}) for k in present])
        return out

    def embed_nothing(self) -> Embeddings:
        """No rows: the fields, their widths and the space."""
        features = {f: np.zeros((0, self._facts(f).width), np.float32) for f in self.encoders}
        present = np.zeros((0, len(self.encoders)), bool)
        return Embeddings(tuple(self.encoders), features, present, (), self.space)

    def embed_cells(self, cells: Mapping[str, Cell], words: bool = False) -> Embeddings:
        """One row from {field: cell}, as a query gives them; with the words of texts where a
        predictor reads it. Nothing is cached. Raises GobelinError for a cell that can't be
        opened."""
        features = {f: np.zeros((1, self._facts(f).width), np.float32) for f in self.encoders}
        for name, cell in cells.items():
            features[name] = self._uncached(name, [cell], Path())
        present = np.array([[f in cells for f in self.encoders]])
        fields = tuple(self.encoders)
        spoken = {f: self._words(f, [cells.get(f)]) for f in self.lexicons} if words else {}
        return Embeddings(fields, features, present, ("query",), self.space, words=spoken)

    def embed_column(
        self, field: str, column: str, values: Sequence[Any], root: Path, cached: bool = False
    ) -> Embeddings:
        """N rows that have one column of one field and nothing else. cached: their features are
        also stored in the cache, for values that come again."""
        cells = [{column: v} for v in values]
        features = {
            f: np.zeros((len(values), self._facts(f).width), np.float32) for f in self.encoders
        }
        features[field] = (
            self._cached(field, cells, root, silent)
            if cached
            else self._uncached(field, cells, root)
        )
        present = np.tile([f == field for f in self.encoders], (len(values), 1))
        ids = tuple(str(k) for k in range(len(values)))
        words = {f: self._words(f, cells) for f in self.lexicons if f == field}
        return Embeddings(tuple(self.encoders), features, present, ids, self.space, words=words)

    def _uncached(self, field: str, cells: Sequence[Cell], root: Path) -> np.ndarray:
        """float32 [n, D_f] of n cells."""
        encoder = self.encoders[field]
        try:
            return encoder.embed([encoder.decode(cell, root)[0] for cell in cells])
        except BadCell as error:
            which = f" for {error.column!r}" if error.column and error.column != field else ""
            raise GobelinError(f"{field}: {error}. Give another one{which}.") from error

    def _cached(
        self, field: str, cells: Sequence[Cell | None], root: Path, progress: Progress
    ) -> np.ndarray:
        """float32 [n, D_f] of n cells, zero where a cell is None; cells that the cache lacks are
        encoded into it."""
        out = np.zeros((len(cells), self._facts(field).width), np.float32)
        if all(cell is None for cell in cells):
            return out
        encoder = self.encoders[field]
        if encoder.width != out.shape[1]:
            raise GobelinError(
                f"{field}: its encoder gives {encoder.width} features, {out.shape[1]} were"
                " expected. Fit it again."
            )
        folder = None if self.cache is None else self.cache / encoder.fingerprint()[:32]
        cache = FeatureCache(folder, encoder.width)
        present = {k: c for k, c in enumerate(cells) if c is not None}
        named = {} if self.schema.field(field).kind in WITHOUT_FILES else present
        keys = self._keys(encoder, present, named, root, cache)
        missing: dict[bytes, Cell] = {}
        for k, key in keys.items():
            if key not in cache:
                missing.setdefault(key, present[k])
        if cache.damaged:
            LOG.warning(
                "embed %s: the cache of features had files that are damaged or of an earlier"
                " version: %d. They are left out, and %d cells are encoded now.",
                field,
                cache.damaged,
                len(missing),
            )
        done, total = len(present) - len(missing), len(present)
        if missing:
            progress(f"embed {field}", done, total)
        decoded = in_order(
            lambda cell: encoder.decode(cell, root)[0],
            missing.values(),
            self.workers,
            CELLS_AHEAD,
            _bytes,
            limits().block_mb * MEGABYTE,
        )
        for block_keys, batch in _blocks(zip(missing, decoded, strict=True)):
            cache.add(block_keys, encoder.embed(batch))  # meanwhile the next cells are decoded
            done += len(block_keys)
            progress(f"embed {field}", done, total)
        if present:
            out[list(present)] = cache.read([keys[k] for k in present])
        return out

    def _keys(
        self, encoder: FittedEncoder, cells: Rows, named: Rows, root: Path, cache: FeatureCache
    ) -> dict[int, bytes]:
        """{row: hash of the cell's content}. A file that did not change since it was hashed is not
        opened. named: those of the cells that may name files."""
        now, base = time.time_ns(), str(root.resolve())
        # of a file: (its name, size and time stamp as one key, its last change in nanoseconds)
        marks = {k: untouched(cell, base) for k, cell in named.items()}
        keys = {
            k: cache.hashes[mark[0]]
            for k, mark in marks.items()
            if mark and mark[0] in cache.hashes
        }
        unknown = [k for k in cells if k not in keys]
        # Cells in memory are hashed faster than they are handed to a worker.
        workers = self.workers if any(marks.get(k) for k in unknown) else 1
        hashes = in_order(lambda k: encoder.key(cells[k], root), unknown, workers, CELLS_AHEAD)
        keys |= zip(unknown, hashes, strict=True)
        settled = {
            mark[0]: keys[k]
            for k in unknown
            if (mark := marks.get(k)) and now - mark[1] > SETTLED_AFTER
        }
        if self.cache is not None:
            cache.remember(settled)
        return keys


def _blocks(decoded: Iterable[tuple[bytes, Any]]) -> Iterator[tuple[list[bytes], list[Any]]]:
    """Keys and decoded cells in blocks. A block holds many short texts, so that an encoder can
    group those of one length, and few large images."""
    keys: list[bytes] = []
    batch: list[Any] = []
    size = 0
    for key, cell in decoded:
        keys.append(key)
        batch.append(cell)
        size += _bytes(cell)
        if len(keys) == MOST_CELLS_AT_ONCE or size > MOST_BYTES_AT_ONCE:
            yield keys, batch
            keys, batch, size = [], [], 0
    if keys:
        yield keys, batch


def _bytes(decoded: object) -> int:
    """The memory of a decoded cell, about."""
    if isinstance(decoded, np.ndarray):
        return decoded.nbytes
    if isinstance(decoded, list | tuple):
        return sum(map(_bytes, decoded))
    return len(decoded) if isinstance(decoded, str) else 8
