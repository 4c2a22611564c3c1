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

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import one_thread_each, silent
from gobelin.core.workers import in_order
from gobelin.data.dataset import LINEAGE, Dataset
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.cross_fit import Training
from gobelin.prediction.fusion import Fusion, Predictor
from gobelin.prediction.heads.job import Job
from gobelin.prediction.tuning import decision
from gobelin.prediction.tuning.tuner import Material, Tune
from gobelin.workbench.run.folder import Artefacts


@dataclass(frozen=True)
class Rows:
    """All rows of all arms, each once, and their answers."""

    dataset: Dataset
    target: Target

    def groups(self, made: Artefacts) -> list[str]:
        """Of a real row its own; of an added one that of its first parent."""
        own = dict(zip(made.rows.dataset.ids, made.rows.groups, strict=True))
        told = self.dataset.with_origin().table[LINEAGE].to_pylist()
        parents = [
            (json.loads(one).get("parents") or [i])[0] if one else i
            for i, one in zip(self.dataset.ids, told, strict=True)
        ]
        return [
            own.get(i) or own.get(p) or i for i, p in zip(self.dataset.ids, parents, strict=True)
        ]


def check(made: Artefacts) -> None:
    """Refuse what can't be done, before any work."""
    how, s = made.settings.augment, made.settings
    if how.tune and not s.tune.fields:
        raise GobelinError(
            "augment.tune: this run tunes no encoder. Fit one with --set tune.fields=FIELD, or"
            " leave it out."
        )
    if how.tune and how.study == "method":
        raise GobelinError(
            "augment.tune: a study of the method keeps its encoders. Leave --study method or"
            " augment.tune out."
        )
    if how.tune and s.predict.features == "shared":
        raise GobelinError(
            "augment.tune: prediction reads the shared space, which stays. Leave augment.tune out."
        )


def fit(
    made: Artefacts, fusion: Fusion, rows: Rows, jobs: Sequence[Job], test: np.ndarray
) -> list[tuple[Predictor, Embeddings]]:
    """A predictor a job, and the test rows as its encoders see them.

    jobs: rows into `rows`; test: int64 [n], rows of the run's data."""
    groups, work = rows.groups(made), made.run.folder / "work" / "arms"
    steps = decision.steps_of(
        made.settings.tune, _material(made, rows, jobs[0], groups), work / "steps", made.fitted
    )
    one = partial(
        _one, made, fusion, rows, test, groups, replace(made.settings.tune, steps=steps), work
    )
    out = []
    with one_thread_each() as threads:
        for found in in_order(one, jobs, threads, ahead=threads):
            out.append(found)
            made.progress("train the encoders of every arm", len(out), len(jobs))
    shutil.rmtree(work, ignore_errors=True)
    return out


def _one(
    made: Artefacts,
    fusion: Fusion,
    rows: Rows,
    test: np.ndarray,
    groups: Sequence[str],
    how: Tune,
    work: Path,
    job: Job,
) -> tuple[Predictor, Embeddings]:
    material = _material(made, rows, job, groups)
    name = fingerprint(material.dataset.ids, job.weights, job.seed, how.steps)
    encoders, _, _ = decision.trained(
        how, material, work / name[:16], fingerprint(made.fitted, name)
    )
    reader = replace(
        made.plain_reader,
        encoders={**made.plain_reader.encoders, **encoders},
        cache=None,
        workers=1,
    )
    which, place = np.unique(job.rows, return_inverse=True)
    features = reader.embed(material.dataset).keep(made.predict_fields)
    basis = np.flatnonzero(material.dataset.with_origin().origins == "real")
    (found,) = fusion.fit(
        features, rows.target.rows(which), [replace(job, rows=place)], basis, made.runtime, silent
    )
    return found, reader.embed(made.rows.dataset.rows(test)).keep(made.predict_fields)


def _material(made: Artefacts, rows: Rows, job: Job, groups: Sequence[str]) -> Material:
    """The rows of a job, each once, with the weights of its repetitions; what is added and held
    back weighs nothing."""
    which, place = np.unique(job.rows, return_inverse=True)
    dataset = rows.dataset.rows(which)
    training = Training(
        made.settings.predict,
        made.plain_reader.embed(dataset).keep(made.predict_fields),
        rows.target.rows(which),
        np.arange(len(which)),
        [groups[r] for r in which],
        np.bincount(place, job.weights).astype(np.float32),
        replace(made.runtime, seed=job.seed),
    )
    out = decision.held_back(made.settings.tune, training) & (
        dataset.with_origin().origins != "real"
    )
    weights = np.where(out, np.float32(0), training.weights)
    return Material(made.plain_reader, dataset, replace(training, weights=weights))
