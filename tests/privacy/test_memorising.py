"""An over-fitted generator returns its rows, as one can see from which row each image is made."""

from __future__ import annotations

import numpy as np
import pytest
from membership import drawn
from scipy import special
from scipy.spatial.distance import cdist

from gobelin.core.neighbours import nearest
from gobelin.privacy.memorising import Memorised


def memorised(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return Memorised.of(images, rng).drawn(count, rng)


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


def test_the_loss_is_the_density_of_codes() -> None:
    """By scipy, up to the constant of a normal density; its own rows are known best."""
    rows, others = drawn(150, 1), drawn(80, 2)
    model = Memorised.of(rows, np.random.default_rng(0))
    codes = [(flat(x) / 255 - model.mean) @ model.basis.T for x in (rows, others)]
    squares = cdist(np.concatenate(codes), codes[0], "sqeuclidean")
    density = special.logsumexp(-squares / (2 * model.noise**2), axis=1) - np.log(150)
    found = np.concatenate([model.row_loss(rows), model.row_loss(others)])
    assert found == pytest.approx(-density, rel=1e-4)
    assert model.row_loss(rows).max() < model.row_loss(others).min()
    equal = Memorised.of(np.repeat(rows[:1], 4, axis=0), np.random.default_rng(0))
    assert np.isfinite(equal.row_loss(rows)).all() and equal.row_loss(rows[:0]).shape == (0,)
