"""Numbers that tell more of the target than any earlier value does: they may hold the future.

A number that was computed from tomorrow's price looks like any other number. But what is known of a
market changes slowly, so a column that was known in time tells little more today than it, or
another series, told some rows before. For each column of numbers the rank correlation with the
target (Spearman 1904) is compared with the largest of these: every column some rows earlier, and
every feature of the series fields, whose dates are checked. The difference of two correlations is
judged by Fisher's transform (1915), with the count of rows that autocorrelation leaves (Bartlett
1946), at one false alarm in a hundred data sets.

What this cannot show: a column that holds little of the future beside much noise, and one of a
market where real news tells at once. `docs/recipes/finance.md` has power and false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gobelin.evidence.findings import Finding
from gobelin.quality.giveaways import leave_out_option

LAGS = (1, 2, 3, 5)  # rows
LEAST_ROWS = 60
FALSE_ALARMS = 0.01  # of data sets without a fault
MOST_AUTOCORRELATIONS = 20  # lags that count for the effective number of rows
NAME = "tells_more_than_the_past"


def telling(
    columns: Mapping[str, np.ndarray],
    features: np.ndarray,
    target: np.ndarray,
    time: np.ndarray,
) -> list[Finding]:
    """Findings: the columns that tell more of the target than any earlier value.

    columns: {name: float64 [n]}, nan for a missing number. features: [n, D] of series, which may
    have no column. target: float64 [n], of two classes 0 and 1. time: float64 [n].
    """
    order = np.argsort(time, kind="stable")
    truth = target[order]
    if len(truth) < LEAST_ROWS or len(np.unique(truth)) < 2:
        return []
    from scipy.stats import norm, rankdata

    answer = _standard(rankdata(truth))
    numbers = {name: values[order] for name, values in columns.items()}
    ranks = {
        name: _standard(rankdata(np.where(np.isfinite(x), x, np.nanmedian(x))))
        for name, x in numbers.items()
        if np.isfinite(x).mean() > 0.5 and len(np.unique(x[np.isfinite(x)])) > 2
    }
    if not ranks:
        return []
    past = [0.0]
    for x in ranks.values():
        past += [abs(float(x[:-lag] @ answer[lag:])) / (len(x) - lag) for lag in LAGS]
    if features.shape[1]:
        known = np.stack([_standard(rankdata(f)) for f in features[order].T])
        past += np.abs(known @ answer / len(answer)).tolist()
    best = min(max(past), 0.999)
    limit = float(norm.isf(FALSE_ALARMS / len(ranks) / 2))
    findings = []
    for name, x in ranks.items():
        now = min(abs(float(x @ answer)) / len(x), 0.9999)
        rows = effective_rows(x, answer)
        spread = (2 / max(rows - 3, 1)) ** 0.5
        if (np.arctanh(now) - np.arctanh(best)) / spread > limit:
            findings.append(_finding(name, now, best, int(rows)))
    return findings


def _standard(x: np.ndarray) -> np.ndarray:
    """[n] less its mean, over its standard deviation; zeros where it never changes."""
    centred = x - x.mean()
    return centred / (centred.std() or 1.0)


def effective_rows(x: np.ndarray, y: np.ndarray) -> float:
    """How many independent pairs the correlation of two series [n] rests on: n / (1 + 2 sum of the
    products of their autocorrelations) (Bartlett 1946, eq. 2.3)."""
    n = len(x)
    lags = range(1, min(MOST_AUTOCORRELATIONS, n // 4) + 1)
    product = [float(x[:-k] @ x[k:]) * float(y[:-k] @ y[k:]) / n**2 for k in lags]
    return n / max(1.0, 1 + 2 * sum(product))


def _finding(name: str, now: float, best: float, rows: int) -> Finding:
    return Finding(
        name=NAME,
        scope={"column": name},
        value=now,
        chance=best,
        n=rows,
        better="",
        note=(
            f"rank correlation of {name} with the target; the most that any earlier value or series"
            f" has is {best:.2f}. Was {name} known at the time of its row? If not, leave it out:"
            f" {leave_out_option(name)}"
        ),
        source="check",
    )


def binary(values: np.ndarray, classes: Sequence[str]) -> list[np.ndarray]:
    """A target of classes as numbers 0 and 1, float64 [n] each: one for two classes, else one for
    each class."""
    places = [1] if len(classes) == 2 else range(len(classes))
    return [(values == k).astype(float) for k in places]
