"""Settings of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gobelin.core.config import once, within
from gobelin.evidence.comparison import RESAMPLES_OF_A_METHOD


@dataclass(frozen=True)
class Augment:
    """generators: components, each an arm of its own; none = the run's. study: 'images', what these
    images did, or 'method', with everything inside `resamples` resamples of the training rows.
    ratio: added rows to choose from, as shares of the real ones, the scarce classes first; images
    are made once, for the largest. per_class: images by class, * = every other class; then they are
    all used. rivals: components that always run. seeds: trainings of each arm that are averaged.
    tuning_seeds: of each trial. mixes: weights of an added row to choose from. decays: weight
    decays to choose from; the baseline chooses among as many settings. smallest_effect: what
    matters, of balanced accuracy, or of a number's standard deviation in training rows. minutes:
    for all of it; too few for the arms means fewer seeds, never fewer rivals. steps: of the other
    generators' training, written by the run. quarantine: leave out made images that look like
    copies of training images or like validation or test rows. agree: leave out those whose label
    isn't read from them. match: leave out those that match what else they were asked with worse
    than 95 % of real images. tune: train the encoders of `tune.fields` anew on every arm's rows."""

    generators: tuple[str, ...] = ()
    study: Literal["images", "method"] = "images"
    resamples: int = RESAMPLES_OF_A_METHOD
    ratio: tuple[float, ...] = (0.25, 1.0, 4.0)
    per_class: Mapping[str, int] = field(default_factory=dict)
    rivals: tuple[str, ...] = (
        "classic",
        "generator_size",
        "oversampling",
        "weights",
        "retrieved",
        "copies",
        "procedural_noise",
    )
    seeds: int = 8
    tuning_seeds: int = 2
    mixes: tuple[float, ...] = (0.05, 0.5)
    decays: tuple[float, ...] = (1e-3, 1e-2)
    smallest_effect: float = 0.01
    minutes: float | None = None
    steps: Mapping[str, int] = field(default_factory=dict)
    quarantine: bool = True
    agree: bool = True
    match: bool = True
    tune: bool = False

    def __post_init__(self) -> None:
        if wrong := [r for r in self.ratio if not 0 < r <= 20]:
            raise ValueError(f"ratio = {wrong[0]:g}, above 0 and up to 20 was expected")
        if not self.ratio:
            raise ValueError("ratio = nothing, a number above 0 was expected")
        if self.seeds < 2 or self.tuning_seeds < 1:
            raise ValueError(
                f"seeds = {self.seeds}, tuning_seeds = {self.tuning_seeds}: two and one at least"
                " were expected"
            )
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes = {self.minutes:g}: must be positive")
        if wrong_class := [
            f"per_class.{c} = {n}" for c, n in self.per_class.items() if not 0 <= n <= 1_000_000
        ]:
            raise ValueError(f"{wrong_class[0]}, a number of images from 0 to 1000000 was expected")
        once(self, "generators", "rivals")
        within(
            self,
            {
                "mixes": (1e-6, 1e3),
                "decays": (0, 1e6),
                "smallest_effect": (0, 1e9),
                "resamples": (RESAMPLES_OF_A_METHOD, 1000),
            },
        )

    @property
    def sweep(self) -> tuple[float, ...]:
        """The ratios that tuning chooses from; one where the user said how many images there
        are."""
        return (max(self.ratio),) if self.per_class else self.ratio

    @property
    def sets(self) -> int:
        """How many sets of training rows are studied."""
        return self.resamples if self.study == "method" else 1

    @property
    def trials(self) -> int:
        """Settings that every arm is tried with."""
        return len(self.sweep) * len(self.mixes) * len(self.decays)
