"""Returns after costs against sums written out, and the bootstrap against arch's."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Target
from gobelin.evidence.blocks import mean_over_time, stationary_draws
from gobelin.prediction.trading import (
    HOLDING,
    PREDICTOR,
    Market,
    Trade,
    class_positions,
    traded,
)


def test_net_returns_are_those_of_a_ledger() -> None:
    """Buy, keep, turn over, stay out: the cost is paid on what changes hands."""
    returns = np.array([0.01, 0.02, -0.03, 0.04])
    market = Market(np.arange(4.0), ["a"] * 4, returns)
    net = market.net(np.array([1.0, 1.0, -1.0, 0.0]), 0.001)
    assert np.allclose(net, [0.01 - 0.001, 0.02, 0.03 - 0.002, 0.0 - 0.001])
    closed = market.net(np.ones(4), 0.001)
    assert np.allclose(closed, returns - [0.001, 0, 0, 0.001])


def test_assets_of_one_moment_count_equally_and_keep_their_own_position() -> None:
    market = Market(np.array([0.0, 0.0, 1.0, 1.0]), ["a", "b", "b", "a"], np.full(4, 0.01))
    net = market.net(np.array([1.0, -1.0, -1.0, 1.0]), 0.002)
    assert np.allclose(net, [-0.002, -0.002])  # opened; closed


def test_returns_that_overlap_are_left_out() -> None:
    times = np.array([0.0, 1, 2, 5, 6, 10, 1])
    returns = np.array([0.1] * 6 + [np.nan])
    kept = Market(times, ["a"] * 6 + ["b"], returns).apart(5)
    assert times[kept].tolist() == [0, 5, 10]
    assert len(Market(times, ["a"] * 6 + ["b"], returns).apart(0)) == 6


def test_the_bootstrap_is_that_of_arch() -> None:
    arch = pytest.importorskip("arch.bootstrap")
    rng = np.random.default_rng(0)
    values = np.zeros(300)
    for k in range(1, 300):
        values[k] = 0.5 * values[k - 1] + rng.normal()
    own = values[stationary_draws(300, 12, 4000, 0)].mean(1)
    theirs = arch.StationaryBootstrap(12, values, seed=1)
    means = np.array([data[0][0].mean() for data in theirs.bootstrap(4000)])
    assert own.std() == pytest.approx(means.std(), rel=0.05)
    assert np.quantile(own, [0.025, 0.975]) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.03
    )


def test_without_dependence_the_interval_is_the_closed_form() -> None:
    values = np.random.default_rng(3).normal(size=400)
    found = mean_over_time(values, block=1)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert np.isnan(mean_over_time(values[:9]).low)


def rules(own: np.ndarray) -> dict[str, np.ndarray]:
    return {PREDICTOR: own, HOLDING: np.ones(len(own))}


def test_one_who_knows_the_future_gains_until_costs_eat_it() -> None:
    moves = np.random.default_rng(0).normal(0, 0.01, 200)
    market = Market(np.arange(200.0), [""] * 200, moves)
    words = {
        cost: traded(Trade(cost=cost), market, rules(np.sign(moves)), 1, 0)[0].verdict
        for cost in (0.0, 0.001, 0.008, 0.02)
    }
    assert words == {0.0: "gained", 0.001: "gained", 0.008: "no evidence", 0.02: "lost"}


def test_holding_what_rises_is_no_evidence_for_a_predictor() -> None:
    moves = np.random.default_rng(0).normal(0.01, 0.01, 200)
    market = Market(np.arange(200.0), [""] * 200, moves)
    found = traded(Trade(), market, rules(np.ones(200)), 1, 0)
    assert found[0].low is not None and found[0].low > 0
    assert found[0].verdict == "no evidence" and not found[0].sure
    assert [f.name for f in found] == ["net_return", "net_return", "net_return_difference"]


def test_a_coin_gains_in_no_more_walks_than_it_may() -> None:
    """A small version of benchmarks/random_walks.py: 200 walks, at most 17 false claims."""
    gained = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        moves = rng.normal(0, 0.01, 80)
        market = Market(np.arange(80.0), [""] * 80, moves)
        own = rng.choice([-1.0, 1.0], 80)
        gained += traded(Trade(cost=0), market, rules(own), 1, seed)[0].verdict == "gained"
    assert gained <= 17


def test_a_class_without_a_position_is_named() -> None:
    target = Target("y", "class", np.array([0, 1]), ("flat", "up"))
    with pytest.raises(GobelinError, match="no position for the class 'flat'"):
        class_positions(Trade(), target, np.array([0, 1]))
    assert class_positions(
        Trade(positions={"up": 1.0, "flat": 0.0}), target, np.array([1, 0])
    ).tolist() == [1, 0]
