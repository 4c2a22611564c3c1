"""Texts by any language model of Hugging Face: a sentence model, BERT and its like, CLIP's text
tower, by folder or hub id.

A folder of sentence-transformers says how its word vectors become one (`modules.json`: pooling,
dense layers, length 1), and that is done; a tower of CLIP, SigLIP or CLAP gives its projection; of
every other model the word vectors are averaged (Reimers & Gurevych 2019). Several texts in one cell
(languages of one caption) are averaged.

What it can't show: that the model knows a language which is written in letters that it knows.
English and Dutch look alike to the rule that counts unknown letters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gobelin.core.config import setting, settings_class
from gobelin.core.files import fingerprint
from gobelin.core.machine import Runtime
from gobelin.data.fields import Bid, Cell, Field
from gobelin.data.texts import text_query, text_values
from gobelin.embedding.encoders import Forward, Sample
from gobelin.networks.hub_model import HubModelEncoder, Place, restored
from gobelin.networks.pooling import means
from gobelin.networks.sentences import Sentences, TextTokenizer

# in one batch, fillings too: longer texts go in smaller batches, which a processor's cache holds
TOKENS = 4096


@settings_class
class TextModel:
    """Settings."""

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


class FittedTextModel(Forward, HubModelEncoder):
    """A text tower with its tokenizer."""

    encoder = "text_model"

    def __init__(self, settings: TextModel, runtime: Runtime) -> None:
        self.settings, self.runtime = settings, runtime
        self.place = Place("text", settings.model, settings.revision, settings.local_only)
        self.module = Sentences(self.place).eval().to(runtime.device)
        self.words = TextTokenizer(self.place, self.module.network, settings.prompt)
        self.width = self.embed([[self.words.tokens("a")]]).shape[1]

    def key(self, cell: Cell, root: Path) -> bytes:
        return bytes.fromhex(fingerprint(text_values(cell)))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[list[np.ndarray], str]:
        """The tokens of each text of the cell; what is said is that letters are unknown, or that
        words were cut off."""
        texts = text_values(cell)
        tokens = [self.words.tokens(text) for text in texts]
        hows = [self.words.trouble(text, found) for text, found in zip(texts, tokens, strict=True)]
        return tokens, next((how for how in hows if how), "")

    def forward(self, batch: Sequence[Any]) -> Tensor:
        """float32 [n, D_f], differentiable."""
        flat = [tokens for texts in batch for tokens in texts]
        order = sorted(range(len(flat)), key=lambda k: len(flat[k]))
        rows: list[Tensor] = []
        done = 0
        with self.runtime.autocast():  # once for all, so that the weights are rounded once
            while done < len(order):
                most = (
                    len(flat[order[done]]) * 5 // 4 + 8
                )  # tokens; longer ones would make the others mostly fillings
                some = order[done : done + min(self.settings.batch, max(1, TOKENS // most))]
                some = [k for k in some if len(flat[k]) <= most]
                ids, mask = self.words.padded([flat[k] for k in some])
                rows.append(
                    self.module(ids.to(self.runtime.device), mask.to(self.runtime.device)).float()
                )
                done += len(some)
        back = torch.tensor(np.argsort(order, kind="stable"), device=self.runtime.device)
        return means(torch.cat(rows)[back], [len(texts) for texts in batch])
