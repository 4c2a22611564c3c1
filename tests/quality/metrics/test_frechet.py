"""Fréchet distance against closed forms, scipy's matrix square root, a refitted line over 1/n, and
planted Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from gobelin.core.errors import GobelinError
from gobelin.quality.metrics import TooFew, frechet


def turned(values: np.ndarray, seed: int) -> np.ndarray:
    """A covariance with these eigenvalues."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return (q * values) @ q.T


def by_square_root(x: np.ndarray, y: np.ndarray) -> float:
    """Heusel et al. 2017, eq. 6, word for word: a general matrix square root of the product."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(a @ b).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root))


def skewed(n: int, width: int, seed: int) -> np.ndarray:
    """Correlated, skewed rows, as features behind a rectifier are."""
    rng = np.random.default_rng(seed)
    return np.maximum(
        rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) / np.sqrt(width) + 0.2, 0
    )


def test_one_dimension_in_closed_form() -> None:
    a, b = np.array([[4.0]]), np.array([[0.25]])
    assert frechet.gaussians(np.array([1.0]), a, np.array([-2.0]), b) == pytest.approx(
        9 + (2 - 0.5) ** 2
    )


@pytest.mark.parametrize("zeros", [0, 5, 19])
def test_commuting_covariances_in_closed_form(zeros: int) -> None:
    """Shared axes: the sum over axes of (s - t)^2; singular ones too, which is where general square
    roots fail."""
    rng = np.random.default_rng(zeros)
    s, t = rng.uniform(0.1, 3, 20), rng.uniform(0.1, 3, 20)
    s[:zeros] = 0
    t[zeros // 2 : zeros] = 0
    step = rng.normal(size=20)
    got = frechet.gaussians(step, turned(s**2, 1), np.zeros(20), turned(t**2, 1))
    assert got == pytest.approx(step @ step + ((s - t) ** 2).sum(), rel=1e-11)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_covariances_of_any_size_keep_their_digits(scale: float) -> None:
    s = np.logspace(-6, 0, 30) * scale
    got = frechet.gaussians(np.zeros(30), turned(s**2, 2), np.zeros(30), turned((2 * s) ** 2, 2))
    assert got == pytest.approx((s**2).sum(), rel=1e-7)


@pytest.mark.parametrize("width", [16, 120])
@pytest.mark.parametrize("digits", [0, 4, 8, 12, 15])
def test_the_error_of_roots_of_eigenvalues_is_bounded(digits: int, width: int) -> None:
    """Standard deviations over so many digits, shared axes: the trace in closed form. And other
    axes: by singular values."""
    s = np.logspace(-digits / 2, 0, width)
    a, b = turned(s**2, 1), turned((2 * s) ** 2, 1)
    found, bound = frechet.by_eigenvalues(a, b)
    assert abs(found - 2 * (s**2).sum()) <= bound < 2e-6 * (s**2).sum()
    other = turned((2 * s) ** 2, 2)
    found, bound = frechet.by_eigenvalues(a, other)
    slow = linalg.svdvals(frechet._factor(a).T @ frechet._factor(other)).sum()
    assert abs(found - slow) <= bound < 2e-6 * (s**2).sum()


@pytest.mark.parametrize("big", [1e2, 1e4])
def test_the_bound_holds_where_both_stretch_in_different_directions(big: float) -> None:
    """Their product is then small and its rounding errors are not."""
    s, t = np.where(np.arange(300) < 150, big, 0.05), np.where(np.arange(300) < 150, 0.05, big)
    found, bound = frechet.by_eigenvalues(turned(s**2, 0), turned(t**2, 0))
    assert abs(found - (s * t).sum()) <= bound


def test_where_the_bound_is_too_wide_singular_values_decide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = turned(np.linspace(0.1, 1, 20), 1), turned(np.linspace(0.2, 3, 20), 2)
    fast = frechet.gaussians(np.zeros(20), a, np.zeros(20), b)
    monkeypatch.setattr(frechet, "by_eigenvalues", lambda a, b: (123.0, np.inf))
    assert frechet.gaussians(np.zeros(20), a, np.zeros(20), b) == pytest.approx(fast, rel=1e-12)


def test_both_all_zero() -> None:
    nothing = np.zeros((3, 3))
    assert frechet.gaussians(np.ones(3), nothing, np.zeros(3), nothing) == 3.0
    assert frechet.distance(np.full((9, 3), 0.1), np.full((9, 3), 0.1)) == pytest.approx(
        0, abs=1e-15
    )


@pytest.mark.parametrize(("n", "m", "width"), [(300, 400, 24), (600, 500, 64)])
def test_equals_a_general_matrix_square_root(n: int, m: int, width: int) -> None:
    x, y = skewed(n, width, 0), 1.2 * skewed(m, width, 1)
    assert frechet.distance(x, y) == pytest.approx(by_square_root(x, y), rel=1e-8)


def test_float32_rows_far_from_zero_lose_nothing() -> None:
    """A mean ten thousand times the spread: sums of squares would cancel, deviations don't."""
    x, y = ((skewed(5000, 8, k) + 1e4).astype(np.float32) for k in range(2))
    assert frechet.distance(x, y) == pytest.approx(
        frechet.distance(x.astype(float) - 1e4, y.astype(float) - 1e4), rel=1e-6
    )


