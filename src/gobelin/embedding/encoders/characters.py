"""Texts without any weights: hashed character n-grams, weighted by rarity.

Their width is reduced on the training rows; n-grams that too few groups have (`TrainingCells`)
count nothing. Deerwester et al. 1990 (latent semantic analysis) over character 2- to 4-grams inside
words. It knows no meaning, but spelling goes a long way in a small
set, and it needs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.files import (
    fingerprint,
    load_arrays,
    made_anew,
    read_json,
    save_arrays,
    write_json,
)
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import joined, text_key, text_query
from gobelin.embedding.encoders import Sample, TrainingCells
from gobelin.embedding.text_components import components_of, rare_buckets
from gobelin.networks.text.ngrams import shares


@settings_class
class Characters:
    """Settings of the encoder of character n-grams."""

    width: int = setting(
        default=64,
        ge=1,
        le=8192,
        description="Length of the vectors. Shorter if the training texts allow no more.",
    )
    hashes: int = setting(
        default=4096, ge=16, le=2**24, description="Buckets of the character n-grams."
    )

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
    ) -> FittedCharacters:
        return FittedCharacters(self, *components_of(cells, self.hashes, self.width))

    def load(self, folder: Path, runtime: Runtime) -> FittedCharacters:
        values = read_json(folder / "config.json")
        few, seen = values.pop("rare", (0, 0))  # an older folder has none
        settings = Characters(**values)
        components = load_arrays(folder / "weights.safetensors")["components"]
        if components.ndim != 2 or components.shape[1] != settings.hashes:
            raise GobelinError(
                f"{folder}: {settings.hashes} buckets of n-grams were expected, the weights are"
                f" {' x '.join(map(str, components.shape))}. {made_anew(folder)}"
            )
        return FittedCharacters(settings, components, (few, seen))


class FittedCharacters:
    """components: float32 [width, hashes], the singular vectors times the rarity of each n-gram.
    buckets: how many n-gram buckets too few groups have, of how many."""

    module = None

    def __init__(
        self, settings: Characters, components: np.ndarray, buckets: tuple[int, int] = (0, 0)
    ) -> None:
        self.settings, self.components, self.width = settings, components, len(components)
        self.buckets = buckets

    def key(self, cell: Cell, root: Path) -> bytes:
        return text_key(cell)

    def decode(self, cell: Cell, root: Path) -> tuple[str, str]:
        return joined(cell), ""

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        return np.asarray(shares(batch, self.settings.hashes) @ self.components.T, np.float32)

    def rare(self) -> dict[str, tuple[int, int, str]]:
        """As `LeavesOut.rare`."""
        return rare_buckets(self.buckets)

    def fingerprint(self) -> str:
        return fingerprint("characters", asdict(self.settings), self.components)

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings) | {"rare": self.buckets})
        save_arrays(folder / "weights.safetensors", {"components": self.components})
