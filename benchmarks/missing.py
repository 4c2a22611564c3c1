"""How predictions fall off as cells go missing, in training and test rows alike, against what else
one could do about them.

python benchmarks/missing.py [--sample openmoji] [--keep DIR] [--masks 5] [--field image]

Cells are hidden by chance at a rate: of all fields, or of one field alone. A row may lose
everything. Ours is the fusion that cross-fitted training rows choose at that rate, absent fields
masked. Rivals, on the same features, rows, folds and decays:

    zeros         absent features are zeros and nothing says so; the linear head and the dropout of
    fields are those of concat means         absent features are their mean and an indicator says
    so; the same head without dropout of fields row_dropping  only training rows that have every
    common field teach; an absent part of a test row is its mean boosting      histogram gradient
    boosting, which knows missing values, on the principal components of all fields

Features are encoded once. Intervals are paired by test unit and cover the draws of the masks and of
training's seeds, a mask each, also where nothing is hidden."""

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
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

sys.path.insert(0, str(Path(__file__).parent))
import record

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.machine import numpy_generator
from gobelin.embedding.alignment.correlation import principal
from gobelin.evidence import comparison, intervals
from gobelin.prediction.cross_fit import Predict, Training, cross_fit
from gobelin.prediction.fusion.concat import Concat
from gobelin.prediction.heads.joins import Join, Shapes, SideBySide, Weights

SAMPLES = ("openmoji", "tuxpaint")
RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
MARGIN = 0.02
HOW = Predict(folds=2, decays=(1e-3, 1e-2))
FUSIONS = ("concat", "gated", "blend")
COMMON = 0.5  # share of all rows that have a field, for a complete row to have it
COMPONENTS = 32  # of each field, that boosting sees


@dataclass(frozen=True)
class Unsaid(SideBySide):
    """Fields side by side; nothing says which are shown."""

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        return {"map1": (sum(widths), outputs), "bias1": (outputs,)}

    def scores(self, weights: Weights, features: Sequence[Any], shown: Any) -> Any:
        unsaid = weights["map1"].new_zeros(
            len(weights["map1"]), shown.shape[2], weights["map1"].shape[2]
        )
        return super().scores(
            {**weights, "map1": torch.cat([weights["map1"], unsaid], 1)}, features, shown
        )


@dataclass(frozen=True)
class Filled(Concat):
    """An absent field is its mean, and nothing says so."""

    @property
    def join(self) -> Join:
        return Unsaid(0)


@dataclass(frozen=True)
class Zeros(Filled):
    """An absent field is zeros. Components are those of the rows and their negatives, so that zero
    is zero in them."""

    def fit(self, embeddings, target, jobs, basis, runtime, progress):
        turned = replace(embeddings, features={f: -v for f, v in embeddings.features.items()})
        both = np.concatenate([basis, basis + len(embeddings)])
        twice = replace(target, values=np.concatenate([target.values, target.values]))
        return super().fit(embeddings.join(turned), twice, jobs, both, runtime, progress)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", choices=SAMPLES)
    parser.add_argument(
        "--keep", type=Path, help="Folder for the runs; encoded cells are used again."
    )
    parser.add_argument("--masks", type=int, default=5)
    parser.add_argument("--field", default="", help="Hide cells of this field alone, not of all.")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in [said.sample] if said.sample else SAMPLES:
            study(name, (said.keep or Path(temporary)) / name, said.masks, said.field, said.rates)


def study(sample: str, folder: Path, masks: int, field: str, rates: Sequence[float]) -> None:
    source = catalog.build("samples", sample)
    data = folder / "data" / "records.csv"
    bench = Workbench(
        data if data.is_file() else source.write(folder / "data", 0),
        source.target,
        folder,
        source.settings(),
    )
    bench.check()
    training = replace(bench.run.predictor.training, settings=HOW)
    rows = np.concatenate(
        [
            training.target.scored_rows(bench.run.checked.rows.labelled(part))
            for part in ("valid", "test")
        ]
    )
    for rate in rates:
        curve_point(sample, training, rows, rate, field, masks)


