"""Intervals of numbers that are never below 0. Oracles: planted answers, and the same intervals
without the bound."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from gobelin.prediction.calibration import Calibration, CalibrationSettings, calibrate

ROWS = 300


def fitted(answers: np.ndarray, scores: np.ndarray, local: bool = False) -> Calibration:
    n = len(answers)
    settings = CalibrationSettings("number", 0.9, local=local)
    given = scores[:, None], answers, np.ones(n), np.ones((n, 1), bool)
    return calibrate(*given, lambda places, shown: scores[places, None], settings, 0)


@pytest.mark.parametrize("local", [False, True])
def test_the_interval_of_an_amount_ends_at_zero_and_covers_as_often(local: bool) -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 10, 2 * ROWS)
    answers = np.maximum(scores + rng.normal(0, 3, 2 * ROWS), 0)
    one = fitted(answers[:ROWS], scores[:ROWS], local)
    counts, new, truth = np.ones(ROWS, int), scores[ROWS:], answers[ROWS:]
    ends, plain = (c.interval(new, counts) for c in (one, replace(one, positive=False)))
    assert one.positive and (plain[0] < 0).any() and (ends[0] >= 0).all()
    np.testing.assert_array_equal(ends[1], plain[1])

    def covered(between: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return (between[0] <= truth) & (truth <= between[1])

    np.testing.assert_array_equal(covered(ends), covered(plain))
    assert Calibration.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert one.coarse(chosen=True).positive


def test_a_prediction_below_zero_lies_in_its_interval() -> None:
    one = replace(fitted(np.arange(20.0), np.arange(20.0) + 1), residual=(5.0, 5.0))
    low, high = one.interval(np.array([-2.0, 1.0, 9.0]), np.ones(3, int))
    assert low.tolist() == [-2.0, 0.0, 4.0] and high.tolist() == [3.0, 6.0, 14.0]


@pytest.mark.parametrize(
    "answers", [np.arange(-1.0, 30.0), np.arange(9.0)], ids=["one below 0", "too few to say"]
)
def test_without_evidence_the_interval_is_as_it_was(answers: np.ndarray) -> None:
    one = fitted(answers, answers + 1)
    assert not one.positive and "positive" not in one.to_dict()
    assert one.interval(np.zeros(1), np.ones(1, int))[0] == -one.half_width(
        np.zeros(1), np.ones(1, int)
    )
