"""Every fusion, and what a practitioner would build by hand, on real sets of records.

python benchmarks/fusion.py [--sample openmoji] [--keep DIR]

The fusion is chosen by cross-fitted training rows (`gobelin fit --fusion all`); then it and every rival read the validation and
the test rows, which nothing was chosen on. Rivals: the best single field (chosen in the same way), a random forest a field
under soft voting, histogram gradient boosting and logistic regression on all features side by side.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin import Workbench, catalog, comparison, config, contest, evaluation, evidence
from gobelin.contest import OWN
from gobelin.data.fields import Target
from gobelin.embedding import Embeddings
from gobelin.jobs import Job
from gobelin.predict import Training, cross_fit
from gobelin.runtime import Progress, Runtime

SAMPLES = ("openmoji", "tuxpaint")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", choices=SAMPLES)
    parser.add_argument("--keep", type=Path, help="Folder for the runs; encoded cells are used again.")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in [said.sample] if said.sample else SAMPLES:
            compare(name, (said.keep or Path(temporary)) / name)


def compare(sample: str, folder: Path) -> None:
    source = catalog.build("samples", sample)
    data = folder / "data" / "records.csv"
    settings = config.merge(source.settings(), {"fusion": {"name": "all"}})
    bench = Workbench(data if data.is_file() else source.write(folder / "data", 0), source.target, folder, settings)
    start = time.perf_counter()
    bench.fit()
    made = bench.made
    chosen, training, unseen = made.settings.fusion.name, made.training, unseen_rows(made)
    own = {f.scope["fusion"]: f.value for f in made.contested() if f.name == OWN}
    hits = {name: read(catalog.build("fusion", name), training, unseen) for name in catalog.names("fusion")}
    alone = {f: replace(training, embeddings=training.embeddings.keep([f])) for f in training.embeddings.fields}
    concat = catalog.build("fusion", "concat")
    scores = {f: contest.contest({"concat": concat}, one)[1][0].value for f, one in alone.items()}
    single = max(scores, key=lambda f: scores[f])
    rivals = {f"{single} alone": read(concat, alone[single], unseen.keep([single])), "forests under voting": hits["voting"]}
    boosting = HistGradientBoostingClassifier(random_state=0)
    rivals["gradient boosting"] = read(Flat(boosting), replace(training, settings=once(training)), unseen)
    rivals["logistic regression"] = read(Flat(LogisticRegression(max_iter=1000), filled=True), training, unseen)
    rows = places(training, unseen)
    label, units = training.target.values[rows], [training.groups[r] for r in rows]

    def figure(one: np.ndarray) -> dict[str, float]:
        found = evidence.balanced_accuracy(one, label, units)
        return {"value": found.value, "low": found.low, "high": found.high}

    gains = {}
    for name, one in rivals.items():
        gain = comparison.compare(one, hits[chosen], label, units)
        gains[name] = {"value": gain.value, "low": gain.low, "high": gain.high}
    record.append("fusion", {
        "contender": sample, "chosen": chosen, "training_rows": len(training.rows), "unseen_rows": len(label),
        "classes": len(np.unique(label)), "chosen_by": own, "fusions": {k: figure(v) for k, v in hits.items()},
        "rivals": {k: figure(v) for k, v in rivals.items()}, "gain_over": gains, "seconds": round(time.perf_counter() - start),
    })  # fmt: skip


def unseen_rows(made: Any) -> Embeddings:
    """Validation and test rows whose class can be judged."""
    rows = [evaluation.scored_rows(made.rows.target, made.rows.labelled(part)) for part in ("valid", "test")]
    return made.inputs(made.embeddings.rows(np.concatenate(rows))).keep(made.predict_fields)


def places(training: Training, unseen: Embeddings) -> list[int]:
    """Where these rows stand among all."""
    place = {name: k for k, name in enumerate(training.embeddings.ids)}
    return [place[i] for i in unseen.ids]


def read(fusion: Any, training: Training, unseen: Embeddings) -> np.ndarray:
    """1 where a row's class is read right."""
    truth = training.target.values[places(training, unseen)]
    return (cross_fit(fusion, training).predictor.scores(unseen).argmax(1) == truth).astype(float)


def once(training: Training) -> Any:
    """Predict settings without a choice of decays: boosting knows none."""
    return replace(training.settings, decays=(0.0,), folds=2)


@dataclass(frozen=True)
class Flat:
    """An estimator of scikit-learn on all features side by side, scaled. filled: a missing one is its mean, and a column
    says so; else it is nan. A job's decay d becomes C = 1 / (d n)."""

    estimator: Any
    filled: bool = False

    def fit(
        self, x: Embeddings, target: Target, jobs: Sequence[Job], basis: np.ndarray, runtime: Runtime, progress: Progress
    ) -> list[FlatPredictor]:
        from sklearn.base import clone

        known = side_by_side(x.rows(basis))
        mean, spread = np.nanmean(known, 0), np.nanstd(known, 0) + 1e-6
        out = []
        for job in jobs:
            estimator = clone(self.estimator)
            if self.filled and job.decay:
                estimator.set_params(C=1 / (job.decay * len(job.rows)))
            predictor = FlatPredictor(estimator, mean, spread, self.filled, len(target.classes))
            estimator.fit(predictor.seen(x.rows(job.rows)), target.values[job.rows], sample_weight=job.weights)
            out.append(predictor)
        return out


@dataclass(frozen=True)
class FlatPredictor:
    estimator: Any
    mean: np.ndarray
    spread: np.ndarray
    filled: bool
    classes: int

    def seen(self, x: Embeddings) -> np.ndarray:
        scaled = (side_by_side(x) - self.mean) / self.spread
        return np.concatenate([np.nan_to_num(scaled), x.present], 1) if self.filled else scaled

    def scores(self, x: Embeddings) -> np.ndarray:
        out = np.full((len(x), self.classes), np.log(1e-3))
        out[:, self.estimator.classes_] = np.log(self.estimator.predict_proba(self.seen(x)).clip(1e-3))
        return out


def side_by_side(x: Embeddings) -> np.ndarray:
    """float64 [N, D]: nan where a field is missing."""
    return np.concatenate([np.where(x.present[:, [k]], x.features[f], np.nan) for k, f in enumerate(x.fields)], 1)


if __name__ == "__main__":
    main()
