"""Integrated gradients. Oracles: captum, closed forms, completeness."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field, Target
from gobelin.data.image.images import png_bytes
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.prediction import predictor
from gobelin.prediction.attribution.parts import answers_of
from gobelin.prediction.attribution.path import integrated_gradients
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.explainers import Question

RUNTIME = Runtime(device="cpu", precision="float32", threads=1).resolved()


def network(last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3), last, nn.Flatten(), nn.Linear(64, 3)
    ).double()


@pytest.mark.parametrize("steps", [5, 50])
def test_captum_finds_the_same_values(steps: int) -> None:
    captum = pytest.importorskip("captum.attr")
    module, rng = network(nn.ReLU()), torch.Generator().manual_seed(1)
    shown, hidden = (torch.rand(3, 8, 8, dtype=torch.float64, generator=rng) for _ in range(2))
    own = integrated_gradients(lambda x: module(x)[:, 1], shown, hidden, steps, at_once=7)
    theirs = captum.IntegratedGradients(module).attribute(
        shown[None], hidden[None], target=1, n_steps=steps, method="gausslegendre"
    )[0]
    assert torch.allclose(own, theirs, rtol=0, atol=1e-6) and own.abs().max() > 1e-3


def test_values_add_up_and_a_line_has_its_weights() -> None:
    module, shown = network(nn.Tanh()), torch.rand(3, 8, 8, dtype=torch.float64)
    found = integrated_gradients(lambda x: module(x)[:, 0], shown, torch.zeros_like(shown), 30)
    with torch.no_grad():
        ends = module(torch.stack([shown, torch.zeros_like(shown)]))[:, 0]
    assert float(found.sum()) == pytest.approx(float(ends[0] - ends[1]), abs=1e-6)
    weight = torch.rand(3, 8, 8, dtype=torch.float64)
    line = integrated_gradients(lambda x: (x * weight).sum((1, 2, 3)), shown, 0 * shown, 1)
    assert torch.allclose(line, weight * shown)
    cubic = integrated_gradients(lambda x: (x**3).sum((1, 2, 3)), shown, 0 * shown, 2)
    assert torch.allclose(cubic, shown**3)  # exact up to degree 2 steps - 1 of the slope


@pytest.fixture(scope="module")
def coloured() -> SimpleNamespace:
    """Images with a red or a blue square, an encoder and the rows."""
    rng, n = np.random.default_rng(0), 90
    images = rng.uniform(90, 160, (n, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    label, place = rng.integers(0, 2, n), rng.integers(0, 24, (n, 2))
    for k, (top, left) in enumerate(place):
        images[k, top : top + 8, left : left + 8] = (220, 30, 30) if label[k] else (30, 30, 220)
    field = Field("photo", "image", ("photo",), "image")
    cells = [{"photo": png_bytes(image.astype(np.uint8))} for image in images]
    component = catalog.build("encoders", "convolution", {"pixels": 32, "filters": 16})
    encoder = component.fit(TrainingCells(cells), field, {"photo": "image"}, RUNTIME)
    features = encoder.embed([encoder.decode(cell, Path())[0] for cell in cells])
    noise = rng.normal(size=(n, 5)).astype(np.float32)
    ids, present = tuple(map(str, range(n))), np.ones((n, 2), bool)
    rows = Embeddings(("photo", "table"), {"photo": features, "table": noise}, present, ids, "x")
    return SimpleNamespace(cells=cells, label=label, place=place, encoder=encoder, rows=rows)


HEADS = {
    "linear": ("concat", {"steps": 60}),
    "hidden layer": ("concat", {"steps": 60, "hidden": 8}),
    "gated": ("gated", {"steps": 60}),
    "pool": ("pool", {"members": [{"head": "linear"}, {"head": "dropout", "share": 0.5}]}),
    "curved": ("pool", {"members": [{"head": "kernel"}, {"head": "near", "share": 0.5}]}),
}
KINDS = {
    "class": ("blue", "red"),
    "ordinal": ("blue", "red", "none"),
    "labels": ("red", "odd"),
    "number": (),
}


def model(
    coloured: SimpleNamespace, name: str, settings: dict[str, object], kind: str = "class"
) -> predictor.Model:
    n, classes = len(coloured.label), KINDS[kind]
    values = coloured.label.astype(np.float64) if kind == "number" else coloured.label.copy()
    if kind == "ordinal":
        values[::9] = 2
    if kind == "labels":
        values = np.stack([coloured.label, np.arange(n) % 2], 1)
    target = Target("colour", kind, values, classes, np.ones(len(classes), bool))  # type: ignore[arg-type]
    chosen = Predict(folds=2, decays=(1e-3,))
    ids, weights = list(coloured.rows.ids), np.ones(n, np.float32)
    training = Training(chosen, coloured.rows, target, np.arange(n), ids, weights, RUNTIME)
    return predictor.fit(name, catalog.build("fusion", name, settings), training)


@pytest.mark.parametrize("head", HEADS)
def test_it_explains_the_answer_and_finds_the_square(head: str, coloured: SimpleNamespace) -> None:
    fitted, found = model(coloured, *HEADS[head]), []
    assert fitted.has_gradient
    row = coloured.rows.rows([3])
    own = fitted.answers_of(row, "photo", torch.from_numpy(row.features["photo"]))
    assert own.numpy() == pytest.approx(answers_of(fitted.predict(row)), abs=1e-4)
    explainer = catalog.build("explainers", "gradients")
    for k in range(3 if head == "linear" else 1):
        question = asked(coloured, fitted, k)
        values = explainer.explain(explainer.parts(question, "photo"), 0)
        difference = values.whole - values.base
        assert values.values.sum() == pytest.approx(difference, abs=0.02 * abs(difference) + 1e-3)
        assert "50 steps; their sum misses it by" in values.method
        top, left = coloured.place[k]
        size = np.abs(values.values).reshape(32, 32)
        found.append(size[top : top + 8, left : left + 8].mean() / size.mean())
    assert min(found) > 2, found


def asked(coloured: SimpleNamespace, fitted: predictor.Model, k: int) -> Question:
    encoders = {"photo": coloured.encoder}
    return Question(
        coloured.rows.rows([k]),
        {"photo": coloured.cells[k]},
        coloured.rows.fields,
        cast(Embedder, SimpleNamespace(encoders=encoders, lexicons={})),
        Path(),
        lambda rows: answers_of(fitted.predict(rows)),
        int(coloured.label[k]),
        None,
        {},
        0,
        fitted.answers_of if fitted.has_gradient else None,
    )


OTHERS: dict[str, tuple[str, str, dict[str, object]]] = {
    "ordered classes": ("ordinal", "concat", {"steps": 30}),
    "labels": ("labels", "concat", {"steps": 30}),
    "labels, pool": ("labels", "pool", {}),
    "a number": ("number", "concat", {"steps": 30}),
    "a number, pool": ("number", "pool", {}),
    "a number, its logarithm": ("number", "pool", {"members": [{"head": "logarithm"}]}),
    "a number, curved": ("number", "pool", {"members": [{"head": "kernel"}]}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_targets_have_the_answers_of_the_predictor(
    name: str, coloured: SimpleNamespace
) -> None:
    kind, fusion, settings = OTHERS[name]
    fitted = model(coloured, fusion, settings, kind)
    row = coloured.rows.rows([4])
    own = fitted.answers_of(row, "photo", torch.from_numpy(row.features["photo"]))
    assert own.numpy() == pytest.approx(answers_of(fitted.predict(row)), abs=1e-4)


def test_trees_have_no_gradient(coloured: SimpleNamespace) -> None:
    boosted = {"members": [{"head": "linear"}, {"head": "boosted", "trees": 3}]}
    fitted = model(coloured, "pool", boosted)
    assert not fitted.has_gradient
    explainer = catalog.build("explainers", "gradients")
    assert explainer.parts(asked(coloured, fitted, 0), "photo") is None
