"""Scores by metric. Oracles: scikit-learn's metrics, scipy, and guesses that are written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import pool_choice, predictor, scoring
from gobelin.prediction.cross_fit import Predict, Training, key_of
from gobelin.prediction.fusion.concat import Concat
from gobelin.prediction.scoring import METRICS, Answers

N, NAMES = 300, ("a", "b", "c", "d")
RNG = np.random.default_rng(0)
LABEL = RNG.choice(4, N, p=[0.55, 0.25, 0.15, 0.05])
P = RNG.dirichlet(np.ones(4), N) + 0.4 * np.eye(4)[LABEL]
P /= P.sum(1, keepdims=True)
HELD = (RNG.random((N, 4)) < 0.3).astype(np.int64)
HOLDS = np.clip(0.6 * RNG.random((N, 4)) + 0.3 * HELD, 0.01, 0.99)
NUMBER = np.round(RNG.normal(size=N), 1)
GUESS = np.round(NUMBER + RNG.normal(size=N), 1)
TARGETS = {
    "class": Target("y", "class", LABEL, NAMES, np.ones(4, bool)),
    "ordinal": Target("y", "ordinal", LABEL, NAMES, np.ones(4, bool)),
    "labels": Target("y", "labels", HELD, NAMES, np.ones(4, bool)),
    "number": Target("y", "number", NUMBER),
}


def answers(kind: str, metric: str = "auto") -> Answers:
    if kind == "number":
        return Answers(np.zeros((N, 0)), GUESS)
    if kind == "labels":
        return Answers(HOLDS, HOLDS >= 0.4)
    return Answers(P, scoring.chosen_classes(metric, kind, P))


def by_sklearn(kind: str, metric: str, rows: np.ndarray) -> float:
    """The same score of these rows, of which one may stand there several times."""
    chosen = answers(kind, metric).chosen[rows]
    if kind == "labels":
        return {
            "auroc": lambda: metrics.roc_auc_score(HELD[rows], HOLDS[rows], average="macro"),
            "f1": lambda: metrics.f1_score(HELD[rows], chosen, average="macro"),
            "log_loss": lambda: np.mean(
                [metrics.log_loss(HELD[rows, c], HOLDS[rows, c]) for c in range(4)]
            ),
        }[metric]()
    if kind == "number":
        return {
            "mae": lambda: metrics.mean_absolute_error(NUMBER[rows], chosen),
            "rmse": lambda: metrics.root_mean_squared_error(NUMBER[rows], chosen),
            "spearman": lambda: spearmanr(NUMBER[rows], chosen).statistic,
        }[metric]()
    truth, p = LABEL[rows], P[rows]
    return {
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(truth, chosen),
        "accuracy": lambda: metrics.accuracy_score(truth, chosen),
        "log_loss": lambda: metrics.log_loss(truth, p, labels=range(4)),
        "auroc": lambda: metrics.roc_auc_score(truth, p, multi_class="ovr", average="macro"),
        "f1": lambda: metrics.f1_score(truth, chosen, average="macro"),
        "mae": lambda: metrics.mean_absolute_error(truth, chosen),
        "quadratic_kappa": lambda: metrics.cohen_kappa_score(truth, chosen, weights="quadratic"),
        "spearman": lambda: spearmanr(truth, p @ np.arange(4)).statistic,
    }[metric]()


EVERY = [(kind, metric) for kind, known in METRICS.items() for metric in known]


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_a_score_is_that_of_scikit_learn(kind: str, metric: str) -> None:
    target, units = TARGETS[kind], list(map(str, range(N)))
    found = scoring.interval(metric, answers(kind, metric), target, units, draws=100)
    assert found.value == pytest.approx(by_sklearn(kind, metric, np.arange(N)), abs=1e-9)
    assert found.low < found.value < found.high
    weight = RNG.multinomial(N, np.full(N, 1 / N))
    drawn = np.repeat(np.arange(N), weight)  # the rows as often as they weigh
    of_weights = scoring.weighted(metric, answers(kind, metric), target)(weight.astype(float))
    assert of_weights == pytest.approx(by_sklearn(kind, metric, drawn), abs=1e-9)


@pytest.mark.parametrize("kind", ["class", "ordinal"])
def test_what_is_chosen_scores_best(kind: str) -> None:
    """Truths drawn from the probabilities: no other rule does better by the metric than its own."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.array([2.0, 0.7, 0.5, 0.2]), 20_000)
    truth = (rng.random((len(p), 1)) > p.cumsum(1)).sum(1).clip(max=3)
    target = replace(TARGETS[kind], values=truth)
    rules = {
        "most probable": p.argmax(1),
        "median": scoring.median_level(p),
        "mean": np.rint(p @ np.arange(4)).astype(int),
        "rarest": np.argmax(p / np.bincount(truth), axis=1),
    }
    scored = METRICS[kind].keys() - {"balanced_accuracy", "f1", "quadratic_kappa"}
    for metric in scored - {"log_loss", "auroc", "spearman"}:
        own = scoring.chosen_classes(metric, kind, p)
        sign = -1 if scoring.better(metric, kind) == "lower" else 1
        values = {
            name: sign * scoring.weighted(metric, Answers(p, chosen), target)(np.ones(len(p)))
            for name, chosen in [*rules.items(), ("own", own)]
        }
        assert values["own"] == max(values.values()), metric


