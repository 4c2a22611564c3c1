"""A forecaster that has learned from other series: Fracast-0 (85,001 weights, Apache-2.0), read
where its package is installed. The only file that imports it.

What this cannot show: which series it learned from; some of the days may be among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from gobelin.core.errors import MissingExtra

NAME = "Fracast-0"
MEDIAN = 0.5
LEAST_SAMPLES = 8  # of a window
AT_ONCE = 64  # windows


@cache
def _model() -> Any:  # noqa: ANN401 - of a package without types
    """The model, loaded once. Raises MissingExtra."""
    try:
        from fracast import FracastModel
    except ImportError as error:
        raise MissingExtra(NAME, command="pip install --no-deps fracast") from error
    return FracastModel.from_pretrained()


def installed() -> bool:
    """Whether the package is there; it is not loaded."""
    import importlib.util

    return importlib.util.find_spec("fracast") is not None


def moves(windows: Sequence[np.ndarray], horizon: int) -> np.ndarray:
    """float64 [n]: the median forecast of each window's value `horizon` samples later, less its
    last value; 0 for a window that is too short. windows: float64 [T] each. Raises MissingExtra."""
    model = _model()
    place = int(np.argmin(np.abs(np.array(model.quantiles) - MEDIAN)))
    out = np.zeros(len(windows))
    by_length: dict[int, list[int]] = {}
    for k, window in enumerate(windows):
        by_length.setdefault(len(window), []).append(k)
    for places in by_length.values():
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            batch = np.stack([windows[k] for k in some])
            if batch.shape[1] >= LEAST_SAMPLES:  # of shorter ones nothing is forecast
                found = model.forecast(batch, horizon=horizon)
                out[some] = found[:, horizon - 1, place] - batch[:, -1]
    return out
