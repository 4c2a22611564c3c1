"""Do made paths of returns have what real ones have: heavy tails, volatility that clusters, and the
leverage effect (Cont 2001, facts 2, 6 and 9)?

A path is T returns in a row; a set of paths is float64 [n, T]. Each fact is one number of a set:

- `excess_kurtosis`: fourth moment over the squared second one, less 3; 0 for a normal distribution.
- `tail_index`: Hill's estimate (1975) on the largest 5 % of the sizes; 3 to 5 for stocks.
- `volatility_clustering`: mean autocorrelation of the sizes |r| at lags 1 to 5; 0 without memory.
- `leverage`: mean correlation of a return with the squared one 1 to 5 days later (Bouchaud,
  Matacz & Potters 2001); below 0 where falls are followed by more movement than rises.

Made and real sets are compared by the bootstrap over paths. What this cannot show: that a path
could have been; a set can have all four facts and no sense. Short paths hold little of a long
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.machine import numpy_generator
from gobelin.evidence.findings import Finding

LAGS = range(1, 6)
TAIL = 0.05  # share of the sizes that are the tail
DRAWS = 400
LEAST_PATHS = 20
METHOD = "percentile bootstrap over groups of paths (Efron 1979)"


def excess_kurtosis(paths: np.ndarray) -> float:
    """Of all returns of paths [n, T]."""
    centred = paths - paths.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2 - 3)


def tail_index(paths: np.ndarray) -> float:
    """Hill's estimate on the largest sizes |r| of paths [n, T]: 1 / mean(log size - log of the
    smallest of them)."""
    sizes = np.abs(paths).ravel()
    count = max(1, round(TAIL * len(sizes)))
    largest = np.partition(sizes, len(sizes) - count - 1)[-count - 1 :]
    excess = np.log(np.maximum(largest, 1e-300)) - np.log(max(float(largest.min()), 1e-300))
    return count / max(float(excess.sum()), 1e-300)


def volatility_clustering(paths: np.ndarray) -> float:
    """Mean autocorrelation of |r| over the lags; means and variance are those of all paths."""
    sizes = np.abs(paths) - np.abs(paths).mean()
    return _lagged(sizes, sizes)


def leverage(paths: np.ndarray) -> float:
    """Mean correlation of r with later r^2 over the lags."""
    return _lagged(paths - paths.mean(), paths**2 - (paths**2).mean())


def _lagged(first: np.ndarray, later: np.ndarray) -> float:
    """Mean over the lags of the correlation of centred values [n, T] with later ones."""
    scale = float(first.std() * later.std())
    if not scale:
        return 0.0
    return float(np.mean([(first[:, :-k] * later[:, k:]).mean() for k in LAGS]) / scale)


FACTS: dict[str, Callable[[np.ndarray], float]] = {
    "excess_kurtosis": excess_kurtosis,
    "tail_index": tail_index,
    "volatility_clustering": volatility_clustering,
    "leverage": leverage,
}


def stylised_facts(
    real: np.ndarray, made: np.ndarray, seed: int = 0, groups: Sequence[object] | None = None
) -> list[Finding]:
    """Findings: each fact of the made paths, its difference from the real ones with an interval,
    and the word `like the real ones` where the interval holds 0, else `differs`.

    real: float64 [n, T]. made: float64 [m, T]. groups: of each real path [n]; paths of one time
    move together, and are drawn together. None: each is a group of its own. Raises GobelinError for
    too few or too short paths.
    """
    for name, paths in (("real", real), ("made", made)):
        if paths.ndim != 2 or len(paths) < LEAST_PATHS or paths.shape[1] <= max(LAGS):
            raise GobelinError(
                f"stylised facts: {name} paths of {' x '.join(map(str, paths.shape))} were found;"
                f" at least {LEAST_PATHS} paths of {max(LAGS) + 1} returns are needed. Add some."
            )
        if not np.isfinite(paths).all():
            raise GobelinError(
                f"stylised facts: {name} paths hold a value that is no number. Leave it out."
            )
    rng = numpy_generator(seed, "stylised facts")
    names = range(len(real)) if groups is None else [str(group) for group in groups]
    number = np.unique(list(names), return_inverse=True)[1]
    of_group = [np.flatnonzero(number == k) for k in range(int(number.max()) + 1)]
    draws: dict[str, list[tuple[float, float]]] = {name: [] for name in FACTS}
    for _ in range(DRAWS):
        ours = made[rng.integers(0, len(made), len(made))]
        drawn = rng.integers(0, len(of_group), len(of_group))
        theirs = real[np.concatenate([of_group[k] for k in drawn])]
        for name, fact in FACTS.items():
            draws[name].append((fact(ours), fact(theirs)))
    findings = []
    for name, fact in FACTS.items():
        both = np.array(draws[name])
        value, true = fact(made), fact(real)
        ends = np.quantile(both[:, 0], [0.025, 0.975])
        findings.append(
            Finding(
                name="stylised_fact",
                scope={"fact": name},
                value=value,
                low=float(ends[0]),
                high=float(ends[1]),
                method=METHOD,
                floor=true,
                n=len(made),
                source="quality",
            )
        )
        low, high = np.quantile(both[:, 0] - both[:, 1], [0.025, 0.975])
        findings.append(
            Finding(
                name="stylised_fact_difference",
                scope={"fact": name},
                comparator="real paths",
                value=value - true,
                low=float(low),
                high=float(high),
                method=METHOD,
                verdict="like the real ones" if low <= 0 <= high else "differs",
                n=min(len(made), len(of_group)),
                source="quality",
            )
        )
    return findings
