"""Scores against scikit-learn and slow versions, intervals against simulations of a known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, cohen_kappa_score, f1_score, roc_auc_score

from gobelin.evidence import intervals
from gobelin.evidence import scores as scoring

RNG = np.random.default_rng(0)


def planted(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, a label that they tell something of, weights with zeros."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.3).astype(np.int64)
    return np.round(rng.normal(size=n) + label, 1), label, rng.integers(0, 4, n).astype(float)


@pytest.mark.parametrize("seed", range(4))
def test_rankings_are_those_of_scikit_learn(seed: int) -> None:
    scores, label, weight = planted(seed)
    for w in (np.ones(120), weight):
        assert scoring.auroc(scores, label)(w) == pytest.approx(
            roc_auc_score(label, scores, sample_weight=w)
        )
        wanted = average_precision_score(label, scores, sample_weight=w)
        assert scoring.average_precision(scores, label)(w) == pytest.approx(wanted)
        said = scores > 0.5
        assert scoring.f1(said, label)(w) == pytest.approx(f1_score(label, said, sample_weight=w))
    assert math.isnan(scoring.auroc(scores, np.zeros(120))(weight))
    assert math.isnan(scoring.average_precision(scores, np.ones(120))(weight))


@pytest.mark.parametrize("seed", range(4))
def test_quadratic_kappa_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 90)
    said, weight = (
        np.clip(truth + rng.integers(-1, 2, 90), 0, 4),
        rng.integers(0, 3, 90).astype(float),
    )
    score = scoring.quadratic_kappa(said, truth, 5)
    for w in (np.ones(90), weight):
        assert score(w) == pytest.approx(
            cohen_kappa_score(truth, said, weights="quadratic", sample_weight=w)
        )
    assert scoring.quadratic_kappa(truth, truth, 5)(weight) == 1


def test_a_macro_score_leaves_out_what_has_no_value() -> None:
    scores, label, weight = planted(0)
    one = scoring.auroc(scores, label)
    none = scoring.auroc(scores, np.zeros(120))
    assert scoring.macro([one, none, one])(weight) == pytest.approx(one(weight)) and math.isnan(
        scoring.macro([none])(weight)
    )


def test_the_bootstrap_covers_and_a_perfect_score_is_not_certain() -> None:
    """Normal scores one apart: the AUROC is Phi(1 / sqrt 2)."""
    truth, inside, rng = 0.7602, 0, np.random.default_rng(1)
    for _ in range(120):
        label = np.repeat([0, 1], 40)
        found = scoring.interval(
            scoring.auroc(rng.normal(size=80) + label, label), list(map(str, range(80))), draws=150
        )
        inside += found.low <= truth <= found.high
    assert 0.88 <= inside / 120 <= 0.99
    label = np.repeat([0, 1], 10)
    perfect = scoring.interval(scoring.auroc(label.astype(float), label), list(map(str, range(20))))
    assert perfect.value == perfect.high == 1 and perfect.low == pytest.approx(
        intervals.wilson(20, 20).low
    )


def test_rows_of_one_unit_are_drawn_together() -> None:
    scores, label, _ = planted(3, 40)
    apart = scoring.interval(scoring.auroc(scores, label), list(map(str, range(40))))
    many = scoring.interval(
        scoring.auroc(np.tile(scores, 9), np.tile(label, 9)), [str(k) for k in range(40)] * 9
    )
    assert many.value == pytest.approx(apart.value) and (many.low, many.high) == pytest.approx(
        (apart.low, apart.high)
    )


@pytest.mark.parametrize("bins", [1, 3, 8])
def test_calibration_error_against_a_slow_version(bins: int) -> None:
    rng = np.random.default_rng(bins)
    sure, share = rng.uniform(0.3, 1, 97), rng.uniform(0.2, 2, 97)
    right = (rng.random(97) < sure).astype(float)
    found, floor = scoring.calibration_error(sure, right, share, list(map(str, range(97))), bins)
    rows, value, start = sorted(zip(sure, right, share, strict=True)), 0.0, 0
    for b in range(bins):
        size = 97 // bins + (b < 97 % bins)
        part, start = rows[start : start + size], start + size
        weight = sum(w for *_, w in part)
        gap = abs(sum(w * s for s, _, w in part) - sum(w * r for _, r, w in part)) / weight
        value += gap * weight / share.sum()
    assert (
        found.value == pytest.approx(value)
        and found.low <= found.value <= found.high
        and 0 < floor < 0.2
    )


def test_calibrated_probabilities_are_not_accused_and_planted_errors_are_seen() -> None:
    rng = np.random.default_rng(0)
    seen, floors, lows = [], [], []
    for _ in range(60):
        sure = rng.uniform(0.5, 1, 400)
        right = (rng.random(400) < sure).astype(float)
        found, floor = scoring.calibration_error(
            sure, right, np.ones(400), list(map(str, range(400)))
        )
        seen.append(found.value)
        floors.append(floor)
        lows.append(found.low)
    assert np.mean(np.array(lows) > 0) <= 0.05  # the promise: in one of twenty at most
    assert np.mean(seen) == pytest.approx(
        np.mean(floors), rel=0.1
    )  # the closed form of what chance alone shows
    sure = np.full(400, 0.9)
    right = (np.arange(400) % 10 < 6).astype(float)
    found, _ = scoring.calibration_error(sure, right, np.ones(400), list(map(str, range(400))))
    assert found.value == pytest.approx(0.3) and 0 < found.low < 0.3 < found.high


def test_a_weighted_mean_is_the_mean_of_repeated_rows() -> None:
    values, units = RNG.normal(size=50), [str(k // 2) for k in range(50)]
    even, wanted = (
        scoring.weighted_mean(values, np.full(50, 3.0), units),
        intervals.mean(values, units),
    )
    assert (even.value, even.low, even.high) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )
    times = RNG.integers(1, 4, 50)
    some = scoring.weighted_mean(values, times.astype(float), units)
    repeated = intervals.mean(np.repeat(values, times), np.repeat(units, times))
    assert (some.value, some.low, some.high) == pytest.approx(
        (repeated.value, repeated.low, repeated.high)
    )


@pytest.mark.parametrize("large", [1.0, 9.0, 400.0])
def test_the_interval_of_a_loss_has_no_negative_end(large: float) -> None:
    """A few large losses among many small ones. Only the lower end differs from the plain one."""
    values, units = np.array([1e-3] * 28 + [large, large / 2]), [str(k) for k in range(30)]
    plain = scoring.weighted_mean(values, np.ones(30), units)
    found = scoring.weighted_mean(values, np.ones(30), units, least=0.0)
    assert plain.low < 0 == found.low
    assert (found.value, found.high) == (plain.value, plain.high)
