"""Every arm of a study with encoders of its own: where a run tunes its encoders, made images can
teach them too.

Once an arm's rows and weights are chosen, the encoders as they came are trained on them as `tuned`
does, anew for every seed of every arm and for as many steps, several at a time; the head and its
view of the test rows rest on these encoders, so one interval covers their trainings too. Rows held
back stop a training; added ones among them neither teach nor judge, so no arm is judged by its own
images.

What this cannot show: ratio, weight and decay were chosen with the run's encoders; with others
another choice may be better."""

from __future__ import annotations

import json
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
from gobelin.prediction.cross_fit import Training
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.heads.job import Job
from gobelin.prediction.tuning import decision
from gobelin.prediction.tuning.tuner import Tune, TuningData
from gobelin.workbench.augment.arms import ArmTable
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.settings import Settings


def check(settings: Settings) -> None:
    """Refuse what can't be done, before any work."""
    study = settings.augment
    if study.tune and not settings.tune.fields:
        raise GobelinError(
            "augment.tune: this run tunes no encoder. Fit one with --set tune.fields=FIELD, or"
            " leave it out."
        )
    if study.tune and study.study == "method":
        raise GobelinError(
            "augment.tune: a study of the method keeps its encoders. Leave --study method or"
            " augment.tune out."
        )
    if study.tune and settings.predict.features == "shared":
        raise GobelinError(
            "augment.tune: prediction reads the shared space, which stays. Leave augment.tune out."
        )


def fit(
    run: Run, fusion: Fusion, table: ArmTable, jobs: Sequence[Job], test: np.ndarray
) -> list[FittedPredictor]:
    """A predictor a job, with the test rows as its own encoders see them.

    jobs: rows of `table`; test: int64 [n], rows of the run's data.
    """
    work, tune, data = run.folder.folder / "work" / "arms", run.settings.tune, run.data
    rows = _Rows(run, fusion, table, _groups(run, table.dataset), test, work)
    fitted = run.predictor.fingerprint
    steps = decision.steps_of(tune, rows.material(jobs[0]), work / "steps", fitted)
    one = partial(rows.fit, replace(tune, steps=steps))
    out = []
    with one_thread_each() as threads:
        for done in in_order(one, jobs, threads, ahead=threads):
            out.append(done)
            data.progress("train the encoders of every arm", len(out), len(jobs))
    shutil.rmtree(work, ignore_errors=True)
    return out


def _groups(run: Run, dataset: Dataset) -> list[str]:
    """Of a real row its own group; of an added one that of its first parent."""
    rows = run.checked.rows
    of_row = dict(zip(rows.dataset.ids, rows.groups, strict=True))
    lineage = dataset.with_origin().table[LINEAGE_COLUMN].to_pylist()
    parents = [
        (json.loads(text).get("parents") or [i])[0] if text else i
        for i, text in zip(dataset.ids, lineage, strict=True)
    ]
    pairs = zip(dataset.ids, parents, strict=True)
    return [of_row.get(i) or of_row.get(parent) or i for i, parent in pairs]


@dataclass(frozen=True)
class _Rows:
    """What every training of the arms shares. groups: of the table's rows."""

    run: Run
    fusion: Fusion
    table: ArmTable
    groups: list[str]
    test: np.ndarray
    work: Path

    def fit(self, tune: Tune, job: Job) -> FittedPredictor:
        """The encoders trained on one job's rows, and the head on their features."""
        run, material = self.run, self.material(job)
        name = fingerprint(material.dataset.ids, job.weights, job.seed, tune.steps)
        key = fingerprint(run.predictor.fingerprint, name)
        encoders, _, _ = decision.trained(tune, material, self.work / name[:16], key)
        plain, used = run.encoders.embedder, run.predictor.fields
        embedder = replace(plain, encoders={**plain.encoders, **encoders}, cache=None, workers=1)
        which, place = np.unique(job.rows, return_inverse=True)
        real = np.flatnonzero(material.dataset.with_origin().origins == "real")
        (predictor,) = self.fusion.fit(
            embedder.embed(material.dataset).keep(used),
            self.table.target.rows(which),
            [replace(job, rows=place)],
            real,
            run.data.runtime,
            silent,
        )
        test = run.checked.rows.dataset.rows(self.test)
        return FittedPredictor(predictor, embedder.embed(test).keep(used))

    def material(self, job: Job) -> TuningData:
        """The rows of a job, each once, with the weights of its repetitions; what is added and held
        back weighs nothing."""
        run = self.run
        which, place = np.unique(job.rows, return_inverse=True)
        dataset = self.table.dataset.rows(which)
        training = Training(
            run.settings.predict,
            run.encoders.embedder.embed(dataset).keep(run.predictor.fields),
            self.table.target.rows(which),
            np.arange(len(which)),
            [self.groups[r] for r in which],
            np.bincount(place, job.weights).astype(np.float32),
            replace(run.data.runtime, seed=job.seed),
        )
        held_back = decision.held_back(run.settings.tune, training)
        out = held_back & (dataset.with_origin().origins != "real")
        weights = np.where(out, np.float32(0), training.weights)
        return TuningData(run.encoders.embedder, dataset, replace(training, weights=weights))
