"""How many rows the explanation of fields holds at once. Oracle: all of them asked together."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction.explainers import Question, modality
from gobelin.prediction.explainers.modality import FieldParts

FIELDS = ("a", "b", "c")


def rows(count: int, seed: int) -> Embeddings:
    rng = np.random.default_rng(seed)
    features = {name: rng.normal(size=(count, 5)).astype(np.float32) for name in FIELDS}
    return Embeddings(FIELDS, features, np.ones((count, 3), bool), tuple(map(str, range(count))))


def test_few_rows_are_held_at_once_and_the_answers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def answer(asked: Embeddings) -> np.ndarray:
        held.append(len(asked))
        total = sum(k * asked.features[name].sum(1) for k, name in enumerate(FIELDS, 1))
        return np.asarray(total, float)[:, None]

    question = Question(
        rows(1, 0),
        {},
        FIELDS,
        cast(Embedder, None),
        Path(),
        answer,
        0,
        rows(30, 1),
        {},
        0,
    )
    kept = np.random.default_rng(2).integers(0, 2, (500, 3)).astype(np.float32)
    found = FieldParts(question).answers(kept)
    assert max(held) <= modality.AT_ONCE < sum(held) == 500 * 30
    monkeypatch.setattr(modality, "AT_ONCE", 10**6)
    together = FieldParts(question).answers(kept)
    assert held[-1] == 500 * 30
    np.testing.assert_allclose(found, together, rtol=1e-6)
