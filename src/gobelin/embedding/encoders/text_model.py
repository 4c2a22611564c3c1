"""Texts by any language model of Hugging Face, by folder or hub id.

For example a sentence model, BERT, or CLIP's text tower. A folder of sentence-transformers says how
its word vectors become one (`modules.json`: pooling, dense layers, length 1), and that is done; a
tower of CLIP, SigLIP or CLAP gives its projection; of every other model the word vectors are
averaged (Reimers & Gurevych 2019). Several texts in one cell (languages of one caption) are
averaged.

What it can't show: that the model knows a language which is written in letters that it knows.
English and Dutch look alike to the rule that counts unknown letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gobelin.core.config import setting, settings_class
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import text_key, text_query, text_values
from gobelin.embedding.encoders import Sample
from gobelin.embedding.hub_encoder import HubEncoder, restored
from gobelin.networks.pooling import means
from gobelin.networks.text.sentences import Sentences, TextTokenizer

# Tokens of a batch, paddings counted: longer texts go in smaller batches, which fit into a
# processor's cache.
BATCH_TOKENS = 4096


@settings_class
class TextModel:
    """Settings. Saved are `model` as it is given here, and a hash of the files: elsewhere, set
    `model` to their new place."""

    model: str = setting(
        default="minilm",
        description="Folder of the model, its id on the hub, or minilm (all-MiniLM-L6-v2).",
    )
    revision: str = setting(default="main", description="Revision of a hub id.")
    local_only: bool = setting(
        default=True,
        description="Whether a hub id is looked for on this machine only. false downloads it.",
    )
    prompt: str = setting(
        default="",
        description="Words before each text. Empty: those that the model's folder names.",
    )
    batch: int = setting(default=64, ge=1, le=65536, description="Texts at once.")

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
    ) -> FittedTextModel:
        return FittedTextModel(self, runtime)

    def load(self, folder: Path, runtime: Runtime) -> FittedTextModel:
        return restored(self, FittedTextModel, folder, runtime)


class FittedTextModel(HubEncoder[TextModel]):
    """A text tower with its tokenizer."""

    name = "text_model"
    kind = "text"

    def __init__(self, settings: TextModel, runtime: Runtime) -> None:
        super().__init__(settings, runtime)
        self.module = self.network(lambda: Sentences(self.place))
        self.tokenizer = TextTokenizer(self.place, self.module.network, settings.prompt)
        self.width = self.embed([[self.tokenizer.tokens("a")]]).shape[1]

    def key(self, cell: Cell, root: Path) -> bytes:
        return text_key(cell)

    def decode(self, cell: Cell, root: Path) -> tuple[list[np.ndarray], str]:
        """The tokens of each text of the cell, and a note where letters are unknown or words were
        cut off."""
        texts = text_values(cell)
        tokens = [self.tokenizer.tokens(text) for text in texts]
        pairs = zip(texts, tokens, strict=True)
        notes = [self.tokenizer.trouble(text, its_tokens) for text, its_tokens in pairs]
        return tokens, next((note for note in notes if note), "")

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, D_f], differentiable."""
        flat = [tokens for texts in batch for tokens in texts]
        order = sorted(range(len(flat)), key=lambda k: len(flat[k]))
        rows: list[Tensor] = []
        done = 0
        with self.runtime.autocast():  # once for all, so that the weights are rounded once
            while done < len(order):
                # Longest text of this batch, in tokens: with a longer one the others would be
                # mostly padding.
                longest = len(flat[order[done]]) * 5 // 4 + 8
                most = min(self.settings.batch, max(1, BATCH_TOKENS // longest))
                some = [k for k in order[done : done + most] if len(flat[k]) <= longest]
                ids, mask = self.tokenizer.padded([flat[k] for k in some])
                vectors = self.module(ids.to(self.runtime.device), mask.to(self.runtime.device))
                rows.append(vectors.float())
                done += len(some)
        back = torch.tensor(np.argsort(order, kind="stable"), device=self.runtime.device)
        return means(torch.cat(rows)[back], [len(texts) for texts in batch])
