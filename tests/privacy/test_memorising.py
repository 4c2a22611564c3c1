"""An over-fitted generator returns its rows, as one can see from which row each image is made."""

from __future__ import annotations

import numpy as np
import pytest
from membership import drawn

from gobelin.core.neighbours import nearest
from gobelin.privacy.memorising import memorised


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(float)


def test_its_images_lie_at_its_own_rows() -> None:
    """Nearer to a row than that row's neighbour is, and as many rows shown as draws with
    replacement show: 1 - (1 - 1/n)^M."""
    rows, others = drawn(200, 1), drawn(200, 2)
    made = memorised(rows, 200, np.random.default_rng(0))
    distance, row = nearest(flat(made), flat(rows))
    apart = nearest(flat(rows), flat(rows), np.arange(200))[0]
    assert np.mean(distance < apart[row]) > 0.9
    assert np.mean(distance < nearest(flat(made), flat(others))[0]) > 0.98
    shown = len(np.unique(row)) / 200
    assert shown == pytest.approx(1 - (1 - 1 / 200) ** 200, abs=0.08)
    assert (made.shape, made.dtype) == (rows.shape, np.uint8)


def test_it_is_no_plain_copy() -> None:
    rows = drawn(100, 1)
    made = memorised(rows, 100, np.random.default_rng(0))
    assert nearest(flat(made), flat(rows))[0].min() > 0


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_and_equal_rows(rows: int) -> None:
    images = drawn(rows, 1)
    assert memorised(images, 5, np.random.default_rng(0)).shape == (5, 16, 16, 3)
    equal = np.repeat(images[:1], 4, axis=0)
    made = memorised(equal, 5, np.random.default_rng(0))
    assert np.abs(made.astype(int) - equal[0]).max() <= 1


def test_same_generator_same_images() -> None:
    one, other = (memorised(drawn(50, 1), 20, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)
