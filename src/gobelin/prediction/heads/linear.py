"""Linear heads with one exact solution: logistic regression, of classes or of each label, and
ridge regression.

Each block (a field, or the words of a text) has the same total variance, whatever its width, so
that a table of ten columns weighs as much as an image of a thousand features. A row that lacks a
block has zeros there, which is the block's mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.lazy import optimize, special, torch

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

    def scores_of(self, x: torch.Tensor) -> torch.Tensor:
        """The same, differentiable in x."""
        return x @ torch.from_numpy(self.weight) + torch.from_numpy(self.bias)


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


def logistic_labels(
    x: np.ndarray, held: np.ndarray, weights: np.ndarray, strength: float
) -> Linear:
    """A logistic regression for each label, all in one computation: for each the smallest |w|^2 / 2
    + strength * sum of w_i loss_i. A label that all rows have, or none, has no direction.

    x: [n, K]. held: [n, C], 1 or 0. weights: [n], 0 or more."""
    used = weights > 0
    rows, back = narrow(x[used])
    held, share = held[used].astype(np.float64), weights[used].astype(np.float64)
    have = share @ held
    bias = np.log(have + 0.5) - np.log(share.sum() - have + 0.5)
    open_ = np.flatnonzero((have > 0) & (have < share.sum()))
    width, sign = rows.shape[1], 1 - 2 * held[:, open_]

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and its gradient, at the weights and biases [K + 1, labels]."""
        at = at.reshape(width + 1, -1)
        z = sign * (rows @ at[:-1] + at[-1])  # [n, labels]
        value = (at[:-1] ** 2).sum() / 2 - strength * (share @ special.log_expit(-z)).sum()
        by_score = strength * share[:, None] * sign * special.expit(z)
        slope = np.concatenate([at[:-1] + rows.T @ by_score, by_score.sum(0)[None]])
        return float(value), slope.ravel()

    out = Linear(np.zeros((x.shape[1], held.shape[1])), bias)
    if len(open_):
        start = np.concatenate([np.zeros((width, len(open_))), bias[None, open_]])
        found = optimize.minimize(
            loss,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MOST_ITERATIONS, "maxfun": 2 * MOST_ITERATIONS},
        ).x.reshape(width + 1, -1)
        out.weight[:, open_], out.bias[open_] = back @ found[:-1], found[-1]
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
