"""Kernel distances (KID and MMD) between real and generated features; lower is better.

They are the squared maximum mean discrepancy (MMD) of features under the kernel (x.y / D + 1)^3,
which is called KID, and under a Gaussian kernel. Both are unbiased (Gretton et al. 2012, eq. 3;
kernel and subsets of KID from Binkowski et al. 2018, section 4). So unlike the Fréchet distance
they don't grow when images are few; for equal distributions they are around 0, also below.

What this cannot show: whether single images look right, or whether they were copied. KID sees no
difference beyond the third moments of the features. The Gaussian kernel sees every difference, but
weakly those that are much finer or coarser than its width. Neither has a unit, and KID values of
two feature nets can't be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from scipy import special

from gobelin.core.config import setting, settings_class
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.quality.metrics import FeatureComparison, Rows, TooFew, chunks, matrix, same_width

BLOCK_ROWS = 1024  # of each side; pairs come in blocks of 1,024 x 1,024
LEAST_KERNEL_IMAGES = 50  # real ones, and generated ones
OFFSET = 1.0  # of the cubic kernel (x.y / D + OFFSET)^3
# k of every pair of rows [n, D] and [m, D], as [n, m]
PairKernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


@settings_class
class Kernel:
    """Settings of the mean over random subsets, which the literature prints."""

    subsets: int = setting(
        default=100, ge=2, le=100_000, description="Random subsets whose scores are averaged."
    )
    size: int = setting(default=1000, ge=2, le=100_000, description="Rows in a subset.")
    seed: int = setting(default=2020, ge=0, le=2**32 - 1, description="Seed of the random subsets.")

    def measure(self, comparison: FeatureComparison) -> tuple[Finding, ...]:
        """kernel_distance over all rows with its interval, kernel_distance_of_subsets as the
        literature prints it, and mean_discrepancy, under the Gaussian kernel.
        """
        comparison.check("kernel")
        whole = self._of_all(comparison, "kernel_distance", distance)
        gaussian = self._of_all(comparison, "mean_discrepancy", discrepancy)
        if whole.value is None:  # the same reason for all
            return whole, replace(whole, name="kernel_distance_of_subsets"), gaussian
        return whole, self._of_subsets(comparison), gaussian

    def _of_all(
        self, comparison: FeatureComparison, name: str, score: Callable[..., Interval]
    ) -> Finding:
        try:
            interval = score(comparison.real, comparison.generated, least=LEAST_KERNEL_IMAGES)
        except TooFew as reason:
            return comparison.no_number(name, reason, "lower")
        floor, note = None, "unbiased, around 0 for equal distributions, also below"
        if comparison.floor:
            try:
                floor = score(comparison.real, comparison.floor, least=LEAST_KERNEL_IMAGES).value
            except TooFew as reason:
                note += f"; no floor: {reason.n} held-out images are too few"
        return comparison.finding(name, interval, floor, "lower", note)

    def _of_subsets(self, comparison: FeatureComparison) -> Finding:
        name = "kernel_distance_of_subsets"
        try:
            values = of_subsets(
                comparison.real, comparison.generated, self.subsets, self.size, self.seed
            )
        except TooFew as reason:
            return comparison.no_number(name, reason, "lower")
        method = f"{self.subsets} subsets of {self.size} (Binkowski et al. 2018)"
        interval = Interval(float(values.mean()), np.nan, np.nan, 0.95, method, self.size)
        note = f"standard deviation over subsets {values.std():.4g}"
        return comparison.finding(name, interval, None, "lower", note)


def distance(real: Rows, generated: Rows, level: float = 0.95, least: int = 3) -> Interval:
    """The unbiased squared MMD of all rows [N, D] and [M, D] under the cubic kernel, in float64.

    MMD^2 = sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (m (m - 1)) - 2 sum
    k(x_i, y_j) / (n m) (Gretton et al. 2012, eq. 3). The interval is the jackknife of two samples
    (Arvesen 1969): each row is left out once. least: fewest rows of each; fewer raise TooFew.

    What this cannot show: that two distributions are equal (an interval around 0 bounds their
    difference; it is too wide where they are equal); or a heavy tail that these rows happened to
    miss, as the kernel takes third powers: for one column of 30 shifted normal rows, a hard case,
    the interval covered the truth in 78 % of studies, for 400 rows in 94 %.
    """
    return _unbiased(real, generated, cubic, level, least)


def discrepancy(real: Rows, generated: Rows, level: float = 0.95, least: int = 3) -> Interval:
    """The unbiased squared MMD under k(x, y) = exp(-|x - y|^2 / (2 s^2)), 0 to 2 but for its noise.

    s^2 is the mean squared distance of two real rows, which is twice the trace of their covariance.
    It needs no sample of pairs, as a median does (Gretton et al. 2012, section 8). Raises TooFew.

    What this cannot show: that two distributions are equal. One far outlier among the real rows
    widens the kernel. The interval takes the width as given and is a little short for few rows:
    for 60 rows of one column it covered the truth in 88 % of studies.
    """
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
    return _unbiased(
        real, generated, lambda a, b: gaussian(a - mean, b - mean, width), level, least
    )


def _unbiased(
    real: Rows, generated: Rows, kernel: PairKernel, level: float, least: int
) -> Interval:
    """Estimate and jackknife interval from the sums of kernel values of each row."""
    within_real, within_generated = _sums_within(real, kernel), _sums_within(generated, kernel)
    n, m = len(within_real), len(within_generated)
    if min(n, m) < max(3, least):
        raise TooFew("kernel", min(n, m), max(3, least))
    across_real, across_generated = _sums_across(real, generated, n, m, kernel)
    sums = within_real.sum(), within_generated.sum(), across_real.sum()
    value = sums[0] / (n * (n - 1)) + sums[1] / (m * (m - 1)) - 2 * sums[2] / (n * m)
    left_out_real = (sums[0] - 2 * within_real) / ((n - 1) * (n - 2)) - 2 * (
        sums[2] - across_real
    ) / ((n - 1) * m)
    left_out_generated = (sums[1] - 2 * within_generated) / ((m - 1) * (m - 2)) - 2 * (
        sums[2] - across_generated
    ) / ((m - 1) * n)
    variance = (n - 1) * left_out_real.var() + (m - 1) * left_out_generated.var()
    half = float(special.ndtri(0.5 + level / 2) * np.sqrt(variance))
    return Interval(
        float(value), float(value - half), float(value + half), level, "jackknife (Arvesen 1969)", m
    )


def of_subsets(
    real: Rows, generated: Rows, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> np.ndarray:
    """The unbiased squared MMD of random subsets, [subsets]; KID is their mean (Binkowski et al.
    2018). Raises TooFew where a set has fewer than `size` rows.

    All rows are held in memory. Subsets are drawn as torch-fidelity draws them for (generated,
    real), so the values agree with its digits.

    What this cannot show: the error of the mean. Subsets share rows, and their spread is that of
    `size` rows, not of all.
    """
    x, y = matrix(real), matrix(generated)
    if min(len(x), len(y)) < max(size, 2):
        raise TooFew("kernel", min(len(x), len(y)), max(size, 2))
    rng = np.random.RandomState(seed)
    out = np.empty(subsets)
    for k in range(subsets):
        b = y[rng.choice(len(y), size, replace=False)].astype(np.float64)
        a = x[rng.choice(len(x), size, replace=False)].astype(np.float64)
        within = sum(float(_sums_within(part, cubic).sum()) for part in (a, b)) / (
            size * (size - 1)
        )
        out[k] = within - 2 * float(cubic(a, b).mean())
    return out


def cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(x.y / D + 1)^3 of every pair of rows [n, D] and [m, D], as [n, m]."""
    same_width(a.shape[1], b.shape[1])
    product = a @ b.T
    product /= a.shape[1]
    product += OFFSET
    cube = product * product
    cube *= product
    return cube


