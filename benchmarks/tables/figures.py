"""How a figure is written in a table."""

from __future__ import annotations

from typing import Any


def percent(figure: dict[str, Any]) -> str:
    value, low, high = (100 * figure[k] for k in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"
