"""A limit of time for a study: how many training seeds fit into it.

Without a limit the number of seeds is the setting. A limit decides once, after the first tenth of
the heads or of the time, whichever is first. The decision is written to the run's settings, so the
same command, given again, continues the same study.

What it can't do: keep a limit to the second. A machine that gets busy later takes longer; the
number stays. Half of the time is set aside for generators that are still to train.
"""

from __future__ import annotations

import contextlib
import math
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
from gobelin.networks.training.limit import FIRST_PART
from gobelin.prediction.heads.job import Job
from gobelin.workbench.augment.generators import names
from gobelin.workbench.augment.parents import Parents
from gobelin.workbench.augment.plan import missing_trainings
from gobelin.workbench.run.chain import Run

# baseline methods with a new image for each generated one; the views of `classic` count apart
ENCODED_ARMS = ("generator_size", "procedural_noise")
TIMED_BLOCKS, TIMED_IMAGES = 5, 16  # blocks whose encoding is timed, and images of a block


def decide(run: Run) -> Run:
    """The run with a number of seeds that fits into the minutes, with every arm trained.

    The decision is written to the run's settings, with all other settings.
    """
    settings, study = run.settings, run.settings.augment
    before = run.folder.stored("settings.json").get("augment", {})
    if study.minutes is None or before.get("minutes") == study.minutes:
        return run.record(settings)
    missing, seconds = missing_trainings(run), 60 * study.minutes
    generator, for_generators = settings.generator, 0.0
    if missing:
        half = seconds / 2 / missing
        limit = min(60 * (generator.minutes or math.inf), half)
        generator, for_generators = replace(generator, minutes=limit / 60), limit * missing
    trainings = len(names(run)) * generator.seeds
    arms = 1 + len(study.rivals) + 2 * trainings
    tuning = study.trials * study.tuning_seeds
    head, spent = _seconds_of_a_seed(run, arms, tuning + study.seeds, FIRST_PART * seconds)
    image = _seconds_of_an_image(run)
    batches = 3 * trainings + sum(r in study.rivals for r in ENCODED_ARMS) + 1
    images = len(Parents.of(run).places) * batches
    fixed = spent + for_generators + study.sets * (tuning * head + image * images)
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


def _seconds_of_a_seed(run: Run, arms: int, rounds: int, limit: float) -> tuple[float, float]:
    """Seconds of training one head of each arm, and the seconds that were spent to learn that.

    rounds: heads of each arm in the study. A tenth of them is trained, on the real rows; less where
    that takes longer than `limit`.
    """
    rows, chosen = run.checked.rows.labelled("train"), run.settings.fusion
    fusion = catalog.build("fusion", chosen.name, chosen.settings)
    x, target = (
        run.predictor.inputs(run.features.embeddings.rows(rows)),
        run.checked.rows.target.rows(rows),
    )
    positions, ones = np.arange(len(rows)), np.ones(len(rows), np.float32)
    begun, done = time.monotonic(), 0
    while not done or (done < FIRST_PART * rounds and time.monotonic() - begun < limit):
        jobs = [Job(positions, ones, arms * done + k, 1e-2) for k in range(arms)]
        fusion.fit(x, target, jobs, positions, run.data.runtime, run.data.progress)
        done += 1
    spent = time.monotonic() - begun
    return spent / done, spent


def _seconds_of_an_image(run: Run) -> float:
    """Seconds of encoding one image: the median of several blocks."""
    spent = []
    shape = run.generator.medium.shape(run.settings.generator.size)
    images = np.zeros((TIMED_IMAGES, *shape), np.uint8)
    for _ in range(TIMED_BLOCKS):
        begun = time.monotonic()
        run.generator.encode(images)
        spent.append(time.monotonic() - begun)
    return float(np.median(spent)) / TIMED_IMAGES


def seeds_finding(run: Run) -> list[Finding]:
    """The number of seeds, where the minutes decided it."""
    study, usual = run.settings.augment, Augment().seeds
    if study.minutes is None:
        return []
    note = f"decided once, to fit into {study.minutes:g} minutes; every baseline method runs"
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
