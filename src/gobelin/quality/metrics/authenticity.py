"""Are made images new, or the nearest real image over again? Authenticity: the share of made images
that are new.

A made image is counted as no copy where it is further from its nearest real image than that one is
from its own nearest real neighbour (Alaa et al. 2022, section 4.3, with distances in feature
space). Copies score 0. Fresh images score 39 % in 2 dimensions and 79 % in 32, so there is no one
chance level: the floor, held-out real images, is the measure. The training images must be among the
real ones. All features are held in memory, distances come in blocks, in float64.

What this cannot show: which image is a copy (the copying audit does, with a false-alarm rate),
copies that the feature net doesn't see as such, or quality: noise far from every real image scores
100 %. A high value alone is no praise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.core.neighbours import nearest
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, proportion
from gobelin.quality.metrics import Comparison, Rows, TooFew, matrix, same_width

LEAST = 20


@dataclass(frozen=True)
class Authenticity:
    """No settings."""

    def measure(self, comparison: Comparison) -> tuple[Finding, ...]:
        """authenticity, with Wilson's interval over made images."""
        comparison.check("authenticity")
        real = matrix(comparison.real)
        note = f"against {len(real)} real images; noise scores high too"
        try:
            found = scores(real, comparison.made)
        except TooFew as why:
            return (comparison.silence("authenticity", why, "higher", "share"),)
        floor = None
        if comparison.floor:
            try:
                floor = scores(real, comparison.floor).value
            except TooFew as why:
                note += f", no floor: {why.n} held-out images are too few"
        return (comparison.number("authenticity", found, floor, "higher", note, "share"),)


def scores(real: Rows, made: Rows) -> Interval:
    """The share of made rows [M, D] that are no copies of real rows [N, D].

    What this cannot show: the interval takes the real images as given; and made images that
    resemble each other count each."""
    x, y = matrix(real), matrix(made)
    if min(len(x), len(y)) < LEAST:
        raise TooFew("authenticity", min(len(x), len(y)), LEAST)
    same_width(x.shape[1], y.shape[1])
    return proportion(new(x, y))


def new(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """bool [M]: which made rows are further from their nearest real row than that row from its own
    nearest other one.

    Who is nearest is found from products; how near is computed again by differences, so a copy of
    one of two equal rows is no closer than they are to each other."""
    centre = real.mean(0, dtype=np.float64)
    x, y = real - centre, made - centre
    _, place = nearest(y, x)
    _, other = nearest(x, x, np.arange(len(x)))
    away = np.sqrt(((x - x[other]) ** 2).sum(1))
    return np.sqrt(((y - x[place]) ** 2).sum(1)) > away[place]