def gaussian(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """exp(-|x - y|^2 / (2 width)) of every pair of rows [n, D] and [m, D], as [n, m]."""
    same_width(a.shape[1], b.shape[1])
    squares = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T), 0)
    return np.exp(squares / (-2 * width))


def _sums_within(rows: Rows, kernel: PairKernel) -> np.ndarray:
    """sum over j != i of k(x_i, x_j), [N]; each pair of blocks is computed once."""
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
    real: Rows, generated: Rows, n: int, m: int, kernel: PairKernel
) -> tuple[np.ndarray, np.ndarray]:
    """sum over j of k(x_i, y_j), [N], and sum over i of the same, [M]."""
    of_real, of_generated = np.zeros(n), np.zeros(m)
    for i, left in enumerate(_doubles(real)):
        for j, right in enumerate(_doubles(generated)):
            k = kernel(left, right)
            of_real[i * BLOCK_ROWS : i * BLOCK_ROWS + len(left)] += k.sum(1)
            of_generated[j * BLOCK_ROWS : j * BLOCK_ROWS + len(right)] += k.sum(0)
    return of_real, of_generated


def _doubles(rows: Rows) -> Iterator[np.ndarray]:
    return (block.astype(np.float64, copy=False) for block in chunks(rows, BLOCK_ROWS))
