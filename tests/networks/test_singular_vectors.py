"""Singular vectors against scikit-learn, bit for bit, and against the exact ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from gobelin.networks.singular_vectors import first_right


@pytest.mark.parametrize(("shape", "width"), [((300, 40), 3), ((40, 300), 8), ((9, 12), 5)])
def test_the_numbers_of_scikit_learn(shape: tuple[int, int], width: int) -> None:
    matrix = sparse.random(*shape, 0.2, "csr", random_state=1)
    found = first_right(matrix, width)
    assert np.array_equal(found, randomized_svd(matrix, width, random_state=0)[2])
    exact = np.linalg.svd(matrix.toarray())[1][:width]
    told = np.linalg.norm(matrix @ found.T, axis=0)  # the singular values, or a little less
    assert np.allclose(told, exact, rtol=0.01) and np.allclose(found @ found.T, np.eye(width))
