"""A score that chance may explain says so. Oracles: planted noise and planted signal, and how often
noise may go unsaid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.prediction.cross_fit import Predict
from gobelin.prediction.evaluation import against_chance, evaluate
from gobelin.prediction.predictor import Predictions
from gobelin.prediction.scoring import chance
from gobelin.workbench.bench import Workbench


@dataclass
class Written:
    """A model that answers what was written beforehand."""

    probabilities: np.ndarray
    values: np.ndarray
    settings: Predict = Predict(balance=False)  # noqa: RUF009

    def predict(self, x: Embeddings) -> Predictions:
        index, none = np.array([int(i) for i in x.ids]), np.zeros(0)
        if len(self.values):
            v = self.values[index]
            return Predictions(
                x.ids, (), np.zeros((len(v), 0)), v, v - 1, v + 1, x.fields, x.present, "number"
            )
        return Predictions(
            x.ids, ("a", "b"), self.probabilities[index], none, none, none, x.fields, x.present
        )


def headline(truth: np.ndarray, said: np.ndarray) -> Finding:
    """The score of these answers: classes 0 and 1, or numbers."""
    n = len(truth)
    x = Embeddings(
        ("f",),
        {"f": np.zeros((n, 1), np.float32)},
        np.ones((n, 1), bool),
        tuple(map(str, range(n))),
        "s",
    )
    if truth.dtype.kind == "i":
        target = Target("y", "class", truth, ("a", "b"), np.ones(2, bool))
        model = Written(np.stack([1 - said, said], 1), np.zeros(0))
    else:
        target, model = Target("y", "number", truth), Written(np.zeros(0), said)
    return evaluate(model, x, target, list(x.ids), chance("auto", target, target.values))[0][0]


def test_noise_is_called_noise_and_a_signal_is_not() -> None:
    """The bound is one of 97.5 %: of 200 studies of pure noise at most 2.5 % may go unsaid, and ten
    chance more."""
    rng, silent = np.random.default_rng(0), 0
    for _ in range(200):
        found = headline(rng.integers(0, 2, 80), rng.random(80))
        assert found.verdict in ("", "not above chance")
        silent += not found.verdict
    assert silent <= 15
    truth = rng.integers(0, 2, 80)
    strong = headline(truth, np.clip(0.5 + 0.3 * (truth - 0.5) + 0.1 * rng.normal(size=80), 0, 1))
    assert strong.verdict == "" and strong.low > 0.5
    worse = headline(truth, 1.0 - truth)  # wrong every time is not above chance either
    assert worse.verdict == "not above chance" and worse.high < 0.5


def test_an_error_is_judged_the_other_way_round() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=120)
    assert headline(truth, rng.normal(size=120)).verdict == "not below chance"
    assert headline(truth, truth + 0.1 * rng.normal(size=120)).verdict == ""


def test_the_verdict_stands_in_the_sentence_and_needs_an_interval() -> None:
    score = Finding(
        name="balanced_accuracy",
        value=0.55,
        low=0.4,
        high=0.7,
        unit="share",
        chance=0.5,
        better="higher",
        n=8,
    )
    assert against_chance(score).sentence().endswith("n = 8. not above chance.")
    for bare in (
        Finding(name="x", value=1.0, chance=0.5),
        Finding(name="x", value=1.0, low=0.4, high=2.0),
    ):
        assert against_chance(bare) is bare


@pytest.mark.parametrize("planted", [True, False])
def test_a_whole_run_says_it(planted: bool, tmp_path: Path) -> None:
    """A window and its mean a row; the label is the sign of the window's trend, or a coin."""
    rng = np.random.default_rng(3)  # one of 40 coins passes for a signal by design
    slope = rng.normal(size=240)
    windows = slope[:, None] * np.linspace(-1, 1, 20) + 0.1 * rng.normal(size=(240, 20))
    label = slope > 0 if planted else rng.random(240) < 0.5
    table = pa.table(
        {
            "window": windows.tolist(),
            "level": windows.mean(1),
            "y": ["up" if v else "down" for v in label],
        }
    )
    settings = {
        "align": {"steps": 0, "width": 8},
        "predict": {"folds": 2, "decays": [0.01]},
        "runtime": {"threads": 1},
        "fusion": {"settings": {"steps": 60}},
    }
    bench = Workbench(Dataset(table, tmp_path), "y", tmp_path / "run", settings)
    bench.fit()
    score = bench.evaluate()[0]
    assert score.name == "balanced_accuracy" and score.verdict == (
        "" if planted else "not above chance"
    )
    assert planted == (score.low is not None and score.low > 0.5)
