"""The settings of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from gobelin.core.config import Once, setting, settings_class
from gobelin.evidence.comparison import RESAMPLES_OF_A_METHOD


@settings_class
class Augment:
    """Settings of a study."""

    generators: Annotated[tuple[str, ...], Once] = setting(
        default=(), description="Generator components, one arm each. Empty: the run's generator."
    )
    study: Literal["images", "method"] = setting(
        default="images",
        description="images: did these images help. method: does the method, over resamples.",
    )
    resamples: int = setting(
        default=RESAMPLES_OF_A_METHOD,
        ge=RESAMPLES_OF_A_METHOD,
        le=1000,
        description="Resamples of the training rows in a study of the method.",
    )
    ratio: tuple[Annotated[float, setting(gt=0, le=20)], ...] = setting(
        default=(0.25, 1.0, 4.0),
        min_length=1,
        description="Added rows for each real row: the ratios to choose from.",
    )
    per_class: Mapping[str, Annotated[int, setting(ge=0, le=1_000_000)]] = setting(
        default_factory=dict,
        description="Number of images of a class (* for all others). It replaces the ratio.",
    )
    rivals: Annotated[tuple[str, ...], Once] = setting(
        default=(
            "classic",
            "generator_size",
            "oversampling",
            "weights",
            "retrieved",
            "copies",
            "procedural_noise",
        ),
        description="Baseline methods that every study runs.",
    )
    rival_settings: Mapping[str, Mapping[str, Any]] = setting(
        default_factory=dict, description="Settings of a baseline method: METHOD.SETTING."
    )
    seeds: int = setting(
        default=8, ge=2, description="Trainings of each arm; their scores are averaged."
    )
    tuning_seeds: int = setting(default=2, ge=1, description="Trainings of each trial in tuning.")
    mixes: tuple[Annotated[float, setting(ge=1e-6, le=1e3)], ...] = setting(
        default=(0.05, 0.5), min_length=1, description="Weights of an added row to choose from."
    )
    decays: tuple[Annotated[float, setting(ge=0, le=1e6)], ...] = setting(
        default=(1e-3, 1e-2), min_length=1, description="Weight decays to choose from."
    )
    smallest_effect: float = setting(
        default=0.01,
        ge=0,
        le=1e9,
        description="Smallest effect that matters, in balanced accuracy or standard deviations.",
    )
    minutes: Annotated[float, setting(gt=0)] | None = setting(
        default=None,
        description="Minutes to plan a study for. They can lower the number of seeds, once.",
    )
    steps: Mapping[str, int] = setting(
        default_factory=dict,
        description="Training steps of the other generators. Written by the run.",
    )
    quarantine: bool = setting(
        default=True, description="Whether copies of training or test rows are left out."
    )
    agree: bool = setting(
        default=True, description="Whether images whose label is read differently are left out."
    )
    match: bool = setting(
        default=True,
        description="Whether images are left out that miss their condition more than real ones.",
    )
    tune: bool = setting(
        default=False, description="Whether each arm trains the encoders of tune.fields anew."
    )

    later: ClassVar[tuple[str, ...]] = ("rival_settings",)  # `core.later`

    @property
    def changed_rivals(self) -> str:
        """Settings of baseline methods that are not the defaults, in words; '' for none."""
        return ", ".join(
            f"{rival}.{name} = {value}"
            for rival, values in self.rival_settings.items()
            for name, value in values.items()
        )

    @property
    def sweep(self) -> tuple[float, ...]:
        """The ratios that tuning chooses from; one where `per_class` sets the number of images."""
        return (max(self.ratio),) if self.per_class else self.ratio

    @property
    def sets(self) -> int:
        """The number of sets of training rows in the study."""
        return self.resamples if self.study == "method" else 1

    @property
    def trials(self) -> int:
        """The number of settings that tuning tries for every arm."""
        return len(self.sweep) * len(self.mixes) * len(self.decays)
