"""How long `fit` will take on this machine, guessed from small measurements.

A few cells of each field are encoded, a few heads are fitted to made-up numbers of the right
widths, a generator is trained for a few steps on made-up images. What is measured is shown and goes
nowhere else: no count and no choice depends on it.

What this cannot show: what other programs will take from the machine, cells that are much larger
than the others, and the shared space, which costs less than the heads as a rule.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.machine import numpy_generator, silent
from gobelin.data.files import BadCell
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.generation.generators import Condition, ImageRows
from gobelin.prediction import fusion_choice
from gobelin.prediction.cross_fit import Training
from gobelin.prediction.heads.job import Job
from gobelin.workbench.run.chain import Run

CELLS = 24  # of each field, that are encoded
FIRST_CELLS = 4  # of them, which also load the network
ROWS = 300  # that heads are timed on, at most
IMAGES = 64  # made-up, at least
STEPS = 2, 8  # of the two trainings, whose difference counts
PLAIN_PARTS = frozenset({"vectors", "target"})  # of a condition, that can be made up


def minutes(run: Run, generator: bool, heads: int) -> Finding:
    """The finding `fit_minutes`. heads: fits of one head, for a fusion that is not a pool."""
    seconds: dict[str, float | None] = {"encoding": _encoding(run), "heads": _heads(run, heads)}
    if generator:
        of_one = training_seconds(run)
        seeds = run.settings.generator.seeds
        seconds["generator"] = None if of_one is None else seeds * of_one
    known = {what: s for what, s in seconds.items() if s is not None}
    parts = ", ".join(f"{what} {s / 60:.2g}" for what, s in known.items())
    note = f"{parts}; measured now on a few cells and heads: half or twice as long is usual"
    if missing := [what for what in seconds if what not in known]:
        note += f"; without the {' and the '.join(missing)}"
    total = float(f"{sum(known.values()) / 60:.2g}")
    return Finding(
        name="fit_minutes",
        scope={"verb": "fit"},
        value=total,
        unit="minutes",
        note=note,
        source="plan",
    )


def _encoding(run: Run) -> float:
    """Seconds of encoding all cells, from some of each field."""
    rows, embedder, total = run.checked.rows, run.encoders.embedder, 0.0
    for name, encoder in embedder.encoders.items():
        cells = [c for c in rows.dataset.cells(rows.schema.field(name)) if c is not None]
        chosen = cells[:: -(-len(cells) // CELLS)] if cells else []
        begun, done = time.monotonic(), 0
        for k, cell in enumerate(chosen):
            if k == min(FIRST_CELLS, len(chosen) - 1):
                begun, done = time.monotonic(), 0
            try:
                encoder.embed([encoder.decode(cell, rows.dataset.root)[0]])
            except BadCell:  # of a file that went away in between
                continue
            done += 1
        total += (time.monotonic() - begun) / max(done, 1) * len(cells)
    return total


def _heads(run: Run, heads: int) -> float:
    """Seconds of comparing and fitting heads."""
    rows, settings = run.checked.rows, run.settings
    every = rows.labelled("train")
    chosen = every[:: -(-len(every) // ROWS)]
    rng = numpy_generator(settings.runtime.seed, "cost")
    encoders = run.encoders.embedder.encoders
    fields = tuple(f for f in encoders if f not in settings.leave_out)
    made_up = Embeddings(
        fields,
        {f: rng.normal(size=(len(chosen), encoders[f].width)).astype(np.float32) for f in fields},
        np.ones((len(chosen), len(fields)), bool),
        tuple(map(str, range(len(chosen)))),
        tables=run.encoders.embedder.tables,
    )
    target, places = rows.target.rows(chosen), np.arange(len(chosen))
    training = Training(
        settings.predict,
        made_up,
        target,
        places,
        [rows.groups[k] for k in chosen],
        np.ones(len(chosen), np.float32),
        run.data.runtime,
    )
    if settings.fusion.name == fusion_choice.AUTO:
        return _pool(training, len(every))
    chosen_names = [settings.fusion.name]
    if settings.fusion.name == fusion_choice.BEST_OF_ALL:
        chosen_names = fusion_choice.able(target)
    each = heads / len(chosen_names)
    job = Job(places, np.ones(len(places), np.float32), 0, settings.predict.decays[0])
    total = 0.0
    for name in chosen_names:
        begun = time.monotonic()
        own = settings.fusion.settings if name == settings.fusion.name else {}
        fusion = catalog.build("fusion", name, own)
        fusion.fit(made_up, target, [job], places, run.data.runtime, silent)
        total += each * (time.monotonic() - begun)
    return total


def _pool(training: Training, rows: int) -> float:
    """Seconds of choosing a pool and of fitting it: each kind of head is compared once on few
    rows, and counts as often as there are such heads."""
    from gobelin.prediction import pool_candidates, pool_choice

    trial = pool_choice.Trial(training, training.rows)
    preset, folds = training.settings.preset, training.settings.folds
    planned = pool_candidates.candidates(training.embeddings, trial.target, preset)
    spent: dict[tuple[str, int], float] = {}
    for member in planned:
        if (kind := (member.head, member.trees)) not in spent:
            begun = time.monotonic()
            trial.scored(replace(member, fields=()))
            spent[kind] = time.monotonic() - begun
    compared = sum(spent[member.head, member.trees] for member in planned)
    larger = max(1.0, min(rows, pool_choice.MOST_ROWS) / len(training.rows))
    # then the pool is fitted to all rows and without each fold, for each of the two predictors
    kept = max(1.0, rows / len(training.rows)) * max(spent.values()) * (folds + 1) / folds
    return compared * larger + 2 * kept


def training_seconds(run: Run) -> float | None:
    """Seconds of one training of the generator; None where its conditions can't be made up."""
    settings, generator = run.settings.generator, run.generator
    component = catalog.build("generators", settings.name, settings.settings)
    if not component.accepts <= PLAIN_PARTS or settings.source:
        return None
    steps = generator.planned_steps
    rows = _made_up_images(run, max(IMAGES, getattr(component, "batch", 0)))
    with tempfile.TemporaryDirectory() as folder:
        spent = [_seconds_of(run, rows, Path(folder) / str(count), count) for count in STEPS]
    a_step = max(0.0, (spent[1] - spent[0]) / (STEPS[1] - STEPS[0]))
    limit = 60 * settings.minutes if settings.minutes is not None else np.inf
    return float(min(a_step * steps, limit))


