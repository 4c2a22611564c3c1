"""Texts by a small network that needs no weights: it starts as `characters`, and can be trained.

The vector of a text is the sum of vectors, one for each bucket of hashed character n-grams
(fastText, Bojanowski et al. 2017, with the n-grams alone). They start as the singular vectors of
the training texts. A layer behind the sum starts as 0. Untrained it knows spelling and no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core import config, weights
from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime, generator
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import joined, text_key, text_query
from gobelin.embedding.encoders import Sample, TrainingCells
from gobelin.embedding.text_components import components_of, rare_buckets
from gobelin.networks.text.ngrams import shares

WORDS_FORMAT = 1  # of the saved folder


@settings_class
class Words:
    """Settings of the network on words."""

    width: int = setting(
        default=64,
        ge=1,
        le=8192,
        description="Length of the vectors. Shorter if the training texts allow no more.",
    )
    hashes: int = setting(default=4096, ge=16, le=2**24, description="Buckets of the word n-grams.")
    hidden: int = setting(default=128, ge=1, le=65536, description="Units of the hidden layer.")

    kinds: ClassVar[tuple[str, ...]] = ("text",)
    flag: ClassVar[str] = "text"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = False

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # the encoder `text` bids for this kind; this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return text_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedWords:
        vectors, rare = components_of(cells, self.hashes, self.width)  # [width, hashes]
        width = len(vectors)
        network = Bag(self.hashes, width, self.hidden)
        with torch.no_grad():
            network.buckets.weight.copy_(torch.from_numpy(vectors.T.copy()))
            rng = generator(runtime.seed, "words")
            start = torch.randn(self.hidden, width, generator=rng) / width**0.5
            network.widen.weight.copy_(start)
        return FittedWords(self, network, runtime, rare)

    def load(self, folder: Path, runtime: Runtime) -> FittedWords:
        stored = weights.config_of(folder, WORDS_FORMAT)
        settings = config.build(Words, stored["settings"])
        network = weights.loaded(
            folder, stored, lambda: Bag(settings.hashes, stored["width"], settings.hidden)
        )
        few, seen = stored.get("rare", (0, 0))  # an older folder has none
        return FittedWords(settings, network, runtime, (few, seen))


class Bag(nn.Module):
    """Weighted buckets -> [n, width]."""

    def __init__(self, hashes: int, width: int, hidden: int) -> None:
        super().__init__()
        self.buckets = nn.EmbeddingBag(hashes, width, mode="sum")
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        for weight in (*self.narrow.parameters(), self.widen.bias):
            nn.init.zeros_(weight)

    def forward(self, bucket: Tensor, start: Tensor, share: Tensor) -> Tensor:
        """bucket, share [M]: of all texts one after the other; start [n]: where each begins."""
        x: Tensor = self.buckets(bucket, start, per_sample_weights=share)
        return x + self.narrow(functional.gelu(self.widen(x)))


class FittedWords:
    """The network with its settings.

    A bucket whose vector is zero had no n-gram that enough groups have. It is never read, so that
    training leaves it zero. buckets: how many buckets too few groups have, of how many."""

    def __init__(
        self, settings: Words, network: Bag, runtime: Runtime, rare: tuple[int, int] = (0, 0)
    ) -> None:
        self.settings, self.runtime, self.width = settings, runtime, network.buckets.embedding_dim
        self.known = network.buckets.weight.detach().cpu().numpy().any(1)  # bool [hashes]
        self.buckets = rare
        self.module = network.eval().to(runtime.device)

    def key(self, cell: Cell, root: Path) -> bytes:
        return text_key(cell)

    def decode(self, cell: Cell, root: Path) -> tuple[str, str]:
        return joined(cell), ""

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        with torch.inference_mode():
            return self.forward(batch).cpu().numpy()

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, width], differentiable."""
        device = self.runtime.device
        sparse = shares(batch, self.settings.hashes).multiply(self.known).tocsr()
        bucket = torch.from_numpy(sparse.indices.astype(np.int64)).to(device)
        start = torch.from_numpy(sparse.indptr[:-1].astype(np.int64)).to(device)
        share = torch.from_numpy(sparse.data.astype(np.float32)).to(device)
        out: Tensor = self.module(bucket, start, share)
        return out

    def rare(self) -> dict[str, tuple[int, int, str]]:
        """As `LeavesOut.rare`."""
        return rare_buckets(self.buckets)

    def fingerprint(self) -> str:
        return weights.fingerprint(self.module, "words", asdict(self.settings))

    def save(self, folder: Path) -> None:
        weights.save(
            folder,
            {
                "settings": asdict(self.settings),
                "width": self.width,
                "rare": self.buckets,
            },
            self.module,
            WORDS_FORMAT,
        )