def test_it_is_symmetric_and_scales_with_the_square() -> None:
    x, y = skewed(200, 10, 0), skewed(150, 10, 1)
    assert frechet.distance(x, y) == pytest.approx(frechet.distance(y, x), rel=1e-10)
    assert frechet.distance(3 * x, 3 * y) == pytest.approx(9 * frechet.distance(x, y), rel=1e-10)


def test_moments_join_as_all_rows_at_once() -> None:
    x = skewed(9000, 5, 0)
    found = frechet.moments([x[:17], x[17:17], x[17:8000], x[8000:]])
    assert found.n == 9000 and np.allclose(found.mean, x.mean(0), rtol=1e-13)
    assert np.allclose(found.covariance(), np.cov(x, rowvar=False), rtol=1e-12)


def test_groups_take_one_of_each_run() -> None:
    """Rows in the order of their classes, as many classes as groups: every group gets its share of
    each class."""
    rows = np.tile(np.eye(10), (400, 1))
    found = frechet.grouped(rows, 10, 0)
    assert [part.n for part in found] == [400] * 10
    assert np.abs(np.array([part.mean for part in found]) - 0.1).max() < 0.06


def test_corrected_is_the_jackknife_by_hand() -> None:
    x, y = skewed(240, 6, 0), skewed(200, 6, 1) + 0.1
    groups = 8

    def cut(n: int) -> np.ndarray:
        rng = np.random.default_rng(3)
        return np.concatenate([rng.permutation(groups) for _ in range(-(-n // groups))])[:n]

    # The groups of 240 and of 200 rows are runs of 8; numpy permutes rows of a table in the same
    # stream as one after another.
    whole = by_square_root(x, y)
    left = [by_square_root(x[cut(240) != g], y[cut(200) != g]) for g in range(groups)]
    found = frechet.corrected(x, y, groups, 3)
    assert found.value == pytest.approx(groups * whole - (groups - 1) * np.mean(left), rel=1e-7)
    error = np.sqrt((groups - 1) / groups * ((left - np.mean(left)) ** 2).sum())
    assert found.high - found.value == pytest.approx(
        2.364624 * error, rel=1e-5
    )  # t, 7 degrees, 97.5 %


def test_corrected_agrees_with_the_line_of_chong_and_forsyth() -> None:
    """Distances of random subsets of both sets against 1/n, a straight line read at 0."""
    x, y = skewed(4000, 12, 0), 1.1 * skewed(4000, 12, 1)
    rng = np.random.default_rng(0)
    sizes = np.linspace(1000, 4000, 15).astype(int)
    at = [frechet.distance(*(rng.choice(z, n, replace=False) for z in (x, y))) for n in sizes]
    line = np.polyfit(1 / sizes, at, 1)[1]
    found = frechet.corrected(x, y)
    assert found.low < line < found.high and found.value < frechet.distance(x, y)


@pytest.mark.parametrize(("apart", "n"), [(1.0, 40), (1.0, 150), (0.0, 150)])
def test_corrected_finds_the_planted_distance(apart: float, n: int) -> None:
    """100 studies of two Gaussians: the mean is the true distance, where the plain one is far too
    large, and 95 % cover it."""
    width = 16
    s, t = np.linspace(0.4, 1.4, width), np.linspace(0.4, 1.4, width)[::-1]
    t = t if apart else s
    true = apart * (width * 0.04 + float(((s - t) ** 2).sum()))
    rng = np.random.default_rng(1)
    found, plain = [], []
    for _ in range(100):
        x, y = rng.normal(size=(n, width)) * s, rng.normal(size=(n, width)) * t + 0.2 * apart
        found.append(frechet.corrected(x, y))
        plain.append(frechet.distance(x, y))
    error = np.std([f.value for f in found]) / 10
    assert abs(np.mean([f.value for f in found]) - true) < 4 * error + 0.02 * true
    assert np.mean(plain) - true > 10 * error
    assert sum(f.low <= true <= f.high for f in found) >= 88


def test_too_few_rows() -> None:
    x = skewed(200, 10, 0)
    with pytest.raises(TooFew, match=r"too few images to say \(n = 10, needs at least 11\)"):
        frechet.distance(x, x[:10])
    frechet.distance(x, x[:11])
    with pytest.raises(TooFew) as error:
        frechet.corrected(x, x[:11])
    frechet.corrected(x, x[: error.value.needed])
    for empty in (np.zeros((0, 10)), []):
        with pytest.raises(TooFew):
            frechet.distance(x, empty)


def test_widths_must_agree() -> None:
    with pytest.raises(GobelinError, match="10 columns, generated ones 4"):
        frechet.distance(skewed(50, 10, 0), skewed(50, 4, 0))
