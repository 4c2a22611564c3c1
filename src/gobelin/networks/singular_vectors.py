"""The first singular vectors of a sparse matrix, by random projections.

Halko, Martinsson & Tropp 2011, algorithm 4.3, with LU factors between the products (Szlam et al.
2014). The same numbers, bit for bit, as `randomized_svd` of scikit-learn 1.9 with seed 0, which
wrote the lexicons of earlier runs; but scikit-learn takes a second to load."""

from __future__ import annotations

import numpy as np

from gobelin.core.lazy import linalg, sparse

MORE = 10  # directions that are followed beside those that are asked for


def first_right(matrix: sparse.csr_matrix, width: int) -> np.ndarray:
    """float64 [width, V]: the first right singular vectors of a matrix [n, V]. Fewer where n or V
    are. The largest number of each left one is positive."""
    rounds = 7 if width < 0.1 * min(matrix.shape) else 4
    turned = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if turned else matrix
    found = np.random.RandomState(0).normal(size=(tall.shape[1], width + MORE))
    for _ in range(rounds):
        found, _ = linalg.lu(tall @ found, permute_l=True, check_finite=False)
        found, _ = linalg.lu(tall.T @ found, permute_l=True, check_finite=False)
    found, _ = linalg.qr(tall @ found, mode="economic", check_finite=False)
    small, _, right = linalg.svd(found.T @ tall, full_matrices=False, lapack_driver="gesdd")
    left = found @ small
    # of the matrix itself, which is `tall` or its other side
    own_left, own_right = (right.T, left.T) if turned else (left, right)
    largest = np.abs(own_left).argmax(0)
    signs = np.sign(own_left[largest, np.arange(own_left.shape[1])])
    return (own_right * signs[:, None])[:width]
