"""Are planted wrong labels found, and is what is trained on curated rows better than on raw ones?

python benchmarks/curate.py [--part flags|generators] [--folder FOLDER]

Fashion-MNIST (2,000 rows to train, 1,500 to judge) and OpenMoji, training labels corrupted at a
known rate: `symmetric`, any other class as likely, or `pairs`, the class that it is most easily
taken for. Flags: precision and recall of the suspects, and those of as many rows with the lowest
self-confidence of a cross-fitted logistic regression on the same features; and the predictor's
share right of clean validation rows, fitted on raw and on curated rows. Generators: `gan` (same
steps, two seeds, classes as its only condition) trained on raw, curated and clean labels: how many
made images a classifier takes for the class that was asked for, and the Fréchet distance in another
one's features; both judges are trained on 60,000 clean labels. Intervals: Wilson for shares;
bootstrap over rows or made images for differences. Those of the generator know its images and not
its training: with two seeds, each seed's own value stands beside them."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parent))
import fashion
import record

from gobelin import Workbench
from gobelin.core import catalog
from gobelin.core.machine import Runtime
from gobelin.data.dataset import WEIGHT_COLUMN, Dataset
from gobelin.data.image.images import png_bytes
from gobelin.data.read import read
from gobelin.evidence import intervals
from gobelin.evidence.findings import Finding
from gobelin.generation.generators import Context, Controls, ImageRows
from gobelin.quality.metrics import frechet
from gobelin.workbench.curate.decisions import decisions
from gobelin.workbench.curate.export import curated_dataset

CELLS = (("none", 0.0), ("symmetric", 0.2), ("symmetric", 0.4), ("pairs", 0.2), ("pairs", 0.4))
GENERATED = (("symmetric", 0.4), ("pairs", 0.4), ("none", 0.0))
TRAIN, JUDGED, STEPS, SEEDS, MADE, DRAWS = 2000, 1500, 400, 2, 2000, 400
MISTAKEN = {
    "T-shirt": "shirt",
    "pullover": "coat",
    "trouser": "dress",
    "sneaker": "ankle boot",
    "sandal": "bag",
}
MISTAKEN |= {other: one for one, other in MISTAKEN.items()}
Reads = tuple[np.ndarray, np.ndarray]  # features and classes of made images
SETTINGS: dict[str, Any] = {
    "runtime": {"precision": "float32", "device": "cpu", "threads": 1},
    "encoders": {"image": {"name": "pixels"}, "text": {"name": "characters"}},
    "predict": {"balance": False},
    "align": {"steps": 20},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=("flags", "generators"), help="only these")
    parser.add_argument(
        "--folder", type=Path, help="where runs are kept; a temporary one without it"
    )
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, clean = said.folder or Path(place), pictures()
        if said.part != "generators":
            for how, rate in CELLS:
                flags(folder, "fashion", clean, "class", how, rate)
            drawings(folder)
        if said.part != "flags":
            made: dict[str, list[Reads]] = {}
            for how, rate in GENERATED:
                generators(folder, clean, how, rate, made)


def drawings(folder: Path) -> None:
    """The flags of OpenMoji, split as it is by the clean labels."""
    sample = catalog.build("samples", "openmoji")
    data, said = read(sample.write(folder / "openmoji", 0)).with_ids("id"), sample.settings()
    parts = Workbench(
        data, "group", folder / "openmoji-clean", {**said, **SETTINGS}
    ).run.checked.rows.parts.tolist()
    data = replace(data, table=data.table.append_column("split", pa.array(parts)))
    for how, rate in (cell for cell in CELLS if cell[0] != "pairs"):
        flags(folder, "openmoji", data, "group", how, rate, said)


def pictures() -> Dataset:
    """Rows of Fashion-MNIST: training rows first, then validation and (few, never used) test
    rows."""
    images, labels = fashion.load("train")
    drawn = np.random.default_rng(0).permutation(len(labels))[: TRAIN + JUDGED + 100]
    parts = ["train"] * TRAIN + ["valid"] * JUDGED + ["test"] * 100
    table = pa.table(
        {
            "image": [png_bytes(images[k]) for k in drawn],
            "class": [fashion.CLASSES[labels[k]] for k in drawn],
            "split": parts,
        }
    )
    return Dataset(table, Path(), "fashion").with_ids()


def corrupted(data: Dataset, target: str, how: str, rate: float) -> Dataset:
    """The same with this share of the training labels wrong."""
    rng, labels = np.random.default_rng(7), data.table[target].to_pylist()
    classes = sorted(set(labels) - {None})
    for k, part in enumerate(data.table["split"].to_pylist()):
        others = [c for c in classes if c != labels[k]]
        drawn, other = rng.random(), others[rng.integers(len(others))]
        if part == "train" and labels[k] is not None and drawn < rate:
            labels[k] = MISTAKEN.get(labels[k], labels[k]) if how == "pairs" else other
    where = data.table.column_names.index(target)
    return replace(data, table=data.table.set_column(where, target, pa.array(labels)))


def flags(
    folder: Path,
    name: str,
    clean: Dataset,
    target: str,
    how: str,
    rate: float,
    said: Mapping[str, Any] | None = None,
) -> None:
    """One line: the flags, and the predictor on raw and on curated rows."""
    where, begun = f"{name}-{how}-{rate}", time.perf_counter()
    raw = corrupted(clean, target, how, rate)
    bench = Workbench(raw, target, folder / where, {**(said or {}), **SETTINGS})
    bench.fit()
    fitted = time.perf_counter()
    (share,) = (f for f in bench.curate() if f.name == "wrong_labels")
    curated = time.perf_counter()
    decided, classes = decisions(bench.run), bench.run.predictor.model.classes
    truth = np.array([classes.index(clean.table[target][int(r)].as_py()) for r in decided.rows])
    wrong, right = decided.given != truth, decided.label == truth
    flagged = decided.suggested >= 0
    rival = least_confident(bench, decided.rows, decided.given, int(flagged.sum()))
    row: dict[str, Any] = {
        "cell": where,
        "rows": len(wrong),
        "planted_share": round(float(wrong.mean()), 4),
        "estimated_share": rounded(share),
        "flagged": int(flagged.sum()),
        "wrong_after_share": round(float((~right).mean()), 4),
        "mean_weight_right": round(float(decided.weight[right].mean()), 3),
        "fit_seconds": round(fitted - begun, 1),
        "curate_seconds": round(curated - fitted, 1),
    }
    if wrong.any():
        row |= {
            "precision": rounded(intervals.proportion(wrong[flagged])),
            "recall": rounded(intervals.proportion(flagged[wrong])),
            "logistic_precision": rounded(intervals.proportion(wrong[rival])),
            "logistic_recall": rounded(intervals.proportion(rival[wrong])),
            "recall_difference": bootstrap(
                lambda k: (flagged[k] * 1.0 - rival[k])[wrong[k]].mean(), len(wrong)
            ),
            "mean_weight_wrong": round(float(decided.weight[~right].mean()), 3),
        }
    mended, settings = curated_dataset(bench.run), {**(said or {}), **SETTINGS}
    again = Workbench(mended, target, folder / f"{where}-curated", settings)
    again.fit()
    before, after = hits(bench), hits(again)
    row |= {
        "validation_rows": len(before),
        "accuracy_raw": rounded(intervals.proportion(before)),
        "accuracy_curated": rounded(intervals.proportion(after)),
        "accuracy_difference": bootstrap(lambda k: (after - before)[k].mean(), len(before)),
    }
    record.append("curate", row)


def hits(bench: Workbench) -> np.ndarray:
    """float64 [n]: whether each (clean) validation row is read right."""
    checked, predictor = bench.run.checked.rows, bench.run.predictor
    rows = checked.labelled("valid")
    x = predictor.inputs(bench.run.features.embeddings.rows(rows))
    return (predictor.model.predict(x).class_indices == checked.target.values[rows]) * 1.0


def least_confident(
    bench: Workbench, rows: np.ndarray, given: np.ndarray, count: int
) -> np.ndarray:
    """bool [n]: the `count` rows whose label a cross-fitted logistic regression finds least
    likely."""
    x = bench.run.predictor.training.embeddings.rows(rows)
    features = np.concatenate(
        [x.features[f] * x.present[:, [k]] for k, f in enumerate(x.fields)], 1
    )
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=100))
    p = cross_val_predict(model, features, given, cv=folds, method="predict_proba")
    out = np.zeros(len(rows), bool)
    out[
        np.argsort(
            p[np.arange(len(rows)), np.searchsorted(np.unique(given), given)], kind="stable"
        )[:count]
    ] = True
    return out


def generators(
    folder: Path, clean: Dataset, how: str, rate: float, made: dict[str, list[Reads]]
) -> None:
    """One line: the generator on raw, curated and clean labels. made: what is known of the clean
    arm is kept there."""
    raw = corrupted(clean, "class", how, rate)
    bench = Workbench(raw, "class", folder / f"fashion-{how}-{rate}", SETTINGS)
    bench.fit()
    curated, begun = curated_dataset(bench.run), time.perf_counter()
    images, _ = fashion.load("train")
    pixels, asked = (
        images[np.random.default_rng(0).permutation(len(images))[: TRAIN + JUDGED]],
        np.arange(MADE) % 10,
    )
    valid = as_rows(pixels, clean, slice(TRAIN, TRAIN + JUDGED))
    weights = np.array(curated.table[WEIGHT_COLUMN].to_pylist())[:TRAIN]
    rows = {
        "curated": replace(as_rows(pixels, curated, slice(TRAIN)), weights=weights),
        "raw": as_rows(pixels, raw, slice(TRAIN)),
        "clean": as_rows(pixels, clean, slice(TRAIN)),
    }
    arms = {
        name: made.get(name) or [reads(sampled(one, valid, seed, asked)) for seed in range(SEEDS)]
        for name, one in rows.items()
        if rate or name != "raw"
    }
    made["clean"] = arms["clean"]
    right = {
        name: np.array([classes == asked for _, classes in each], float)
        for name, each in arms.items()
    }
    real, _ = fashion.read(network("features"), pixels)
    row: dict[str, Any] = {
        "cell": f"fashion-{how}-{rate} gan",
        "steps": STEPS,
        "generator_seeds": SEEDS,
        "made_images": MADE,
    }
    for name, each in arms.items():
        row[f"class_right_{name}"] = rounded(intervals.proportion(right[name].mean(0)))
        row[f"class_right_{name}_seeds"] = right[name].mean(1).round(4).tolist()
        row[f"frechet_{name}_seeds"] = [round(frechet.distance(real, x), 2) for x, _ in each]
    for one, other in (
        [("curated", "raw"), ("clean", "curated")] if rate else [("clean", "curated")]
    ):
        gain = (right[one] - right[other]).mean(0)
        row[f"class_right_{one}_minus_{other}"] = bootstrap(
            lambda k, gain=gain: gain[k].mean(), MADE
        )
        pairs = [(a, b) for (a, _), (b, _) in zip(arms[one], arms[other], strict=True)]

        def further(k: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]] = pairs) -> float:
            return float(
                np.mean(
                    [frechet.distance(real, a[k]) - frechet.distance(real, b[k]) for a, b in pairs]
                )
            )

        row[f"frechet_{one}_minus_{other}"] = bootstrap(further, MADE, 60)
    record.append("curate", row | {"seconds": round(time.perf_counter() - begun, 1)})


def as_rows(pixels: np.ndarray, data: Dataset, rows: slice) -> ImageRows:
    """Images whose only condition is their class."""
    labels = data.table["class"].to_pylist()[rows]
    return ImageRows(
        pixels[rows],
        fashion.asked(np.array([fashion.CLASSES.index(name) for name in labels])),
        fashion.CLASSES,
    )


def sampled(train: ImageRows, valid: ImageRows, seed: int, asked: np.ndarray) -> np.ndarray:
    """uint8 [n, 28, 28, 1] of these classes by a `gan` trained from this seed."""
    with tempfile.TemporaryDirectory() as work:
        context = Context(Runtime(seed, "cpu", "bfloat16", 1).apply(), Path(work), STEPS)
        sampler = catalog.build("generators", "gan").fit(train, valid, context)
    return np.concatenate(
        list(sampler.sample(fashion.asked(asked), range(len(asked)), Controls(batch=250)))
    )


def network(name: str) -> fashion.Judge:
    """Two judges of two epochs; those of the other benchmark see four."""
    width, seed = {"features": (16, 1), "classes": (8, 2)}[name]
    return fashion.judge(f"curate {name}", width, seed, epochs=2)


def reads(images: np.ndarray) -> Reads:
    """Features by one judge, classes by the other."""
    return fashion.read(network("features"), images)[0], fashion.read(network("classes"), images)[1]


def bootstrap(figure: Callable[[np.ndarray], float], rows: int, draws: int = DRAWS) -> list[float]:
    """The figure and its 95 % interval over draws of rows with replacement."""
    rng = np.random.default_rng(0)
    drawn = [float(figure(rng.integers(0, rows, rows))) for _ in range(draws)]
    return [
        round(float(v), 4) for v in (figure(np.arange(rows)), *np.quantile(drawn, [0.025, 0.975]))
    ]


def rounded(one: intervals.Interval | Finding) -> list[float]:
    return [round(float(v), 4) for v in (one.value, one.low, one.high)]


if __name__ == "__main__":
    main()
