"""What a predictor tells of a column of weights. The attacks: the only row of a class had the
weight that the shift of its class says, to six digits; and two models that differ by a row tell its
weight by the mean weights of their classes. Oracle: the planted weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.cross_fit import Predict, Training, cross_fit
from gobelin.prediction.fusion.pool import PoolPredictor
from gobelin.prediction.predictor import own_mix
from gobelin.prediction.told_weights import told_weights

N, RARE = 120, 0  # rows; the class of the first row alone
NAMES = ("lone", "a", "b", "c")
SETTINGS = [
    Predict(metric="accuracy"),
    Predict(metric="balanced_accuracy"),
    Predict(metric="accuracy", weights={"a": 3.0, "lone": 2.0}),
]


def training(weights: np.ndarray, settings: Predict, runtime: Runtime) -> Training:
    """Rows of four classes; the first has one of them."""
    n, rng = len(weights), np.random.default_rng(0)
    label = rng.integers(1, 4, N)
    label[0] = RARE
    x = (rng.normal(size=(N, 4)) + label[:, None]).astype(np.float32)[:n]
    ids = tuple(map(str, range(n)))
    rows = Embeddings(("x",), {"x": x}, np.ones((n, 1), bool), ids, "s")
    scored = np.array([False, True, True, True])
    target = Target("y", "class", label[:n], NAMES, scored)
    weights = weights.astype(np.float32)
    return Training(settings, rows, target, np.arange(n), ids, weights, runtime)


def told(weights: np.ndarray, settings: Predict, runtime: Runtime) -> np.ndarray:
    """All that a model says of classes beside the weights of its heads, about that of class a."""
    given = training(weights, settings, runtime)
    given = replace(given, decays=(1e-3,))
    fitted = cross_fit(catalog.build("fusion", "pool", {}), given).predictor
    assert isinstance(fitted, PoolPredictor)
    parts = [np.array(part, float) for part in (fitted.shift, own_mix(given)) if len(part)]
    return np.concatenate([part - part[1] for part in parts])


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_only_row_of_a_class_does_not_tell_its_weight(
    settings: Predict, runtime: Runtime
) -> None:
    ones = np.ones(N)
    ones[0] = 17.2347
    first = told(ones, settings, runtime)
    ones[0] = 14.5
    assert np.allclose(told(ones, settings, runtime), first, atol=1e-6)
    ones[0] = 0.02  # but not nothing
    assert not np.allclose(told(ones, settings, runtime), first, atol=0.1)


@pytest.mark.parametrize("settings", SETTINGS)
def test_two_models_that_differ_by_a_row_do_not_tell_its_weight(
    settings: Predict, runtime: Runtime
) -> None:
    """The last row has one weight or another: what is told is one of three things at most, as a
    mean can lie near the middle of two steps."""
    weights = np.random.default_rng(1).uniform(0.5, 2, N)
    found = set()
    for last in np.linspace(0.5, 2, 12):
        weights[-1] = last
        found.add(tuple(np.round(told(weights, settings, runtime), 5)))
    assert len(found) <= 3, found


def test_weights_that_are_all_alike_are_told_as_they_are(runtime: Runtime) -> None:
    for value in (1.0, 0.3):
        given = training(np.full(N, value), SETTINGS[0], runtime)
        assert np.array_equal(given.told_weights(np.arange(N)), np.ones(N))
    weights = np.where(training(np.ones(N), SETTINGS[0], runtime).target.values == 2, 3.0, 1.0)
    weights[5] = 0
    groups = np.arange(N)
    target = training(np.ones(N), SETTINGS[0], runtime).target
    out = told_weights(target, np.arange(N), weights, groups, 5)
    label = target.values
    assert out[5] == 0 and np.ptp(out[(label == 1) & (weights > 0)]) == 0
    ratio = out[np.flatnonzero(label == 2)[-1]] / out[np.flatnonzero(label == 1)[-1]]
    assert abs(np.log(ratio / 3)) < 0.05
    assert np.array_equal(told_weights(target, np.arange(N), weights, groups, 1), weights)
