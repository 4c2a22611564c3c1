"""Faithfulness. Oracles: closed forms of the curves, quantus, and the rate of false alarms of
explanations that know nothing."""

from __future__ import annotations

import numpy as np
import pytest
from games import Game

from gobelin.prediction.attribution import faithfulness as f
from gobelin.prediction.attribution.parts import Attribution

TERMS = np.array([4.0, 2.0, 1.0, -1.0])


def linear(terms: np.ndarray) -> Game:
    return Game(len(terms), lambda kept: kept @ terms)


def attribution(values: np.ndarray) -> Attribution:
    return Attribution(tuple(map(str, values)), values, 0.0, float(values.sum()), "by hand")


def test_the_curves_of_a_sum_by_hand() -> None:
    order = np.array([[0, 1, 2, 3]])
    ((least, most),) = f.curves(linear(TERMS), order)
    np.testing.assert_allclose(least, [6, 7, 6, 4, 0])  # -1, 1, 2, 4 are hidden
    np.testing.assert_allclose(most, [6, 2, 0, -1, 0])  # 4, 2, 1, -1 are hidden
    # areas by the trapezoid: 5 and 1
    assert f.gains(f.curves(linear(TERMS), order))[0] == pytest.approx(5.0 - 1.0)


def test_the_reverse_order_has_the_opposite_gain() -> None:
    orders = np.array([[2, 0, 3, 1], [1, 3, 0, 2]])
    a, b = f.gains(f.curves(linear(TERMS), orders))
    assert a == pytest.approx(-b)


def test_pixel_flipping_of_quantus_is_the_deletion_curve() -> None:
    """Both ways: the most relevant pixels first, and the least relevant first."""
    quantus = pytest.importorskip("quantus", exc_type=ImportError)  # it needs libGL
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
    module = torch.nn.Sequential(*layers).eval()
    rng = np.random.default_rng(0)
    images = rng.uniform(0.1, 1, (3, 1, 4, 4)).astype(np.float32)
    values = rng.normal(size=(3, 16)).astype(np.float32)
    flipping = quantus.PixelFlipping(
        features_in_step=16 // f.STEPS,
        perturb_baseline=0.0,
        normalise=False,
        return_auc_per_sample=False,
        disable_warnings=True,
    )
    for k, image in enumerate(images):

        def answers(kept: np.ndarray, image: np.ndarray = image) -> np.ndarray:
            asked = torch.from_numpy(kept.reshape(-1, 1, 4, 4).astype(np.float32) * image)
            return module(asked).detach().numpy()[:, 1]

        ((least, most),) = f.curves(Game(16, answers), np.argsort(-values[None, k], kind="stable"))
        for own, sign in ((most, 1), (least, -1)):
            theirs = flipping(
                module,
                image[None],
                np.ones(1, int),
                a_batch=sign * values[k].reshape(1, 1, 4, 4),
                softmax=False,
            )
            np.testing.assert_allclose(own[1:], theirs[0], rtol=0, atol=1e-6)


def test_random_orders_gain_nothing_on_average() -> None:
    """Over all orders the gain is 0 exactly, whatever the predictor does."""
    from itertools import permutations

    table = np.random.default_rng(0).normal(size=16)
    game = Game(4, lambda kept: table[(kept @ 2 ** np.arange(4)).astype(int)])
    every = f.gains(f.curves(game, np.array(list(permutations(range(4))))))
    assert every.mean() == pytest.approx(0.0, abs=1e-12)


def test_the_true_order_is_better_than_random_and_no_order_gains_more() -> None:
    rng = np.random.default_rng(1)
    found = []
    for k in range(12):
        terms = rng.normal(size=10)
        one = f.gain(linear(terms), attribution(terms), 20, k)
        assert one.own >= one.random.max() - 1e-12
        found.append(one)
    interval, verdict = f.faithfulness(found)
    assert verdict == f.BETTER and interval.low > 0 and interval.n == 12


def test_an_explanation_that_knows_nothing_is_called_better_at_its_level_only() -> None:
    """One-sided 2.5 %: of 200 studies of random explanations at most 12 (binomial, 99 %)."""
    rng, alarms = np.random.default_rng(2), 0
    for study in range(200):
        found = []
        for k in range(8):
            terms = rng.normal(size=6)
            one = f.gain(linear(terms), attribution(rng.normal(size=6)), 4, 1000 * study + k)
            found.append(one)
        alarms += f.faithfulness(found)[1] == f.BETTER
    assert alarms <= 12


def test_one_row_of_few_parts_cant_tell_and_one_of_many_can() -> None:
    few = f.gain(linear(TERMS[:3]), attribution(TERMS[:3]), 50, 0)
    assert f.faithfulness([few])[1] == f.CAN_T_TELL
    terms = np.arange(12.0)
    many = f.gain(linear(terms), attribution(terms), 100, 0)
    assert f.faithfulness([many])[1] == f.BETTER
    worst = f.gain(linear(terms), attribution(-terms), 100, 0)
    assert f.faithfulness([worst])[1] == f.NO_BETTER


def test_agreement_is_the_rank_correlation() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 30))
    found = f.agreement(attribution(a), attribution(b))
    assert found == pytest.approx(float(spearmanr(a, b).statistic))


def test_equal_sets_of_parts_are_asked_once_and_change_no_curve() -> None:
    """Of three parts there are eight sets, however many orders are drawn."""
    asked: list[int] = []

    def formula(kept: np.ndarray) -> np.ndarray:
        asked.append(len(kept))
        return kept @ TERMS[:3] + kept[:, 0] * kept[:, 1]

    orders = np.stack([np.random.default_rng(k).permutation(3) for k in range(50)])
    found = f.curves(Game(3, formula), orders)
    assert asked == [8]
    one_by_one = [f.curves(Game(3, formula), order[None])[0] for order in orders]
    np.testing.assert_array_equal(found, one_by_one)
    many = Game(f.FEW_PARTS + 1, lambda kept: kept.sum(1))  # seldom equal: not compared
    assert f.curves(many, np.arange(many.count)[None])[0, 0, 0] == many.count
