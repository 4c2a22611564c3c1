"""Shapley values. Oracles: closed forms, the mean over all orders written out, and captum."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from games import Game

from gobelin.prediction.attribution import shapley
from gobelin.prediction.attribution.parts import Attribution

RNG = np.random.default_rng(0)
# an answer for each of the 2^5 subsets, without any pattern
TABLE = RNG.normal(size=32)


def anything(kept: np.ndarray) -> np.ndarray:
    return TABLE[(kept @ 2 ** np.arange(5)).astype(int)]


def over_all_orders(game: Game) -> np.ndarray:
    """The definition: the mean change when a part joins, over all orders."""
    out, orders = np.zeros(game.count), list(permutations(range(game.count)))
    for order in orders:
        kept = np.zeros((game.count + 1, game.count))
        for step, part in enumerate(order):
            kept[step + 1 :, part] = 1
        answers = game.answers(kept)[:, 0]
        out[list(order)] += np.diff(answers)
    return out / len(orders)


def test_values_are_the_mean_over_all_orders_and_add_up() -> None:
    game = Game(5, anything)
    found = shapley.exact(game)
    np.testing.assert_allclose(found.values, over_all_orders(game), atol=1e-12)
    assert found.values.sum() == pytest.approx(found.whole - found.base, abs=1e-12)
    assert (found.base, found.whole) == (TABLE[0], TABLE[31])


def test_a_sum_has_its_terms_as_values_and_no_interaction() -> None:
    terms = np.array([1.0, -2.0, 0.0, 0.5])
    found = shapley.exact(Game(4, lambda kept: 3 + kept @ terms))
    np.testing.assert_allclose(found.values, terms, atol=1e-12)
    np.testing.assert_allclose(found.pairs, np.zeros((4, 4)), atol=1e-12)
    np.testing.assert_allclose(found.main, terms, atol=1e-12)


def test_a_product_is_an_interaction_and_no_effect_of_one_alone() -> None:
    """v = 8 a b + c: the pair has 8, each half of it as its value, and alone they do nothing."""
    found = shapley.exact(Game(3, lambda kept: 8 * kept[:, 0] * kept[:, 1] + kept[:, 2]))
    assert found.pairs is not None
    np.testing.assert_allclose(found.values, [4, 4, 1], atol=1e-12)
    np.testing.assert_allclose(found.pairs, [[0, 8, 0], [8, 0, 0], [0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(found.main, [0, 0, 1], atol=1e-12)


def test_the_interaction_of_three_parts_is_shared_as_the_index_says() -> None:
    """v = a b c: the sum over S of weights 1/2 (|S| = 0 gives 0, |S| = 1 gives 1), Grabisch and
    Roubens 1999."""
    found = shapley.exact(Game(3, lambda kept: kept.prod(1)))
    assert found.pairs is not None and found.pairs[0, 1] == pytest.approx(0.5)
    np.testing.assert_allclose(found.values, np.full(3, 1 / 3), atol=1e-12)


@pytest.mark.parametrize("count", [1, 2])
def test_one_part_has_all_and_two_have_an_interaction(count: int) -> None:
    found = shapley.exact(Game(count, lambda kept: kept.prod(1)))
    np.testing.assert_allclose(found.values, np.full(count, 1 / count), atol=1e-12)


def test_the_error_is_that_of_a_mean_over_draws() -> None:
    """v = draw x part: the value is the mean of the draws, its error sd / sqrt(K)."""
    draws = RNG.normal(size=50)
    found = shapley.exact(Game(2, lambda kept: kept[:, [0]] * draws))
    assert found.values[0] == pytest.approx(draws.mean())
    assert found.error[0] == pytest.approx(draws.std(ddof=1) / np.sqrt(50))
    assert found.error[1] == pytest.approx(0, abs=1e-12)


def test_drawn_orders_come_near_the_exact_values_within_their_errors() -> None:
    game = Game(5, anything)
    exact, drawn = shapley.exact(game), shapley.sampled(game, 2000, seed=1)
    assert (np.abs(drawn.values - exact.values) <= 4 * drawn.error + 1e-9).all()
    assert drawn.values.sum() == pytest.approx(exact.whole - exact.base, abs=1e-9)
    assert drawn.error.max() < 0.1


def test_many_parts_are_drawn_and_the_same_seed_draws_the_same() -> None:
    game = Game(14, lambda kept: kept @ np.arange(14.0))
    a, b = (shapley.shapley(game, 12, 20, seed=3) for _ in range(2))
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_allclose(a.values, np.arange(14.0), atol=1e-9)
    assert a.pairs is None and "drawn orders" in a.method


def test_captum_finds_the_same_values() -> None:
    captum = pytest.importorskip("captum.attr")
    import torch

    weight, bend = torch.tensor(RNG.normal(size=(4, 4))), torch.tensor(RNG.normal(size=4))

    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ weight).sum(1) + x @ bend + x[:, 0] * x[:, 1]

    row = torch.tensor(RNG.normal(size=(1, 4)))
    # captum draws orders; with all of them drawn once its mean is exact
    theirs = captum.ShapleyValues(forward).attribute(row)[0].numpy()
    ours = shapley.exact(Game(4, lambda kept: forward(row * torch.tensor(kept)).numpy()))
    np.testing.assert_allclose(ours.values, theirs, atol=1e-6)


def test_shares_are_of_absolute_values() -> None:
    found = Attribution(("a", "b"), np.array([3.0, -1.0]), 0.0, 2.0, "by hand")
    np.testing.assert_allclose(found.shares, [0.75, 0.25])
