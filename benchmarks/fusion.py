"""Every fusion, and what a practitioner would build by hand, on real sets of records.

python benchmarks/fusion.py [--sample openmoji] [--folds 5] [--without attention] [--keep DIR]

Every row is read once, by models that never saw its fold: outer folds of whole groups; of a set in
time, later blocks by what came before them. Inside the training part of a fold all is done anew:
encoders fitted, fields that give the label away left out, the fusion chosen by cross-fitted rows
(as `gobelin fit --fusion all` does), every decay. Rivals see the same features: the best single
field (chosen in the same way), a random forest a field under soft voting (the repaired version of
what practitioners write by hand), histogram gradient boosting and logistic regression (of a number:
ridge) on all features side by side.

A gain is in points of balanced accuracy; of a number, in hundredths of its standard deviation by
which the root mean squared error is smaller. Intervals are paired, over groups. What they can't
show: how much other training rows of these sets would change, since folds share most of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.machine import Progress, Runtime
from gobelin.data.fields import Target
from gobelin.embedding.columns import schema
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.evidence import comparison, intervals
from gobelin.prediction import fusion_choice
from gobelin.prediction.cross_fit import Training, balanced, cross_fit, folds_of
from gobelin.prediction.fusion import Predictor
from gobelin.prediction.fusion_choice import FUSION_SCORE
from gobelin.prediction.heads.job import Job
from gobelin.quality.giveaways import giveaways
from gobelin.workbench.run.chain import Run

SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "openmoji": ("openmoji", {}),
    "tuxpaint": ("tuxpaint", {}),
    "sweethome": ("sweethome", {}),
    "sweethome height": ("sweethome", {"predicts": "log_height"}),
    "digits": ("digits", {}),
    "fashion": ("fashion", {}),
    "market": ("market", {}),
}
DECAYS = (1e-2, 1e-1, 1.0)  # of the linear rival, a row; the result says which were taken
# of the features that a split of boosting looks at for classes, each with trees of its own: a tenth
# of the time
SHARE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", choices=list(SETS))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        help="A fusion that does not compete, for its cost.",
    )
    parser.add_argument(
        "--keep", type=Path, help="Folder for the runs; encoded cells are used again."
    )
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in [said.sample] if said.sample else SETS:
            compare(
                name,
                (said.keep or Path(temporary)) / name.replace(" ", "-"),
                said.folds,
                said.without,
            )


def compare(name: str, folder: Path, folds: int, without: Sequence[str]) -> None:
    sample, own = SETS[name]
    source = catalog.build("samples", sample, own)
    start = time.perf_counter()
    run = Workbench(
        source.write(folder / "data", 0), source.target, folder / "run", source.settings()
    ).run
    target = run.checked.rows.target
    seen: dict[str, list[np.ndarray]] = {}
    chosen, alone, decays, rows = [], [], [], []
    for train, unseen in outer(run, folds):
        best, single, decay, found = read_fold(prepared(run, train), unseen, without)
        chosen.append(best), alone.append(single), decays.append(decay), rows.append(unseen)
        for contender, one in found.items():
            seen.setdefault(contender, []).append(one)
    kept, read = judged(target, rows), np.concatenate(rows)
    units = [run.checked.rows.groups[r] for r in read[kept]]
    truth = target.values[read[kept]]
    spread = float(truth.std()) if target.kind == "number" else 1.0
    all_seen = {contender: np.concatenate(parts)[kept] for contender, parts in seen.items()}
    figures = {k: figure(one, target.kind, truth, units, spread) for k, one in all_seen.items()}
    rivals = [k for k in all_seen if k.startswith("rival: ")]
    gains = {}
    for rival in rivals:
        gain = paired(all_seen[rival], all_seen["chosen"], target.kind, truth, units)
        gains[rival.removeprefix("rival: ")] = {
            k: getattr(gain, k) / spread for k in ("value", "low", "high")
        }
    record.append(
        "fusion",
        {
            "contender": name,
            "kind": target.kind,
            "folds": len(rows),
            "unseen_rows": int(kept.sum()),
            "units": len(set(units)),
            "classes": len(np.unique(truth)) if target.kind != "number" else 0,
            "fields": list(run.data.schema.field_names),
            "without": list(without),
            "chosen": dict(Counter(chosen)),
            "alone": dict(Counter(alone)),
            "linear_decay": dict(Counter(decays)),
            "figure": figures["chosen"],
            "fusions": {k: v for k, v in figures.items() if k != "chosen" and k not in rivals},
            "rivals": {k.removeprefix("rival: "): figures[k] for k in rivals},
            "gain_over": gains,
            "seconds": round(time.perf_counter() - start),
        },
    )


def outer(run: Run, folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and unseen rows, fold by fold."""
    checked = run.checked.rows
    target, groups = checked.target, checked.groups
    rows = np.flatnonzero(target.present)
    if run.settings.split.by == "time":
        times = checked.dataset.values(run.data.schema.role("time"))
        latest = {groups[r]: times[r] for r in sorted(rows, key=lambda r: times[r])}
        parts = np.array_split(np.array(sorted(latest, key=lambda g: latest[g])), folds + 1)
        blocks = [np.array([r for r in rows if groups[r] in set(part)]) for part in parts]
        for k in range(1, len(blocks)):
            yield np.concatenate(blocks[:k]), blocks[k]
        return
    fold = folds_of(target, rows, groups, folds, run.data.runtime.seed)
    for k in range(folds):
        yield rows[fold != k], rows[fold == k]


