"""The generators of a study, their trainings and the names of their arms. Each training generates
one batch of images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from gobelin.augmentation.arms import CLASSIC
from gobelin.augmentation.settings import Augment
from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.files import fingerprint
from gobelin.core.later import in_key
from gobelin.evidence.findings import Finding
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import RunGenerator, Trained


@dataclass(frozen=True, eq=False)
class GeneratorTraining:
    """One training of one generator."""

    generator: RunGenerator
    seed: int

    @property
    def name(self) -> str:
        return self.generator.settings.name

    def label(self) -> str:
        return f"{self.name}, training seed {self.seed}"

    @property
    def stored(self) -> bool:
        """Whether the run folder holds this training with these settings."""
        folder, generator = self.generator.folder, self.generator
        return folder.has(generator.stage(self.seed), generator.key(self.seed))

    @cached_property
    def trained(self) -> Trained:
        """The trained generator. It is trained first where the run folder does not hold it."""
        return self.generator.sampler(self.seed)


def names(run: Run) -> tuple[str, ...]:
    """The generators of the study: those in the settings, else the one of the run."""
    return run.settings.augment.generators or (run.settings.generator.name,)


def arm_names(run: Run, generator: str) -> tuple[str, str]:
    """The names of a generator's two arms: its images alone, and with classic augmentation."""
    by = f" by {generator}" if len(names(run)) > 1 else ""
    return f"generated{by}", f"{CLASSIC} + generated{by}"


def trainings_of(run: Run) -> list[GeneratorTraining]:
    """Every training of every generator of the study."""
    return [
        GeneratorTraining(generator, seed)
        for generator in (_named(run, name) for name in names(run))
        for seed in range(generator.settings.seeds)
    ]


def trained_weights(run: Run) -> list[str]:
    """The hash of every training of the study. Trains the generators that are not there."""
    return [training.trained.sampler.fingerprint() for training in trainings_of(run)]


def _named(run: Run, name: str) -> RunGenerator:
    """A generator of the study. One that is not the run's has its default settings, with the size
    and the number of seeds of the run's generator.
    """
    settings = run.settings.generator
    if name == settings.name:
        return run.generator
    component = catalog.build("generators", name)
    other = replace(
        settings,
        name=name,
        settings=resolved(component),
        steps=run.settings.augment.steps.get(name, 0),
        source=settings.source if "source" in component.accepts else "",
    )
    return replace(run.generator, settings=other)


def with_steps_decided(run: Run) -> Run:
    """The run with a number of training steps for every generator of the study.

    Each is decided once and written to the run's settings.
    """
    for name in names(run):
        if name == run.settings.generator.name:
            run = run.with_steps_decided()
        elif not run.settings.augment.steps.get(name):
            augment = run.settings.augment
            steps = {**augment.steps, name: _named(run, name).steps()}
            run = run.record(replace(run.settings, augment=replace(augment, steps=steps)))
    return run


def few_steps(run: Run) -> list[Finding]:
    """A finding for every generator that trains fewer steps than it needs."""
    out = []
    for generator in {t.name: t.generator for t in trainings_of(run)}.values():
        steps = generator.planned_steps
        if note := generator.few_steps(steps):
            out.append(
                Finding(
                    name="generator_steps",
                    scope={"generator": generator.settings.name},
                    value=float(steps),
                    note=note,
                    source="augment",
                )
            )
    return out


def study_key(run: Run, trained: list[str]) -> str:
    """Cache key of a study: predictor, trained generators, settings. The settings of baseline
    methods enter where any are given, so that the keys of earlier runs stay."""
    s = run.settings
    tuned = [s.tune] if s.augment.tune else []
    decided: Augment = replace(s.augment, minutes=None, steps={})
    others = (resolved(group) for group in (s.predict, s.fusion, *tuned))
    groups = [in_key(decided), in_key(s.judge), *others]
    return fingerprint(run.predictor.model.fingerprint(), trained, *groups)
