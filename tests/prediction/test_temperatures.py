"""The temperature and the mix of classes: planted posteriors, and the formula of earlier runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from gobelin.prediction.calibration import Calibration, CalibrationSettings, calibrate


def test_a_temperature_leaves_the_mix_of_classes_alone() -> None:
    """Planted: heads that are three times too sure, and three times too modest, of what a class of
    80 % and one of 5 % look like. Oracle: the posteriors that the rows were drawn from, and the
    classes that lie highest over their shares, which no temperature may change."""
    rng = np.random.default_rng(4)
    mix = np.log([0.8, 0.15, 0.05])
    label = rng.choice(3, 6000, p=np.exp(mix))
    x = rng.normal(size=6000) + label
    evidence = -((x[:, None] - np.arange(3)) ** 2) / 2
    evidence -= logsumexp(evidence + mix, axis=1, keepdims=True)
    true = softmax(evidence + mix, axis=1)
    present, settings = np.ones((6000, 1), bool), CalibrationSettings("class", 0.9)
    for heat in (3.0, 1 / 3):
        known = calibrate(
            evidence * heat,
            label,
            np.ones(6000),
            present,
            lambda places, _, heat=heat: evidence[places] * heat,
            settings,
            0,
            tuple(mix),
        )
        ones = np.ones(6000, int)
        p = known.probabilities(evidence * heat, ones)
        assert known.temperature[1] == pytest.approx(heat, rel=0.1)
        assert np.abs(p - true).max() < 0.03
        assert p.mean(0) == pytest.approx(np.exp(mix), abs=0.01)
        chosen = known.deciding(evidence * heat, ones).argmax(1)
        assert (chosen == (p / np.exp(mix)).argmax(1)).all()
        assert (chosen == evidence.argmax(1)).all()
        common = replace(known, lean=0.0).deciding(evidence * heat, ones)
        assert (common.argmax(1) == p.argmax(1)).all()
    nothing = known.probabilities(np.zeros((1, 3)), np.array([1]))
    assert nothing[0] == pytest.approx(np.exp(mix))  # a row that tells nothing has the shares


def test_a_run_of_an_earlier_version_keeps_its_probabilities() -> None:
    """Oracle: the formula that it was fitted with, one temperature of scores and mix together."""
    stored = {"kind": "class", "mix": [-0.1, -2.0], "temperature": [0.5], "bound": [[1.0, 1.0]]}
    scores = np.array([[0.3, 1.0]])
    p = Calibration.from_dict(stored).probabilities(scores, np.zeros(1, int))
    assert p[0] == pytest.approx(softmax([0.2 / 0.5, -1.0 / 0.5]))
