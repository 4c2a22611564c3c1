"""Texts without any weights: hashed character n-grams, weighted by rarity.

Their width is reduced on the training rows. Deerwester et al. 1990 (latent semantic analysis) over
character 2- to 4-grams inside words. It knows no meaning, but spelling goes a long way in a small
set, and it needs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint, load_arrays, read_json, save_arrays, write_json
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import joined_texts, text_key, text_query, text_values
from gobelin.embedding.encoders import Sample
from gobelin.networks.ngrams import components, shares


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
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedCharacters:
        texts = joined_texts(cells)
        return FittedCharacters(self, components(texts, self.hashes, self.width))

    def load(self, folder: Path, runtime: Runtime) -> FittedCharacters:
        settings = Characters(**read_json(folder / "config.json"))
        return FittedCharacters(settings, load_arrays(folder / "weights.safetensors")["components"])


class FittedCharacters:
    """components: float32 [width, hashes], the singular vectors times the rarity of each n-gram."""

    module = None

    def __init__(self, settings: Characters, components: np.ndarray) -> None:
        self.settings, self.components, self.width = settings, components, len(components)

    def key(self, cell: Cell, root: Path) -> bytes:
        return text_key(cell)

    def decode(self, cell: Cell, root: Path) -> tuple[str, str]:
        return " ".join(text_values(cell)), ""

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        return np.asarray(shares(batch, self.settings.hashes) @ self.components.T, np.float32)

    def fingerprint(self) -> str:
        return fingerprint("characters", asdict(self.settings), self.components)

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))
        save_arrays(folder / "weights.safetensors", {"components": self.components})
