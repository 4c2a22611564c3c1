"""The choice of heads: what was planted is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction import pool_candidates, pool_choice
from gobelin.prediction.cross_fit import Predict, Training
from gobelin.prediction.heads.members import Member


def training(
    features: dict[str, np.ndarray],
    target: Target,
    runtime: Runtime,
    groups: list[str] | None = None,
) -> Training:
    n = len(target.values)
    ids = tuple(map(str, range(n)))
    present = np.ones((n, len(features)), bool)
    x = Embeddings(tuple(features), features, present, ids, "s")
    names = groups or list(ids)
    return Training(
        Predict(), x, target, np.arange(n), names, np.ones(n, np.float32), runtime, silent
    )


def classes(label: np.ndarray) -> Target:
    names = tuple("abcdefgh"[: int(label.max()) + 1])
    return Target("y", "class", label, names, np.ones(len(names), bool))


def noise(n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(n, width)).astype(np.float32)


def share(choice: pool_choice.Choice, *heads: str) -> float:
    every = sum(m.share for m in choice.members)
    return sum(m.share for m in choice.members if m.head in heads) / every


def test_an_exclusive_or_needs_trees(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    x = noise(500, 2, rng)
    label = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(np.int64)
    choice = pool_choice.choose(training({"table": x}, classes(label), runtime))
    assert share(choice, "boosted", "deep", "forest", "kernel", "near") > 0.9


def test_a_ring_needs_a_curved_head(runtime: Runtime) -> None:
    """The linear heads, which know nothing here, are not in the average."""
    rng = np.random.default_rng(0)
    x = noise(400, 2, rng)
    label = ((x**2).sum(1) + 0.2 * rng.normal(size=400) > 1.4).astype(np.int64)
    choice = pool_choice.choose(training({"table": x}, classes(label), runtime))
    assert share(choice, "kernel", "near", "boosted", "deep", "forest") > 0.99
    losses = {c.member.head: c.loss for c in choice.candidates}
    assert min(losses["kernel"], losses["near"]) < losses["boosted"] < losses["linear"]


def test_a_product_needs_logarithms(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    x = noise(300, 6, rng)
    price = np.exp(5 + x @ rng.normal(0, 0.4, 6) + 0.1 * rng.normal(size=300))
    choice = pool_choice.choose(training({"table": x}, Target("y", "number", price), runtime))
    assert share(choice, "logarithm") > 0.8
    less = training({"table": x}, Target("y", "number", price - 20), runtime)  # some are below 0
    assert "logarithm" not in {c.member.head for c in pool_choice.choose(less).candidates}


def test_many_weak_directions_need_a_linear_head(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    x = noise(400, 60, rng)
    label = (x @ rng.normal(size=60) + 2 * rng.normal(size=400) > 0).astype(np.int64)
    choice = pool_choice.choose(training({"image": x}, classes(label), runtime))
    assert share(choice, "linear", "dropout") > 0.8


def test_a_field_of_noise_is_left_out_where_it_harms(runtime: Runtime) -> None:
    """A strong field of three numbers beside 400 numbers of noise, on few rows."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 90)
    table = (2 * np.eye(3)[label] + noise(90, 3, rng)).astype(np.float32)
    features = {"table": table, "image": noise(90, 400, rng)}
    choice = pool_choice.choose(training(features, classes(label), runtime))
    without = [m for m in choice.members if m.fields == ("table",)]
    assert sum(m.share for m in without) > 0.5 * sum(m.share for m in choice.members)
    losses = {(c.member.head, c.reads): c.loss for c in choice.candidates}
    assert losses["linear", "table"] < losses["linear", "all fields"]
    board = pool_choice.board(choice)
    assert [row["loss"] for row in board] == sorted(losses.values())
    assert sum(row["share"] for row in board) == pytest.approx(1)