def curve_point(
    sample: str, training: Training, rows: np.ndarray, rate: float, field: str, masks: int
) -> None:
    start = time.perf_counter()
    hits: dict[str, list[np.ndarray]] = {}
    chosen = []
    for mask in range(masks):
        hidden = masked(
            replace(training, runtime=replace(training.runtime, seed=mask)), rate, field, mask
        )
        found, best = contenders(hidden, rows, training.embeddings.present.mean(0) >= COMMON)
        chosen.append(best)
        for name, one in found.items():
            hits.setdefault(name, []).append(one)
    label, units = training.target.values[rows], [training.groups[r] for r in rows]
    stacked = {name: np.stack(some)[None, None] for name, some in hits.items()}

    def figure(one: np.ndarray) -> dict[str, float]:
        spread = [intervals.balanced_accuracy(h, label, units).value for h in one[0, 0]]
        return {
            "value": float(np.mean(spread)),
            "least": float(min(spread)),
            "most": float(max(spread)),
        }

    figures = {name: figure(one) for name, one in stacked.items()}
    gains = {}
    for name in figures:
        if name != "ours":
            gain = comparison.compare(stacked[name], stacked["ours"], label, units)
            gains[name] = {"value": gain.value, "low": gain.low, "high": gain.high}
    rival = max(gains, key=lambda name: figures[name]["value"])
    record.append(
        "missing",
        {
            "contender": f"{sample}, {field or 'all fields'}, {rate:.0%} missing",
            "sample": sample,
            "field": field,
            "missing_share": rate,
            "masks": masks,
            "training_rows": len(training.rows),
            "unseen_rows": len(rows),
            "classes": len(np.unique(label)),
            "chosen": chosen,
            "balanced_accuracy": figures,
            "gain_over": gains,
            "best_rival": rival,
            "non_inferior": bool(gains[rival]["low"] > -MARGIN),
            "above": bool(gains[rival]["low"] > 0),
            "seconds": round(time.perf_counter() - start),
        },
    )


def masked(training: Training, rate: float, field: str, mask: int) -> Training:
    """Each present cell hidden with chance `rate`: of one field, or of all."""
    x = training.embeddings
    draw = numpy_generator(mask, "missing").random(x.present.shape)
    at = np.array([not field or f == field for f in x.fields])
    present = x.present & ~((draw < rate) & at)
    features = {f: np.where(present[:, [k]], v, 0) for k, (f, v) in enumerate(x.features.items())}
    return replace(training, embeddings=replace(x, features=features, present=present))


def contenders(
    training: Training, rows: np.ndarray, common: np.ndarray
) -> tuple[dict[str, np.ndarray], str]:
    """1 where a row's class is read right, for every contender; and which fusion was chosen."""
    x, truth = training.embeddings, training.target.values
    unseen = x.rows(rows)
    best, predictor = ours(training)

    def right(scores: np.ndarray) -> np.ndarray:
        return (scores.argmax(1) == truth[rows]).astype(float)

    out = {"ours": right(predictor.scores(unseen))}
    out["zeros"] = right(cross_fit(Zeros(), training).predictor.scores(unseen))
    out["means"] = right(cross_fit(Concat(dropout=0.0), training).predictor.scores(unseen))
    out["row_dropping"] = right(row_dropping(training, rows, common))
    out["boosting"] = right(boosting(training, rows))
    return out, best


def ours(training: Training) -> tuple[str, Any]:
    fits = {name: cross_fit(catalog.build("fusion", name), training) for name in FUSIONS}
    truth = training.target.values[next(iter(fits.values())).rows]
    best = max(fits, key=lambda name: balanced(fits[name].scores, truth))
    return best, fits[best].predictor


def balanced(scores: np.ndarray, truth: np.ndarray) -> float:
    right = scores.argmax(1) == truth
    return float(np.mean([right[truth == c].mean() for c in np.unique(truth)]))


def row_dropping(training: Training, rows: np.ndarray, common: np.ndarray) -> np.ndarray:
    """common: bool [F], the fields that a complete row has. Too few complete rows: the shares of
    the classes."""
    x, target = training.embeddings, training.target
    known = training.rows[target.present[training.rows]]
    kept = known[x.present[known][:, common].all(1)]
    if len(kept) < 30 or len(np.unique(target.values[kept])) < 2:
        return np.tile(
            np.bincount(target.values[known], minlength=len(target.classes)).astype(float),
            (len(rows), 1),
        )
    return cross_fit(Filled(dropout=0.0), replace(training, rows=kept)).predictor.scores(
        x.rows(rows)
    )


def boosting(training: Training, rows: np.ndarray) -> np.ndarray:
    x, target = training.embeddings, training.target
    train = training.rows[target.present[training.rows]]
    parts = []
    for k, field in enumerate(x.fields):
        mean, directions, _ = principal(x.rows(train), field, COMPONENTS)
        parts.append(np.where(x.present[:, [k]], (x.features[field] - mean) @ directions, np.nan))
    flat = np.concatenate(parts, 1)
    label = target.values[train]
    weight = 1 / np.bincount(label, minlength=len(target.classes))[label]
    made = HistGradientBoostingClassifier(random_state=0).fit(
        flat[train], label, sample_weight=weight
    )
    out = np.full((len(rows), len(target.classes)), -1.0)
    out[:, made.classes_] = made.predict_proba(flat[rows])
    return out


if __name__ == "__main__":
    main()
