"""Which generators a study tries: each training of each of them makes one batch of images, and its
arms have names."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from gobelin.augmentation.arms import CLASSIC
from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.workbench.run.folder import Artefacts

GENERATED, BOTH = "generated", f"{CLASSIC} + generated"


@dataclass(frozen=True)
class Batch:
    """One training of one generator. made: the run with this generator as its own."""

    made: Artefacts
    seed: int

    @property
    def name(self) -> str:
        return self.made.settings.generator.name

    def label(self) -> str:
        return f"{self.name}, training seed {self.seed}"


def generators(made: Artefacts) -> tuple[str, ...]:
    """The names of the study's generators: those that were asked for, else the run's own."""
    return made.settings.augment.generators or (made.settings.generator.name,)


def arm_names(made: Artefacts, generator: str) -> tuple[str, str]:
    """Of the arm of a generator's images, and of the one with the classic views too."""
    by = f" by {generator}" if len(generators(made)) > 1 else ""
    return f"{GENERATED}{by}", f"{BOTH}{by}"


def batches_of(made: Artefacts) -> list[Batch]:
    """Every training of every generator of the study; the data aren't needed for the run's own."""
    each = [with_generator(made, name) for name in generators(made)]
    return [Batch(one, seed) for one in each for seed in range(one.settings.generator.seeds)]


def with_generator(made: Artefacts, name: str) -> Artefacts:
    """The run with another generator in the place of its own, at its own settings; all that doesn't
    depend on it is shared. Its count of steps is decided once and written to the run's settings."""
    how = made.settings
    if name == how.generator.name:
        made.decide_steps()
        return made
    component = catalog.build("generators", name)
    source = how.generator.source if "source" in component.accepts else ""
    own = replace(
        how.generator,
        name=name,
        settings=resolved(component),
        steps=how.augment.steps.get(name, 0),
        source=source,
    )
    _ = made.shared, made.rows
    other = copy.copy(made)
    other.__dict__.pop("image_rows", None)
    other.settings = replace(how, generator=own)
    if not own.steps:
        steps = component.steps_for(other.image_rows[0], made.runtime, own.minutes)
        made.record(
            replace(how, augment=replace(how.augment, steps={**how.augment.steps, name: steps}))
        )
        other.settings = replace(made.settings, generator=replace(own, steps=steps))
    return other