def test_a_number_takes_the_strength_of_the_smallest_error(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    x = noise(300, 5, rng)
    values = x @ np.array([1.0, 2, 3, 4, 5]) + 0.01 * rng.normal(size=300)
    choice = pool_choice.choose(training({"table": x}, Target("y", "number", values), runtime))
    linear = next(c for c in choice.candidates if c.member.head == "linear")
    assert linear.member.strength >= 100 and linear.loss < 1e-3
    assert share(choice, "linear", "dropout") > 0.9


def test_the_same_rows_give_the_same_choice(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 80)
    x = (noise(80, 10, rng) + label[:, None]).astype(np.float32)
    given = training({"f": x}, classes(label), runtime)
    first, again = pool_choice.choose(given), pool_choice.choose(given)
    assert first.members == again.members and first.settings == again.settings


def test_of_many_rows_whole_groups_are_compared(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_choice, "MOST_ROWS", 100)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    groups = [str(k // 7) for k in range(400)]
    x = (noise(400, 4, rng) + label[:, None]).astype(np.float32)
    choice = pool_choice.choose(training({"f": x}, classes(label), runtime, groups))
    chosen = {groups[r] for r in choice.trial.rows}
    assert 100 <= len(choice.trial.rows) < 107 + 1
    assert len(choice.trial.rows) == sum(g in chosen for g in groups)


def test_candidates_are_named_by_what_they_read(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 60)
    three = {f: noise(60, 3, rng) for f in ("a", "b", "c")}
    given = training(three, classes(label), runtime)
    found = pool_candidates.candidates(given.embeddings, given.target)
    linear = {m.fields for m in found if m.head == "linear"}
    assert linear == {(), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c")}
    curved, trees = {"kernel", "near"}, {"boosted", "deep", "forest"}
    assert {m.head for m in found} == {"linear", "dropout"} | curved | trees
    quick = pool_candidates.candidates(given.embeddings, given.target, "quick")
    dear = ("near", "boosted", "deep")
    assert quick == [m for m in found if not m.fields and m.head not in dear]
    best = pool_candidates.candidates(given.embeddings, given.target, "best")
    assert [m for m in best if m in found] == found and len(best) == len(found) + 2


def test_larger_trees_are_grown_for_numbers_and_few_classes(runtime: Runtime) -> None:
    """A tree for each round and class: five classes take long."""
    rng = np.random.default_rng(0)

    def heads(label: np.ndarray, preset: str = "good") -> set[str]:
        given = training({"table": noise(60, 3, rng)}, classes(label), runtime)
        found = pool_candidates.candidates(given.embeddings, given.target, preset)
        return {m.head for m in found}

    assert "deep" in heads(np.arange(60) % 4)
    assert "deep" not in heads(np.arange(60) % 5) and "boosted" in heads(np.arange(60) % 5)
    assert "deep" in heads(np.arange(60) % 5, "best")


def test_the_head_with_dropout_has_its_own_decay_or_the_best_of_those_named(
    runtime: Runtime,
) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 120)
    x = (noise(120, 30, rng) + 0.5 * label[:, None]).astype(np.float32)
    given = training({"f": x}, classes(label), runtime)

    def found(*decays: float) -> pool_choice.Candidate:
        settings = Predict(decays=decays) if decays else Predict()
        trial = pool_choice.Trial(replace(given, settings=settings), given.rows)
        return trial.scored(Member("dropout"))

    assert found().member.decay == Member().decay == 1e-3
    assert found().loss == pytest.approx(found(1e-3).loss)
    each = {decay: found(decay).loss for decay in (1e-4, 0.1)}
    assert each[0.1] < each[1e-4]  # weak directions, few rows
    assert found(1e-4, 0.1).member.decay == 0.1
    assert found(1e-4, 0.1).loss == pytest.approx(each[0.1])


def test_words_that_tell_the_class_are_read(runtime: Runtime) -> None:
    """The class stands in the words alone; the vector of the text is noise."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 120)
    given = training({"note": noise(120, 20, rng)}, classes(label), runtime)
    words = (3 * np.eye(2)[label] + noise(120, 2, rng)).astype(np.float32)
    spoken = replace(given, embeddings=replace(given.embeddings, words={"note": words}))
    choice = pool_choice.choose(spoken)
    told = sum(m.share for m in choice.members if m.words)
    assert told > 0.8 * sum(m.share for m in choice.members)
