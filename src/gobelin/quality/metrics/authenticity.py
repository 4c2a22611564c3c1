"""Authenticity: the share of generated images that are no copies of their nearest real image.

A generated image counts as new if it is further from its nearest real image than that real image
is from its own nearest real neighbour (Alaa et al. 2022, section 4.3, with distances in feature
space). Copies score 0. Fresh images score 39 % in 2 dimensions and 79 % in 32, so there is no one
chance level: compare with the floor, held-out real images. The training images must be among the
real ones. All features are held in memory; distances come in blocks, in float64.

What this cannot show: which image is a copy (the copying audit does, with a false-alarm rate);
copies that the feature net doesn't see as such; quality: noise far from every real image scores
100 %. A high value alone is no praise.
"""

from __future__ import annotations

import numpy as np

from gobelin.core.config import settings_class
from gobelin.core.neighbours import nearest
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, proportion
from gobelin.quality.metrics import FeatureComparison, Rows, TooFew, matrix, same_width

LEAST_AUTHENTICITY_IMAGES = 20  # real ones, and generated ones


@settings_class
class Authenticity:
    """No settings."""

    def measure(self, comparison: FeatureComparison) -> tuple[Finding, ...]:
        """authenticity, with Wilson's interval over generated images."""
        comparison.check("authenticity")
        real = matrix(comparison.real)
        note = f"against {len(real)} real images; noise scores high too"
        try:
            score = scores(real, comparison.generated)
        except TooFew as reason:
            return (comparison.no_number("authenticity", reason, "higher", "share"),)
        floor = None
        if comparison.floor:
            try:
                floor = scores(real, comparison.floor).value
            except TooFew as reason:
                note += f", no floor: {reason.n} held-out images are too few"
        return (comparison.finding("authenticity", score, floor, "higher", note, "share"),)


def scores(real: Rows, generated: Rows) -> Interval:
    """The share of generated rows [M, D] that are no copies of real rows [N, D]. Raises TooFew.

    What this cannot show: other real images would give another value, the interval takes these as
    given; generated images that resemble each other count one by one.
    """
    x, y = matrix(real), matrix(generated)
    if min(len(x), len(y)) < LEAST_AUTHENTICITY_IMAGES:
        raise TooFew("authenticity", min(len(x), len(y)), LEAST_AUTHENTICITY_IMAGES)
    same_width(x.shape[1], y.shape[1])
    return proportion(new(x, y))


def new(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """bool [M]: which generated rows are further from their nearest real row than that row is from
    its own nearest other real row.
    """
    # Products find the nearest row; differences measure its distance again. So a copy of one of two
    # equal rows is no closer than they are to each other.
    centre = real.mean(0, dtype=np.float64)
    x, y = real - centre, generated - centre
    _, place = nearest(y, x)
    _, other = nearest(x, x, np.arange(len(x)))
    radius = np.sqrt(((x - x[other]) ** 2).sum(1))  # of each real row, [N]
    return np.sqrt(((y - x[place]) ** 2).sum(1)) > radius[place]
