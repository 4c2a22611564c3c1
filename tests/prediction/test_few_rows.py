"""Prediction sets and intervals of 50 training rows cover what they promise, but for two points.
Oracle: fresh rows of the planted truth, over many training sets.

Sets of classes cover 88.8 % where 90 % is promised (`docs/log.md`). What this cannot show: the same
for a pool whose heads were chosen on these rows."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import predictor
from gobelin.prediction.cross_fit import Predict, Training

ROWS, FRESH, STUDIES, LEVEL = 50, 200, 80, 0.9


def covered(kind: str, seed: int, runtime: Runtime) -> float:
    """The share of fresh rows whose truth is inside, of one training set."""
    rng, n = np.random.default_rng(seed), ROWS + FRESH
    label, noise = rng.integers(0, 3, n), rng.normal(size=(n, 13))
    strong = noise[:, :3] + 1.3 * np.eye(3)[label]
    weak = noise[:, 3:] + 0.4 * np.eye(3, 10)[label]
    x = {"strong": strong.astype(np.float32), "weak": weak.astype(np.float32)}
    ids, ones = tuple(map(str, range(n))), np.ones(n, np.float32)
    rows = Embeddings(("strong", "weak"), x, np.ones((n, 2), bool), ids, "s")
    if kind == "number":
        target = Target("y", "number", strong @ np.array([1, 0.5, 0]) + rng.normal(size=n))
    else:
        target = Target("y", kind, label, ("a", "b", "c"), np.ones(3, bool))
    given = Predict(decays=(1e-3,), level=LEVEL)
    train, test = np.arange(ROWS), np.arange(ROWS, n)
    training = Training(given, rows, target, train, ids, ones, runtime, silent)
    pool = catalog.build("fusion", "pool", {"members": [{"strength": 3.0}]})
    told = predictor.fit("pool", pool, training).predict(rows.rows(test))
    if kind == "number":
        inside = (told.low <= target.values[test]) & (target.values[test] <= told.high)
    else:
        assert told.sets is not None
        inside = told.sets[np.arange(FRESH), label[test]]
    return float(inside.mean())


@pytest.mark.parametrize("kind", ["class", "ordinal", "number"])
def test_the_level_holds_over_training_sets_of_fifty_rows(kind: str, runtime: Runtime) -> None:
    """The mean over training sets, give or take three standard errors."""
    found = np.array([covered(kind, seed, runtime) for seed in range(STUDIES)])
    error = found.std(ddof=1) / np.sqrt(STUDIES)
    assert LEVEL - 0.02 - 3 * error < found.mean() < LEVEL + 0.06, (found.mean(), error)
