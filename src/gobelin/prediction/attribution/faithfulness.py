"""Does the explanation describe the predictor? Hide the parts in its order, and see.

Deletion hides the parts that count most first: the answer should fall at once. Hiding those that
count least first should leave it. Symmetric relevance gain (Blücher, Vielhaben & Strodthoff 2024,
TMLR, equation 6) is the area under the second curve less the area under the first, with the parts
hidden along the axis from 0 to 1, in the unit of the answer. Of a random order it is 0 on average,
whatever takes the place of what is hidden. Each row's gain is compared with that of random orders
of the same row.

What this cannot show: whether a person understands the explanation, and whether the predictor is
right. Hidden parts are no real rows: a predictor may answer oddly about them, in both curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np

from gobelin.core.machine import numpy_generator
from gobelin.evidence import intervals
from gobelin.evidence.intervals import Interval
from gobelin.prediction.attribution.parts import Attribution, Parts

STEPS = 8  # of a curve, at most
BETTER, NO_BETTER = "better than random", "no better than random"
CAN_T_TELL = "can't tell from so few parts of one row"
FEW_PARTS = 64  # with more, two orders seldom hide the same ones
LEAST_ORDERS = 40  # that the parts of one row can have: below, the best of them is no rare one


@dataclass(frozen=True, eq=False)
class Gain:
    """The symmetric relevance gain of one row."""

    own: float  # of the explanation's order
    random: np.ndarray  # float64 [r], of random orders
    parts: int  # P

    @property
    def paired(self) -> float:
        """The own gain less the mean of random ones."""
        return self.own - float(self.random.mean())


def curves(parts: Parts, orders: np.ndarray) -> np.ndarray:
    """float64 [r, 2, s + 1]: the answers along r orders, as parts are hidden from none to all: the
    last of the order first, and the first of it first. orders: int [r, P], that which counts most
    first."""
    count = orders.shape[1]
    steps = min(STEPS, count)
    hidden = np.round(np.linspace(0, count, steps + 1)).astype(int)
    inner = hidden[1:-1]
    asked = np.ones((len(orders), 2, len(inner), count), np.float32)
    for r, order in enumerate(orders):
        for k, many in enumerate(inner):
            asked[r, 0, k, order[::-1][:many]] = 0.0
            asked[r, 1, k, order[:many]] = 0.0
    ends = np.stack([np.ones(count), np.zeros(count)])
    found = _answers(parts, np.concatenate([ends, asked.reshape(-1, count)]))
    out = np.empty((len(orders), 2, steps + 1))
    out[:, :, 0], out[:, :, -1] = found[0], found[1]
    out[:, :, 1:-1] = found[2:].reshape(len(orders), 2, len(inner))
    return out


def _answers(parts: Parts, kept: np.ndarray) -> np.ndarray:
    """float64 [k]: the mean answer for each of kept [k, P]. Of few parts most orders hide the same
    ones, and each is asked once."""
    if kept.shape[1] > FEW_PARTS:
        return np.asarray(parts.answers(kept).mean(1))
    different, which = np.unique(kept, axis=0, return_inverse=True)
    return np.asarray(parts.answers(different).mean(1)[which.reshape(-1)])


def gains(found: np.ndarray) -> np.ndarray:
    """float64 [r]: the area under the first curve less that under the second, of [r, 2, s + 1]."""
    area = (found[..., 1:] + found[..., :-1]).mean(-1) / 2
    return np.asarray(area[:, 0] - area[:, 1])


def gain(parts: Parts, attribution: Attribution, orders: int, seed: int) -> Gain:
    """The gain of one row's explanation beside that of random orders."""
    rng = numpy_generator(seed, "random orders")
    values = [attribution.values, *(parts.at_random(rng) for _ in range(orders))]
    ranked = np.stack([np.argsort(-v, kind="stable") for v in values])
    found = gains(curves(parts, ranked))
    return Gain(float(found[0]), found[1:], len(attribution.values))


def faithfulness(found: Sequence[Gain]) -> tuple[Interval, str]:
    """The mean over rows of the gain less that of random orders, and the verdict: better than
    random if the whole interval lies above 0.

    Of several rows it is the interval of a mean of pairs. Of one row it is its gain less the middle
    95 % of the gains of random orders; with so few parts that one order in 40 is not rare, one row
    can't tell."""
    if len(found) > 1:
        interval = intervals.mean([one.paired for one in found])
        return interval, BETTER if interval.low > 0 else NO_BETTER
    (one,) = found
    low, high = (float(one.own - q) for q in np.quantile(one.random, [0.975, 0.025]))
    method = f"2.5 % to 97.5 % of {len(one.random)} random orders"
    interval = Interval(one.paired, low, high, 0.95, method, 1)
    if one.parts < 9 and factorial(one.parts) < LEAST_ORDERS:
        return interval, CAN_T_TELL
    return interval, BETTER if low > 0 else NO_BETTER


def agreement(first: Attribution, second: Attribution) -> float:
    """The rank correlation of two explanations of one row (Spearman), in -1 .. 1; 1 where there is
    one part."""
    if len(first.values) < 2:
        return 1.0
    one, two = (np.argsort(np.argsort(a.values, kind="stable")) for a in (first, second))
    return float(np.corrcoef(one, two)[0, 1])
