"""Ranks against brute force, recall on spaces that are planted."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.align import Align, Shared
from gobelin.data.dataset import Dataset
from gobelin.embedding import Reader
from gobelin.search import KS, LEAST_POOL, ranks, recall, recall_of_columns


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def space(vectors: np.ndarray, present: np.ndarray, name: str = "one", ids: tuple[str, ...] = ()) -> Shared:
    n, f = present.shape
    fields = ("image", "text", "table", "more")[:f]
    given = np.where(present[:, :, None], vectors, 0).astype(np.float32)
    return Shared(fields, given, present, ids or tuple(f"r{k}" for k in range(n)), name)


def drawn(n: int, f: int = 3, d: int = 6, missing: float = 0.3, seed: int = 0) -> Shared:
    rng = np.random.default_rng(seed)
    return space(unit(rng.normal(size=(n, f, d))), rng.random((n, f)) >= missing)


def test_ranks_are_those_of_a_sorted_list_and_ties_count_against() -> None:
    rng = np.random.default_rng(0)
    queries, pool = (rng.integers(-1, 2, (40, 3)).astype(float) for _ in range(2))  # few values: many ties
    found = ranks(queries, pool)
    ties = 0
    for k in range(40):
        products = [sum(a * b for a, b in zip(queries[k], p, strict=True)) for p in pool]
        others = [v for j, v in enumerate(products) if j != k]
        ties += products[k] in others
        assert found[k] == 1 + sum(v >= products[k] for v in others)
    assert ties > 10


def test_a_perfect_space_has_perfect_recall() -> None:
    """Planted: every field of a row is the same vector."""
    one = unit(np.random.default_rng(0).normal(size=(30, 1, 8)))
    found = recall(space(np.repeat(one, 3, 1), np.ones((30, 3), bool)), [str(k) for k in range(30)])
    assert {(f.scope["from"], f.scope["to"]) for f in found} == {
        (a, b) for a in ("image", "text", "table") for b in ("image", "text", "table") if a != b
    }
    assert len(found) == 6 * (len(KS) + 1)
    for f in found:
        assert f.value == 1.0 and f.n == 30 and "pool of 30" in f.note
        assert f.chance == pytest.approx(15.5 if f.name == "median_rank" else int(f.name.split("@")[1]) / 30)


def test_one_space_upside_down_has_none() -> None:
    one = unit(np.random.default_rng(0).normal(size=(30, 1, 8)))
    found = recall(space(np.concatenate([one, -one], 1), np.ones((30, 2), bool)), [str(k) for k in range(30)])
    assert all(f.value == 0 for f in found if f.name.startswith("recall"))
    assert all(f.value == 30 for f in found if f.name == "median_rank")


def test_unrelated_fields_are_found_by_chance() -> None:
    """Over 40 planted random spaces the 95 % interval holds the stated chance about as often as it says."""
    inside: dict[str, list[bool]] = {}
    for seed in range(40):
        shared = drawn(120, f=2, d=16, missing=0.0, seed=seed)
        for f in recall(shared, [str(k) for k in range(120)]):
            if f.scope["from"] == "image":
                inside.setdefault(f.name, []).append(f.low <= f.chance <= f.high)
    assert set(inside) == {"recall@1", "recall@5", "recall@10", "median_rank"}
    for name, held in inside.items():
        assert np.mean(held) >= 0.85, (name, np.mean(held))


def test_only_rows_with_both_fields_count() -> None:
    shared = drawn(60, f=2, missing=0.4, seed=2)
    both = shared.present.all(1)
    found = recall(shared, [str(k) for k in range(60)])
    assert {f.n for f in found} == {int(both.sum())}
    small = Shared(shared.fields, shared.vectors[both], shared.present[both], shared.ids[: both.sum()], "one")
    again = recall(small, [str(k) for k in np.flatnonzero(both)])
    assert [f.value for f in again] == [f.value for f in found]
    rows = np.flatnonzero(both)[: LEAST_POOL - 1]
    few = Shared(shared.fields, shared.vectors[rows], shared.present[rows], tuple("abcd"), "one")
    assert recall(few, list("abcd")) == []


def test_rows_of_a_group_are_not_counted_as_so_many() -> None:
    shared = drawn(120, f=2, missing=0.0, seed=3)
    doubled = Shared(shared.fields, shared.vectors, shared.present, shared.ids, "one")
    alone = recall(doubled, [str(k) for k in range(120)])
    grouped = recall(doubled, [str(k // 10) for k in range(120)])
    for a, g in zip(alone, grouped, strict=True):
        assert a.value == g.value and g.n == 12 and a.n == 120


def test_recall_of_each_column_of_a_caption(shapes: Dataset, shapes_reader: Reader, runtime) -> None:  # noqa: ANN001
    """One column in the field: as a query it is the field itself."""
    rows = shapes.rows(range(90, 120))
    train = shapes_reader.embed(shapes.rows(range(90)))
    alignment = Align(width=16, steps=0).fit(train, list(train.ids), runtime)
    shared, groups = alignment.project(shapes_reader.embed(rows)), [str(k) for k in range(30)]
    found = recall_of_columns(shapes_reader, alignment, rows, shared, "caption", groups)
    whole = [f for f in recall(shared, groups) if f.scope["from"] == "caption"]
    assert [(f.name, f.scope["to"], f.value, f.n) for f in found] == [(f.name, f.scope["to"], f.value, f.n) for f in whole]
    assert {f.scope["from"] for f in found} == {"caption.caption"} and len(found) == 8
