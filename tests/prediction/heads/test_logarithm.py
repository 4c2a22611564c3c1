"""Regression of logarithms. Oracle: the closed form of planted products, and planted answers."""

from __future__ import annotations

import numpy as np

from gobelin.prediction.heads.logarithm import logarithm, suits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
SLOPES = np.array([0.5, -0.3, 0.2, 0.0])
PRICE = np.exp(4 + X @ SLOPES)
GROUP = np.arange(200)


def test_a_product_is_found_and_units_change_nothing() -> None:
    ones, fresh = np.ones(200), RNG.normal(size=(50, 4)) / 2
    plain = logarithm(X, PRICE, ones, 1e7, 0.0, GROUP, 5).scores(fresh)[:, 0]
    assert np.allclose(plain, np.exp(4 + fresh @ SLOPES), rtol=1e-4)
    middle, spread = PRICE.mean(), PRICE.std()
    head = logarithm(X, (PRICE - middle) / spread, ones, 1e7, -middle / spread, GROUP, 5)
    assert np.allclose(head.scores(fresh)[:, 0] * spread + middle, plain, rtol=1e-6)


def test_answers_are_right_on_average_and_never_without_end() -> None:
    noisy, weights = (
        PRICE * np.exp(0.8 * RNG.normal(size=200)),
        RNG.integers(0, 3, 200).astype(float),
    )
    head = logarithm(X, noisy, weights, 10.0, 0.0, GROUP, 5)
    told = head.scores(X)[:, 0]
    assert np.isclose(weights @ told, weights @ noisy)
    far = head.scores(1e6 * np.ones((1, 4)) * np.sign(SLOPES))
    assert np.isfinite(far).all() and far.max() < 1e3 * noisy.max()
    lacking = np.append(noisy[:-1], 0.0)  # of a row not chosen on
    zero = logarithm(X, lacking, np.ones(200), 10.0, 0.0, GROUP, 5)
    assert np.isfinite(zero.scores(X)).all()


def test_numbers_around_zero_or_all_alike_are_not_tried() -> None:
    assert suits(PRICE) and not suits(PRICE - 20)
    assert not suits(170 + RNG.normal(0, 8, 200))  # heights of people in centimetres


def test_the_largest_answer_of_two_heads_tells_no_answer_of_a_row() -> None:
    """The attack: `most` was the exact mean of the logarithms and four exact deviations, so what
    the last row moved it by gave the row's answer, to a twentieth. It is one of few values."""
    found, groups = set(), np.append(np.zeros(20, int), np.arange(1, 100))
    for few in (groups, np.arange(119)):
        x, answers = X[: len(few)], PRICE[: len(few)].copy()
        for last in np.exp(np.linspace(3, 5, 21)):
            answers[-1] = last
            head = logarithm(x, answers, np.ones(len(few)), 10.0, 0.0, few, 5)
            found.add((len(found) > 0, round(float(head.most[0]), 9)))
    assert len(found) <= 6, found
    alone = logarithm(X, np.append(PRICE[:-1], 80.0), np.ones(200), 10.0, 0.0, GROUP, 1)
    logs = np.log(np.append(PRICE[:-1], 80.0))
    assert np.isclose(alone.most[0], logs.mean() + 4 * logs.std())  # single rows may be told
