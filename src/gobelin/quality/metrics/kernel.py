"""Kernel distances: the squared maximum mean discrepancy of features under (x.y / D + 1)^3 (KID)
and under a Gaussian (MMD).

Lower is better. Unbiased (Gretton et al. 2012, eq. 3; kernel and subsets of KID from Binkowski et
al. 2018, section 4), so unlike the Fréchet distance they don't grow when images are few, and are
around 0, also below, for equal distributions.

What this cannot show: whether single images look right, or whether they were copied. KID sees no
difference beyond the third moments of the features, the Gaussian kernel every one, but weakly those
that are much finer or coarser than its width. Neither has a unit; KID has no scale that two feature
nets share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from gobelin.core.config import within
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.quality.metrics import Comparison, Rows, TooFew, chunks, matrix, same_width

BLOCK = 1024
LEAST = 50
DEGREE, OFFSET = 3, 1.0
Of = Callable[
    [np.ndarray, np.ndarray], np.ndarray
]  # k of every pair of rows [n, D] and [m, D], [n, m]


@dataclass(frozen=True)
class Kernel:
    """subsets, size, seed: how many subsets of how many rows are drawn for the mean over subsets,
    and from where."""

    subsets: int = 100
    size: int = 1000
    seed: int = 2020

    def __post_init__(self) -> None:
        within(self, {"subsets": (2, 1e5), "size": (2, 1e5), "seed": (0, 2**32 - 1)})

    def measure(self, comparison: Comparison) -> tuple[Finding, ...]:
        """kernel_distance over all rows with its interval, kernel_distance_of_subsets as the
        literature prints it, and mean_discrepancy, which is that of the Gaussian kernel."""
        comparison.check("kernel")
        whole = self._of_all(comparison, "kernel_distance", distance)
        gaussian = self._of_all(comparison, "mean_discrepancy", discrepancy)
        if whole.value is None:  # the same reason for all
            return whole, replace(whole, name="kernel_distance_of_subsets"), gaussian
        return whole, self._of_subsets(comparison), gaussian

    def _of_all(self, comparison: Comparison, name: str, score: Callable[..., Interval]) -> Finding:
        try:
            found = score(comparison.real, comparison.made, least=LEAST)
        except TooFew as why:
            return comparison.silence(name, why, "lower")
        floor, note = None, "unbiased, around 0 for equal distributions, also below"
        if comparison.floor:
            try:
                floor = score(comparison.real, comparison.floor, least=LEAST).value
            except TooFew as why:
                note += f"; no floor: {why.n} held-out images are too few"
        return comparison.number(name, found, floor, "lower", note)

    def _of_subsets(self, comparison: Comparison) -> Finding:
        name = "kernel_distance_of_subsets"
        try:
            values = of_subsets(
                comparison.real, comparison.made, self.subsets, self.size, self.seed
            )
        except TooFew as why:
            return comparison.silence(name, why, "lower")
        method = f"{self.subsets} subsets of {self.size} (Binkowski et al. 2018)"
        found = Interval(float(values.mean()), np.nan, np.nan, 0.95, method, self.size)
        note = f"standard deviation over subsets {values.std():.4g}"
        return comparison.number(name, found, None, "lower", note)


def distance(real: Rows, made: Rows, level: float = 0.95, least: int = 3) -> Interval:
    """The unbiased squared MMD of all rows [N, D] and [M, D], n = M, in blocks of 1,024 x 1,024 in
    float64.

    MMD^2 = sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (m (m - 1)) - 2 sum
    k(x_i, y_j) / (n m). Its interval: the jackknife of two samples (Arvesen 1969), each row left
    out once, which the rows' sums give for nothing.

    What this cannot show: that two distributions are equal (an interval around 0 bounds their
    difference, too wide where they are); or a heavy tail that these rows happened to miss, as the
    kernel takes third powers: one column of 30 shifted normal rows, a hard case, was covered in 78
    % of studies, of 400 in 94 %."""
    return _unbiased(real, made, cubic, level, least)


def discrepancy(real: Rows, made: Rows, level: float = 0.95, least: int = 3) -> Interval:
    """The same under k(x, y) = exp(-|x - y|^2 / (2 s^2)), between 0 and 2 but for its noise. s^2 is
    the mean squared distance of two real rows, twice the trace of their covariance, which needs no
    sample of pairs as a median does (Gretton et al. 2012, section 8).

    What this cannot show: that two distributions are equal; and one far outlier among the real rows
    widens the kernel. The interval takes the width as given and is a little short for few rows: 60
    of one column were covered in 88 % of studies."""
    n, mean, spread = 0, np.zeros(1), 0.0
    for block in _doubles(real):
        step = block.mean(0) - mean
        spread += float(
            ((block - block.mean(0)) ** 2).sum()
            + (step**2).sum() * n * len(block) / (n + len(block))
        )
        n += len(block)
        mean = mean + step * (len(block) / n)
    width = 2 * spread / max(1, n - 1) or 1.0
    return _unbiased(real, made, lambda a, b: gaussian(a - mean, b - mean, width), level, least)


def _unbiased(real: Rows, made: Rows, kernel: Of, level: float, least: int) -> Interval:
    within_real, within_made = _sums_within(real, kernel), _sums_within(made, kernel)
    n, m = len(within_real), len(within_made)
    if min(n, m) < max(3, least):
        raise TooFew("kernel", min(n, m), max(3, least))
    across_real, across_made = _sums_across(real, made, n, m, kernel)
    totals = within_real.sum(), within_made.sum(), across_real.sum()
    value = totals[0] / (n * (n - 1)) + totals[1] / (m * (m - 1)) - 2 * totals[2] / (n * m)
    without_x = (totals[0] - 2 * within_real) / ((n - 1) * (n - 2)) - 2 * (
        totals[2] - across_real
    ) / ((n - 1) * m)
    without_y = (totals[1] - 2 * within_made) / ((m - 1) * (m - 2)) - 2 * (
        totals[2] - across_made
    ) / ((m - 1) * n)
    variance = (n - 1) * without_x.var() + (m - 1) * without_y.var()
    half = float(special.ndtri(0.5 + level / 2) * np.sqrt(variance))
    return Interval(
        float(value), float(value - half), float(value + half), level, "jackknife (Arvesen 1969)", m
    )


def of_subsets(
    real: Rows, made: Rows, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> np.ndarray:
    """The unbiased squared MMD of random subsets, [subsets]; KID is their mean (Binkowski et al.
    2018).

    All rows are held in memory. Drawn as torch-fidelity draws them for (made, real), so the figures
    agree with its digits.

    What this cannot show: the error of the mean; subsets share rows, and their spread is that of
    `size` rows, not of all."""
    x, y = matrix(real), matrix(made)
    if min(len(x), len(y)) < max(size, 2):
        raise TooFew("kernel", min(len(x), len(y)), max(size, 2))
    rng = np.random.RandomState(seed)
    out = np.empty(subsets)
    for k in range(subsets):
        b = y[rng.choice(len(y), size, replace=False)].astype(np.float64)
        a = x[rng.choice(len(x), size, replace=False)].astype(np.float64)
        inner = sum(float(_sums_within(part, cubic).sum()) for part in (a, b)) / (size * (size - 1))
        out[k] = inner - 2 * float(cubic(a, b).mean())
    return out


def cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(x.y / D + 1)^3 of every pair, [n, m]."""
    same_width(a.shape[1], b.shape[1])
    product = a @ b.T
    product /= a.shape[1]
    product += OFFSET
    cube = product * product
    cube *= product
    return cube