def prepared(run: Run, train: np.ndarray) -> Training:
    """What the predictors of a fold are fitted on: encoders that learn have seen its training cells
    alone."""
    rows, fields, runtime = run.checked.rows, run.data.schema, run.data.runtime
    encoders = {}
    for one in fields.fields:
        groups = [rows.groups[k] for k in train]
        cells = TrainingCells(rows.dataset.rows(train).cells(one), groups)
        kinds = {c: fields.kind(c) for c in one.columns}
        component = schema.build_encoder(one.encoder, run.settings.choices)
        encoders[one.name] = component.fit(cells, one, kinds, runtime)
    embedder = Embedder(fields, encoders, run.folder.folder / "cache", runtime.threads)
    x = embedder.embed(rows.dataset)
    _, given = giveaways(
        rows.dataset, rows.schema, rows.target, x.present, x.fields, train, run.settings.check
    )
    x = x.keep([f for f in x.fields if f not in given])
    return Training(run.settings.predict, x, rows.target, train, rows.groups, rows.weights, runtime)


def read_fold(
    training: Training, rows: np.ndarray, without: Sequence[str]
) -> tuple[str, str, float, dict[str, np.ndarray]]:
    """The fusion, the field and the linear rival's decay that the training rows choose; how each
    contender reads these rows."""
    unseen, target = training.embeddings.rows(rows), training.target

    def reads(predictor: Predictor, x: Embeddings = unseen) -> np.ndarray:
        """1 where a row's class is read right; of a number, what is said too much."""
        said, truth = predictor.scores(x), target.values[rows]
        return (
            said[:, 0] - truth
            if target.kind == "number"
            else (said.argmax(1) == truth).astype(float)
        )

    fusions = {
        name: Once(catalog.build("fusion", name))
        for name in catalog.names("fusion")
        if name not in without
    }
    best, _ = fusion_choice.choose_fusion(fusions, training)
    out = {name: reads(cross_fit(one, training).predictor) for name, one in fusions.items()}
    out["chosen"] = out[best]
    alone = {
        f: replace(training, embeddings=training.embeddings.keep([f]))
        for f in training.embeddings.fields
    }
    heads = {f: Once(catalog.build("fusion", "concat")) for f in alone}
    single = max(alone, key=lambda f: cross_fitted(heads[f], alone[f]))
    out["rival: best field alone"] = reads(
        cross_fit(heads[single], alone[single]).predictor, unseen.keep([single])
    )
    numeric = target.kind == "number"
    weights = balanced(
        target, training.rows, training.weights[training.rows], training.settings.balanced
    )
    untuned = {
        "forests under voting": catalog.build("fusion", "voting"),
        "gradient boosting": Flat(
            HistGradientBoostingRegressor(random_state=0)
            if numeric
            else HistGradientBoostingClassifier(random_state=0, max_features=SHARE)
        ),
    }
    for name, one in untuned.items():
        (fitted,) = one.fit(
            training.embeddings,
            target,
            [Job(training.rows, weights)],
            training.rows,
            training.runtime,
            training.progress,
        )
        out[f"rival: {name}"] = reads(fitted)
    linear = Flat(Ridge() if numeric else LogisticRegression(max_iter=1000), filled=True)
    wide = replace(training, settings=replace(training.settings, decays=DECAYS))
    crossed = cross_fit(linear, wide)
    out["rival: linear regression"] = reads(crossed.predictor)
    return best, single, crossed.decay, out


