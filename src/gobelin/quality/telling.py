"""Columns that tell more of the target than any earlier value does: they may hold the future.

A number that was computed from tomorrow's price looks like any other number. But what is known of a
market changes slowly, so a column that was known in time tells little more today than it, or
another series, told some rows before. For each column of numbers, and each value of a category, the
rank correlation with the target (Spearman 1904) is compared with the largest of these: every column
some rows earlier, and every feature of the series fields, whose dates are checked. A row is earlier
if it is of the same asset and its answer was known (`split.purge`). The difference of two
correlations is judged by Fisher's transform (1915), with the count of rows that correlation over
time and between assets leaves (Bartlett 1946), at one false alarm in a hundred data sets.

What this cannot show: a column that holds little of the future beside much noise, and one of a
market where real news tells at once. `docs/recipes/finance.md` has power and false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.evidence.findings import Finding
from gobelin.quality.giveaways import leave_out_option

LAGS = (1, 2, 3, 5)  # times of an asset
LEAST_ROWS = 60
FALSE_ALARMS = 0.01  # of data sets without a fault
MOST_AUTOCORRELATIONS = 20  # lags that count for the effective number of rows
NAME = "tells_more_than_the_past"


@dataclass(frozen=True)
class PanelRows:
    """When a row was, and of what.

    time: float64 [n]. asset: int [n], 0 for all where there is one, or none is known. gap: time
    until the answer of a row is known; 0: unknown, any earlier time counts.
    """

    time: np.ndarray
    asset: np.ndarray
    gap: float = 0.0

    def ordered(self) -> tuple[np.ndarray, PanelRows]:
        """The order of assets and their times, int [n], and the rows in it."""
        order = np.lexsort((self.time, self.asset))
        return order, PanelRows(self.time[order], self.asset[order], self.gap)


def telling(
    columns: Mapping[str, np.ndarray], features: np.ndarray, target: np.ndarray, panel: PanelRows
) -> list[Finding]:
    """Findings: the columns that tell more of the target than any earlier value.

    columns: {name: float64 [n], or [n, K] of K values of a category}, nan for a missing number.
    features: [n, D] of series, which may have no column. target: float64 [n], of two classes 0 and
    1.
    """
    order, rows = panel.ordered()
    truth = target[order]
    if len(truth) < LEAST_ROWS or len(np.unique(truth)) < 2:
        return []
    from scipy.stats import norm, rankdata

    answer = _standard(rankdata(truth))
    ranks = [
        (name, _standard(rankdata(np.where(np.isfinite(x), x, np.nanmedian(x)))))
        for name, values in columns.items()
        for x in np.reshape(values[order], (len(order), -1)).T
        if np.isfinite(x).mean() > 0.5 and len(np.unique(x[np.isfinite(x)])) > 1
    ]
    if not ranks:
        return []
    best = min(max(_past([x for _, x in ranks], answer, rows)), 0.999)
    if features.shape[1]:
        known = np.stack([_standard(rankdata(f)) for f in features[order].T])
        best = min(max(best, float(np.abs(known @ answer / len(answer)).max())), 0.999)
    limit = float(norm.isf(FALSE_ALARMS / len(ranks) / 2))
    found: dict[str, Finding] = {}
    for name, x in ranks:
        now = min(abs(float(x @ answer)) / len(x), 0.9999)
        count = effective_rows(x, answer, rows)
        spread = (2 / max(count - 3, 1)) ** 0.5
        if (np.arctanh(now) - np.arctanh(best)) / spread > limit and (
            name not in found or now > (found[name].value or 0)
        ):
            found[name] = _finding(name, now, best, int(count))
    return list(found.values())


def _past(ranks: Sequence[np.ndarray], answer: np.ndarray, rows: PanelRows) -> list[float]:
    """Sizes of the correlations of each column, [n], some times earlier with the answer, [n].
    Rows of one asset and one time count as their mean. A lag of too few rows is left out."""
    step = np.concatenate([[True], np.diff(rows.asset) > 0])
    step |= np.concatenate([[True], np.diff(rows.time) > 0])
    moment = np.cumsum(step) - 1  # [n], of each row: number of its asset and time
    size = np.bincount(moment)
    starts = np.flatnonzero(step)
    times, assets = rows.time[starts], rows.asset[starts]
    first = np.searchsorted(assets, assets)  # of each moment: the first of its asset
    earlier = np.zeros(len(starts), int)  # and how many of the asset's were over, answer and all
    for begin in np.unique(first):
        own = slice(begin, int(np.searchsorted(assets, assets[begin], side="right")))
        earlier[own] = np.searchsorted(
            times[own], times[own] - rows.gap, side="right" if rows.gap else "left"
        )
    found = [0.0]
    for lag in LAGS:
        paired = (earlier >= lag)[moment]
        if paired.sum() < LEAST_ROWS // 2:
            continue
        source = (first + earlier - lag)[moment[paired]]
        later = _standard(answer[paired])
        for x in ranks:
            before = _standard((np.bincount(moment, x) / size)[source])
            found.append(abs(float(before @ later)) / len(later))
    return found


def _standard(x: np.ndarray) -> np.ndarray:
    """[n] less its mean, over its standard deviation; zeros where it never changes."""
    centred = x - x.mean()
    return centred / (centred.std() or 1.0)


def effective_rows(x: np.ndarray, y: np.ndarray, rows: PanelRows) -> float:
    """How many independent pairs the correlation of x and y, [n] each, rests on: n / (1 + the sum
    over all other pairs of rows, of the correlation of their x times that of their y, over n)
    (Bartlett 1946, eq. 2.3). Pairs of one asset at a distance in time have one correlation, and so
    have pairs of two assets.

    rows: in the order of assets and their times. Where rows of a time are not told apart by their
    asset, each counts as an asset that was not there before.
    """
    n = len(x)
    values = np.stack([x, y, np.ones(n)])
    lags = min(MOST_AUTOCORRELATIONS, n // 4)
    when = np.unique(rows.time, return_inverse=True)[1]
    sums = np.stack([np.bincount(when, v) for v in values])  # [3, moments]
    twins = ((np.diff(rows.asset) == 0) & (np.diff(rows.time) == 0)).any()
    total = 0.0
    inside = np.zeros((3, lags + 1))  # pairs of one asset, by their distance in moments
    inside[:, 0] = (values**2).sum(1)
    for lag in range(1, 0 if twins else lags + 1):
        same = np.flatnonzero(rows.asset[lag:] == rows.asset[:-lag])
        products = values[:, same] * values[:, same + lag]
        total += 2 * float(np.prod(products[:2].sum(1))) / n**2
        apart = when[same + lag] - when[same]
        near = apart <= lags
        for k in range(3):
            inside[k] += np.bincount(apart[near], products[k, near], lags + 1)
    for lag in range(lags + 1):
        all_pairs = (sums[:, : max(sums.shape[1] - lag, 0)] * sums[:, lag:]).sum(1)
        others = all_pairs - inside[:, lag]
        if others[2] > 0.5:  # pairs of two assets
            total += (2 if lag else 1) * float(others[0] * others[1] / others[2]) / n
    return n / max(1.0, 1 + total)


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
