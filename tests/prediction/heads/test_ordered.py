"""Proportional odds. Oracles: a general optimiser on the loss as it is written, and scikit-learn's
logistic regression where there are two levels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression

from gobelin.prediction.heads.ordered import Ordered, proportional_odds

RNG = np.random.default_rng(0)


def data(n: int, width: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = RNG.normal(size=(n, width))
    z = x[:, 0] - 2 * x[:, 1] + RNG.logistic(size=n)
    cuts = np.quantile(z, np.arange(1, levels) / levels)
    return x, np.digitize(z, cuts), RNG.integers(0, 3, n).astype(float)


@pytest.mark.parametrize("width", [3, 90], ids=["tall", "wide"])
def test_it_has_the_smallest_penalised_loss(width: int) -> None:
    x, level, weights = data(60, width, 4)

    def loss(flat: np.ndarray) -> float:
        cuts = np.sort(flat[width:])
        below = special.expit(cuts - (x @ flat[:width])[:, None])
        upto = np.concatenate([np.zeros((len(x), 1)), below, np.ones((len(x), 1))], 1)
        p = np.diff(upto, axis=1)[np.arange(len(x)), level]
        return float(flat[:width] @ flat[:width] / 2 - 2.0 * weights @ np.log(p + 1e-300))

    found = proportional_odds(x, level, weights, 4, 2.0)
    own = loss(np.concatenate([found.weight, found.cuts]))
    start = np.concatenate([np.zeros(width), [-1.0, 0.0, 1.0]])
    best = optimize.minimize(loss, start, method="L-BFGS-B", options={"maxfun": 10**6}).fun
    assert own == pytest.approx(best, rel=1e-4)


def test_two_levels_are_logistic_regression() -> None:
    x, level, weights = data(200, 5, 2)
    found = proportional_odds(x, level, weights, 2, 3.0)
    theirs = LogisticRegression(C=3.0, tol=1e-8, max_iter=2000).fit(x, level, weights)
    assert np.allclose(np.exp(found.scores(x)), theirs.predict_proba(x), atol=1e-3)


def test_scores_are_probabilities_whose_median_rises() -> None:
    x, level, _ = data(400, 4, 5)
    found = proportional_odds(x, level, np.ones(400), 5, 10.0)
    p = np.exp(found.scores(x))
    assert np.allclose(p.sum(1), 1) and (np.diff(found.cuts) > 0).all()
    order = np.argsort(x @ found.weight)
    upto = p[order].cumsum(1)[:, :-1]
    assert (np.diff(upto, axis=0) <= 1e-12).all()
    far = Ordered(found.weight, found.cuts).scores(1e4 * np.eye(4))
    assert np.isfinite(far).all()


def test_a_level_without_rows_is_rare_and_one_without_features_has_its_share() -> None:
    level = np.repeat([0, 1, 3], [10, 30, 20])
    p = np.exp(
        proportional_odds(np.zeros((60, 0)), level, np.ones(60), 5, 1.0).scores(np.zeros((1, 0)))
    )
    assert np.allclose(p[0], np.array([10, 30, 0, 20, 0]) / 60, atol=0.02)
