"""The number of seeds of a study that fits the minutes.

It is decided once, before the work, and written to the run's settings. So the same command, given
again, continues the same study.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gobelin.augmentation import plan as study_plan
from gobelin.augmentation.settings import Augment
from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.files import write_json
from gobelin.evidence.findings import Finding
from gobelin.prediction.heads.job import Job
from gobelin.workbench.augment.generators import names
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.augment.plan import missing_trainings
from gobelin.workbench.run.chain import Run

# baseline methods with a new image for each generated one; the views of `classic` count apart
ENCODED_ARMS = ("generator_size", "procedural_noise")
TIMED_IMAGES = 16  # images whose encoding is timed


def decide(run: Run) -> Run:
    """The run with a number of seeds that fits into the minutes, with every arm trained.

    The decision is written to the run's settings, with all other settings.
    """
    settings, study = run.settings, run.settings.augment
    before = run.folder.stored("settings.json").get("augment", {})
    if study.minutes is None or before.get("minutes") == study.minutes:
        return run.record(settings)
    missing, seconds = missing_trainings(run), 60 * study.minutes
    generator_seconds = min(60 * settings.generator.minutes, seconds / 2 / max(missing, 1))
    generator = replace(settings.generator, minutes=generator_seconds / 60)
    trainings = len(names(run)) * generator.seeds
    head, image = _seconds(run, heads=1 + len(study.rivals) + 2 * trainings)
    batches = 3 * trainings + sum(r in study.rivals for r in ENCODED_ARMS) + 1
    images = len(Parents.of(run).places) * batches
    tuning = head * study.trials * study.tuning_seeds
    fixed = missing * generator_seconds + study.sets * (tuning + image * images)
    most = max(study.seeds, Augment().seeds)
    seeds = study_plan.affordable(seconds, fixed, head * study.sets, most)
    decided = replace(settings, generator=generator, augment=replace(study, seeds=seeds))
    return run.record(decided)


@contextlib.contextmanager
def undone(run: Run) -> Iterator[None]:
    """Restore the run's settings where a generator of the study can't be trained."""
    before = run.folder.stored("settings.json")
    try:
        yield
    except GobelinError:
        generators = names(run)
        trained = [g for g in generators if run.folder.has(f"generators/{g}-0")]
        if len(trained) < len(generators):
            steps = run.folder.stored("settings.json").get("augment", {}).get("steps", {})
            still_valid = {g: n for g, n in steps.items() if g in trained}
            before.setdefault("augment", {})["steps"] = still_valid
            write_json(run.folder.folder / "settings.json", before)
        raise


def _seconds(run: Run, heads: int) -> tuple[float, float]:
    """Measured seconds of training one head, of several together, and of encoding one image."""
    rows, chosen = run.checked.rows.labelled("train"), run.settings.fusion
    fusion = catalog.build("fusion", chosen.name, chosen.settings)
    x, target = (
        run.predictor.inputs(run.features.embeddings.rows(rows)),
        run.checked.rows.target.rows(rows),
    )
    positions, ones = np.arange(len(rows)), np.ones(len(rows), np.float32)
    jobs = [Job(positions, ones, seed, 1e-2) for seed in range(heads)]
    start = time.monotonic()
    fusion.fit(x, target, jobs, positions, run.data.runtime, run.data.progress)
    head, start = time.monotonic() - start, time.monotonic()
    size = run.settings.generator.size
    run.generator.encode(np.zeros((TIMED_IMAGES, size, size, 3), np.uint8))
    return head, (time.monotonic() - start) / TIMED_IMAGES


def seeds_finding(run: Run) -> list[Finding]:
    """The number of seeds, where the minutes decided it."""
    study, usual = run.settings.augment, Augment().seeds
    if study.minutes is None:
        return []
    note = f"decided before the work to fit {study.minutes:g} minutes; every baseline method runs"
    if study.seeds < usual:
        note += f"; {usual} are the default, so the interval is wider"
    return [
        Finding(
            name="seeds_of_each_arm",
            value=float(study.seeds),
            n=study.seeds,
            note=note,
            source="augment",
        )
    ]