def test_guessing_is_the_best_answer_that_knows_no_row() -> None:
    constant = {c: np.full(N, c) for c in range(4)}
    target, none = TARGETS["class"], np.zeros(0)
    shares = np.bincount(LABEL) / N
    for metric, score in {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "f1": lambda t, s: metrics.f1_score(t, s, average="macro"),
    }.items():
        best = max(score(LABEL, guess) for guess in constant.values())
        assert scoring.chance(metric, target, none) == pytest.approx(best)
    guessed = metrics.log_loss(LABEL, np.tile(shares, (N, 1)))
    assert scoring.chance("log_loss", target, none) == pytest.approx(guessed)
    known = np.array([1.0, 2, 9])
    number = Target("y", "number", np.array([4.0, 4, 7]))
    assert scoring.chance("mae", number, known) == pytest.approx((2 + 2 + 5) / 3)
    assert scoring.chance("rmse", number, known) == pytest.approx(np.sqrt((0 + 0 + 9) / 3))
    assert scoring.chance("mae", number, none) is None


@pytest.mark.parametrize("kind", list(METRICS))
def test_a_metric_of_another_kind_is_refused_in_one_line(kind: str) -> None:
    target = TARGETS[kind]
    for metric in {m for known in METRICS.values() for m in known}:
        if metric in METRICS[kind]:
            scoring.check_metric(metric, target)
            continue
        with pytest.raises(GobelinError) as refused:
            scoring.check_metric(metric, target)
        line = str(refused.value)
        assert "\n" not in line and metric in line and "predict.metric" in line
        assert all(known in line for known in METRICS[kind])
    scoring.check_metric("auto", target)


def training(settings: Predict, runtime: Runtime, n: int = 400) -> Training:
    """A scarce class that overlaps the common one."""
    rng = np.random.default_rng(3)
    label = rng.choice(2, n, p=[0.85, 0.15])
    x = (1.3 * label[:, None] + rng.normal(size=(n, 2))).astype(np.float32)
    ids = tuple(map(str, range(n)))
    rows = Embeddings(("f",), {"f": x}, np.ones((n, 1), bool), ids, "s")
    target = Target("y", "class", label, ("common", "scarce"), np.ones(2, bool))
    every = np.arange(n)
    return Training(settings, rows, target, every, ids, np.ones(n, np.float32), runtime, silent)


def test_each_metric_gets_the_class_that_suits_it(runtime: Runtime) -> None:
    """On the rows that the choice was made on, each metric is best served by its own predictions,
    and the probabilities do not differ."""
    found = {}
    for metric in ("balanced_accuracy", "accuracy", "f1"):
        given = training(Predict(metric=metric, decays=(1e-3,)), runtime)
        model = predictor.fit("concat", Concat(steps=100), given)
        found[metric] = model.predict(given.embeddings)
        assert survives_json(model)
    truth, ones = given.target, np.ones(400)
    for metric in found:
        scored = {
            name: scoring.weighted(metric, said.answers, truth)(ones)
            for name, said in found.items()
        }
        assert scored[metric] >= max(scored.values()) - 0.01, (metric, scored)
    scarce = {name: (said.class_indices == 1).mean() for name, said in found.items()}
    assert scarce["balanced_accuracy"] > scarce["f1"] > scarce["accuracy"]


def survives_json(model: predictor.Model) -> bool:
    """Whether the calibration survives JSON."""
    stored = model.calibration.to_dict()
    return type(model.calibration).from_dict(stored) == model.calibration


def test_a_run_without_a_metric_keeps_its_key() -> None:
    before = {
        "balance": True,
        "folds": 4,
        "decays": [1e-4, 1e-3, 1e-2, 1e-1],
        "features": "encoder",
        "level": 0.9,
        "weights": {},
        "sets": "lac",
        "by_class": False,
        "local": False,
        "threshold": 0.5,
    }
    assert key_of(Predict()) == before
    assert key_of(Predict(balance=False)) == before | {"balance": False}
    assert key_of(Predict(metric="accuracy")) != before


def test_the_leaderboard_is_told_and_sorted_by_the_metric(runtime: Runtime) -> None:
    settings = Predict(metric="accuracy", preset="quick")
    board = pool_choice.board(pool_choice.choose(training(settings, runtime, 200)))
    assert {row["metric"] for row in board} == {"accuracy"}
    scores = [row["score"] for row in board]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0.8
