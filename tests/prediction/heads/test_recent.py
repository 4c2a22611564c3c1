"""Trees of the same rows are grown once. Oracles: how often they are grown, and the answers of
heads that were grown anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import pool_choice
from gobelin.prediction.cross_fit import CrossFit, Predict, Training, cross_fit
from gobelin.prediction.fusion.pool import Pool
from gobelin.prediction.heads import members, recent
from gobelin.prediction.heads.members import Member
from gobelin.prediction.heads.trees import Trees, constant

ROWS = 240
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).astype(np.float32)
KINDS = {
    "class": Target("y", "class", (X[:, 0] * X[:, 1] > 0).astype(np.int64), ("a", "b")),
    "number": Target("y", "number", np.floor(2 * X[:, 0]).astype(np.float64)),
}


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the trees of each kind of head are grown, with nothing kept from before."""
    counts = Counter[str]()

    def counted(name: str, grow: Callable[..., Trees]) -> Callable[..., Trees]:
        def call(*given: Any, **named: Any) -> Trees:
            counts[name] += 1
            return grow(*given, **named)

        return call

    for name, grow in members.GROWERS.items():
        monkeypatch.setitem(members.GROWERS, name, counted(name, grow))
    monkeypatch.setattr(members, "RECENT", recent.Recent())
    return counts


def training(target: Target, runtime: Runtime) -> Training:
    ids = tuple(map(str, range(ROWS)))
    x = Embeddings(("table",), {"table": X}, np.ones((ROWS, 1), bool), ids, "s")
    weights = np.ones(ROWS, np.float32)
    return Training(Predict(), x, target, np.arange(ROWS), list(ids), weights, runtime, silent)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_pool_grows_the_trees_that_were_compared_once(
    kind: str, runtime: Runtime, grown: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = training(KINDS[kind], runtime)
    choice = pool_choice.choose(given)
    compared = Counter(grown)
    kept = [one.head for one in choice.members if one.head in members.TREES]
    assert kept and set(compared.values()) == {given.settings.folds}

    def crossed() -> CrossFit:
        return cross_fit(Pool(members=choice.members), given)

    scores = crossed().scores
    # one more of each, on all rows
    assert grown - compared == Counter(kept)
    monkeypatch.setattr(members, "RECENT", recent.Recent(0))
    np.testing.assert_array_equal(crossed().scores, scores)
    assert grown - compared == Counter({head: given.settings.folds + 2 for head in kept})


@pytest.mark.parametrize("head", members.TREES)
def test_other_rows_answers_weights_draws_or_rounds_are_other_trees(
    head: str, grown: Counter[str]
) -> None:
    member = Member(head, trees=5)  # type: ignore[arg-type]
    label = KINDS["class"].values
    weights, group = np.ones(ROWS), np.arange(ROWS)
    other, moved = label.copy(), X.copy()
    other[0], moved[0, 0] = 1 - other[0], 9.0
    several = np.eye(2, dtype=np.int64)[label]

    def fit(*given: Any, which: Member = member, seed: int = 0) -> None:
        members.fit(which, *given, 2, seed, group, 5)

    fit(X, label, weights)
    fit(X, label, weights)
    fit(X, label, weights, which=replace(member, share=0.3))
    assert grown[head] == 1
    heavy = np.where(group == 0, 3.0, 1.0)
    for number, act in enumerate(
        [
            lambda: fit(moved, label, weights),
            lambda: fit(X, other, weights),
            lambda: fit(X, label, heavy),
            lambda: fit(X, label, weights, seed=1),
            lambda: fit(X, label, weights, which=replace(member, trees=6)),
            lambda: fit(X[:, :3], label, weights),
            lambda: fit(X, several, weights),
        ],
        2,
    ):
        act()
        assert grown[head] == number
    # of numbers, by how many groups a leaf has
    for least, number in ((5, 9), (5, 9), (20, 10)):
        members.fit(member, X, KINDS["number"].values, weights, 1, 0, group, least)
        assert grown[head] == number


def test_no_more_are_kept_than_said() -> None:
    few, made = recent.Recent(3), list[int]()

    def grow(k: int) -> Trees:
        made.append(k)
        return constant(np.array([float(k)]))

    for k in (1, 2, 3, 3, 1, 4, 2, 1):  # the fourth drives out the first
        few.of(str(k), lambda k=k: grow(k))
    assert made == [1, 2, 3, 4, 1]
