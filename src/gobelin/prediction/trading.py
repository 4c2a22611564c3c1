"""What it would have earned to act on the predictions, after costs.

A prediction is a position: 1 (buy), -1 (sell short), 0 (stay out), or what `trade.positions` says
of its class; of a number its sign. A row's return is earned from the time of the row until its
answer is known. Trading costs a share of what is traded: each change of an asset's position, from
nothing at the first row and to nothing after the last. The assets of one moment count equally.

Three rules that learn nothing stand beside it: to hold everything, to bet that the last move goes
on (momentum, Jegadeesh & Titman 1993), and, where the package is there, the zero-shot forecast of
`prediction.forecaster`.

What this cannot show: whether the orders would have been filled at these prices, what a larger
order does to the price, taxes, interest, and what happens in a market that was not seen. A rule
that was chosen because it did well on these rows did better on them than it will.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.core.shell import set_option
from gobelin.data.fields import Schema, Target, set_kind
from gobelin.evidence.blocks import mean_over_time
from gobelin.evidence.findings import Finding

PREDICTOR, HOLDING, MOMENTUM = "the predictor", "holding", "the last move"
GAINED, LOST, NO_EVIDENCE = "gained", "lost", "no evidence"


@settings_class
class Trade:
    """Acting on the predictions, after costs."""

    returns: str = setting(
        default="", description="Column with the return of each row until its answer. '': no trade."
    )
    asset: str = setting(default="", description="Column with the name of what is traded.")
    cost: float = setting(
        default=0.001, ge=0, le=1, description="Cost of a trade, as a share of what is traded."
    )
    positions: Mapping[str, Annotated[float, setting(ge=-1, le=1)]] = setting(
        default_factory=lambda: {"up": 1.0, "down": -1.0},
        description="Position that each class asks for: 1 buys, -1 sells short, 0 stays out.",
    )
    series: str = setting(
        default="", description="Series column whose last move is followed. '': the first one."
    )
    block: int = setting(
        default=0, ge=0, description="Mean block of the bootstrap, in moments. 0: its cube root."
    )


def misfits(
    trade: Trade, columns: Sequence[str], schema: Schema, target: Target, by_time: bool
) -> list[str]:
    """What of these settings does not fit the data, a line each; nothing without `trade.returns`.

    columns: of the data. by_time: whether the rows are split in the order of time."""
    if not trade.returns:
        return []
    wrong = [
        f"trade.{setting}: no column {column!r}. Name one of the data."
        for setting, column in (("returns", trade.returns), ("asset", trade.asset))
        if column and column not in columns
    ]
    if any(trade.returns in field.columns for field in schema.fields):
        wrong.append(
            f"trade.returns: {trade.returns!r} is the future, and is read as a feature. Leave it"
            f" out: {set_kind(trade.returns, 'ignore')}."
        )
    series = [c for field in schema.fields if field.kind == "series" for c in field.columns]
    if trade.series and trade.series not in series:
        wrong.append(f"trade.series: {trade.series!r} is no column of series. Name one of them.")
    if target.kind not in ("class", "ordinal", "number"):
        wrong.append(
            f"trade.returns: {target.name!r} has several labels a row, which are no position."
        )
    elif target.kind != "number":
        wrong += _without_position(trade, target)
    if not by_time:
        wrong.append(
            "trade.returns: a trade needs rows in the order of time. Use --set split.by=time."
        )
    return wrong


@dataclass(frozen=True)
class Market:
    """What n rows can earn: their time float64 [n], asset, and return float64 [n] until the answer
    is known, nan where there is none."""

    times: np.ndarray
    assets: Sequence[str]
    returns: np.ndarray

    def apart(self, gap: float) -> np.ndarray:
        """int64: rows of each asset whose returns don't overlap, the first ones first, in the order
        of time."""
        last: dict[str, float] = {}
        kept = []
        for k in np.argsort(self.times, kind="stable").tolist():
            asset, time = self.assets[k], float(self.times[k])
            if np.isfinite(self.returns[k]) and time >= last.get(asset, -np.inf) + gap - 1e-9:
                last[asset] = time
                kept.append(k)
        return np.array(kept, np.int64)

    def rows(self, index: np.ndarray) -> Market:
        return Market(
            self.times[index], [self.assets[k] for k in index.tolist()], self.returns[index]
        )

    def net(self, positions: np.ndarray, cost: float) -> np.ndarray:
        """float64 [moments]: return after costs at each moment, the mean of its assets. The rows
        are in the order of time. positions: float64 [n]."""
        earned = positions * self.returns
        held: dict[str, int] = {}  # {asset: the row of its last position}
        for k, asset in enumerate(self.assets):
            before = positions[held[asset]] if asset in held else 0.0
            earned[k] -= cost * abs(positions[k] - before)
            held[asset] = k
        for k in held.values():
            earned[k] -= cost * abs(positions[k])
        _, place, counts = np.unique(self.times, return_inverse=True, return_counts=True)
        return np.asarray(np.bincount(place, earned) / counts)


def class_positions(trade: Trade, target: Target, chosen: np.ndarray) -> np.ndarray:
    """float64 [n]: the position of each predicted class, chosen int64 [n]. GobelinError where a
    class has no position."""
    if without := _without_position(trade, target):
        raise GobelinError(without[0])
    return np.array([trade.positions[name] for name in target.classes], float)[chosen]


def _without_position(trade: Trade, target: Target) -> list[str]:
    """A line for the first class without a position."""
    missing = [name for name in target.classes if name not in trade.positions]
    return [
        f"trade.positions: no position for the class {name!r}. Add it:"
        f" {set_option(f'trade.positions.{name}', '0')}."
        for name in missing[:1]
    ]


def traded(
    trade: Trade, market: Market, rules: Mapping[str, np.ndarray], gap: float, seed: int
) -> list[Finding]:
    """Findings: the return of each rule after costs, and the predictor against each other rule.

    rules: {name: positions float64 [n]}, the predictor's among them. gap: time until an answer is
    known; of rows nearer than that, one is traded. The predictor gained if its return and each
    difference is above zero, lost if its return is below; each by its 95 % interval.
    """
    kept = market.apart(gap)
    some = market.rows(kept)
    net = {name: some.net(positions[kept], trade.cost) for name, positions in rules.items()}
    findings = []
    others = [name for name in net if name != PREDICTOR]
    intervals = {name: mean_over_time(values, trade.block, seed) for name, values in net.items()}
    differences = {
        name: mean_over_time(net[PREDICTOR] - net[name], trade.block, seed) for name in others
    }
    own = intervals[PREDICTOR]
    verdict = NO_EVIDENCE
    if own.low > 0 and all(one.low > 0 for one in differences.values()):
        verdict = GAINED
    elif own.high < 0:
        verdict = LOST
    note = (
        f"mean over {own.n} moments, {len(kept)} of {len(market.returns)} rows, after costs of"
        f" {trade.cost:.3%} of what is traded"
    )
    for name, interval in intervals.items():
        finding = interval.finding(
            "net_return",
            scope={"position": name},
            unit="share",
            better="higher",
            chance=0.0,
            note=note,
            source="evaluate",
        )
        if name == PREDICTOR:
            finding = replace(finding, verdict=verdict, sure=verdict != NO_EVIDENCE)
        findings.append(finding)
    findings += [
        one.finding(
            "net_return_difference",
            scope={"position": PREDICTOR},
            comparator=name,
            unit="points",
            better="higher",
            source="evaluate",
        )
        for name, one in differences.items()
    ]
    return findings
