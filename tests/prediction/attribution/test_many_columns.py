"""What explaining a row of many columns takes, and that it changes no answer.

Oracles: a count of the cells that the encoder reads, when the columns are doubled; the same answers
asked cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Cell, Column, Field, Schema
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.table import FittedTable
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction.explainers import Question
from gobelin.prediction.explainers.columns import Columns

ROWS = 30
VALUES = {
    "number": lambda k: f"{k * 37 % 101}.5",
    "category": lambda k: "abc"[k % 3],
    "date": lambda k: f"20{10 + k % 10}-0{1 + k % 9}-11",
}


def question_of(kind: str, count: int, runtime: Runtime) -> Question:
    """A row of so many columns of a kind, and an answer that no two columns share evenly. One other
    row lacks a column."""
    names = tuple(f"c{k}" for k in range(count))
    cells: list[Cell] = [
        {name: VALUES[kind](row * (k + 3) + row // 7) for k, name in enumerate(names)}
        for row in range(ROWS)
    ]
    field = Field("table", "table", names, kind)
    encoder = catalog.build("encoders", "table").fit(
        TrainingCells(cells), field, dict.fromkeys(names, kind), runtime
    )
    schema = Schema(tuple(Column(name, kind) for name in names), (field,))
    del cells[3][names[1]]
    own = encoder.embed([encoder.decode(cells[0], Path())[0]])
    weight = np.random.default_rng(0).normal(size=own.shape[1])
    rows = Embeddings(("table",), {"table": own}, np.ones((1, 1), bool), ("0",), "s")
    return Question(
        rows,
        {"table": cells[0]},
        ("table",),
        Embedder(schema, {"table": encoder}),
        Path(),
        lambda asked: np.tanh(asked.features["table"] @ weight / 9)[:, None],
        0,
        None,
        {"table": cells[1:6]},
        0,
    )


def reads(question: Question, patch: pytest.MonkeyPatch) -> int:
    """How many cells of columns are read to explain the row."""
    count, read = 0, FittedTable._column

    def counted(*args: Any) -> np.ndarray:  # noqa: ANN401
        nonlocal count
        count += 1
        return read(*args)

    explainer = Columns(orders=4)
    with patch.context() as patched:
        patched.setattr(FittedTable, "_column", counted)
        parts = explainer.parts(question, "table")
        assert parts is not None
        explainer.explain(parts, 0)
    return count


@pytest.mark.parametrize("kind", VALUES)
def test_twice_the_columns_take_twice_the_cells(
    kind: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (reads(question_of(kind, n, runtime), monkeypatch) for n in (20, 40))
    assert 0 < many <= 2.2 * few


@pytest.mark.parametrize("kind", VALUES)
def test_the_answers_are_those_of_cells(kind: str, runtime: Runtime) -> None:
    question = question_of(kind, 9, runtime)
    parts = Columns().parts(question, "table")
    assert parts is not None
    kept = (np.random.default_rng(1).random((12, 9)) > 0.5).astype(float)
    own, others = question.cells["table"], question.other_cells["table"]
    asked = [
        {**(other or {}), **{c: own[c] for c, there in zip(own, mask, strict=True) if there}}
        for mask in kept
        for other in others
    ]
    expected = question.with_cells("table", asked).reshape(12, 5)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(parts.answers(kept), expected, rtol=1e-6, atol=1e-9)
