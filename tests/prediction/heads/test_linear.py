"""Linear heads against their own formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from gobelin.core.softmax import log_softmax
from gobelin.prediction.heads.linear import Linear, logistic, logistic_labels, narrow, ridge

RNG = np.random.default_rng(0)


def data(n: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = RNG.normal(size=(n, width))
    label = (x[:, :classes] + RNG.normal(size=(n, classes))).argmax(1)
    return x, label, RNG.integers(0, 3, n).astype(float)


@pytest.mark.parametrize("width", [4, 90], ids=["tall", "wide"])
@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_has_the_smallest_penalised_loss(width: int, classes: int) -> None:
    """Oracle: a general optimiser on the loss as it is written."""
    x, label, weights = data(40, width, classes)

    def loss(flat: np.ndarray) -> float:
        weight, bias = flat[: width * classes].reshape(width, classes), flat[width * classes :]
        rows = -log_softmax(x @ weight + bias, axis=1)[np.arange(len(x)), label]
        return float((weight**2).sum() / 2 + 3.0 * (weights * rows).sum())

    found = logistic(x, label, weights, classes, 3.0)
    own = loss(np.concatenate([found.weight.ravel(), found.bias]))
    start = np.zeros((width + 1) * classes)
    best = optimize.minimize(loss, start, method="L-BFGS-B", options={"maxfun": 10**6}).fun
    # scikit-learn penalises two classes by one vector, which is half of our penalty
    assert own == pytest.approx(best, rel=1e-3 if classes > 2 else 0.1)


@pytest.mark.parametrize("width", [4, 90], ids=["tall", "wide"])
def test_ridge_solves_the_normal_equations(width: int) -> None:
    x, _, weights = data(40, width, 2)
    values = x[:, 0] - 2 * x[:, 1] + 5
    found = ridge(x, values, weights, 2.0)
    mean, about = (np.average(v, axis=0, weights=weights) for v in (x, values))
    a = (x - mean).T @ ((x - mean) * weights[:, None]) + np.eye(width) / 2.0
    wanted = np.linalg.solve(a, (x - mean).T @ ((values - about) * weights))
    assert np.allclose(found.weight[:, 0], wanted, atol=1e-8)
    assert np.allclose(found.scores(mean[None]), about)


def test_a_class_without_rows_is_rare_and_one_class_alone_is_certain_of_nothing_else() -> None:
    x, label, _ = data(60, 4, 2)
    ones = np.ones(60)
    p = np.exp(log_softmax(logistic(x, label, ones, 4, 1.0).scores(x), axis=1))
    assert (p[:, 2:] < 2 / 60).all() and (p[:, 2:] > 0).all()
    lone = logistic(x, np.zeros(60, int), ones, 3, 1.0)
    assert not lone.weight.any() and lone.bias.argmax() == 0


def test_rows_of_weight_zero_are_no_rows() -> None:
    x, label, _ = data(60, 4, 3)
    weights = np.r_[np.ones(40), np.zeros(20)]
    some, all_of = (
        logistic(x, label, weights, 3, 1.0),
        logistic(x[:40], label[:40], weights[:40], 3, 1.0),
    )
    assert np.allclose(some.weight, all_of.weight) and np.allclose(some.bias, all_of.bias)


def test_narrow_loses_nothing() -> None:
    x = RNG.normal(size=(10, 50))
    rows, back = narrow(x)
    assert rows.shape[1] <= 10 and np.allclose(rows @ back.T, x)
    assert np.allclose(Linear(back, np.zeros(back.shape[1])).scores(x), rows)


@pytest.mark.parametrize("width", [4, 90], ids=["tall", "wide"])
def test_each_label_has_its_own_logistic_regression(width: int) -> None:
    x, _, weights = data(80, width, 3)
    held = (x[:, :4] + RNG.normal(size=(80, 4)) > 0).astype(int)
    held[:, 2], held[:, 3] = 1, 0  # labels that all rows have, and none
    found = logistic_labels(x, held, weights, 2.0)
    p = 1 / (1 + np.exp(-found.scores(x)))
    for c in range(2):
        own = LogisticRegression(C=2.0, tol=1e-8, max_iter=5000).fit(x, held[:, c], weights)
        assert np.allclose(p[:, c], own.predict_proba(x)[:, 1], atol=2e-3)
    rows = weights.sum()
    assert np.allclose(p[:, 2], (rows + 0.5) / (rows + 1)) and np.allclose(
        p[:, 3], 0.5 / (rows + 1)
    )
