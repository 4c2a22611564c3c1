"""Influence against automatic differentiation, and on planted wrong labels, which must come
last."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gobelin.augmentation.influence import DAMPING, HeadInputs, head_inputs, influence
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings


def some(rng: np.random.Generator, n: int, numeric: bool, classes: int = 3) -> HeadInputs:
    x = rng.normal(size=(n, 5))
    truth = rng.normal(size=(n, 1)) if numeric else np.eye(classes)[rng.integers(0, classes, n)]
    return HeadInputs(x, truth, rng.random(n).astype(np.float32) + 0.1)


@pytest.mark.parametrize("numeric", [True, False])
def test_it_is_the_product_of_gradients_through_the_curvature(numeric: bool) -> None:
    """A second implementation: each row's loss differentiated by torch, the curvature as a
    Kronecker product, solved whole."""
    rng = np.random.default_rng(1)
    train, valid, generated = (some(rng, n, numeric) for n in (40, 30, 12))
    outputs = generated.truth.shape[1]

    def gradient(rows: HeadInputs, k: int) -> np.ndarray:
        head = torch.zeros(5, outputs, dtype=torch.float64, requires_grad=True)
        z, t = torch.from_numpy(rows.x[k]) @ head, torch.from_numpy(rows.truth[k])
        (((z - t) ** 2).sum() / 2 if numeric else -(torch.log_softmax(z, 0) * t).sum()).backward()
        return head.grad.numpy().ravel()

    moment = sum(np.outer(x, x) for x in train.x) / 40
    curvature = np.kron(
        moment + DAMPING * np.linalg.eigvalsh(moment).mean() * np.eye(5), np.eye(outputs)
    )
    share = valid.share.astype(float)
    held = sum(s * gradient(valid, k) for k, s in enumerate(share)) / share.sum()
    expected = [gradient(generated, k) @ np.linalg.solve(curvature, held) for k in range(12)]
    assert influence(train, valid, generated, numeric) == pytest.approx(
        np.array(expected), rel=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
def test_planted_wrong_labels_come_last(seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(3, 12)) * 0.8

    def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
        label = rng.integers(0, 3, n)
        return label, means[label] + rng.normal(size=(n, 12))

    def inputs_of(label: np.ndarray, x: np.ndarray, like: Embeddings) -> HeadInputs:
        target = Target("y", "class", label, ("a", "b", "c"), np.ones(3, bool))
        return head_inputs(of(x), target, np.ones(len(x), np.float32), like)

    def of(x: np.ndarray) -> Embeddings:
        return Embeddings(
            ("f",),
            {"f": x.astype(np.float32)},
            np.ones((len(x), 1), bool),
            tuple(map(str, range(len(x)))),
            "s",
        )

    (train, x), (valid, y), (true, z) = rows(90), rows(200), rows(200)
    wrong = np.arange(200) % 5 == 0
    labels = np.where(wrong, (true + 1) % 3, true)
    found = influence(
        inputs_of(train, x, of(x)), inputs_of(valid, y, of(x)), inputs_of(labels, z, of(x)), False
    )
    area = (found[wrong][:, None] < found[~wrong][None]).mean()
    assert (
        area > 0.9
        and wrong[np.argsort(found)[:20]].mean() > 0.8
        and (found[wrong] > 0).mean() < 0.5 < (found[~wrong] > 0).mean()
    )


def test_what_is_absent_is_nothing() -> None:
    x = Embeddings(
        ("f", "g"),
        {"f": np.ones((4, 2), np.float32), "g": np.arange(8, dtype=np.float32).reshape(4, 2)},
        np.array([[1, 1], [1, 0], [0, 1], [1, 1]], bool),
        tuple("abcd"),
        "s",
    )
    target = Target("y", "class", np.array([0, 1, 0, 1]), ("a", "b"), np.ones(2, bool))
    found = head_inputs(x, target, np.ones(4, np.float32), x).x
    assert not found[2, :2].any() and not found[1, 2:4].any() and (found[:, -1] == 1).all()
    assert np.array_equal(found[:, 4:6], x.present)
