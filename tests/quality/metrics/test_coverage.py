"""Precision, recall, density and coverage against a brute force from the papers, with ties,
outliers and collapsed rows."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.quality.metrics import TooFew, coverage


def slow(x: np.ndarray, y: np.ndarray, k: int) -> dict[str, float]:
    """Kynkäänniemi et al. 2019, eq. 1-2, and Naeem et al. 2020, eq. 3-4, by sorting all distances
    in float64."""

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([[((p - q) ** 2).sum() for q in b] for p in a.astype(np.float64)])

    def radii(a: np.ndarray) -> np.ndarray:
        d = squares(a, a)
        return np.array([sorted(np.delete(d[i], i))[k - 1] for i in range(len(a))])

    d, r_x, r_y = squares(x, y), radii(x), radii(y)
    return {
        "precision": np.mean(
            [any(d[i, j] <= r_x[i] for i in range(len(x))) for j in range(len(y))]
        ),
        "recall": np.mean([any(d[i, j] <= r_y[j] for j in range(len(y))) for i in range(len(x))]),
        "density": (
            sum(d[i, j] < r_x[i] for i in range(len(x)) for j in range(len(y))) / (k * len(y))
        ),
        "coverage": np.mean([any(d[i, j] < r_x[i] for j in range(len(y))) for i in range(len(x))]),
    }


def fast(x: np.ndarray, y: np.ndarray, k: int = 5) -> dict[str, float]:
    return {name: found.value for name, found in coverage.scores(x, y, k).items()}


def rows(n: int, width: int, seed: int, spread: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, width)) * spread).astype(np.float32)


CASES = {
    "plain": (rows(120, 4, 0), rows(90, 4, 1, 1.2)),
    "one column": (rows(60, 1, 0), rows(70, 1, 1)),
    "a lattice, nothing but ties": (np.round(rows(120, 2, 0, 2)), np.round(rows(100, 2, 1, 2))),
    "copies of real rows": (rows(80, 3, 0), rows(80, 3, 0)[:40].repeat(2, 0)),
    "collapsed to one row": (rows(80, 3, 0), np.repeat(rows(1, 3, 1), 30, 0)),
    "all rows equal": (np.full((20, 3), 0.1, np.float32), np.full((15, 3), 0.1, np.float32)),
    "far from zero": (rows(80, 3, 0) + np.float32(3e4), rows(70, 3, 1) + np.float32(3e4)),
    "an outlier": (
        np.concatenate([rows(80, 3, 0), np.full((1, 3), 1e6, np.float32)]),
        rows(70, 3, 1),
    ),
    "under float32 beside an outlier": (
        rows(60, 3, 0, 1e-25),
        np.concatenate([rows(60, 3, 1, 1e-25), np.ones((1, 3))]),
    ),
    "another place": (rows(60, 3, 0, 1e-3), rows(60, 3, 1, 1e-3) + np.float32(5)),
    "huge": (rows(60, 3, 0, 1e18), rows(60, 3, 1, 1e18)),
    "tiny": (rows(60, 3, 0, 1e-20), rows(60, 3, 1, 1e-20)),
    "float64, closer than float32 can tell": tuple(
        1 + 1e-9 * rows(60, 3, k).astype(np.float64) for k in range(2)
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 5])
def test_equals_the_brute_force(case: str, k: int) -> None:
    x, y = CASES[case]
    x, y = x.astype(np.float64), y.astype(np.float64)
    assert fast(*CASES[case], k) == pytest.approx(slow(x, y, k), rel=1e-12)


def test_many_blocks_equal_the_brute_force() -> None:
    """Over a block's side in both sets, against distances of whole tables; no ties here, so float64
    decides each pair."""
    x, y, k = rows(2100, 12, 0).astype(float), rows(1500, 12, 1, 1.05).astype(float), 5

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T

    r_x, r_y = (np.partition(squares(z, z), k, axis=1)[:, k] for z in (x, y))
    d = squares(x, y)
    assert fast(x, y) == pytest.approx(
        {
            "precision": (d <= r_x[:, None]).any(0).mean(),
            "recall": (d <= r_y).any(1).mean(),
            "density": (d < r_x[:, None]).sum() / (k * 1500),
            "coverage": (d < r_x[:, None]).any(1).mean(),
        },
        rel=1e-12,
    )


def test_equal_distributions_reach_what_is_expected() -> None:
    """Naeem et al. 2020, lemmas 1 and 2: density 1, coverage 1 - (N-1)...(N-k) /
    ((M+N-1)...(M+N-k))."""
    n, m, k = 2000, 1500, 5
    expected = 1 - np.prod([(n - i) / (m + n - i) for i in range(1, k + 1)])
    found = fast(rows(n, 8, 0), rows(m, 8, 1), k)
    assert found["coverage"] == pytest.approx(expected, abs=0.02) and found[
        "density"
    ] == pytest.approx(1, abs=0.1)


def test_a_dropped_mode_lowers_recall_and_coverage_only() -> None:
    centres = np.array([[0, 0], [50, 0], [0, 50], [50, 50]], np.float32)
    x = rows(800, 2, 0) + centres[np.arange(800) % 4]
    y = rows(600, 2, 1) + centres[np.arange(600) % 3]
    found = fast(x, y)
    assert found["precision"] > 0.95 and found["recall"] == pytest.approx(0.75, abs=0.02)
    assert found["coverage"] == pytest.approx(0.75, abs=0.03) and found["density"] == pytest.approx(
        1, abs=0.15
    )


def test_intervals_hold_the_value_and_count_their_rows() -> None:
    found = coverage.scores(rows(300, 4, 0), rows(200, 4, 1))
    assert {name: f.n for name, f in found.items()} == {
        "precision": 200,
        "recall": 300,
        "density": 200,
        "coverage": 300,
    }
    assert all(f.low <= f.value <= f.high for f in found.values())
    same = coverage.scores(rows(300, 4, 0), rows(300, 4, 0))
    assert same["precision"].value == 1.0 and same["precision"].low < 1.0


def test_too_few_rows() -> None:
    with pytest.raises(TooFew, match=r"\(n = 5, needs at least 6\)"):
        coverage.scores(rows(5, 3, 0), rows(50, 3, 1))
    with pytest.raises(TooFew):
        coverage.scores(rows(50, 3, 0), [])
    with pytest.raises(GobelinError, match="columns"):
        coverage.scores(rows(50, 3, 0), rows(50, 4, 1))
