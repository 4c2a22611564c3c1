"""Kernel distance against a double loop over pairs, its draws of subsets, and planted
distributions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

from gobelin.core.errors import GobelinError
from gobelin.evidence.intervals import Interval
from gobelin.quality.metrics import TooFew, kernel


def slow(x: np.ndarray, y: np.ndarray) -> float:
    """Gretton et al. 2012, eq. 3, pair by pair, with the kernel of Binkowski et al. 2018."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (sum(float(p) * float(q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    first = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    second = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return first + second - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def draw(n: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.maximum(np.random.default_rng(seed).normal(size=(n, width)) + shift, 0)


@pytest.mark.parametrize(("n", "m", "width"), [(3, 4, 2), (30, 23, 5), (23, 40, 1)])
def test_equals_the_double_loop(n: int, m: int, width: int) -> None:
    x, y = draw(n, width, 0), draw(m, width, 1, 0.5)
    assert kernel.distance(x, y).value == pytest.approx(slow(x, y), rel=1e-11)


@pytest.mark.parametrize(
    ("n", "m", "width", "far"), [(3, 4, 2, 0), (30, 23, 5, 0), (23, 40, 1, 1e5)]
)
def test_the_gaussian_kernel_equals_the_double_loop(n: int, m: int, width: int, far: float) -> None:
    """Its width by all pairs of real rows; far from 0, where products of rows alone would lose the
    distances."""
    x, y = draw(n, width, 0), draw(m, width, 1, 0.5)
    pairs = [float(((a - b) ** 2).sum()) for a in x for b in x]
    s = sum(pairs) / (n * (n - 1))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * s)))

    expected = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    expected += sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    expected -= 2 * sum(k(a, b) for a in x for b in y) / (n * m)
    assert kernel.discrepancy(x + far, y + far).value == pytest.approx(
        expected, rel=1e-11 if not far else 1e-8
    )


def test_the_gaussian_kernel_sees_what_three_moments_do_not() -> None:
    """Normal rows against rows of three places with the same first three moments, the fourth 3.5
    and not 3."""
    x = special.ndtri((np.arange(1400) + 0.5) / 1400)[:, None]
    y = np.sqrt(3.5) * np.repeat([-1, 0, 1], [200, 1000, 200])[:, None]
    found, blind = kernel.discrepancy(x, y), kernel.distance(x, y)
    assert found.low > 0 > blind.value


@pytest.mark.parametrize(("shift", "n"), [(0.0, 60), (0.5, 60), (0.5, 300)])
def test_the_gaussian_kernel_is_unbiased_and_covered(shift: float, n: int) -> None:
    """200 studies of normal columns, d between their means: E k = (1 + 2/s^2)^-1/2 exp(-d^2 / (2
    (s^2 + 2))), s^2 = 2 here."""
    true = 2 * (2**-0.5 - 2**-0.5 * np.exp(-(shift**2) / 8))
    rng = np.random.default_rng(1)
    found = [
        kernel.discrepancy(rng.normal(size=(n, 1)), rng.normal(size=(n, 1)) + shift)
        for _ in range(200)
    ]
    assert (
        abs(np.mean([f.value for f in found]) - true)
        < 4 * np.std([f.value for f in found]) / 200**0.5 + 0.02 * true
    )
    assert sum(f.low <= true <= f.high for f in found) >= 170


@pytest.mark.parametrize("score", [kernel.distance, kernel.discrepancy])
def test_blocks_change_nothing(
    score: Callable[..., Interval], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = draw(130, 6, 0), draw(75, 6, 1)
    whole = score(x, y)
    monkeypatch.setattr(kernel, "BLOCK_ROWS", 32)
    cut = score([x[:50], x[50:]], [y])
    assert (cut.value, cut.low, cut.high) == pytest.approx(
        (whole.value, whole.low, whole.high), rel=1e-10
    )


def test_its_error_is_the_jackknife_by_hand() -> None:
    """Each row left out, everything computed anew."""
    x, y = draw(12, 3, 0), draw(9, 3, 1)
    x_out = np.array([slow(np.delete(x, i, 0), y) for i in range(12)])
    y_out = np.array([slow(x, np.delete(y, i, 0)) for i in range(9)])
    variance = (
        11 / 12 * ((x_out - x_out.mean()) ** 2).sum() + 8 / 9 * ((y_out - y_out.mean()) ** 2).sum()
    )
    found = kernel.distance(x, y)
    assert found.high - found.value == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)
    assert found.value - found.low == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)


def test_subsets_are_drawn_as_in_torch_fidelity() -> None:
    """Made rows first, then real ones, from one legacy stream seeded with 2020."""
    x, y = draw(60, 4, 0), draw(50, 4, 1, 0.4)
    rng = np.random.RandomState(2020)
    expected = []
    for _ in range(3):
        b = y[rng.choice(50, 20, replace=False)]
        a = x[rng.choice(60, 20, replace=False)]
        expected.append(slow(a, b))
    assert kernel.of_subsets(x, y, subsets=3, size=20) == pytest.approx(expected, rel=1e-11)


def test_subsets_of_all_rows_are_the_whole() -> None:
    x, y = draw(80, 4, 0), draw(80, 4, 1)
    assert kernel.of_subsets([x[:9], x[9:]], y, 2, 80) == pytest.approx(
        [kernel.distance(x, y).value] * 2, rel=1e-10
    )


@pytest.mark.parametrize(("shift", "n"), [(0.0, 50), (0.5, 100), (0.5, 400)])
def test_unbiased_and_covered(shift: float, n: int) -> None:
    """200 studies against the distance in closed form: one column of normal rows, E k = 1 + 3 a b +
    3 m m' + m3 m3'."""

    def product(a: float, b: float) -> float:
        """E k(x, y) of x ~ N(a, 1), y ~ N(b, 1), independent: sum of binomials times products of
        raw moments."""
        return 1 + 3 * a * b + 3 * (a * a + 1) * (b * b + 1) + (a**3 + 3 * a) * (b**3 + 3 * b)

    true = product(0, 0) + product(shift, shift) - 2 * product(0, shift)
    rng = np.random.default_rng(0)
    found = [
        kernel.distance(rng.normal(size=(n, 1)), rng.normal(size=(n, 1)) + shift)
        for _ in range(200)
    ]
    error = np.std([f.value for f in found]) / np.sqrt(200)
    assert abs(np.mean([f.value for f in found]) - true) < 4 * error
    assert sum(f.low <= true <= f.high for f in found) >= 170


def test_too_few_rows() -> None:
    with pytest.raises(TooFew, match=r"\(n = 2, needs at least 3\)"):
        kernel.distance(draw(2, 3, 0), draw(9, 3, 0))
    with pytest.raises(TooFew, match=r"\(n = 99, needs at least 1000\)"):
        kernel.of_subsets(draw(2000, 3, 0), draw(99, 3, 0))
    with pytest.raises(GobelinError, match="columns"):
        kernel.distance(draw(20, 3, 0), draw(20, 4, 0))
