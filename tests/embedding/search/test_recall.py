"""Ranks against brute force, recall on spaces that are planted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge

from gobelin.data.dataset import Dataset
from gobelin.embedding.alignment.align import Align, Shared
from gobelin.embedding.alignment.fitting import fit_alignment
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.embedding.search import recall_baselines
from gobelin.embedding.search.recall import LEAST_POOL, RECALL_AT, ranks, recall, recall_of_columns


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def space(
    vectors: np.ndarray, present: np.ndarray, name: str = "one", ids: tuple[str, ...] = ()
) -> Shared:
    n, f = present.shape
    fields = ("image", "text", "table", "more")[:f]
    given = np.where(present[:, :, None], vectors, 0).astype(np.float32)
    return Shared(fields, given, present, ids or tuple(f"r{k}" for k in range(n)), name)


def drawn(n: int, f: int = 3, d: int = 6, missing: float = 0.3, seed: int = 0) -> Shared:
    rng = np.random.default_rng(seed)
    return space(unit(rng.normal(size=(n, f, d))), rng.random((n, f)) >= missing)


def test_ranks_are_those_of_a_sorted_list_and_ties_count_against() -> None:
    rng = np.random.default_rng(0)
    queries, pool = (
        rng.integers(-1, 2, (40, 3)).astype(float) for _ in range(2)
    )  # few values: many ties
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
    assert len(found) == 6 * (len(RECALL_AT) + 2)
    chances = {"median_rank": 15.5, "mean_reciprocal_rank": sum(1 / k for k in range(1, 31)) / 30}
    for f in found:
        assert f.value == 1.0 and f.n == 30 and "pool of 30" in f.note
        assert f.chance == pytest.approx(chances.get(f.name) or int(f.name.split("@")[1]) / 30)


def test_one_space_upside_down_has_none() -> None:
    one = unit(np.random.default_rng(0).normal(size=(30, 1, 8)))
    found = recall(
        space(np.concatenate([one, -one], 1), np.ones((30, 2), bool)), [str(k) for k in range(30)]
    )
    assert all(f.value == 0 for f in found if f.name.startswith("recall"))
    assert all(f.value == 30 for f in found if f.name == "median_rank")


def test_unrelated_fields_are_found_by_chance() -> None:
    """Over 40 planted random spaces the 95 % interval holds the stated chance about as often as it
    says."""
    inside: dict[str, list[bool]] = {}
    for seed in range(40):
        shared = drawn(120, f=2, d=16, missing=0.0, seed=seed)
        for f in recall(shared, [str(k) for k in range(120)]):
            if f.scope["from"] == "image":
                inside.setdefault(f.name, []).append(f.low <= f.chance <= f.high)
    assert set(inside) == {
        "recall@1",
        "recall@5",
        "recall@10",
        "median_rank",
        "mean_reciprocal_rank",
    }
    for name, held in inside.items():
        assert np.mean(held) >= 0.85, (name, np.mean(held))


def test_only_rows_with_both_fields_count() -> None:
    shared = drawn(60, f=2, missing=0.4, seed=2)
    both = shared.present.all(1)
    found = recall(shared, [str(k) for k in range(60)])
    assert {f.n for f in found} == {int(both.sum())}
    small = Shared(
        shared.fields, shared.vectors[both], shared.present[both], shared.ids[: both.sum()], "one"
    )
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
        assert (
            g.n == 12
            and a.n == 120
            and (g.value <= a.value if g.better == "lower" else g.value >= a.value)
        )
    one, two = doubled.vectors[:, 0], doubled.vectors[:, 1]
    wanted = [
        1 + sum(bool(q @ two[j] >= q @ two[k]) for j in range(120) if j // 10 != k // 10)
        for k, q in enumerate(one)
    ]
    assert ranks(one, two, [str(k // 10) for k in range(120)]).tolist() == wanted
    assert next(f for f in grouped if f.name == "mean_reciprocal_rank").value == pytest.approx(
        np.mean([1 / r for r in wanted])
    )


def test_other_ways_to_search_are_judged_on_the_same_rows(runtime) -> None:  # noqa: ANN001
    """Planted: b is a rotation of a with noise, so a ridge finds what chance does not; a space of
    noise is worse."""
    rng = np.random.default_rng(0)
    turn, a = rng.normal(size=(12, 12)), rng.normal(size=(300, 12))
    features = {
        "a": a.astype(np.float32),
        "b": (a @ turn + rng.normal(size=(300, 12))).astype(np.float32),
    }
    rows = Embeddings(
        ("a", "b"), features, np.ones((300, 2), bool), tuple(map(str, range(300))), "space"
    )
    train, fresh, groups = (
        rows.rows(range(200)),
        rows.rows(range(200, 300)),
        [str(k) for k in range(300)],
    )
    rivals = recall_baselines.RecallBaselines(train, groups[:200]).methods(fresh)
    noise = Shared(
        ("a", "b"), unit(rng.normal(size=(100, 2, 8))), fresh.present, fresh.ids, "noise"
    )
    found = recall(noise, groups[200:], rivals)
    by = {
        f.scope["by"]: f.value
        for f in found
        if f.name == "recall@1" and "by" in f.scope and f.scope["from"] == "a"
    }
    assert set(by) == {"ridge", "canonical correlations"} and min(by.values()) > 0.5
    gains = [f for f in found if f.name == "reciprocal_rank_gain"]
    assert len(gains) == 2 and all(f.high < 0 and f.verdict == "worse" for f in gains)


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_the_ridge_baseline_is_scikit_learns(penalty: float) -> None:
    rng = np.random.default_rng(1)
    a, b, x = rng.normal(size=(50, 7)), rng.normal(size=(50, 5)), rng.normal(size=(9, 7))
    queries, _ = recall_baselines.ridge(recall_baselines.Side.of(a), recall_baselines.Side.of(b))(
        penalty
    )(x, np.zeros((9, 5)))
    moved = unit(b - b.mean(0))
    spread = np.linalg.svd(a - a.mean(0), compute_uv=False)
    model = Ridge(alpha=penalty * float((spread**2).mean()), fit_intercept=False).fit(
        a - a.mean(0), moved
    )
    assert np.allclose(queries, unit(model.predict(x - a.mean(0))), atol=1e-5)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_a_side_is_a_singular_value_decomposition(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(3).normal(size=shape)
    found = recall_baselines.Side.of(x)
    wanted = np.linalg.svd(x - x.mean(0), compute_uv=False)
    assert (
        np.allclose(found.spread, wanted[: len(found.spread)])
        and len(found.spread) >= min(shape) - 1
    )
    assert np.allclose(found.left * found.spread @ found.directions.T, x - x.mean(0))


def test_the_correlations_baseline_is_scikit_learns_cca() -> None:
    rng = np.random.default_rng(2)
    hidden = rng.normal(size=(400, 2))
    a, b = (hidden @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(400, 6)) for _ in range(2))
    left, right = recall_baselines.correlations(
        recall_baselines.Side.of(a), recall_baselines.Side.of(b)
    )(1e-9)(a, b)
    theirs = CCA(n_components=6, max_iter=5000, tol=1e-12).fit(a, b)
    u, v = theirs.transform(a, b)
    u, v = u / u.std(0), v / v.std(0)
    strength = np.array([np.corrcoef(u[:, k], v[:, k])[0, 1] for k in range(6)])
    wanted = (unit(u * strength) * unit(v * strength)).sum(1)
    assert np.allclose((left * right).sum(1), wanted, atol=2e-3)


def test_recall_of_each_column_of_a_caption(
    shapes: Dataset, shapes_reader: Embedder, runtime
) -> None:  # noqa: ANN001
    """One column in the field: as a query it is the field itself."""
    rows = shapes.rows(range(90, 120))
    train = shapes_reader.embed(shapes.rows(range(90)))
    alignment = fit_alignment(Align(width=16, steps=0), train, list(train.ids), runtime)
    shared, groups = alignment.project(shapes_reader.embed(rows)), [str(k) for k in range(30)]
    found = recall_of_columns(shapes_reader, alignment, rows, shared, "caption", groups)
    whole = [f for f in recall(shared, groups) if f.scope["from"] == "caption"]
    assert [(f.name, f.scope["to"], f.value, f.n) for f in found] == [
        (f.name, f.scope["to"], f.value, f.n) for f in whole
    ]
    assert {f.scope["from"] for f in found} == {"caption.caption"} and len(found) == 2 * (
        len(RECALL_AT) + 2
    )
