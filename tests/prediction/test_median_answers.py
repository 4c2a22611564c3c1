"""A number is answered by its median where the metric is the mean absolute error. Oracles: the
median of exponential errors in closed form, a second implementation, and planted records."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from gobelin.data.fields import Target
from gobelin.prediction import fusion_choice
from gobelin.prediction.calibration import (
    Calibration,
    CalibrationSettings,
    calibrate,
    weighted_median,
)
from gobelin.prediction.cross_fit import Predict
from gobelin.sklearn import MultimodalRegressor

ROWS = 4000
MIDDLE = math.log(2) - 1  # of an exponential error, less its mean of 1


def fitted(median: bool, local: bool = False) -> tuple[Calibration, np.ndarray, np.ndarray]:
    """Of answers that lie about right scores with an exponential error of mean 0, wider for large
    scores; scores and answers of fresh rows."""
    rng = np.random.default_rng(3)
    scores = rng.uniform(10, 40, 2 * ROWS)
    answers = scores + rng.exponential(1.0, 2 * ROWS) - 1.0
    settings = CalibrationSettings("number", 0.9, local=local, median=median)
    present = np.ones((ROWS, 1), bool)
    given = scores[:ROWS, None], answers[:ROWS], np.ones(ROWS), present
    one = calibrate(*given, lambda places, shown: scores[places, None], settings, 0)
    return one, scores[ROWS:, None], answers[ROWS:]


@pytest.mark.parametrize("local", [False, True])
def test_answers_are_the_median_and_intervals_still_cover(local: bool) -> None:
    one, scores, truth = fitted(median=True, local=local)
    answers = one.numbers(scores)[:, 0]
    assert one.middle == pytest.approx(MIDDLE, abs=0.05)
    assert (truth > answers).mean() == pytest.approx(0.5, abs=0.03)
    # E|X - a| of an exponential X is a + 2 exp(-a) - 1: log 2 at the median, 2 / e at the mean
    assert np.abs(truth - answers).mean() == pytest.approx(math.log(2), abs=0.03)
    half = one.half_width(answers, np.ones(ROWS, int))
    assert (np.abs(truth - answers) <= half).mean() == pytest.approx(0.9, abs=0.02)


def test_without_the_metric_answers_are_the_scores() -> None:
    one, scores, truth = fitted(median=False)
    assert (one.numbers(scores) == scores).all() and "middle" not in one.to_dict()
    assert np.abs(truth - scores[:, 0]).mean() == pytest.approx(2 / math.e, abs=0.03)


@pytest.mark.parametrize("local", [False, True])
def test_a_saved_run_rounds_what_is_added_and_covers_no_less(local: bool) -> None:
    one, scores, _ = fitted(median=True, local=local)
    told, counts = one.coarse(chosen=True), np.ones(ROWS, int)
    assert told.middle != one.middle and abs(told.middle / one.middle - 1) < 0.125
    assert Calibration.from_dict(json.loads(json.dumps(told.to_dict()))) == told
    if not local:  # the points of the local scale are rounded, too
        low, high = (s * one.half_width(scores, counts) + one.middle for s in (-1, 1))
        wide = told.half_width(scores, counts)
        assert (told.middle - wide <= low).all() and (told.middle + wide >= high).all()


def test_the_weighted_median_is_that_of_repeated_values() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 40):
        values, times = rng.normal(size=n), rng.integers(1, 5, n)
        repeated = np.sort(np.repeat(values, times))
        assert weighted_median(values, times) == repeated[(len(repeated) - 1) // 2]


def test_scores_of_training_rows_are_told_as_they_will_be_answered() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(501, 1))
    target = Target("y", "number", scores[:, 0] + rng.exponential(size=501))
    by = {
        m: fusion_choice.answers_of(scores, target, Predict(metric=m), np.zeros(0)).chosen
        for m in ("auto", "rmse", "mae")
    }
    assert (by["auto"] == scores[:, 0]).all() and (by["rmse"] == by["auto"]).all()
    assert np.median(target.values - by["mae"]) == pytest.approx(0, abs=1e-12)


def test_an_estimator_answers_the_median_of_salaries() -> None:
    """Log-normal answers: the mean lies exp(1/2) above the median, so about 69 % lie below it."""
    rng = np.random.default_rng(2)
    x = pd.DataFrame({"a": rng.normal(size=900), "b": rng.normal(size=900)})
    y = np.exp(3 + 0.5 * x["a"] + rng.normal(size=900))
    plain = {"fusion": "pool", "random_state": 0}
    share, error = {}, {}
    for metric in ("auto", "mae"):
        model = MultimodalRegressor(**plain, metric=metric).fit(x[:600], y[:600])
        told = model.predict(x[600:])
        share[metric] = (y[600:] < told).mean()
        error[metric] = np.abs(y[600:] - told).mean()
    assert share["auto"] > 0.6 and share["mae"] == pytest.approx(0.5, abs=0.07)
    assert error["mae"] < error["auto"]
