"""Shapley values: the mean change of the answer when a part joins the others, over all orders.

v(S) is the answer with the parts S there. Shapley 1953:
    value_i = sum over S without i of |S|! (P - |S| - 1)! / P! (v(S + i) - v(S)).
The values add up to v(all) - v(none). The interaction of two parts is that of Grabisch & Roubens
1999, equation 8:
    pair_ij = sum over S without i, j of |S|! (P - |S| - 2)! / (P - 1)!
              (v(S + i + j) - v(S + i) - v(S + j) + v(S)).
With many parts the orders are drawn, each together with its reverse (Mitchell et al. 2022, section
4.1). The values still add up, and each has a standard error.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.prediction.attribution.parts import Attribution, Parts


def shapley(parts: Parts, most: int, orders: int, seed: int) -> Attribution:
    """The Shapley values of a row's parts: exact up to `most` of them, where 2^P subsets are asked,
    else of drawn orders, two or more."""
    if len(parts.names) <= most:
        return exact(parts)
    return sampled(parts, orders, seed)


def exact(parts: Parts) -> Attribution:
    """All 2^P subsets are asked."""
    count = len(parts.names)
    subsets = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.float64)  # [2^P, P]
    answers = parts.answers(subsets)  # [2^P, K]
    size = subsets.sum(1).astype(int)
    joins = np.array([factorial(s) * factorial(count - s - 1) for s in range(count)], float)
    joins = np.concatenate([joins / factorial(count), [0.0]])  # by |S|
    # a subset with i counts as S + i, one without it as S
    signed = np.where(subsets.T == 1, joins[size - 1], -joins[size])  # [P, 2^P]
    drawn = signed @ answers  # [P, K]
    return Attribution(
        parts.names,
        drawn.mean(1),
        float(answers[0].mean()),
        float(answers[-1].mean()),
        f"Shapley values of all {2**count} subsets",
        _error(drawn),
        _pairs(subsets, size, answers.mean(1)),
    )


def _pairs(subsets: np.ndarray, size: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """float64 [P, P], of subsets [2^P, P], their sizes and answers [2^P]."""
    count = subsets.shape[1]
    out = np.zeros((count, count))
    if count < 2:
        return out
    weight = np.array([factorial(s) * factorial(count - s - 2) for s in range(count - 1)], float)
    weight = np.concatenate([weight / factorial(count - 1), [0.0, 0.0]])  # by |S|
    for i in range(count):
        for j in range(i):
            both = subsets[:, i] + subsets[:, j]
            sign = np.where(both == 1, -1.0, 1.0)
            out[i, j] = out[j, i] = float((sign * weight[size - both.astype(int)]) @ answers)
    return out


def sampled(parts: Parts, orders: int, seed: int) -> Attribution:
    """Drawn orders, each with its reverse."""
    count, half = len(parts.names), max(2, orders // 2)
    rng = numpy_generator(seed, "orders")
    found, ends = [], np.zeros(2)
    for _ in range(half):
        order = rng.permutation(count)
        both = np.zeros(count)
        for way in (order, order[::-1]):
            kept = np.zeros((count + 1, count))
            for step, part in enumerate(way):
                kept[step + 1 :, part] = 1.0
            answers = parts.answers(kept).mean(1)
            both[way] += np.diff(answers) / 2
            ends = answers[[0, -1]]
        found.append(both)
    values = np.array(found)  # [half, P]
    return Attribution(
        parts.names,
        values.mean(0),
        float(ends[0]),
        float(ends[1]),
        f"Shapley values of {2 * half} drawn orders",
        values.std(0, ddof=1) / np.sqrt(half),
    )


def _error(drawn: np.ndarray) -> np.ndarray:
    """float64 [P]: the standard errors of means over K draws [P, K]."""
    k = drawn.shape[1]
    return drawn.std(1, ddof=1) / np.sqrt(k) if k > 1 else np.zeros(len(drawn))
