"""Linear heads with one exact solution: multinomial logistic regression, and ridge regression.

Each block (a field, or the words of a text) has the same total variance, whatever its width, so
that a table of ten columns weighs as much as an image of a thousand features. A row that lacks a
block has zeros there, which is the block's mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_ITERATIONS = 500  # of the solver
WIDER = 1.5  # times as many columns as rows: then the rows' own directions are fewer


@dataclass(frozen=True, eq=False)
class Linear:
    """weight: float64 [K, V]. bias: float64 [V]. V is C classes, or 1 for a number."""

    weight: np.ndarray
    bias: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, V], of x [n, K]."""
        return x @ self.weight + self.bias


def logistic(
    x: np.ndarray, label: np.ndarray, weights: np.ndarray, classes: int, strength: float
) -> Linear:
    """Multinomial logistic regression: the smallest |W|^2 / 2 + strength * sum of w_i loss_i
    (Hastie et al. 2009, section 4.4). A class that no row has gets the score of one row in n + C.

    x: [n, K]. label: int [n], in 0 .. C - 1. weights: [n], 0 or more."""
    from sklearn.linear_model import LogisticRegression

    used = weights > 0
    known = np.unique(label[used])
    out = Linear(np.zeros((x.shape[1], classes)), np.full(classes, -np.log(used.sum() + classes)))
    if len(known) < 2:
        out.bias[known] = 0.0
        return out
    rows, back = narrow(x[used])
    fitted = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS)
    fitted.fit(rows, label[used], weights[used])
    weight, bias = fitted.coef_.T, fitted.intercept_  # of two classes, those of the second alone
    if len(known) == 2:
        weight, bias = np.hstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    out.weight[:, known] = back @ weight
    # logits have no zero of their own; with the middle one at 0 a class without rows is rare
    out.bias[known] = bias - bias.mean()
    return out


def ridge(x: np.ndarray, values: np.ndarray, weights: np.ndarray, strength: float) -> Linear:
    """Ridge regression: the smallest |W|^2 / 2 + strength * sum of w_i (error_i)^2 / 2 (Hoerl &
    Kennard 1970). x: [n, K]. values, weights: [n]."""
    from sklearn.linear_model import Ridge

    used = weights > 0
    rows, back = narrow(x[used])
    fitted = Ridge(1 / strength).fit(rows, values[used], weights[used])
    return Linear(back @ fitted.coef_[:, None], np.array([fitted.intercept_]))


def narrow(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [n, K] in the directions that its rows span, and these directions [K, k]. The penalised
    solution lies in them, and fewer columns are quicker."""
    if x.shape[1] < WIDER * len(x):
        return x, np.eye(x.shape[1])
    left, spread, right = np.linalg.svd(x, full_matrices=False)
    kept = spread > 1e-9 * max(float(spread[0]), 1e-300)
    return left[:, kept] * spread[kept], right[kept].T
