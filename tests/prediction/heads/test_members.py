"""What heads of a pool read, when they abstain, and how their answers are joined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads import members, recent
from gobelin.prediction.heads.members import Inputs, Member
from gobelin.prediction.heads.trees import Trees, few_values

RNG = np.random.default_rng(0)


def rows(n: int = 200, rare: float = 0.5) -> Embeddings:
    """A wide field, a narrow one that nearly all rows have, and one that a share of them lacks."""
    present = np.ones((n, 3), bool)
    present[:, 2] = RNG.random(n) > rare
    features = {
        "wide": (RNG.normal(size=(n, 100)) * np.linspace(3, 0.1, 100)).astype(np.float32),
        "narrow": RNG.normal(3, 2, size=(n, 5)).astype(np.float32),
        "seldom": RNG.normal(size=(n, 8)).astype(np.float32),
    }
    ids = tuple(map(str, range(n)))
    return Embeddings(("wide", "narrow", "seldom"), features, present, ids, "s")


def test_every_field_has_the_same_variance_and_an_absent_one_is_its_mean() -> None:
    x = rows()
    inputs = Inputs.fit(x, 160)
    for field in x.fields:
        shown = x.present[:, x.fields.index(field)]
        part = inputs.of(Member(fields=(field,)), x)
        assert not part[~shown].any()
        assert np.isclose((part[shown] ** 2).sum(1).mean(), 1, atol=0.1)


def test_trees_read_a_narrow_field_as_it_is_and_nan_for_an_absent_one() -> None:
    x = rows()
    inputs = Inputs.fit(x, 160)
    part = inputs.of(Member("boosted", fields=("narrow",)), x)
    assert np.array_equal(part, x.features["narrow"].astype(np.float64))
    wide = inputs.of(Member("forest", fields=("wide",)), x)
    assert wide.shape[1] == members.COMPONENTS_OF_TREES
    assert np.isnan(inputs.of(Member("forest", fields=("seldom",)), x)[~x.present[:, 2]]).all()


@pytest.mark.parametrize("head", members.TREES)
def test_trees_read_the_columns_of_a_wide_table(head: str) -> None:
    """Planted: the sign of one column of a hundred is the class, which components hide."""
    x, n = rows(400), 400
    wide = RNG.normal(size=(n, 100)).astype(np.float32)
    answers = (wide[:, 7] > 0).astype(np.int64)
    hits = {}
    for tables in (frozenset[str](), frozenset({"wide"})):
        given = replace(x, features={**x.features, "wide": wide}, tables=tables)
        inputs = Inputs.fit(given, 160)
        member = Member(head, fields=("wide",), trees=60)  # type: ignore[arg-type]
        seen, places = inputs.of(member, given), np.arange(n)
        learned, held = places[:300], places[300:]
        one = members.fit(member, seen[learned], answers[learned], np.ones(300), 2, 0, learned, 1)
        hits["wide" in tables] = float((one.of(seen[held]).argmax(1) == answers[held]).mean())
    assert hits[True] > 0.9 > 0.75 > hits[False]


def test_a_head_abstains_where_a_row_lacks_what_training_rows_had() -> None:
    """By hand: `seldom` is lacking in half of the rows, so every head knows rows without it."""
    inputs = Inputs.fit(rows(), 160)
    shown = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    x = rows(5)
    x = Embeddings(x.fields, x.features, shown, x.ids, x.space)
    assert inputs.heard(Member(), x).tolist() == [True, True, False, False, False]
    assert inputs.heard(Member("dropout"), x).tolist() == [True, True, True, True, False]
    assert inputs.heard(Member(fields=("seldom",)), x).tolist() == [True, False, True, True, False]


def test_answers_are_averaged_over_those_that_do_not_abstain() -> None:
    first, second = np.array([[1.0], [1.0], [1.0]]), np.array([[4.0], [4.0], [4.0]])
    heard = [np.array([True, False, False]), np.array([True, True, False])]
    mean = members.mixed([first, second], heard, [2.0, 1.0])
    assert mean[:, 0].tolist() == [2.0, 4.0, 2.0]  # where all abstain, all speak


GROUPS = {
    "six rows each": np.repeat(np.arange(40), 6),
    "two rows each": np.repeat(np.arange(120), 2),
    "a row each": np.arange(240),
    "one large, others small": np.minimum(np.arange(240) // 3, 60),
}


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("head", ["boosted", "forest"])
def test_a_leaf_of_a_number_is_of_enough_groups(
    head: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the trees as they are grown: a leaf's value is the mean of these rows. Cuts are moved
    afterwards, and no value with them."""
    moved = members.short_cuts

    def as_grown(given: Trees, *of: Any) -> Trees:
        after = moved(given, *of)
        assert np.array_equal(after.value, given.value)
        return given

    monkeypatch.setattr(members, "short_cuts", as_grown)
    monkeypatch.setattr(members, "RECENT", recent.Recent())
    rng, group = np.random.default_rng(7), GROUPS[kind]
    own = rng.normal(size=(group.max() + 1, 2))
    x = own[group] + rng.normal(0, 0.02, (240, 2))
    number = np.round(3 * own[:, 0] + rng.normal(size=len(own)), 3)
    least = 5
    fitted = members.fit(Member(head, trees=20), x, number[group], np.ones(240), 1, 0, group, least)
    assert isinstance(fitted.head, Trees)
    few = few_values(x, np.ones(240), 48)
    leaves = fitted.head._leaves(few, fitted.head.start)
    for of_tree in leaves:
        for leaf in np.unique(of_tree):
            assert len(np.unique(group[of_tree == leaf])) >= least
    # the same rows with `data.least_groups` = 1: a patient is a leaf
    free = members.fit(Member(head, trees=20), x, number[group], np.ones(240), 1, 0, group, 1)
    assert isinstance(free.head, Trees)
    alone = min(
        len(np.unique(group[of_tree == leaf]))
        for of_tree in free.head._leaves(few, free.head.start)
        for leaf in np.unique(of_tree)
    )
    assert alone < least or (head == "boosted" and kind == "a row each")


@pytest.mark.parametrize("head", members.GROWERS)
@pytest.mark.parametrize("classes", [2, 3])
def test_trees_of_rows_without_any_value_say_the_shares(head: str, classes: int) -> None:
    answers = np.repeat(np.arange(classes), np.arange(1, classes + 1) * 10)
    x, group = np.full((len(answers), 4), np.nan), np.arange(len(answers))
    fitted = members.fit(
        Member(head=head),  # type: ignore[arg-type]
        x,
        answers,
        np.ones(len(answers)),
        classes,
        0,
        group,
        5,
    )
    shares = np.bincount(answers) / len(answers)
    assert np.allclose(fitted.of(x[:2]), shares, atol=1e-3)
