"""The Gaussian mechanism: how much noise gives which epsilon and delta, exactly.

A sum over groups is released with normal noise. If no group moves the sum by more than 1, noise of
the standard deviation s gives (epsilon, delta) with (Balle & Wang 2018, theorem 8)

    delta = Phi(1 / 2s - epsilon s) - exp(epsilon) Phi(-1 / 2s - epsilon s).

Phi is the normal distribution function. The formula is an equality: less noise would break the
promise, more would waste quality.

What this cannot show: that the sum really moves by 1 at most, or that the noise was drawn. Tests of
the generators show that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from gobelin.core.errors import GobelinError

HALVINGS = 200  # of an interval that holds the answer: more than a float has digits


def delta_of(epsilon: float, noise: float) -> float:
    """The smallest delta that holds with this epsilon. noise: standard deviation for a sensitivity
    of 1."""
    from scipy.special import log_ndtr, ndtr

    far, shift = 1 / (2 * noise), epsilon * noise
    # exp(epsilon) alone would overflow
    return float(ndtr(far - shift) - math.exp(epsilon + float(log_ndtr(-far - shift))))


def noise_for(epsilon: float, delta: float) -> float:
    """The smallest standard deviation of the noise that gives (epsilon, delta), for a sensitivity
    of 1, rounded up by less than a float tells."""
    low, high = 1e-6, 1e9
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if delta_of(epsilon, middle) <= delta else (middle, high)
    return high


def delta_for(delta: float, groups: int, where: str) -> float:
    """The delta to use. delta: as set, 0 = 1e-5 or a tenth of 1 / groups, whichever is smaller.

    Raises GobelinError from 1 / groups on: publishing one group at random would keep that promise.
    """
    if delta >= 1 / groups:
        raise GobelinError(
            f"{where}.delta: below 1 / {groups} was expected (one over the count of groups of"
            f" training rows), found {delta:g}. Lower it, or set 0 to let it be chosen."
        )
    return delta or min(1e-5, 0.1 / groups)


def total(spent: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """(epsilon, delta) of several releases together: their sums (Dwork et al. 2006, theorem 1).
    It is an upper bound."""
    pairs = list(spent)
    return math.fsum(e for e, _ in pairs), math.fsum(d for _, d in pairs)
