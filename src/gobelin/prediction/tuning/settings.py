"""The settings of tuning, which open a run without the networks that tuning trains."""

from __future__ import annotations

from typing import Annotated, Literal

from gobelin.core.config import setting, settings_class


@settings_class
class Tune:
    """Settings of training encoders further on the run's rows."""

    fields: tuple[str, ...] = setting(
        default=(), description="Fields whose encoders are trained further. None by default."
    )
    how: Literal["lora", "full"] = setting(
        default="lora", description="lora learns low-rank changes, full changes every weight."
    )
    minutes: Annotated[float, setting(ge=0.01, le=1e5)] | None = setting(
        default=None,
        description="Longest training in minutes. It can lower the number of steps, once.",
    )
    steps: int = setting(
        default=0,
        ge=0,
        le=100_000_000,
        description="Training steps. 0 decides by the number of training rows.",
    )
    rank: int = setting(default=8, ge=1, le=4096, description="Rank of the low-rank changes.")
    rate: float = setting(
        default=0.0, ge=0, le=1, description="Learning rate. 0 means 0.002 (lora) or 0.0002 (full)."
    )
    batch: int = setting(default=32, ge=1, le=65536, description="Rows in a step.")
    dropout: float = setting(
        default=0.3, ge=0, le=0.95, description="Chance that a present field is hidden in a step."
    )
    held_back: float = setting(
        default=0.2,
        ge=0.05,
        le=0.5,
        description="Share of the training groups held back to judge the result.",
    )
    mirror: float = setting(
        default=0.5, ge=0, le=1, description="Chance that an image is flipped left to right."
    )
    shift: float = setting(
        default=0.1, ge=0, le=0.5, description="Largest shift of an image, as a share of its side."
    )
