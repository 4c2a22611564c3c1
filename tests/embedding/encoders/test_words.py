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
from gobelin.networks.text.ngrams import shares

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


def test_ngrams_of_few_groups_are_neither_read_nor_trained(runtime: Runtime) -> None:
    """Five texts of one group count once; the same word of five groups counts."""
    texts = ["red house"] * 6 + ["zyx"] * 5
    cells = TrainingCells([{"t": t} for t in texts], [*"abcdef", *"ggggg"])
    words = Words(5, 2**16).fit(cells, FIELD, {"t": "text"}, runtime)
    rare = shares(["zyx"], 2**16).indices  # so many buckets that none is shared
    assert not set(rare) & set(shares(["red house"], 2**16).indices)
    assert len(rare) > 3 and not words.module.buckets.weight.detach()[rare].any()
    assert words.rare()[""][0] == len(rare)
    words.forward(["zyx house"]).square().sum().backward()
    slopes = words.module.buckets.weight.grad
    assert slopes is not None and slopes.any() and not slopes[rare].any()
    assert not words.embed(["zyx"]).any() and words.embed(["red"]).any()
