"""The small text network against `characters`, from which it starts, and against the sum written
out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.characters import Characters
from gobelin.embedding.encoders.words import Words
from gobelin.networks.ngrams import shares

TEXTS = [
    "a red flower",
    "two dogs in snow",
    "late train",
    "a glass of water",
    "old wooden house",
    "a red house",
    "",
]
FIELD = Field("t", "words", ("t",), "text")
CELLS = TrainingCells([{"t": text} for text in TEXTS], least_groups=1)


def test_untrained_it_is_characters(runtime: Runtime) -> None:
    words = Words(5, 256).fit(CELLS, FIELD, {"t": "text"}, runtime)
    closed = Characters(5, 256).fit(CELLS, FIELD, {"t": "text"}, runtime)
    batch = [words.decode(cell, Path())[0] for cell in CELLS]
    assert (
        np.allclose(words.embed(batch), closed.embed(batch), atol=1e-6)
        and not words.embed(batch)[-1].any()
    )


def test_trained_it_is_the_bag_and_the_layer_behind(runtime: Runtime) -> None:
    words = Words(5, 256, 8).fit(CELLS, FIELD, {"t": "text"}, runtime)
    with torch.no_grad():
        for weight in words.module.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(0))
    weights = {k: v.detach().numpy() for k, v in words.module.named_parameters()}
    bag = shares(TEXTS, 256) @ weights["buckets.weight"]
    inside = torch.from_numpy(np.asarray(bag @ weights["widen.weight"].T + weights["widen.bias"]))
    wanted = (
        bag
        + torch.nn.functional.gelu(inside).numpy() @ weights["narrow.weight"].T
        + weights["narrow.bias"]
    )
    assert np.allclose(words.embed(TEXTS), wanted, atol=1e-4)
