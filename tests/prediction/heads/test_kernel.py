"""Random features of a Gaussian kernel. Oracles: the kernel's own formula, scikit-learn's kernel
ridge regression."""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.kernel_ridge import KernelRidge

from gobelin.prediction.heads import kernel
from gobelin.prediction.heads.linear import ridge

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3)) / 3**0.5  # a total variance of 1


def test_the_mean_product_of_features_is_the_kernel() -> None:
    directions, phases = kernel.drawn(3, 0.7, 60_000)
    waves = kernel.features(X[:20], directions, phases)[:, :60_000]
    squares = ((X[:20, None] - X[None, :20]) ** 2).sum(2)
    # each is the mean of 60,000 products, with a standard error under .005
    assert np.abs(waves @ waves.T - np.exp(-squares / (2 * 0.7**2))).max() < 0.03


def test_answers_are_about_those_of_kernel_ridge_regression() -> None:
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1])
    fit = partial(ridge, values=y - y.mean(), weights=np.ones(150), strength=30.0)
    fitted, fresh = kernel.kernel(X, 1.0, fit), RNG.normal(size=(200, 3)) / 3**0.5
    gamma = 1 / (2 * X.var(0).sum())
    exact = KernelRidge(alpha=1 / 30, kernel="rbf", gamma=gamma).fit(X, y - y.mean())
    off = fitted.scores(fresh)[:, 0] - exact.predict(fresh)
    assert off.std() < 0.25 * y.std()
    truth = np.sin(3 * fresh[:, 0]) * np.cos(2 * fresh[:, 1])
    line = ridge(X, y, np.ones(150), 30.0).scores(fresh)[:, 0]
    assert ((fitted.scores(fresh)[:, 0] + y.mean() - truth) ** 2).mean() < 0.2 * (
        (line - truth) ** 2
    ).mean()


def test_the_same_inputs_have_the_same_features() -> None:
    fit = partial(ridge, values=X[:, 0], weights=np.ones(150), strength=1.0)
    first, again = (kernel.kernel(X, 1.0, fit) for _ in range(2))
    assert all(
        np.array_equal(a, b)
        for a, b in zip(vars(first).values(), vars(again).values(), strict=True)
    )
