"""Arms with encoders of their own: where a run tunes its encoders, a study can train the encoders
of every arm on its generated images too.

First the rows and weights of an arm are chosen. Then the encoders, as they were before tuning, are
trained on them: again for every seed of every arm, with equally many steps, several at a time. The
head and the features of the test rows use these encoders, so one interval covers their trainings
too. Rows held back stop a training. Added rows among them have weight 0 and are not scored, so no
arm is judged by its own images.

What this cannot show: ratio, weight and decay were chosen with the run's encoders. With other
encoders another choice may be better.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from gobelin.augmentation.study import FittedPredictor
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import one_thread_each, silent
from gobelin.core.workers import in_order
from gobelin.data.dataset import LINEAGE_COLUMN, Dataset
from gobelin.data.provenance.marks import records
from gobelin.prediction.cross_fit import Training
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.heads.job import Job
from gobelin.prediction.tuning import decision
from gobelin.prediction.tuning.settings import Tune
from gobelin.prediction.tuning.tuner import TuningData
from gobelin.workbench.augment.arms import ArmTable
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.settings import Settings


def check(settings: Settings) -> None:
    """Refuse settings that don't fit, before any work. Raises GobelinError."""
    study = settings.augment
    if study.tune and not settings.tune.fields:
        raise GobelinError(
            "augment.tune: this run tunes no encoder. Fit one with --set tune.fields=FIELD, or"
            " leave augment.tune out."
        )
    if study.tune and study.study == "method":
        raise GobelinError(
            "augment.tune: a study of the method does not train encoders. Leave --study method"
            " or augment.tune out."
        )
    if study.tune and settings.predict.features == "shared":
        raise GobelinError(
            "augment.tune: prediction uses the shared space, which does not change. Leave"
            " augment.tune out."
        )


def fit(
    run: Run, fusion: Fusion, table: ArmTable, jobs: Sequence[Job], test: np.ndarray
) -> list[FittedPredictor]:
    """A predictor for each job, with the features of the test rows by its own encoders.

    jobs: of rows of `table`. test: int64 [n], rows of the run's data.
    """
    work, tune, data = run.folder.folder / "work" / "arms", run.settings.tune, run.data
    rows = _Rows(run, fusion, table, _groups(run, table.dataset), test, work)
    steps = decision.planned_steps(tune, rows.tuning_data(jobs[0]))  # the same for every arm
    fit_job = partial(rows.fit, replace(tune, steps=steps))
    out = []
    with one_thread_each() as threads:
        for done in in_order(fit_job, jobs, threads, ahead=threads):
            out.append(done)
            data.progress("train the encoders of every arm", len(out), len(jobs))
    shutil.rmtree(work, ignore_errors=True)
    return out


def _groups(run: Run, dataset: Dataset) -> list[str]:
    """The group of each row: its own, or that of its first parent where it was added."""
    rows = run.checked.rows
    of_row = dict(zip(rows.dataset.ids, rows.groups, strict=True))
    lineage = records(dataset.with_origin().table[LINEAGE_COLUMN].to_pylist(), LINEAGE_COLUMN)
    parents = [
        (record.get("parents") or [i])[0] for i, record in zip(dataset.ids, lineage, strict=True)
    ]
    pairs = zip(dataset.ids, parents, strict=True)
    return [of_row.get(i) or of_row.get(parent) or i for i, parent in pairs]


@dataclass(frozen=True)
class _Rows:
    """The inputs that all trainings of the arms share."""

    run: Run
    fusion: Fusion
    table: ArmTable
    groups: list[str]  # of the table's rows
    test: np.ndarray  # int64 [n], rows of the run's data
    work: Path  # folder of unfinished trainings

    def fit(self, tune: Tune, job: Job) -> FittedPredictor:
        """Train the encoders on the rows of one job, then the head on their features."""
        run, data = self.run, self.tuning_data(job)
        name = fingerprint(data.dataset.ids, job.weights, job.seed, tune.steps)
        key = fingerprint(run.predictor.fingerprint, name)
        encoders, _, _ = decision.trained(tune, data, self.work / name[:16], key)
        plain, used = run.encoders.embedder, run.predictor.fields
        embedder = replace(plain, encoders={**plain.encoders, **encoders}, cache=None, workers=1)
        which, position = np.unique(job.rows, return_inverse=True)
        real = np.flatnonzero(data.dataset.with_origin().origins == "real")
        (predictor,) = self.fusion.fit(
            embedder.embed(data.dataset).keep(used),
            self.table.target.rows(which),
            [replace(job, rows=position)],
            real,
            run.data.runtime,
            silent,
        )
        test = run.checked.rows.dataset.rows(self.test)
        return FittedPredictor(predictor, embedder.embed(test).keep(used))

    def tuning_data(self, job: Job) -> TuningData:
        """The different rows of a job; the weights of equal rows are added up.

        Added rows that are held back have weight 0.
        """
        run = self.run
        which, position = np.unique(job.rows, return_inverse=True)
        dataset = self.table.dataset.rows(which)
        training = Training(
            run.settings.predict,
            run.encoders.embedder.embed(dataset).keep(run.predictor.fields),
            self.table.target.rows(which),
            np.arange(len(which)),
            [self.groups[r] for r in which],
            np.bincount(position, job.weights).astype(np.float32),
            replace(run.data.runtime, seed=job.seed),
        )
        held_back = decision.held_back(run.settings.tune, training)
        out = held_back & (dataset.with_origin().origins != "real")
        weights = np.where(out, np.float32(0), training.weights)
        return TuningData(run.encoders.embedder, dataset, replace(training, weights=weights))
