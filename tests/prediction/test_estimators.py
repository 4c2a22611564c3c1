"""scikit-learn's estimators, one a field. Oracles: scikit-learn itself asked by hand, and planted
fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime, derived_seed, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import estimators
from gobelin.prediction.estimators import Panel
from gobelin.prediction.fusion.stacking import Stacking
from gobelin.prediction.fusion.voting import Voting
from gobelin.prediction.heads.job import Job

N = 300
RNG = np.random.default_rng(0)
LABEL = RNG.integers(0, 3, N)
CLASSES = Target("y", "class", LABEL, ("a", "b", "c"), np.ones(N, bool))
FEW = {"n_estimators": 20}


def rows(**features: np.ndarray) -> Embeddings:
    there = np.ones((N, len(features)), bool)
    return Embeddings(
        tuple(features),
        {k: v.astype(np.float32) for k, v in features.items()},
        there,
        tuple(map(str, range(N))),
        "s",
    )


def telling(spread: float, width: int = 4) -> np.ndarray:
    means = np.random.default_rng(1).normal(size=(3, width))
    return means[LABEL] + spread * RNG.normal(size=(N, width))


def panel(x: Embeddings, name: str = "RandomForest", **options: object) -> Panel:
    return Panel.fit(name, options, x, LABEL, np.ones(N), CLASSES, 7)


def test_a_fields_answers_are_scikit_learns() -> None:
    x = rows(one=telling(1.0), two=telling(2.0))
    weights = RNG.random(N)
    found = Panel.fit("RandomForest", FEW, x, LABEL, weights, CLASSES, 7).answers(x)
    for k, field in enumerate(x.fields):
        forest = RandomForestClassifier(
            20, random_state=derived_seed(7, "estimator", field) % 2**32
        )
        assert np.array_equal(
            found[:, k],
            forest.fit(x.features[field], LABEL, weights).predict_proba(x.features[field]),
        )


def test_votes_are_the_mean_of_those_who_are_there() -> None:
    x = rows(one=telling(1.0), two=telling(2.0))
    (p,) = Voting("LogisticRegression").fit(
        x, CLASSES, [Job(np.arange(N), np.ones(N))], np.arange(N), Runtime(), silent
    )
    by_hand = [
        LogisticRegression().fit(f, LABEL, np.ones(N)).predict_proba(f) for f in x.features.values()
    ]
    assert np.allclose(p.scores(x), np.log(np.mean(by_hand, 0).clip(1e-3)), atol=1e-5)
    assert np.allclose(p.scores(x.only(["two"])), np.log(by_hand[1].clip(1e-3)), atol=1e-5)
    assert np.allclose(p.scores(x.only([])), np.log(np.bincount(LABEL) / N), atol=1e-5)


def test_an_estimator_may_never_have_met_a_class() -> None:
    x = rows(one=telling(0.3))
    some = np.flatnonzero(LABEL != 1)
    job = Job(some, np.ones(len(some), np.float32))
    for fusion in (Voting("RandomForest", FEW), Stacking("RandomForest", FEW)):
        (p,) = fusion.fit(x, CLASSES, [job], some, Runtime(), silent)
        assert (p.scores(x)[some].argmax(1) == LABEL[some]).mean() > 0.95
        assert (np.exp(p.scores(x)[:, 1]) < 0.01).all()


def test_stacking_learns_whom_to_believe() -> None:
    """One field tells the class, four are noise whose forests are sure of themselves: the vote
    drowns, the stack doesn't."""
    noise = {f"noise{k}": RNG.normal(size=(N, 40)) for k in range(4)}
    x = rows(one=telling(0.5), **noise)
    half = np.arange(150)
    job, rest = Job(half, np.ones(150, np.float32)), x.rows(np.arange(150, N))
    options = {"n_estimators": 1}
    hits = []
    for fusion in (Voting("RandomForest", options), Stacking("RandomForest", options)):
        (p,) = fusion.fit(x, CLASSES, [job], half, Runtime(), silent)
        hits.append((p.scores(rest).argmax(1) == LABEL[150:]).mean())
    assert hits[1] > hits[0] + 0.1 and hits[1] > 0.65  # the telling tree alone: .74


def test_stacking_is_taught_by_unseen_answers() -> None:
    """A nearest neighbour knows its own rows by heart; had the joining model seen those answers, it
    would believe noise."""
    x = rows(noise=RNG.normal(size=(N, 5)))
    fusion = Stacking("KNeighbors", {"n_neighbors": 1})
    (p,) = fusion.fit(
        x, CLASSES, [Job(np.arange(N), np.ones(N, np.float32))], np.arange(N), Runtime(), silent
    )
    assert (p.panel.answers(x)[:, 0].argmax(1) == LABEL).all()  # by heart
    assert np.exp(p.scores(x)).max() < 0.6  # and yet not believed


def test_options_are_read_and_wrong_names_answered() -> None:
    built = estimators.build(
        "RandomForest",
        False,
        {"n_estimators": "7", "max_features": "sqrt", "bootstrap": "false"},
        3,
    )
    assert (built.n_estimators, built.max_features, built.bootstrap, built.random_state) == (
        7,
        "sqrt",
        False,
        3,
    )
    assert type(estimators.build("RandomForest", True, {}, 0)).__name__ == "RandomForestRegressor"
    for name, options, said in (
        ("RandomForrest", {}, "Did you mean 'RandomForest'"),
        ("RandomForest", {"trees": 3}, "has no setting 'trees'"),
        ("Voting", {}, "made of other estimators"),
        ("os.system", {}, "has no 'os.system'"),
    ):
        with pytest.raises(GobelinError, match=said):
            estimators.build(name, False, options, 0)
    with pytest.raises(GobelinError, match="can't learn from the field 'one'"):
        panel(rows(one=telling(1.0)), n_estimators=-3)
    with pytest.raises(GobelinError, match="can't learn from the field 'one'"):
        panel(rows(one=telling(1.0)), "MultinomialNB")  # negative numbers


@pytest.mark.parametrize(
    "name",
    [
        "RandomForest",
        "HistGradientBoosting",
        "LogisticRegression",
        "KNeighbors",
        "SVC",
        "GaussianNB",
    ],
)
def test_every_common_estimator_votes_and_is_saved(name: str, tmp_path: Path) -> None:
    x = rows(one=telling(0.3))
    (p,) = Voting(name).fit(
        x, CLASSES, [Job(np.arange(N), np.ones(N, np.float32))], np.arange(N), Runtime(), silent
    )
    assert (p.scores(x).argmax(1) == LABEL).mean() > 0.9
    p.save(tmp_path)
    assert np.array_equal(Voting().load(tmp_path).scores(x), p.scores(x))
