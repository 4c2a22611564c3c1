"""Texts by several encoders side by side: what a sentence means beside how it is spelt, or two
models' senses of it.

Each part is brought to unit length, so none drowns another. A spoken word is nearer to how its name
is spelt than to what it means, and a picture the other way round; what is aligned with which is
then learned (`align`)."""

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
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import text_query, text_values
from gobelin.embedding.encoders import Encoder, FittedEncoder, Sample


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
        able = [
            n
            for n in catalog.names("encoders")
            if n != "texts" and "text" in catalog.find("encoders", n).kinds
        ]
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
        self.built()  # their settings are checked before any work

    def built(self) -> list[Encoder]:
        return [catalog.build("encoders", name, self.parts.get(name, {})) for name in self.of]

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return None  # the encoder `text` bids for this kind; this one is taken by name

    def parse(self, text: str, field: Field) -> Cell:
        return text_query(text, field)

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedTexts:
        return FittedTexts(self, [one.fit(cells, field, kinds, runtime) for one in self.built()])

    def load(self, folder: Path, runtime: Runtime) -> FittedTexts:
        settings = config.build(Texts, read_json(folder / "config.json"))
        named = zip(settings.of, settings.built(), strict=True)
        return FittedTexts(settings, [one.load(folder / name, runtime) for name, one in named])


class FittedTexts:
    """The fitted parts, in the order of `of`."""

    module = None

    def __init__(self, settings: Texts, parts: Sequence[FittedEncoder]) -> None:
        self.settings, self.parts = settings, parts
        self.width = sum(part.width for part in parts)

    def key(self, cell: Cell, root: Path) -> bytes:
        return bytes.fromhex(fingerprint(text_values(cell)))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[list[Any], str]:
        decoded = [part.decode(cell, root) for part in self.parts]
        return [one for one, _ in decoded], "; ".join(how for _, how in decoded if how)

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, D_f]: unit vectors of the parts, over the root of their count."""
        found = [part.embed([one[k] for one in batch]) for k, part in enumerate(self.parts)]
        unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in found]
        return (np.concatenate(unit, axis=1) / len(unit) ** 0.5).astype(np.float32)

    def fingerprint(self) -> str:
        return fingerprint("texts", [part.fingerprint() for part in self.parts])

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))
        for name, part in zip(self.settings.of, self.parts, strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            part.save(folder / name)