def gaussian(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """exp(-|x - y|^2 / (2 width)) of every pair, [n, m]."""
    same_width(a.shape[1], b.shape[1])
    squares = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T), 0)
    return np.exp(squares / (-2 * width))


def _sums_within(rows: Rows, kernel: Of) -> np.ndarray:
    """sum over j != i of k(x_i, x_j), [N]; each pair of blocks once."""
    sums: list[np.ndarray] = []
    for i, left in enumerate(_doubles(rows)):
        sums.append(np.zeros(len(left)))
        for j, right in enumerate(_doubles(rows)):
            if j > i:
                break
            k = kernel(left, right)
            if i == j:
                np.fill_diagonal(k, 0.0)
            else:
                sums[j] += k.sum(0)
            sums[i] += k.sum(1)
    return np.concatenate(sums) if sums else np.zeros(0)


def _sums_across(
    real: Rows, made: Rows, n: int, m: int, kernel: Of
) -> tuple[np.ndarray, np.ndarray]:
    """sum over j of k(x_i, y_j), [N], and sum over i, [M]."""
    of_real, of_made = np.zeros(n), np.zeros(m)
    for i, left in enumerate(_doubles(real)):
        for j, right in enumerate(_doubles(made)):
            k = kernel(left, right)
            of_real[i * BLOCK : i * BLOCK + len(left)] += k.sum(1)
            of_made[j * BLOCK : j * BLOCK + len(right)] += k.sum(0)
    return of_real, of_made


def _doubles(rows: Rows) -> Iterator[np.ndarray]:
    return (block.astype(np.float64, copy=False) for block in chunks(rows, BLOCK))
