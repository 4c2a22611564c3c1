"""What a generator promises of the rows that it learned from, and what it doesn't.

Differential privacy (Dwork et al. 2006): adding or removing one group changes the probability of
anything that is released by a factor of exp(epsilon) at most, but for a probability of delta.

A promise for a generator alone is none for a run: `NOT_PRIVATE` lists what else follows from the
rows. It stands beside every epsilon that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gobelin.core.config import setting, settings_class

NOT_PRIVATE = (
    "the count of rows and of groups",
    "the names of columns and of classes",
    "the choice of settings, steps and precision",
    "everything else in the run: encoders with their quantiles, the shared space, the predictor,"
    " its findings",
    "which images a study or a person keeps by looking at training rows or at the predictor",
)
WEIGHED = "the rows' weights"


@settings_class
class Budget:
    """How much a private generator may tell of one group."""

    epsilon: float = setting(
        default=3.0,
        ge=0.01,
        le=100,
        description="Largest epsilon of a training. 1 is strict, 10 is loose.",
    )
    delta: float = setting(
        default=0.0,
        ge=0,
        lt=1,
        description="Delta, below 1 / groups. 0 takes 1e-5 or a tenth of 1 / groups if smaller.",
    )


@dataclass(frozen=True)
class Guarantee:
    """The promise of one training."""

    epsilon: float
    delta: float
    unit: str  # what is added or removed: 'group', or 'row' where each row is one
    noise: float  # standard deviation, over the most that one unit changes
    mechanism: str  # how it was reached, in a few words
    weighed: bool = False  # whether rows had weights

    @property
    def not_private(self) -> tuple[str, ...]:
        """What the promise doesn't cover."""
        return (*NOT_PRIVATE, WEIGHED) if self.weighed else NOT_PRIVATE

    def sentences(self) -> tuple[str, str]:
        """The promise, and its limits."""
        return (
            f"delta {self.delta:.3g}, for adding or removing one {self.unit}; {self.mechanism}",
            f"Not private: {'; '.join(self.not_private)}",
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> Guarantee:
        return Guarantee(**stored)


def kept_private(_: Guarantee) -> None:
    """Where nobody keeps an account of what trainings spend."""
