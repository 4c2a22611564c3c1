"""How well a generator knows a row, compared with reference generators: RMIA and LiRA.

Some rows are easy for every generator, so a low loss alone says little. A reference is the same
generator, trained on other rows: its loss of a row says how easy the row is.

- RMIA (Zarifzadeh, Liu & Shokri 2024), with few references. The likelihood of a row x is p(x) =
  exp(-loss), its ratio r(x) that under the generator over the mean of that under the references
  that did not learn x (their equation 5 with a = 1). The score is the share of population rows z
  with r(x) >= r(z) (gamma = 1). The population are the rows that are compared, training and
  held-out rows alike, so that an exchange of both changes nothing. One population for all rows:
  another gamma would order the rows in the same way.
- LiRA (Carlini et al. 2022), with many. Two normal distributions for each row: of the losses under
  references that learned it, and under those that did not. The score is the logarithm of the ratio
  of both densities at the loss under the generator (online). Where no reference learned a row, it
  is the distance from the second mean in standard deviations (offline). With fewer than 64
  references, all rows share their standard deviations, as the authors advise.

What this cannot show: what another way of comparing finds. A loss that is no likelihood (that of
`flow`) orders rows well, but its ratios mean nothing by themselves.
"""

from __future__ import annotations

import numpy as np

FOR_LIRA = 16  # references from which on both distributions of a row can be measured
OWN_SPREAD = 64  # references from which on a row has its own standard deviations
LEAST_OF_A_SIDE = 2  # losses of a row that a mean and a standard deviation need
TINY = 1e-12  # least standard deviation


def halves(groups: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """bool [K, N]: which rows each of `count` references learns, groups (int [N]) as a whole.

    A random half of the groups each. The second of a pair learns the other half, so that with an
    even count as many references learn a row as do not.
    """
    names, place = np.unique(groups, return_inverse=True)
    out = np.zeros((count, len(groups)), bool)
    for k in range(count):
        if k % 2:
            out[k] = ~out[k - 1]
        else:
            out[k] = np.isin(place, rng.permutation(len(names))[: len(names) // 2])
    return out


def relative_likelihood(
    loss: np.ndarray, references: np.ndarray, learned: np.ndarray
) -> np.ndarray:
    """float [N] in 0..1, the RMIA score of every row; nan where every reference learned the row.

    loss: float [N], under the generator. references: float [K, N], under the references. learned:
    bool [K, N], the rows that each reference learned.
    """
    logs = np.where(learned, -np.inf, -references)  # [K, N]
    others = np.logaddexp.reduce(logs, axis=0) - np.log(np.maximum(1, (~learned).sum(0)))
    compared = ~learned.all(0)
    out = np.full(len(loss), np.nan)
    ratio = -loss[compared] - others[compared]
    out[compared] = np.searchsorted(np.sort(ratio), ratio, side="right") / max(1, len(ratio))
    return out


def likelihood_ratio(loss: np.ndarray, references: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """float [N], the LiRA score of every row: online where all rows were learned by two references
    at least, else offline. The arguments are those of `relative_likelihood`. nan where fewer than
    two references did not learn the row.
    """
    count = len(references)
    outside, spread_outside = _normal(references, ~learned, count)
    if learned.sum(0).min(initial=count) < LEAST_OF_A_SIDE:
        return (outside - loss) / spread_outside
    inside, spread_inside = _normal(references, learned, count)
    return _log_density(loss, inside, spread_inside) - _log_density(loss, outside, spread_outside)


def _normal(references: np.ndarray, chosen: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Mean and standard deviation of the chosen losses of every row, float [N] each. chosen: bool
    [K, N]. nan where a row has fewer than two."""
    sizes = chosen.sum(0)
    enough = sizes >= LEAST_OF_A_SIDE
    mean = np.where(chosen, references, 0).sum(0) / np.maximum(sizes, 1)
    squares = np.where(chosen, (references - mean) ** 2, 0).sum(0)
    if count < OWN_SPREAD:
        free = (sizes[enough] - 1).sum()
        variance = np.full(len(mean), squares[enough].sum() / max(1, free))
    else:
        variance = squares / np.maximum(sizes - 1, 1)
    spread = np.sqrt(np.maximum(variance, TINY**2))
    return np.where(enough, mean, np.nan), np.where(enough, spread, np.nan)


def _log_density(x: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Of a normal distribution, without the constant."""
    return -0.5 * ((x - mean) / spread) ** 2 - np.log(spread)
