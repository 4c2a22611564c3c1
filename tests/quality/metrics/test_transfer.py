"""Train on made, test on real: against scikit-learn's ridge, planted classes, mislabelled and
missing ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from gobelin.core.errors import GobelinError
from gobelin.quality.metrics import FeatureComparison, FeatureSet, TooFew, transfer

CENTRES = np.random.default_rng(9).normal(size=(4, 8)) * 2


def draw(n: int, seed: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return CENTRES[labels] + rng.normal(size=(n, 8)) + 30, np.array(["a", "b", "c", "d"])[labels]


def featured(rows: np.ndarray, labels: np.ndarray) -> FeatureSet:
    return FeatureSet([rows[:33], rows[33:]], "small net", "as it is", labels)


def test_equals_scikit_learn() -> None:
    """Weighted ridge on one-hot classes with an unpenalised constant."""
    (x, labels), classes = draw(300, 0), np.array(list("abcd"))
    weights, bias = transfer.ridge_classifier(featured(x, labels), classes, 0.1)
    each = np.array([1 / (labels == c).sum() for c in labels])
    middle = np.average(x, 0, each)
    penalty = 0.1 * (each[:, None] * (x - middle) ** 2).sum() / 8
    other = Ridge(penalty, solver="cholesky").fit(x - middle, labels[:, None] == classes, each)
    assert np.allclose(weights, other.coef_.T, rtol=1e-7, atol=1e-10)
    assert np.allclose(x @ weights + bias, other.predict(x - middle), atol=1e-8)


def test_good_made_rows_reach_the_floor_and_mislabelled_ones_chance() -> None:
    real, held, made = (featured(*draw(2000, k)) for k in range(3))
    (good,) = transfer.Transfer().measure(FeatureComparison(real, made, held))
    assert (
        good.value == pytest.approx(good.floor, abs=0.01)
        and good.chance == 0.25
        and good.value > 0.9
    )
    rows, labels = draw(2000, 2)
    (bad,) = transfer.Transfer().measure(
        FeatureComparison(real, featured(rows, np.random.default_rng(0).permutation(labels)), held)
    )
    assert bad.value < 0.45  # type: ignore[operator]


def test_a_class_that_was_never_made_is_never_read() -> None:
    real = featured(*draw(800, 0))
    found = transfer.scores(real, featured(*draw(800, 1, classes=3)))
    assert 0.6 < found.value <= 0.75


def test_what_it_refuses() -> None:
    real, made = featured(*draw(200, 0)), featured(*draw(200, 1))
    with pytest.raises(TooFew, match=r"\(n = 19, needs at least 20\)"):
        transfer.scores(real, featured(*draw(19, 1)))
    with pytest.raises(GobelinError, match="all of the class"):
        transfer.scores(featured(*draw(200, 0, classes=1)), made)
    (found,) = transfer.Transfer().measure(
        FeatureComparison(FeatureSet(real.blocks, real.net, real.resize), made)
    )
    assert found.value is None and "no labels" in found.verdict
