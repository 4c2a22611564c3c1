"""Precision, recall, density, coverage: generated images are likely, and of every kind.

Each image's ball reaches to its k-th nearest neighbour in its own set. Precision is the share of
generated images in a real ball; recall is the share of real images in a generated ball
(Kynkäänniemi et al. 2019, eq. 1-2, closed balls). Density is how many real balls a generated image
lies in, over k; coverage is the share of real balls that hold a generated image (Naeem et al. 2020,
eq. 3-4; open balls, as in their program). All features are held in memory, distances come in
blocks.

What this cannot show: whether an image looks right, or was copied: the training set itself scores
best. One outlier's ball can hold many images (precision and recall). k and the numbers of images
change every value, and the intervals take the balls as given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, mean, proportion
from gobelin.quality.metrics import FeatureComparison, Rows, TooFew, matrix, same_width
from gobelin.quality.rounded_distances import (
    RoundedRows,
    blocks,
    coarse_type,
    pairs_within,
    parts,
    radii,
)

# names of the findings and their units
COVERAGE_SCORES = (
    ("precision", "share"),
    ("recall", "share"),
    ("density", ""),
    ("coverage", "share"),
)


@settings_class
class Coverage:
    """Settings of the balls."""

    nearest: int = setting(
        default=5,
        ge=1,
        le=1000,
        description="Number k of the neighbour whose distance is the radius of a ball.",
    )

    def measure(self, comparison: FeatureComparison) -> tuple[Finding, ...]:
        """precision, recall, density and coverage, with intervals that take the balls as given."""
        comparison.check("coverage")
        real = matrix(comparison.real)
        generated = matrix(comparison.generated)
        note = f"k = {self.nearest}, {len(real)} real and {len(generated)} generated images"
        try:
            intervals = scores(real, generated, self.nearest)
        except TooFew as reason:
            return tuple(
                comparison.no_number(name, reason, "higher", unit) for name, unit in COVERAGE_SCORES
            )
        floor: dict[str, Interval] = {}
        if comparison.floor:
            try:
                floor = scores(real, matrix(comparison.floor), self.nearest)
            except TooFew as reason:
                note += f", no floor: {reason.n} held-out images are too few"
        return tuple(
            comparison.finding(
                name,
                intervals[name],
                floor[name].value if floor else None,
                "higher",
                note,
                unit,
                len(generated),
            )
            for name, unit in COVERAGE_SCORES
        )


@dataclass(frozen=True)
class Counts:
    """Which rows lie in which balls, counted.

    in_real: int64 [M], how many closed real balls hold each generated row. open_real: int64 [M],
    how many open ones do. in_generated: int64 [N], how many closed generated balls hold each real
    row. holds: int64 [N], how many generated rows each open real ball holds.
    """

    in_real: np.ndarray
    open_real: np.ndarray
    in_generated: np.ndarray
    holds: np.ndarray


def scores(real: Rows, generated: Rows, nearest: int = 5) -> dict[str, Interval]:
    """precision, recall, density, coverage of rows [N, D] and [M, D]. nearest: k. Raises TooFew.

    The intervals are over generated rows (precision, density) or real rows (recall, coverage).

    What this cannot show: how the values move with other real images; the intervals take the balls
    as given.
    """
    counted = counts(matrix(real), matrix(generated), nearest)
    return {
        "precision": proportion(counted.in_real > 0),
        "recall": proportion(counted.in_generated > 0),
        "density": mean(counted.open_real / nearest),
        "coverage": proportion(counted.holds > 0),
    }


def counts(real: np.ndarray, generated: np.ndarray, nearest: int = 5) -> Counts:
    """Counts for rows [N, D] and [M, D], those of float64 distances. Raises TooFew."""
    if min(len(real), len(generated)) <= nearest:
        raise TooFew("coverage", min(len(real), len(generated)), nearest + 1)
    same_width(real.shape[1], generated.shape[1])
    centre = real.mean(0, dtype=np.float64)
    far = max(
        float(np.abs(part - centre).max(initial=0))
        for rows in (real, generated)
        for part in parts(rows)
    )
    scale, kind = 2.0 ** np.frexp(far)[1], coarse_type()
    x = RoundedRows.of(real, centre, scale, kind)
    y = RoundedRows.of(generated, centre, scale, kind)
    radii_x, radii_y = radii(x, nearest), radii(y, nearest)
    out = Counts(*(np.zeros(n, np.int64) for n in (len(y), len(y), len(x), len(x))))
    for rows in blocks(y):
        for columns in blocks(x):
            block = y.against(rows, x, columns)
            # gap: squared distance less squared radius; 0 is inside a closed ball only
            i, j, gap = pairs_within(y, x, rows, columns, block, radii_x[columns], of_rows=False)
            out.in_real[:] += np.bincount(i[gap <= 0], minlength=len(y))
            out.open_real[:] += np.bincount(i[gap < 0], minlength=len(y))
            out.holds[:] += np.bincount(j[gap < 0], minlength=len(x))
            _, j, gap = pairs_within(y, x, rows, columns, block, radii_y[rows], of_rows=True)
            out.in_generated[:] += np.bincount(j[gap <= 0], minlength=len(x))
    return out
