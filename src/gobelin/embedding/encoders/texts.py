"""Texts by several encoders side by side: meaning beside spelling, or the meanings of two models.

Each part is scaled to unit length, so none drowns another. A spoken word is nearer to the spelling
of its name than to its meaning, an image nearer to the meaning; the alignment learns which part
belongs to which field (`embedding.alignment`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core import catalog, config
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, nearest
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.core.stored_settings import as_stored
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import text_key, text_query
from gobelin.embedding.encoders import (
    Encoder,
    FittedEncoder,
    LeavesOut,
    Sample,
    TrainingCells,
    reading,
)


@settings_class
class Texts:
    """Settings of several text encoders side by side."""

    of: tuple[str, ...] = setting(
        default=("text", "characters"), description="Text encoders to join."
    )
    parts: Mapping[str, Mapping[str, Any]] = setting(
        default_factory=dict, description="Own settings of each of these encoders."
    )

    kinds: ClassVar[tuple[str, ...]] = ("text",)
    flag: ClassVar[str] = "text"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = False

    def __post_init__(self) -> None:
        able = [name for name in reading("text") if name != "texts"]
        if not self.of or len(set(self.of)) < len(self.of):
            raise GobelinError(
                "encoders.texts.of: one or more different encoders were expected, found"
                f" {list(self.of)}."
            )
        for name in (*self.of, *self.parts):
            if name not in (able if name not in self.parts else self.of):
                raise GobelinError(
                    f"encoders.texts: {name!r} is none of {', '.join(able)}.{nearest(name, able)}"
                )
        self.built()  # checks the settings of the parts before any work

    def built(self) -> list[Encoder]:
        """The encoders of the parts, with their settings."""
        return [catalog.build("encoders", name, self.parts.get(name, {})) for name in self.of]

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # the encoder `text` bids for this kind; this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return text_query(text, field)

    def fit(
        self, cells: TrainingCells, field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedTexts:
        parts = [encoder.fit(cells, field, kinds, runtime) for encoder in self.built()]
        return FittedTexts(self, parts)

    def load(self, folder: Path, runtime: Runtime) -> FittedTexts:
        settings = config.build(Texts, as_stored(read_json(folder / "config.json"), folder))
        named = zip(settings.of, settings.built(), strict=True)
        parts = [encoder.load(folder / name, runtime) for name, encoder in named]
        return FittedTexts(settings, parts)


class FittedTexts:
    """The fitted parts, in the order of `of`."""

    module = None

    def __init__(self, settings: Texts, parts: Sequence[FittedEncoder]) -> None:
        self.settings, self.parts = settings, parts
        self.width = sum(part.width for part in parts)

    def key(self, cell: Cell, root: Path) -> bytes:
        return text_key(cell)

    def decode(self, cell: Cell, root: Path) -> tuple[list[Any], str]:
        """The cell as each part decodes it, and all their notes."""
        decoded = [part.decode(cell, root) for part in self.parts]
        return [arrays for arrays, _ in decoded], "; ".join(note for _, note in decoded if note)

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, D_f]: unit vectors of the parts, over the root of their count."""
        vectors = [part.embed([cell[k] for cell in batch]) for k, part in enumerate(self.parts)]
        unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in vectors]
        return (np.concatenate(unit, axis=1) / len(unit) ** 0.5).astype(np.float32)

    def rare(self) -> Mapping[str, tuple[int, int, str]]:
        """As `LeavesOut.rare`, of the first part that leaves any out."""
        return next((r for p in self.parts if isinstance(p, LeavesOut) and (r := p.rare())), {})

    def fingerprint(self) -> str:
        return fingerprint("texts", [part.fingerprint() for part in self.parts])

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))
        for name, part in zip(self.settings.of, self.parts, strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            part.save(folder / name)
