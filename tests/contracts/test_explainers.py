"""Every explainer that is found: what it says adds up to the answer, ignores what the predictor
ignores, and is the same with the same seed.

Oracles: the row's own answer, asked directly; a predictor whose weights are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import torch

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell, Column, Field, Schema
from gobelin.embedding.encoders import ReadsPixels, TrainingCells
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction.explainers import Explainer, Question

NAMES = catalog.names("explainers")
ROW, OTHERS = 5, range(20, 32)
QUICK = {"pixels": {"masks": 40, "grid": 4}, "words": {"orders": 4}, "intervals": {"count": 6}}


class Answer(Protocol):
    """A function of features, also differentiable in those of one field."""

    def __call__(self, rows: Embeddings) -> np.ndarray: ...

    def follow(self, row: Embeddings, field: str, features: torch.Tensor) -> torch.Tensor: ...


def tone(seed: int) -> bytes:
    from gobelin.data.sound.sounds import RATE, sound_bytes

    rng = np.random.default_rng(seed)
    at = np.arange(RATE // 4) / RATE
    return sound_bytes(0.3 * np.sin(2 * np.pi * rng.uniform(200, 2000) * at) + 0.01)


@pytest.fixture(scope="module")
def embedder(shapes: Dataset, shapes_reader: Embedder, runtime: Runtime) -> Embedder:
    """The encoders of the shapes, and of a sound and a series beside them."""
    encoders, fields = dict(shapes_reader.encoders), list(shapes_reader.schema.fields)
    columns = list(shapes_reader.schema.columns)
    for kind in ("audio", "series"):
        field = Field(kind, kind, (kind,), kind)
        cells = [others(kind, k) for k in range(12)]
        component = catalog.build("encoders", kind)
        encoders[kind] = component.fit(TrainingCells(cells), field, {kind: kind}, runtime)
        fields.append(field)
        columns.append(Column(kind, kind))
    photo = Field("photo", "convolution", ("photo",), "image")
    cells = [photo_of(cell) for cell in shapes.cells(shapes_reader.schema.field("image"))[:12]]
    component = catalog.build("encoders", "convolution", {"pixels": 16, "filters": 4})
    kinds = {"photo": "image"}
    known = TrainingCells(cells, root=shapes.root)
    encoders["photo"] = component.fit(known, photo, kinds, runtime)
    schema = Schema((*columns, Column("photo", "image")), (*fields, photo))
    return Embedder(schema, encoders)


def photo_of(cell: Cell | None) -> Cell | None:
    """An image of the shapes as a cell of another field, whose encoder is a network."""
    return None if cell is None else {"photo": cell["image"]}


def others(kind: str, k: int) -> Cell:
    series = np.random.default_rng(k).normal(size=40).cumsum().tolist()
    return {kind: tone(k) if kind == "audio" else series}


@pytest.fixture(scope="module")
def asked(shapes: Dataset, embedder: Embedder) -> Callable[[Answer], Question]:
    """A row with every field, and an answer that is a function of features."""

    drawn_here = ("audio", "series", "photo")
    read = {f.name: shapes.cells(f) for f in embedder.schema.fields if f.name not in drawn_here}

    def cells_of(row: int) -> dict[str, Cell | None]:
        own = {kind: others(kind, row) for kind in drawn_here[:2]}
        own["photo"] = photo_of(read["image"][row])
        return {f: cells[row] for f, cells in read.items()} | own

    complete = [r for r in range(60) if all(cells_of(r).values())]
    rows = {r: cells_of(r) for r in complete[:14]}
    embeddings = {
        r: embed(embedder, {f: c for f, c in cells.items() if c}, shapes.root)
        for r, cells in rows.items()
    }
    first, *rest = rows
    drawn = embeddings[rest[0]]
    for r in rest[1:]:
        drawn = drawn.join(embeddings[r])

    def question(answer: Answer) -> Question:
        return Question(
            embeddings[first],
            {f: c for f, c in rows[first].items() if c},
            tuple(embedder.encoders),
            embedder,
            shapes.root,
            answer,
            0,
            drawn,
            {f: [rows[r][f] for r in rest] for f in embedder.encoders},
            7,
            answer.follow,
        )

    return question


def embed(embedder: Embedder, cells: dict[str, Cell], root: Path) -> Embeddings:
    features = {f: e.embed([e.decode(cells[f], root)[0]]) for f, e in embedder.encoders.items()}
    present = np.ones((1, len(features)), bool)
    return Embeddings(tuple(features), features, present, ("x",), "contract")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "intervals":
        pytest.importorskip("soundfile")
    return str(request.param)


def of(name: str) -> Explainer:
    found = catalog.build("explainers", name, QUICK.get(name))
    assert isinstance(found, Explainer) and type(found).__dataclass_params__.frozen
    return found


def fields_of(explainer: Explainer, embedder: Embedder) -> list[str]:
    """The fields that it looks into; '' for the fields themselves."""
    if not explainer.kinds:
        return [""]
    fields = [f.name for f in embedder.schema.fields if f.kind in explainer.kinds]
    if explainer.unit == "gradient":
        fields = [f for f in fields if isinstance(embedder.encoders[f], ReadsPixels)]
    return fields


@dataclass(frozen=True)
class Weighed:
    """A nonlinear answer from all features, or from those of one field."""

    weights: Mapping[str, np.ndarray]  # {field: [D_f, 1]}
    only: str

    def __call__(self, rows: Embeddings) -> np.ndarray:
        out = np.zeros((len(rows), 1))
        for k, f in enumerate(rows.fields):
            if self.only in ("", f):
                shown = rows.present[:, [k]]
                out += shown * np.tanh(rows.features[f].astype(float) @ self.weights[f])
        return out

    def follow(self, row: Embeddings, field: str, features: torch.Tensor) -> torch.Tensor:
        own = torch.tanh(features.double() @ torch.from_numpy(self.weights[field]))
        if self.only not in ("", field):
            return torch.from_numpy(self(row)) + 0 * own
        rest = self(row) - np.tanh(row.features[field].astype(float) @ self.weights[field])
        return own + torch.from_numpy(rest)


def weighed(embedder: Embedder, only: str = "") -> Answer:
    rng = np.random.default_rng(0)
    return Weighed({f: rng.normal(size=(e.width, 1)) for f, e in embedder.encoders.items()}, only)


def test_it_adds_up_to_the_answer_of_the_row(
    name: str, asked: Callable[[Answer], Question], embedder: Embedder
) -> None:
    explainer, answer = of(name), weighed(embedder)
    question = asked(answer)
    own = float(answer(question.rows)[0, 0])
    assert fields_of(explainer, embedder), "no field of these kinds is tested"
    for field in fields_of(explainer, embedder):
        parts = explainer.parts(question, field)
        assert parts is not None, field
        found = explainer.explain(parts, 1)
        # pixels are rounded to bytes, a sound to float32
        assert found.whole == pytest.approx(own, abs=1e-5), field
        assert found.method and np.isfinite(found.values).all()
        if not found.shape:
            assert len(found.parts) == len(found.values)
            assert found.values.sum() == pytest.approx(found.whole - found.base, abs=1e-6)
        again = explainer.explain(parts, 1)
        np.testing.assert_array_equal(found.values, again.values)


def test_what_the_predictor_ignores_has_no_value(
    name: str, asked: Callable[[Answer], Question], embedder: Embedder
) -> None:
    explainer = of(name)
    for field in fields_of(explainer, embedder):
        other = next(f for f in embedder.encoders if f != field)
        parts = explainer.parts(asked(weighed(embedder, other)), field)
        assert parts is not None
        found = explainer.explain(parts, 1)
        kept = [k for k, part in enumerate(found.parts) if part == other]
        values = np.delete(found.values, kept)
        np.testing.assert_allclose(values, 0.0, atol=1e-9)


def test_random_values_are_as_many_as_its_own(
    name: str, asked: Callable[[Answer], Question], embedder: Embedder
) -> None:
    explainer = of(name)
    field = fields_of(explainer, embedder)[0]
    parts = explainer.parts(asked(weighed(embedder)), field)
    assert parts is not None
    one, two = (parts.at_random(np.random.default_rng(k)) for k in (0, 1))
    assert one.shape == explainer.explain(parts, 1).values.shape and not np.array_equal(one, two)


def test_a_field_that_the_row_lacks_has_no_parts(
    name: str, asked: Callable[[Answer], Question], embedder: Embedder
) -> None:
    explainer = of(name)
    question = asked(weighed(embedder))
    bare = replace(
        question,
        cells={},
        rows=replace(question.rows, present=np.zeros_like(question.rows.present)),
    )
    assert explainer.parts(bare, fields_of(explainer, embedder)[0]) is None


def test_without_other_rows_what_is_hidden_is_missing(
    name: str, asked: Callable[[Answer], Question], embedder: Embedder
) -> None:
    """As in a run that was saved without its data."""
    explainer, answer = of(name), weighed(embedder)
    question = replace(asked(answer), others=None, other_cells={})
    for field in fields_of(explainer, embedder):
        parts = explainer.parts(question, field)
        assert parts is not None
        found = explainer.explain(parts, 1)
        assert found.whole == pytest.approx(float(answer(question.rows)[0, 0]), abs=1e-5)
        if not explainer.kinds:
            assert found.base == 0.0  # every field is missing