def cross_fitted(fusion: Any, training: Training) -> float:
    """Its score on training rows, more is better."""
    _, findings = fusion_choice.choose_fusion({"it": fusion}, training)
    found = next(f for f in findings if f.name == FUSION_SCORE)
    return float(found.value) if found.better == "higher" else -float(found.value)


def judged(target: Target, folds: Sequence[np.ndarray]) -> np.ndarray:
    """bool: the rows whose class stands in every fold; the others train."""
    rows = np.concatenate(folds)
    if target.kind == "number":
        return np.ones(len(rows), bool)
    return np.all([target.counts(part) > 0 for part in folds], axis=0)[target.values[rows]]


def paired(
    rival: np.ndarray, ours: np.ndarray, kind: str, truth: np.ndarray, units: Sequence[str]
) -> comparison.Comparison:
    if kind == "number":
        return comparison.compare(rival, ours, units=units, metric="rmse")
    return comparison.compare(rival, ours, truth, units)


def figure(
    one: np.ndarray, kind: str, truth: np.ndarray, units: list[str], spread: float
) -> dict[str, float]:
    """Balanced accuracy; of a number the root mean squared error over the number's standard
    deviation (1: knows nothing)."""
    if kind == "number":
        square = intervals.mean((one / spread) ** 2, units)
        return {k: float(np.sqrt(max(getattr(square, k), 0))) for k in ("value", "low", "high")}
    found = intervals.balanced_accuracy(one, truth, units)
    return {"value": found.value, "low": found.low, "high": found.high}


@dataclass
class Once:
    """A fusion that is asked twice for the same and fits once."""

    fusion: Any
    found: list[Any] = field(default_factory=list)

    @property
    def several(self) -> bool:
        return self.fusion.several

    def fit(self, *args: Any) -> list[Any]:
        self.found = self.found or self.fusion.fit(*args)
        return self.found


@dataclass(frozen=True)
class Flat:
    """An estimator of scikit-learn on all features side by side, scaled. filled: a missing one is
    its mean, and a column says so; else it is nan. Filled ones are turned into the span of the
    training rows: under an L2 penalty the same answer from fewer numbers. A job's decay d becomes C
    = 1 / (d n), of ridge alpha = d n."""

    estimator: Any
    filled: bool = False
    several: bool = False

    def fit(
        self,
        x: Embeddings,
        target: Target,
        jobs: Sequence[Job],
        basis: np.ndarray,
        runtime: Runtime,
        progress: Progress,
    ) -> list[FlatPredictor]:
        known = side_by_side(x.rows(basis))
        mean, spread = np.nanmean(known, 0), np.nanstd(known, 0) + 1e-6
        plain = FlatPredictor(self.estimator, mean, spread, self.filled, len(target.classes), None)
        span = (
            np.linalg.svd(plain.seen(x.rows(basis)), full_matrices=False)[2].T
            if self.filled
            else None
        )
        out = []
        for job in jobs:
            estimator = clone(self.estimator)
            if job.decay:
                penalty = job.decay * len(job.rows)
                estimator.set_params(
                    **({"alpha": penalty} if isinstance(estimator, Ridge) else {"C": 1 / penalty})
                )
            predictor = replace(plain, estimator=estimator, span=span)
            estimator.fit(
                predictor.seen(x.rows(job.rows)), target.values[job.rows], sample_weight=job.weights
            )
            out.append(predictor)
        return out


@dataclass(frozen=True)
class FlatPredictor:
    """scores: as of every predictor."""

    estimator: Any
    mean: np.ndarray
    spread: np.ndarray
    filled: bool
    classes: int
    span: np.ndarray | None

    def seen(self, x: Embeddings) -> np.ndarray:
        scaled = (side_by_side(x) - self.mean) / self.spread
        scaled = np.concatenate([np.nan_to_num(scaled), x.present], 1) if self.filled else scaled
        return scaled if self.span is None else scaled @ self.span

    def scores(self, x: Embeddings) -> np.ndarray:
        if not self.classes:
            return self.estimator.predict(self.seen(x))[:, None]
        out = np.full((len(x), self.classes), np.log(1e-3))
        out[:, self.estimator.classes_] = np.log(
            self.estimator.predict_proba(self.seen(x)).clip(1e-3)
        )
        return out


def side_by_side(x: Embeddings) -> np.ndarray:
    """float64 [N, D]: nan where a field is missing."""
    return np.concatenate(
        [np.where(x.present[:, [k]], x.features[f], np.nan) for k, f in enumerate(x.fields)], 1
    )


if __name__ == "__main__":
    main()
