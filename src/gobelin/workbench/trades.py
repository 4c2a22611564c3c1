"""What the validation rows would have earned, where `trade.returns` names their returns."""

from __future__ import annotations

import logging

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.data.files import BadCell
from gobelin.data.series.windows import open_series
from gobelin.data.values.numbers import numbers_of
from gobelin.evidence.findings import Finding
from gobelin.prediction import forecaster
from gobelin.prediction.predictor import Predictions
from gobelin.prediction.trading import (
    HOLDING,
    MOMENTUM,
    PREDICTOR,
    Market,
    Trade,
    class_positions,
    misfits,
    traded,
)
from gobelin.workbench.run.predictor import RunPredictor
from gobelin.workbench.run.rows import Rows

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
MONTH = 21  # samples, whose move is followed
AHEAD = 5  # samples that are forecast


def traded_rows(
    predictor: RunPredictor, rows: np.ndarray, predictions: Predictions
) -> list[Finding]:
    """Findings of acting on the predictions of these rows; none without `trade.returns`.

    rows: int64 [n]. Raises GobelinError for settings that don't fit the data."""
    settings = predictor.features.data.settings
    trade, whole = settings.trade, predictor.checked.rows
    if not trade.returns:
        return []
    order = whole.order(settings.split)
    names = whole.dataset.column_names
    if wrong := misfits(trade, names, whole.schema, whole.target, order is not None):
        raise GobelinError(*wrong)
    assert order is not None
    if settings.split.purge is None:
        LOG.warning(
            "trade.returns: when a row's answer is known is not given (split.purge), so returns of"
            " neighbouring rows count as separate. If they overlap, the interval is too short."
        )
    data = whole.dataset.rows(rows)
    returns = [np.nan if v is None else v for v in numbers_of(data.values(trade.returns))]
    assets = data.values(trade.asset) if trade.asset else [""] * len(rows)
    market = Market(order.times[rows], [str(v) for v in assets], np.array(returns, float))
    target = whole.target
    own = (
        np.sign(predictions.values)
        if target.kind == "number"
        else class_positions(trade, target, predictions.class_indices)
    )
    rules = {PREDICTOR: own, HOLDING: np.ones(len(rows)), **_rules_of_series(trade, whole, rows)}
    return traded(trade, market, rules, settings.split.purge or 0.0, settings.runtime.seed)


def _rules_of_series(trade: Trade, whole: Rows, rows: np.ndarray) -> dict[str, np.ndarray]:
    """{name: positions} of the rules that read the first channel of a series column."""
    series = [
        column
        for field in whole.schema.fields
        if field.kind == "series"
        for column in field.columns
    ]
    name = trade.series or next(iter(series), "")
    if not name:
        return {}
    values, windows = whole.dataset.values(name), []
    for row in rows.tolist():
        try:
            window = open_series(values[row], whole.dataset.root)[0]
            windows.append(window[0])
        except BadCell:
            windows.append(np.zeros(2))  # no move, so no position
    moves = np.array([w[-1] - w[-min(len(w), MONTH + 1)] for w in windows])
    rules = {MOMENTUM: np.sign(moves)}
    if forecaster.installed():
        rules[forecaster.NAME] = np.sign(forecaster.moves(windows, AHEAD))
    else:
        LOG.warning(
            "trade: the forecaster %s is not installed (pip install --no-deps fracast), so it is"
            " not compared.",
            forecaster.NAME,
        )
    return rules
