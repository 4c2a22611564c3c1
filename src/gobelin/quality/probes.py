"""Probes: what an independent image encoder can read from an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.errors import MissingExtra
from gobelin.core.machine import Runtime, numpy_generator
from gobelin.data.fields import Schema
from gobelin.data.images import png_bytes
from gobelin.embedding.alignment.align import Align, Alignment
from gobelin.embedding.encoders import FittedEncoder, reading
from gobelin.embedding.features import Embeddings

ASKED = 256  # unseen rows a field, and images a class in all


FOLDS = 5  # readers


@dataclass(frozen=True)
class Eyes:
    """An image encoder that the run doesn't use."""

    name: str
    encoder: FittedEncoder

    @staticmethod
    def beside(schema: Schema, runtime: Runtime) -> Eyes | None:
        """The closed-form one if the run has another, else the default one, else any that can be
        loaded here, or None."""
        used = {f.encoder for f in schema.fields}
        able = [name for name in reading("image") if name not in used]
        for name in sorted(
            able, key=lambda n: (n != "pixels", not catalog.find("encoders", n).default)
        ):
            try:
                field = next(f for f in schema.fields if f.kind == "image")
                return Eyes(name, catalog.build("encoders", name).fit([], field, {}, runtime))
            except MissingExtra:
                continue
        return None

    def see(self, images: np.ndarray) -> np.ndarray:
        """float32 [n, D] of uint8 images [n, H, W, C]."""
        return self.encoder.embed(
            [self.encoder.decode({"image": png_bytes(i)}, Path())[0] for i in images]
        )


@dataclass(frozen=True)
class Reading:
    """What an image says of one field: both in a space of their own."""

    alignment: Alignment

    @staticmethod
    def fit(seen: np.ndarray, values: np.ndarray, runtime: Runtime) -> Reading:
        """seen [N, D] of training images, values [N, E] of the field in the same rows."""
        both = _pair(seen, values)
        linear = Align(steps=0, components=192, landmarks=0, power=1.0)
        return Reading(linear.fit(both, both.ids, runtime))

    def cosines(self, seen: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float32 [n, m]: of every image [n, D] with every candidate [m, E]."""
        image = self.alignment.project(
            _pair(seen, np.zeros((len(seen), values.shape[1]), np.float32))
        ).of("image")
        return (
            image
            @ self.alignment.project(
                _pair(np.zeros((len(values), seen.shape[1]), np.float32), values)
            )
            .of("value")
            .T
        )

    def paired(self, seen: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float32 [n]: the cosine of each image [n, D] with its own value [n, E]."""
        both = self.alignment.project(_pair(seen, values))
        return (both.of("image") * both.of("value")).sum(1)


def _pair(seen: np.ndarray, values: np.ndarray) -> Embeddings:
    ids = tuple(str(k) for k in range(len(seen)))
    return Embeddings(
        ("image", "value"),
        {"image": seen, "value": values},
        np.ones((len(seen), 2), bool),
        ids,
        "reading",
    )


def hits(cosines: np.ndarray, candidates: int) -> np.ndarray:
    """float64 [n]: the share of all sets of M candidates with candidate i among them in which image
    i has it first.

    cosines [n, n], image by candidate; a tie counts against. Of the n - 1 others w lie behind: C(w,
    M - 1) / C(n - 1, M - 1)."""
    n = len(cosines)
    behind = (cosines < cosines.diagonal()[:, None]).sum(1)
    share = np.ones(n)
    for k in range(candidates - 1):
        share *= np.clip(behind - k, 0, None) / (n - 1 - k)
    return share


def apart(
    rows: np.ndarray, groups: Sequence[str], values: np.ndarray, seed: int, most: int = ASKED
) -> np.ndarray:
    """int64 [n]: of these rows one of each group and one of each value [N, E], drawn by a seed,
    `most` of them at most."""
    taken: set[object] = set()
    kept: list[int] = []
    for row in numpy_generator(seed, "condition match").permutation(rows):
        names = {("group", groups[row]), ("value", values[row].tobytes())}
        if not names & taken and len(kept) < most:
            taken |= names
            kept.append(int(row))
    return np.array(sorted(kept), dtype=np.int64)


def folds(groups: Sequence[str], seed: int) -> np.ndarray:
    """int64 [N] in 0 .. FOLDS - 1: rows of one group lie in one fold, and folds have nearly equally
    many groups."""
    names, of = np.unique(np.asarray(groups), return_inverse=True)
    return (numpy_generator(seed, "condition match", "folds").permutation(len(names)) % FOLDS)[of]