def _seconds_of(run: Run, rows: ImageRows, folder: Path, steps: int) -> float:
    from gobelin.generation import sampling

    folder.mkdir()
    settings = replace(run.settings.generator, steps=steps, minutes=None)
    begun = time.monotonic()
    sampling.train(settings, 0, rows, rows.first(0), folder, run.data.runtime, steps)
    return time.monotonic() - begun


def _made_up_images(run: Run, count: int) -> ImageRows:
    from gobelin.core.lazy import torch

    rows, shape_of = run.checked.rows, run.generator.medium.shape
    rng = numpy_generator(run.settings.runtime.seed, "cost")
    fields = rows.schema.field_names
    shape = (count, len(fields), run.settings.align.width)
    target, chosen = rows.target, np.resize(rows.labelled("train"), count)
    known = None
    if target.exclusive or target.kind == "number":
        values = target.values[chosen]
        known = torch.from_numpy(values.astype(np.int64 if target.exclusive else np.float32))
    condition = Condition(
        tuple(fields),
        torch.from_numpy(rng.normal(size=shape).astype(np.float32)),
        torch.ones(shape[:2], dtype=torch.bool),
        target=known,
    )
    size = shape_of(run.settings.generator.size)
    images = rng.integers(0, 256, (count, *size), np.uint8)
    return ImageRows(images, condition, target.classes if target.exclusive else ())
